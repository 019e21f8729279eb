"""Accuracy against the label budget, a line a strategy, when there are several budgets."""

import math

import pandas as pd

from headstart.report import words
from headstart.report.content import Estimate, ReportContent
from headstart.report.figures._base import (
    Drawing,
    Extent,
    Figure,
    Spec,
    apart,
    at,
    extent,
    field,
    layer,
    number,
    panel,
    strategy_colour,
)
from headstart.report.svg import TIP
from headstart.report.tables import LABELS, NAME, table

LEFT = 48
CURVE_COLUMNS = ["strategy", "labels", "pictures", "accuracy", "low", "high"]


def label_curve(content: ReportContent) -> pd.DataFrame:
    """Each strategy's mean accuracy at each budget.

    Returns:
        Columns `strategy, labels` (the budget's words), `pictures` (how many labels it is; "all"
        counts the training pictures, or twice the largest budget where they are not known),
        `accuracy, low, high`; sorted by strategy and pictures.
    """
    largest = max((b for b in content.budgets if not isinstance(b, str)), default=1)
    everything = content.training_pictures or 2 * largest
    place = {name: row for row, name in enumerate(content.strategies)}
    points = [
        (
            result.name,
            words.labels(result.labels),
            everything if isinstance(result.labels, str) else result.labels,
            *result.accuracy,
        )
        for result in content.results
        if result.accuracy.value is not None
    ]
    frame = pd.DataFrame(points, columns=CURVE_COLUMNS)
    order = frame.assign(place=frame["strategy"].map(place)).sort_values(["place", "pictures"])
    return frame.loc[order.index].reset_index(drop=True)


def figure(content: ReportContent) -> Figure | None:
    """The figure, or None when there is only one label budget."""
    curve = label_curve(content)
    if curve["pictures"].nunique() < 2:
        return None

    def draw(drawing: Drawing) -> Spec:
        return drawing.specification([_chart(content, curve, drawing)])

    numbers = table(
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
    return Figure(
        slug="label-curve",
        title="What labels buy",
        reading=(
            "Mean accuracy on the test pictures against the number of labelled training pictures "
            "(on a scale where each step doubles it); upright bars are 95% intervals. Read across "
            "to see how many labels one strategy needs to reach what another has with fewer."
        ),
        panels=(panel(draw, _alternative(curve)),),
        numbers=numbers,
    )


def _alternative(curve: pd.DataFrame) -> str:
    told = [
        f"{strategy} with {labels} {words.percent(accuracy)}"
        for strategy, labels, _, accuracy, _, _ in curve.itertuples(index=False)
    ]
    return f"Line chart of mean test accuracy against label budget. {'; '.join(told)}."


def _chart(content: ReportContent, curve: pd.DataFrame, drawing: Drawing) -> Spec:
    start, end = LEFT, drawing.width - (150 if drawing.wide else 100)
    height = 320 if drawing.wide else 260
    shown = [*curve["accuracy"], *curve["low"].dropna(), *curve["high"].dropna()]
    room = extent(shown, ticks=5, ceiling=1.0)
    fewest, most = float(curve["pictures"].min()), float(curve["pictures"].max())
    everything = f"datum.value == {most:g} ? 'all {most:,.0f}' : " if _has_all(content) else ""
    x = number(
        "x",
        scale={"type": "log", "domain": [fewest, most], "range": [start + 12, end], "nice": False},
        axis={
            "values": sorted(set(curve["pictures"].astype(float))),
            "labelExpr": f"{everything}format(datum.value, ',')",
            "title": "Labelled training pictures",
            "grid": False,
            "labelOverlap": "greedy",
        },
    )
    y = number(
        "accuracy",
        scale=room.scale(height, 0),
        axis={
            "values": list(room.ticks),
            "format": f".{room.percent_digits}%",
            "title": None,
            "offset": -LEFT,
        },
    )
    moved = _side_by_side(content, curve, fewest, most, end - start)
    layers = [
        *_lines(content, drawing, moved, x, y),
        *_ends(content, drawing, curve, room, y, height),
    ]
    return {"width": drawing.width, "height": height, "layer": layers}


def _has_all(content: ReportContent) -> bool:
    return "all" in content.budgets


def _side_by_side(
    content: ReportContent, curve: pd.DataFrame, fewest: float, most: float, pixels: float
) -> pd.DataFrame:
    """The points with `x`: a few pixels to the side for each strategy, so that bars stay apart."""
    place = {name: row for row, name in enumerate(content.strategies)}
    middle = (len(place) - 1) / 2
    step = math.log(most / fewest) * min(7.0, 20 / len(place)) / pixels
    sides = [math.exp(step * (place[name] - middle)) for name in curve["strategy"]]
    tips = [
        f"{strategy}{TIP}{strategy}, {labels}: {words.percent(accuracy)}"
        for strategy, labels, _, accuracy, _, _ in curve.itertuples(index=False)
    ]
    return curve.assign(x=curve["pictures"] * sides, tip=tips)


def _lines(
    content: ReportContent, drawing: Drawing, curve: pd.DataFrame, x: Spec, y: Spec
) -> list[Spec]:
    data, colour = drawing.data(curve), strategy_colour(content)
    bars = drawing.data(curve.dropna(subset=["low", "high"]))
    return [
        layer(data, "line", {"strokeWidth": 2, "opacity": 0.9}, x=x, y=y, color=colour),
        layer(
            bars,
            "rule",
            {"strokeWidth": 4, "opacity": 0.4, "strokeCap": "round"},
            x=x,
            y=y | {"field": "low"},
            y2={"field": "high"},
            color=colour,
        ),
        layer(
            data,
            "circle",
            {"size": 70, "opacity": 1},
            x=x,
            y=y,
            color=colour,
            description=field("tip"),
        ),
    ]


def _ends(
    content: ReportContent,
    drawing: Drawing,
    curve: pd.DataFrame,
    room: Extent,
    y: Spec,
    height: int,
) -> list[Spec]:
    """The strategies' names at the ends of their lines, kept apart."""
    last = curve.groupby("strategy", sort=False).tail(1)
    least = 17 * (room.high - room.low) / height
    names = [words.cut(name, 20 if drawing.wide else 13) for name in last["strategy"]]
    shown = last.assign(place=apart(list(last["accuracy"]), least), name=names)
    look = {"align": "left", "baseline": "middle", "fontWeight": 600, "fontSize": 13}
    return [
        layer(
            drawing.data(shown),
            "text",
            look,
            x=at(drawing.width - (130 if drawing.wide else 86)),
            y=y | {"field": "place"},
            text=field("name"),
            color=strategy_colour(content),
        )
    ]
