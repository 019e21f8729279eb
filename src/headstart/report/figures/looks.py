"""The looks of a study that went on until it was decided, beside the boundary they had to reach."""

from functools import partial
from typing import Any, NamedTuple

import pandas as pd

from headstart.report import palette, words
from headstart.report.content import ReportContent, budget, budget_order
from headstart.report.drawing import Drawing, Spec, at, field, layer, number
from headstart.report.figures._base import Figure, Panel, small_multiple
from headstart.report.scales import extent
from headstart.report.svg import TIP
from headstart.report.tables import Column, Table, table

HEIGHT = 230
LEFT = 30
STOPS = {
    "better": "stopped: better",
    "worse": "stopped: worse",
    "equivalent": "stopped: equivalent, within the margin",
    "futile": "stopped: going on would hardly have decided it",
    "maximum": "stopped at the most seeds that were declared",
    None: "not at an end yet",
}

METHOD = (
    "The looks and the most seeds were written down before the first seed. Each look has its own "
    "level (O'Brien and Fleming's boundary), so that looking often makes no more false claims "
    "than looking once; with several comparisons each has alpha divided by their number. The "
    "height of a dot is the normal quantile of the look's two-sided p-value, with the sign of the "
    "difference. A study also stops when the difference is proven to lie within the margin, or "
    "when the chance to decide by the last look falls below 10%."
)


OPEN_METHOD = (
    "No last seed was declared, so evidence is told as an e-value (a t-based Bayes factor): if the "
    "two are the same, the chance that it ever reaches 1/alpha is at most alpha, however often one "
    "looks. With several comparisons each has alpha divided by their number. The p-value is the "
    "e-value's inverse, and the height of a dot its normal quantile, with the sign of the "
    "difference. A study also stops when the difference is proven to lie within the margin, or "
    "when the chance to decide even with 200 seeds falls below 10%."
)


class Looks(NamedTuple):
    """The looks of one comparison.

    Attributes:
        title: Which comparison, in words.
        strategy: The strategy asked about.
        stop: Why it stopped, in words.
        path: Columns `pairs, evidence, difference, low, high, p_value, level`; one row a look.
        boundary: Columns `pairs, boundary`; one row a declared look.
        open_end: Whether no last seed was declared.
    """

    title: str
    strategy: str
    stop: str
    path: pd.DataFrame
    boundary: pd.DataFrame
    open_end: bool = False


def looks(content: ReportContent) -> tuple[Looks, ...]:
    """The figure's record: one for each comparison of a study whose looks were declared."""
    entries = sorted(
        (entry for entry in content.summary["comparisons"] if entry.get("path")),
        key=lambda entry: budget_order(budget(entry["labels"])),
    )
    return tuple(_looks(entry, several=len(content.budgets) > 1) for entry in entries)


def _looks(entry: dict[str, Any], *, several: bool) -> Looks:
    path = entry["path"]
    labels = f", {words.labels(budget(entry['labels']))}" if several else ""
    columns = ["pairs", "evidence", "difference", "low", "high", "p_value", "level"]
    return Looks(
        title=f"{entry['a']} against {entry['b']}{labels}",
        strategy=str(entry["a"]),
        stop=STOPS[path["stop"]],
        path=pd.DataFrame(path["looks"], columns=columns),
        boundary=pd.DataFrame(path["declared"], columns=["pairs", "boundary"]),
        open_end=bool(path.get("open_end")),
    )


def figure(content: ReportContent) -> Figure | None:
    """The figure, or None when no looks were declared."""
    records = looks(content)
    if not records:
        return None
    charts = tuple(
        small_multiple(content, partial(_drawn, record), _alternative(record)) for record in records
    )
    return Figure(
        slug="looks",
        title="When it was decided",
        reading=(
            "Each dot is one look at the trials so far; the higher above or the lower below the "
            "middle line it lies, the harder the difference is to explain by luck. A claim is "
            "allowed only where a dot lies beyond the outer lines, which were drawn before the "
            "first seed"
            + ("." if any(one.open_end for one in records) else " and are strict early on.")
        ),
        panels=(Panel("", charts),),
        numbers=_numbers(records),
    )


def _alternative(record: Looks) -> str:
    told = [
        f"{pairs:.0f} pairs {evidence:.1f}"
        for pairs, evidence in zip(record.path["pairs"], record.path["evidence"], strict=True)
    ]
    return f"Looks at {record.title}: {', '.join(told) or 'none yet'}; {record.stop}."


def _numbers(records: tuple[Looks, ...]) -> Table:
    shown = [
        [
            record.title,
            words.whole(look["pairs"]),
            words.points(look["difference"]),
            f"{words.points(look['low'])} to {words.points(look['high'])}",
            words.p_value(look["p_value"]),
            f"{look['level']:.2g}",
            record.stop if place == len(record.path) - 1 else "went on",
        ]
        for record in records
        for place, look in enumerate(record.path.to_dict(orient="records"))
    ]
    columns: list[str | Column] = [
        Column("Comparison", numeric=False),
        "Pairs",
        "Difference in points",
        "Interval at this look",
        "p-value",
        "Needed for a claim",
        Column("What came of it", numeric=False),
    ]
    method = OPEN_METHOD if any(record.open_end for record in records) else METHOD
    return table("Every look", columns, shown, method)


def _drawn(record: Looks, drawing: Drawing) -> Spec:
    return drawing.specification([_chart(drawing, record)])


def _chart(drawing: Drawing, record: Looks) -> Spec:
    path, boundary = record.path, record.boundary
    seen = [*boundary["boundary"], *-boundary["boundary"], *path["evidence"]]
    room = extent([float(value) for value in seen], ticks=5)
    most = float(boundary["pairs"].max())
    first = float(boundary["pairs"].min())
    pixels = {"domain": [first - 0.5, max(most, first + 1)], "range": [LEFT, drawing.width - 12]}
    ticks = sorted({first, most, *(float(pairs) for pairs in path["pairs"])})
    x_axis = {"values": ticks, "format": "d", "title": "Seeds so far", "grid": False}
    x = number("pairs", scale=pixels | {"nice": False}, axis=x_axis | {"labelOverlap": "greedy"})
    y_axis = {"values": list(room.ticks), "format": f".{room.digits}f", "title": None}
    y = number("evidence", scale=room.scale(HEIGHT, 0), axis=y_axis | {"offset": -26})
    title = {
        "text": words.wrapped(record.title, 40),
        "subtitle": words.wrapped(record.stop, 46),
    }
    layers = [*_boundary(drawing, boundary, x, y), *_path(drawing, record, x, y)]
    return {"width": drawing.width, "height": HEIGHT, "layer": layers, "title": title}


def _boundary(drawing: Drawing, boundary: pd.DataFrame, x: Spec, y: Spec) -> list[Spec]:
    """The two outer lines and the middle one."""
    upper = boundary.rename(columns={"boundary": "evidence"})
    look = {"strokeWidth": 2, "color": palette.MUTED[0], "strokeDash": [5, 3]}
    middle = drawing.data(pd.DataFrame({"evidence": [0.0]}))
    ends = {"x": at(LEFT), "x2": at(drawing.width - 12)}
    layers = [layer(middle, "rule", {"color": palette.MUTED[0]}, **ends, y=y)]
    dot = {"size": 22, "color": palette.MUTED[0], "opacity": 1}
    for side in (1, -1):
        data = drawing.data(upper.assign(evidence=side * upper["evidence"]))
        layers += [layer(data, "line", look, x=x, y=y), layer(data, "circle", dot, x=x, y=y)]
    return layers


def _path(drawing: Drawing, record: Looks, x: Spec, y: Spec) -> list[Spec]:
    """The looks that were taken, in the strategy's colour."""
    path = record.path
    tips = [
        f"{record.strategy}{TIP}{pairs:.0f} pairs: {words.points(gap)} points, p {words.p_value(p)}"
        for pairs, gap, p in zip(path["pairs"], path["difference"], path["p_value"], strict=True)
    ]
    data = drawing.data(path.assign(strategy=record.strategy, tip=tips))
    dot = {"size": 70, "opacity": 1}
    colour = drawing.colour
    return [
        layer(data, "line", {"strokeWidth": 2}, x=x, y=y, color=colour),
        layer(data, "circle", dot, x=x, y=y, color=colour, description=field("tip")),
    ]
