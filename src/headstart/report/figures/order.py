"""The order of strategies at each label budget, with those that were not told apart as ties."""

from typing import NamedTuple

import pandas as pd

from headstart.report import palette, words
from headstart.report.content import ReportContent, budget, budget_order
from headstart.report.drawing import NAME_LOOK, Drawing, Spec, at, field, layer, number, rows, texts
from headstart.report.figures._base import Figure, Panel, chart
from headstart.report.scales import Extent, extent
from headstart.report.svg import TIP
from headstart.report.tables import LABELS, Column, Table, table

STEP = 44
LANE = 16
"""Pixels between the lines of two groups of ties."""

METHOD = (
    "Every two strategies are compared as the verdicts are: over the seeds that both have, with "
    "the exact sign-flip test and the crossed-bootstrap interval, Holm's correction over all "
    "pairs of one label budget. Strategies of which none is proven better than another form a "
    "group; tied is not transitive, so groups may overlap."
)


class Order(NamedTuple):
    """The strategies of one label budget.

    Attributes:
        title: The budget in words.
        places: Columns `strategy, accuracy, row` (best on top, 0).
        ties: Columns `group` (0, 1 …), `strategy, row`: the members of each group of two or more.
    """

    title: str
    places: pd.DataFrame
    ties: pd.DataFrame


def orders(content: ReportContent) -> tuple[Order, ...]:
    """The figure's record: one for each label budget with at least two strategies."""
    found = []
    entries = sorted(
        content.summary.get("orders", ()), key=lambda entry: budget_order(budget(entry["labels"]))
    )
    for entry in entries:
        names = list(entry["names"])
        if len(names) < 2:
            continue
        places = pd.DataFrame(
            {"strategy": names, "accuracy": entry["means"], "row": range(len(names))}
        )
        groups = [group for group in entry["ties"] if len(group) > 1]
        ties = [(k, name, names.index(name)) for k, group in enumerate(groups) for name in group]
        found.append(
            Order(
                words.labels(budget(entry["labels"]), content.training_pictures),
                places,
                pd.DataFrame(ties, columns=["group", "strategy", "row"]),
            )
        )
    return tuple(found)


def figure(content: ReportContent) -> Figure | None:
    """The figure, or None when there are no two strategies to put in order."""
    records = orders(content)
    if not records:
        return None
    room = extent(
        [float(value) for record in records for value in record.places["accuracy"]], ceiling=1.0
    )

    def draw(drawing: Drawing) -> Spec:
        return drawing.specification(
            [
                _chart(drawing, record, room, last=record is records[-1], named=len(records) > 1)
                for record in records
            ]
        )

    return Figure(
        slug="order",
        title="Who comes first, and who is tied",
        reading=(
            "Strategies from best to worst by mean accuracy. Those with a dot on the same upright "
            "line at the right are tied: these trials cannot tell them apart, whatever their "
            "places."
        ),
        panels=(Panel("", (chart(content, draw, _alternative(records)),)),),
        numbers=_numbers(records),
    )


def _tied(record: Order, strategy: str) -> list[str]:
    """The strategies that one is tied with, best first."""
    own = record.ties[record.ties["strategy"] == strategy]["group"]
    fellows = set(record.ties[record.ties["group"].isin(own)]["strategy"]) - {strategy}
    return [name for name in record.places["strategy"] if name in fellows]


def _alternative(records: tuple[Order, ...]) -> str:
    told = []
    for record in records:
        for strategy, accuracy, _ in record.places.itertuples(index=False):
            tied = _tied(record, strategy)
            beside = f", tied with {words.listed(tied)}" if tied else ""
            told.append(f"{record.title}: {strategy} {words.percent(accuracy)}{beside}")
    return f"Strategies in order of mean test accuracy. {'; '.join(told)}."


def _numbers(records: tuple[Order, ...]) -> Table:
    rows_shown = [
        [
            record.title,
            str(row + 1),
            strategy,
            words.percent(accuracy),
            words.listed(_tied(record, strategy) or ["nobody"]),
        ]
        for record in records
        for strategy, accuracy, row in record.places.itertuples(index=False)
    ]
    columns: list[str | Column] = [
        Column(LABELS.heading, numeric=False),
        "Place",
        Column("Strategy", numeric=False),
        "Test accuracy",
        Column("Tied with", numeric=False),
    ]
    return table("The order of strategies", columns, rows_shown, METHOD)


def _chart(drawing: Drawing, record: Order, room: Extent, *, last: bool, named: bool) -> Spec:
    lanes = int(record.ties["group"].nunique())
    axis = {
        "values": list(room.ticks),
        "format": f".{room.percent_digits}%",
        "title": "Mean test accuracy" if last else None,
    }
    end = drawing.width - 36 - LANE * max(1, lanes)
    x = number("accuracy", scale=room.scale(drawing.gutter(), end), axis=axis)
    y = rows(len(record.places)) | {"field": "row"}
    layers = [*_dots(drawing, record, x, y), *_ties(drawing, record, y)]
    whole = {"width": drawing.width, "height": STEP * len(record.places), "layer": layers}
    return whole | ({"title": {"text": record.title}} if named else {})


def _dots(drawing: Drawing, record: Order, x: Spec, y: Spec) -> list[Spec]:
    places = record.places
    tips = [
        f"{name}{TIP}{name}: {words.percent(accuracy)}"
        for name, accuracy in zip(places["strategy"], places["accuracy"], strict=True)
    ]
    lines = texts([drawing.lines(name) for name in places["strategy"]], places)
    shown = drawing.data(places.assign(lines=lines, tip=tips))
    name = NAME_LOOK | {"baseline": "middle"}
    dot = {"size": 110, "opacity": 1}
    return [
        layer(shown, "text", name, x=at(0), y=y, text=field("lines"), color=drawing.colour),
        layer(shown, "circle", dot, x=x, y=y, color=drawing.colour, description=field("tip")),
    ]


def _ties(drawing: Drawing, record: Order, y: Spec) -> list[Spec]:
    """For each group a line in a lane of its own, with a dot at each member's row."""
    layers = []
    for group, members in record.ties.groupby("group"):
        x = at(drawing.width - 12 - LANE * float(str(group)))
        ends = pd.DataFrame({"row": [members["row"].min()], "end": [members["row"].max()]})
        look = {"strokeWidth": 3, "color": palette.MUTED[0], "opacity": 1}
        dot = {"size": 60, "color": palette.MUTED[0], "opacity": 1}
        span = {"y": y, "y2": {"field": "end"}}
        layers.append(layer(drawing.data(ends), "rule", look, x=x, **span))
        layers.append(layer(drawing.data(members), "circle", dot, x=x, y=y))
    return layers
