"""Where the uncertainty of each difference comes from, told as what would help."""

from typing import Any, NamedTuple

import pandas as pd

from headstart.report import palette, words
from headstart.report.content import ReportContent, budget, budget_order, finite
from headstart.report.drawing import NAME_LOOK, Drawing, Spec, at, field, layer, number, rows, texts
from headstart.report.figures._base import Figure, Panel, chart
from headstart.report.svg import TIP
from headstart.report.tables import Column, Table, table

STEP, NARROW_STEP = 56, 78
"""Pixels a row; on a phone the names below take more lines."""

CAUSES = {
    "seeds": ("more seeds", palette.VERDICT["equivalent"][0]),
    "both": ("either", palette.MUTED[0]),
    "pictures": ("more test pictures", palette.VERDICT["undecided"][0]),
}
"""Part of the variance → what removes it, and its colour."""

ONE_SIDED = 0.5
"""From this share on, one remedy is named alone."""

METHOD = (
    "The variance of the mean difference is split by the two-way table of seeds and test "
    "pictures: σ²(seeds)/S + σ²(pictures)/n + σ²(both)/(S·n), each estimated from its mean "
    "square; parts that come out negative count as none. The standard error is the root of the "
    "sum. headstart power turns it into numbers of seeds and pictures."
)


class Remedy(NamedTuple):
    """What would narrow one comparison's interval.

    Attributes:
        name: Which comparison, in words.
        strategy: The strategy asked about.
        below: Against what, and with how many labels.
        error: Standard error of the difference, a share.
        shares: Part of its square for each of `CAUSES`, summing to 1.
        help: What would help, in words.
    """

    name: str
    strategy: str
    below: str
    error: float
    shares: dict[str, float]
    help: str


def remedies(content: ReportContent) -> tuple[Remedy, ...]:
    """The figure's record: one for each comparison whose spread is known."""
    entries = sorted(
        content.summary["comparisons"], key=lambda entry: budget_order(budget(entry["labels"]))
    )
    found = (_remedy(entry, content) for entry in entries if entry.get("spread"))
    return tuple(remedy for remedy in found if remedy is not None)


def _remedy(entry: dict[str, Any], content: ReportContent) -> Remedy | None:
    squares = {name: (finite(entry["spread"].get(name)) or 0.0) ** 2 for name in CAUSES}
    total = sum(squares.values())
    if total <= 0:
        return None
    shares = {name: square / total for name, square in squares.items()}
    labels = words.labels(budget(entry["labels"]))
    several = f", {labels}" if len(content.budgets) > 1 else ""
    return Remedy(
        name=f"{entry['a']} against {entry['b']}{several}",
        strategy=str(entry["a"]),
        below=f"against {entry['b']}{several}",
        error=total**0.5,
        shares=shares,
        help=_help(shares),
    )


def _help(shares: dict[str, float]) -> str:
    if shares["pictures"] >= ONE_SIDED:
        return "more test pictures; more seeds would hardly help"
    if shares["seeds"] >= ONE_SIDED:
        return "more seeds; more test pictures would hardly help"
    return "more seeds or more test pictures"


def figure(content: ReportContent) -> Figure | None:
    """The figure, or None when no comparison has a spread."""
    found = remedies(content)
    if not found:
        return None

    def draw(drawing: Drawing) -> Spec:
        return drawing.specification([_chart(drawing, found)])

    told = "; ".join(f"{one.name}: {one.help}" for one in found)
    return Figure(
        slug="what-would-help",
        title="What would make it surer",
        reading=(
            "Each bar is the uncertainty of one difference, cut by what would remove it: the "
            "longer a piece, the more that remedy would help. Where test pictures make up most "
            "of it, adding seeds is work for nothing."
        ),
        panels=(Panel("", (chart(content, draw, f"What would narrow each interval. {told}."),)),),
        numbers=_numbers(found),
    )


def _numbers(found: tuple[Remedy, ...]) -> Table:
    return table(
        "What makes up each uncertainty",
        [
            Column("Comparison", numeric=False),
            "Standard error in points",
            *(f"{told[0].capitalize()}" for told in CAUSES.values()),
            Column("What would help", numeric=False),
        ],
        [
            [
                one.name,
                words.decimal(100 * one.error),
                *(words.percent(one.shares[name], 0) for name in CAUSES),
                one.help,
            ]
            for one in found
        ],
        METHOD,
    )


def _pieces(found: tuple[Remedy, ...]) -> pd.DataFrame:
    """The bars' pieces: `row, low, high, colour, tip`."""
    pieces = []
    for row, one in enumerate(found):
        low = 0.0
        for cause, (told, colour) in CAUSES.items():
            high = low + one.shares[cause]
            tip = f"{one.strategy}{TIP}{told}: {words.percent(one.shares[cause], 0)}"
            pieces.append((row, low, high, colour, tip))
            low = high
    return pd.DataFrame(pieces, columns=["row", "low", "high", "colour", "tip"])


def _chart(drawing: Drawing, found: tuple[Remedy, ...]) -> Spec:
    axis = {"values": [0, 0.25, 0.5, 0.75, 1], "format": ".0%", "title": None, "grid": False}
    scale = {"domain": [0, 1], "range": [drawing.gutter(), drawing.width - 24]}
    x = number("low", scale=scale, axis=axis | {"title": "Share of the squared standard error"})
    y = rows(len(found)) | {"field": "row"}
    pieces = _pieces(found)
    bar = {"strokeWidth": 16, "opacity": 0.9}
    shown = drawing.data(pieces[pieces["high"] > pieces["low"]])
    ends = {"x": x, "x2": {"field": "high"}}
    colour = field("colour", scale=None, legend=None)
    layers = [
        layer(shown, "rule", bar, **ends, y=y, color=colour, description=field("tip")),
        *_names(drawing, found, y),
        *_legend(drawing),
    ]
    step = STEP if drawing.wide else NARROW_STEP
    return {"width": drawing.width, "height": step * len(found), "layer": layers}


def _names(drawing: Drawing, found: tuple[Remedy, ...], y: Spec) -> list[Spec]:
    """Whose difference it is, in its colour, and below it against what."""
    frame = pd.DataFrame({"row": range(len(found)), "strategy": [one.strategy for one in found]})
    width = 16 if drawing.wide else 13
    frame = frame.assign(
        lines=texts([drawing.lines(one.strategy) for one in found], frame),
        below=texts([words.wrapped(one.below, width) for one in found], frame),
    )
    data = drawing.data(frame)
    name = NAME_LOOK | {"baseline": "line-bottom", "dy": -3}
    under = {"align": "left", "baseline": "line-top", "dy": 0, "color": palette.MUTED[0]}
    return [
        layer(data, "text", name, x=at(0), y=y, text=field("lines"), color=drawing.colour),
        layer(data, "text", under | {"fontSize": 11}, x=at(0), y=y, text=field("below")),
    ]


def _legend(drawing: Drawing) -> list[Spec]:
    """What each colour means, above the bars."""
    start = drawing.gutter()
    step = 190 if drawing.wide else 62
    layers = []
    for place, (told, colour) in enumerate(CAUSES.values()):
        look = {"align": "left", "baseline": "bottom", "color": colour, "fontWeight": 600}
        short = told if drawing.wide else told.replace("more ", "").replace("test ", "")
        one = drawing.data(pd.DataFrame({"text": [short]}))
        where = at(start + step * place)
        layers.append(layer(one, "text", look, x=where, y=at(-6), text=field("text")))
    return layers
