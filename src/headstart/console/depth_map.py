"""What the command `map` prints: a line a cut, and the four signs."""

from collections.abc import Mapping
from typing import Any

from rich.text import Text

from headstart.console import output, table
from headstart.report import words
from headstart.report.depth_map import REPORT_NAME, DepthMap
from headstart.report.results import labels_words

_ARMS = ("AnB", "AnB+", "BnB", "BnB+")
_DERIVED = {
    "specificity": "specificity\nBnB − AnB",
    "co_adaptation": "co-adaptation\nbase − BnB",
    "lasting_boost": "lasting boost\nAnB+ − BnB+",
}
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
    arms = [arm for arm in _ARMS if any(arm in cut["arms"] for cut in entry["cuts"])]
    derived = [name for name in _DERIVED if any(name in cut["derived"] for cut in entry["cuts"])]
    base = f"base B {words.percent(entry['base'])}"
    if entry["again"] is not None:
        base += f", trained again {_cell(entry['again'])} points"
    out.print()
    out.print(Text(labels_words(entry["labels"]), style="bold"), f"({base}; {_pairs(entry)})")
    grid = table("copied", *(f"{arm}\n− base" for arm in arms), *(_DERIVED[d] for d in derived))
    for cut in entry["cuts"]:
        numbers = [cut["arms"].get(arm) for arm in arms]
        numbers += [cut["derived"].get(name) for name in derived]
        name = f"{cut['cut']}" + (f" ({cut['group']})" if cut["group"] else "")
        grid.add_row(name, *(words.NONE if each is None else _cell(each) for each in numbers))
    out.print(grid)
    for sign in entry["signs"]:
        line = Text(f"{sign['name']}: ")
        line.append(sign["answer"], style=_STYLES[sign["answer"]])
        out.print(line.append(f"; {sign['sentence']}"))
    for depth in entry["depths"]:
        out.print(Text(depth["sentence"]))


def _pairs(entry: Mapping[str, Any]) -> str:
    seeds = words.counted(entry["seeds"], "seed")
    if entry["worlds"] == 1:
        return seeds
    return f"{words.counted(entry['worlds'], 'class split')} × {seeds}"


def _cell(number: Mapping[str, float | None]) -> str:
    """A number in points with its interval below it."""
    value, low, high = number["value"], number["low"], number["high"]
    if low is None or high is None:
        return words.points(value)
    return f"{words.points(value)}\n{words.points(low)} to {words.points(high)}"
