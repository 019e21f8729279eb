"""Numbers as the report writes them: one form for each kind, the same everywhere."""

import time

from headstart.report.content import Budget, Estimate
from headstart.study.progress import duration_words

MINUS = "−"
NONE = "–"
NO_BREAK = "\N{NO-BREAK SPACE}"


def percent(share: float | None, digits: int = 2) -> str:
    """A share as a percentage: 0.9736 → "97.36%"."""
    return NONE if share is None else f"{_signed(100 * share, digits, plus=False)}%"


def points(share: float | None, digits: int = 2) -> str:
    """A difference of shares in points, always with its sign: -0.0102 → "−1.02"."""
    return NONE if share is None else _signed(100 * share, digits, plus=True)


def points_interval(estimate: Estimate) -> str:
    """An interval of differences in points: "−1.31 to −0.74"."""
    if estimate.low is None or estimate.high is None:
        return NONE
    return f"{points(estimate.low)} to {points(estimate.high)}"


def percent_interval(estimate: Estimate) -> str:
    """An interval of shares: "97.1 to 97.6%"."""
    if estimate.low is None or estimate.high is None:
        return NONE
    return f"{percent(estimate.low).removesuffix('%')} to {percent(estimate.high)}"


def whole(number: float | None) -> str:
    """A whole number with thousands set apart: 275808 → "275,808"."""
    return NONE if number is None else f"{number:,.0f}".replace("-", MINUS)


def decimal(number: float | None, digits: int = 3) -> str:
    """A number to so many digits after the point."""
    return NONE if number is None else _signed(number, digits, plus=False)


def seconds(duration: float | None) -> str:
    """A duration: "0.42 s", "12.3 s", "2 min 05 s", "1 h 10 min"; it does not break over lines."""
    if duration is None:
        return NONE
    return duration_words(duration).replace(" ", NO_BREAK)


def p_value(value: float | None) -> str:
    """A p-value: "0.031", "< 0.001", or a dash when there is none."""
    if value is None:
        return NONE
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def labels(labels: Budget, available: int | None = None) -> str:
    """A label budget: "1 label", "200 labels", "all labels", "all 9,936 labels"."""
    if labels == "all":
        return f"all {whole(available)} labels" if available else "all labels"
    return "1 label" if labels == 1 else f"{budget(labels)} labels"


def budget(labels: Budget) -> str:
    """A label budget as a number in a table: "200", "all"."""
    return labels if isinstance(labels, str) else whole(float(labels))


def counted(number: int, one: str, many: str = "") -> str:
    """A count with its noun: "1 trial", "60 trials"."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def times(number: int) -> str:
    """How often: "once", "twice", "60 times"."""
    return {1: "once", 2: "twice"}.get(number, f"{number:,} times")


def listed(items: list[str]) -> str:
    """Items in a sentence: "a, b and c"."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def moment(seconds: float) -> str:
    """A moment, to the minute and with its time zone: "2026-11-22 07:31 UTC".

    Args:
        seconds: Since the epoch.
    """
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))


def test_split(name: str) -> str:
    """A test split of the ledger by its number and the beginning of its hash: "2: 53cbf9b5"."""
    number, marked, digest = name.rpartition(":")
    return f"{number if marked else 1}: {digest[:8]}"


def wrapped(text: str, width: int, lines: int = 3) -> list[str]:
    """A name broken into at most `lines` lines of about `width` characters, else cut with "…".

    Names of strategies are often joined by underscores or hyphens; a line may end after one.
    """
    pieces: list[str] = [""]
    for character in text:
        pieces[-1] += character
        if character in " _-/,":
            pieces.append("")
    rows = [""]
    for piece in filter(None, pieces):
        for start in range(0, len(piece), width):
            part = piece[start : start + width]
            if rows[-1] and len(rows[-1] + part.rstrip()) > width:
                rows.append("")
            rows[-1] += part
    rows = [row.strip() for row in rows]
    if len(rows) > lines:
        rows = [*rows[: lines - 1], f"{rows[lines - 1][: width - 1]}…"]
    return rows


def cut(text: str, width: int) -> str:
    """A text of at most `width` characters, with "…" where it was cut."""
    return text if len(text) <= width else f"{text[: width - 1].rstrip()}…"


def _signed(number: float, digits: int, *, plus: bool) -> str:
    """Fixed digits with a true minus; what rounds to zero has no sign."""
    text = f"{abs(number):,.{digits}f}"
    if float(text.replace(",", "")) == 0:
        return text
    return (MINUS if number < 0 else "+" if plus else "") + text
