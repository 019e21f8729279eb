"""Accuracy against the label budget, a line a strategy, when there are several budgets."""

import math

import numpy as np
import pandas as pd

from headstart.report import words
from headstart.report.content import Estimate, ReportContent
from headstart.report.drawing import NAME_LOOK, Drawing, Spec, at, field, layer, number
from headstart.report.figures._base import Figure, Panel, chart
from headstart.report.scales import Extent, apart, extent
from headstart.report.svg import TIP
from headstart.report.tables import LABELS, NAME, Table, table

LEFT = 48


def label_curve(content: ReportContent) -> pd.DataFrame:
    """The figure's record: each strategy's mean accuracy at each budget.

    Returns:
        Columns `strategy, labels` (the budget's words), `pictures` (how many labels it is: "all"
        counts the training pictures, or twice the largest budget where they are not known),
        `accuracy, low, high`; by strategy, baseline first, then by pictures.
    """
    largest = max((b for b in content.budgets if not isinstance(b, str)), default=1)
    everything = content.training_pictures or 2 * largest
    points = [
        (
            result.name,
            words.budget(result.labels),
            everything if isinstance(result.labels, str) else result.labels,
            *(np.nan if value is None else value for value in result.accuracy),
        )
        for result in sorted(content.results, key=lambda r: content.strategies.index(r.name))
        if result.accuracy.value is not None
    ]
    columns = ["strategy", "labels", "pictures", "accuracy", "low", "high"]
    return pd.DataFrame(points, columns=columns)


def figure(content: ReportContent) -> Figure | None:
    """The figure, or None when there is only one label budget."""
    curve = label_curve(content)
    if curve["pictures"].nunique() < 2:
        return None
    with_all = "all" in content.budgets

    def draw(drawing: Drawing) -> Spec:
        return drawing.specification([_chart(drawing, curve, with_all=with_all)])

    return Figure(
        slug="label-curve",
        title="What labels buy",
        reading=(
            "Mean accuracy on the test pictures against the number of labelled training pictures, "
            "on a scale where equal steps multiply it; upright bars are "
            f"{content.interval_name}s. Read "
            "across to see how many labels one strategy needs for what another has with fewer."
        ),
        panels=(Panel("", (chart(content, draw, _alternative(curve)),)),),
        numbers=_numbers(curve),
    )


def _numbers(curve: pd.DataFrame) -> Table:
    return table(
        "Mean accuracy by label budget",
        [NAME, LABELS, "Labels in numbers", "Test accuracy", "95% interval"],
        [
            [
                strategy,
                labels,
                words.whole(pictures),
                words.percent(accuracy),
                words.percent_interval(Estimate.read(accuracy, low, high)),
            ]
            for strategy, labels, pictures, accuracy, low, high in curve.itertuples(index=False)
        ],
    )


def _alternative(curve: pd.DataFrame) -> str:
    told = [
        f"{strategy} with {labels} labels {words.percent(accuracy)}"
        for strategy, labels, _, accuracy, _, _ in curve.itertuples(index=False)
    ]
    return f"Line chart of mean test accuracy against label budget. {'; '.join(told)}."


def _chart(drawing: Drawing, curve: pd.DataFrame, *, with_all: bool) -> Spec:
    start, end = LEFT + 12, drawing.width - (150 if drawing.wide else 100)
    height = 320 if drawing.wide else 260
    room = extent(
        [*curve["accuracy"], *curve["low"].dropna(), *curve["high"].dropna()], ceiling=1.0
    )
    fewest, most = float(curve["pictures"].min()), float(curve["pictures"].max())
    everything = f"datum.value == {most:.0f} ? 'all {most:,.0f}' : " if with_all else ""
    x_axis = {
        "values": sorted({float(pictures) for pictures in curve["pictures"]}),
        "labelExpr": f"{everything}format(datum.value, ',')",
        "title": "Labelled training pictures",
        "labelOverlap": "greedy",
        "grid": False,
    }
    y_axis = {"values": list(room.ticks), "format": f".{room.percent_digits}%", "title": None}
    log = {"type": "log", "domain": [fewest, most], "range": [start, end], "nice": False}
    x = number("x", scale=log, axis=x_axis)
    y = number("accuracy", scale=room.scale(height, 0), axis=y_axis | {"offset": -LEFT})
    moved = _side_by_side(drawing, curve, math.log(most / fewest) / (end - start))
    layers = [*_lines(drawing, moved, x, y), *_ends(drawing, curve, room, y, height)]
    return {"width": drawing.width, "height": height, "layer": layers}


def _side_by_side(drawing: Drawing, curve: pd.DataFrame, per_pixel: float) -> pd.DataFrame:
    """The points with `x`: a few pixels aside for each strategy, so that bars stay apart."""
    names = list(drawing.colours)
    step = per_pixel * min(7.0, 20 / len(names))
    aside = [math.exp(step * (names.index(s) - (len(names) - 1) / 2)) for s in curve["strategy"]]
    tips = [
        f"{strategy}{TIP}{strategy}, {labels} labels: {words.percent(accuracy)}"
        for strategy, labels, _, accuracy, _, _ in curve.itertuples(index=False)
    ]
    return curve.assign(x=curve["pictures"] * aside, tip=tips)


def _lines(drawing: Drawing, curve: pd.DataFrame, x: Spec, y: Spec) -> list[Spec]:
    data, colour = drawing.data(curve), drawing.colour
    known = drawing.data(curve.dropna(subset=["low", "high"]))
    bar = {"strokeWidth": 5, "opacity": 0.4, "strokeCap": "round"}
    ends = {"y": y | {"field": "low"}, "y2": {"field": "high"}}
    dot, told = {"size": 64, "opacity": 1}, field("tip")
    return [
        layer(data, "line", {"strokeWidth": 2, "opacity": 0.9}, x=x, y=y, color=colour),
        layer(known, "rule", bar, x=x, **ends, color=colour),
        layer(data, "circle", dot, x=x, y=y, color=colour, description=told),
    ]


def _ends(drawing: Drawing, curve: pd.DataFrame, room: Extent, y: Spec, height: int) -> list[Spec]:
    """The strategies' names at the ends of their lines, kept apart."""
    last = curve.groupby("strategy", sort=False).tail(1)
    least = 17 * (room.high - room.low) / height
    names = [words.cut(name, 20 if drawing.wide else 12) for name in last["strategy"]]
    data = drawing.data(last.assign(place=apart(list(last["accuracy"]), least), name=names))
    look, x = NAME_LOOK | {"baseline": "middle"}, at(drawing.width - (130 if drawing.wide else 84))
    place = y | {"field": "place"}
    return [layer(data, "text", look, x=x, y=place, text=field("name"), color=drawing.colour)]
