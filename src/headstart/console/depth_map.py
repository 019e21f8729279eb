"""What the command `map` prints: a line a cut, and the four signs."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text

from headstart.console import output, table
from headstart.console.tables import item
from headstart.report import words
from headstart.report.depth_map import REPORT_NAME, DepthMap
from headstart.report.results import labels_words

_TABLES = {
    "frozen": (("AnB", "AnB\n− base"), ("BnB", "BnB\n− base"),
               ("specificity", "specificity\nBnB − AnB")),
    "learning": (("AnB+", "AnB+\n− base"), ("BnB+", "BnB+\n− base"),
                 ("lasting_boost", "lasting boost\nAnB+ − BnB+")),
}  # fmt: skip
"""Three columns each, since four intervals do not fit 80 characters."""
_STYLES = {"yes": "green", "no": "red", "cannot tell": "yellow"}


def map_data(found: DepthMap) -> dict[str, Any]:
    """A map as plain data, for ``--json``."""
    return {
        "question": found.records[0].study.question,
        "groups": list(found.groups),
        "maps": found.numbers,
        "directory": str(found.directory),
    }


def print_map(found: DepthMap) -> None:
    """Print the maps of all label budgets."""
    for entry in found.numbers:
        _print_entry(entry)
    out = output()
    if found.failed:
        out.print(Text(f"{found.failed} trials failed: --retry-failed tries them again", "red"))
    out.print(f"report: {found.directory / REPORT_NAME}", soft_wrap=True)


def _print_entry(entry: Mapping[str, Any]) -> None:
    out = output()
    base = f"base B {words.percent(entry['base'])}"
    if entry["again"] is not None:
        base += f", trained again {_cell(entry['again'])} points"
    out.print()
    out.print(Text(labels_words(entry["labels"]), style="bold"), f"({_pairs(entry)})")
    out.print(base)
    out.print()
    for learning, columns in _TABLES.items():
        _print_table(entry, learning, columns)
    out.print(Text(_legend(entry), style="dim"))
    for sign in entry["signs"]:
        line = Text(f"{sign['name']}: ")
        line.append(sign["answer"], style=_STYLES[sign["answer"]])
        out.print(item(line.append(f"; {sign['sentence']}")))
    for depth in entry["depths"]:
        out.print(item(Text(depth["sentence"])))


def _print_table(
    entry: Mapping[str, Any], learning: str, columns: Sequence[tuple[str, str]]
) -> None:
    """A line a cut for the columns that are there, each number with its interval beside it."""
    rows = [(cut, {**cut["arms"], **cut["derived"]}) for cut in entry["cuts"]]
    there = [(key, head) for key, head in columns if any(key in numbers for _, numbers in rows)]
    if not there:
        return
    grid = table(f"copied,\n{learning}")
    for _, head in there:
        grid.add_column(head, justify="right", no_wrap=True)
    for cut, numbers in rows:
        name = f"{cut['cut']}" + (f" ({cut['group']})" if cut["group"] else "")
        cells = (_cell(numbers[key]) if key in numbers else words.NONE for key, _ in there)
        grid.add_row(name, *cells)
    output().print(grid)
    output().print()


def _legend(entry: Mapping[str, Any]) -> str:
    said = f"points of accuracy, each with its own {100 * entry['confidence']:.3g}% interval"
    if any("co_adaptation" in cut["derived"] for cut in entry["cuts"]):
        said += "; co-adaptation, base − BnB, is the column BnB − base with its sign turned"
    return said


def _pairs(entry: Mapping[str, Any]) -> str:
    seeds = words.counted(entry["seeds"], "seed")
    if entry["worlds"] == 1:
        return seeds
    return f"{words.counted(entry['worlds'], 'class split')} × {seeds}"


def _cell(number: Mapping[str, float | None]) -> str:
    """A number in points with its interval, to as many digits as that is worth."""
    value, low, high = number["value"], number["low"], number["high"]
    if low is None or high is None:
        return words.points(value)
    digits = 2 if high - low < 0.002 else 1 if high - low < 0.2 else 0
    told = (words.points(share, digits) for share in (value, low, high))
    return "{} ({} to {})".format(*told)
