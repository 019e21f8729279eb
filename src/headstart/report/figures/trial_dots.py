"""Every trial as a dot; lines join the trials of one seed, which are the pairs."""

import numpy as np
import pandas as pd

from headstart.report import palette, words
from headstart.report.content import Budget, ReportContent
from headstart.report.figures._base import (
    NAME_LOOK,
    Drawing,
    Extent,
    Figure,
    Spec,
    at,
    extent,
    field,
    layer,
    number,
    panel,
    stacked_offsets,
    strategy_colour,
)
from headstart.report.svg import TIP
from headstart.report.tables import trials

STEP = 52
MOST_DOTS = 400
MOST_LINES = 60


def trial_dots(content: ReportContent, labels: Budget) -> pd.DataFrame:
    """The dots of one label budget.

    Returns:
        Columns `strategy, seed, accuracy, row` (0 for the top row, the baseline), sorted by row
        and seed. Beyond `MOST_DOTS` trials of a strategy, so many of them, evenly by rank.
    """
    parts = []
    for row, name in enumerate(content.strategies):
        own = content.accuracies(name, labels).rename("accuracy").reset_index()
        own = _thinned(own).assign(strategy=name, row=row)
        parts.append(own[["strategy", "seed", "accuracy", "row"]])
    return pd.concat(parts, ignore_index=True)


def _thinned(own: pd.DataFrame) -> pd.DataFrame:
    """At most `MOST_DOTS` trials, evenly by rank, sorted by seed."""
    if len(own) > MOST_DOTS:
        ranks = [int((k + 0.5) * len(own) / MOST_DOTS) for k in range(MOST_DOTS)]
        own = own.sort_values("accuracy").iloc[ranks]
    return own.sort_values("seed")


def trial_means(content: ReportContent, labels: Budget) -> pd.DataFrame:
    """The mean of each strategy at one budget: `strategy, row, mean` (as in the summary)."""
    place = {name: row for row, name in enumerate(content.strategies)}
    means = [
        (result.name, place[result.name], result.accuracy.value)
        for result in content.results
        if result.labels == labels and result.accuracy.value is not None
    ]
    return pd.DataFrame(means, columns=["strategy", "row", "mean"])


def figure(content: ReportContent) -> Figure | None:
    """The figure, or None when no trial is finished."""
    if content.finished.empty:
        return None

    def draw(drawing: Drawing) -> Spec:
        return drawing.specification(
            [
                _chart(content, labels, drawing)
                for labels in content.budgets
                if len(trial_dots(content, labels))
            ]
        )

    several = " Each panel has its own scale." if len(content.budgets) > 1 else ""
    fewer = (
        f" Of more than {MOST_DOTS} trials in a row, {MOST_DOTS} are drawn, evenly by rank."
        if content.finished.groupby(["strategy", "labels"]).size().max() > MOST_DOTS
        else ""
    )
    return Figure(
        slug="trials",
        title="Every trial",
        reading=(
            "Each dot is one trial’s accuracy on the test pictures; a thin line joins trials of "
            "the same seed, which saw the same pictures in the same order; the upright stroke is "
            f"the mean. Lines that all lean the same way are what a real difference looks like."
            f"{several}{fewer}"
        ),
        panels=(panel(draw, _alternative(content)),),
        numbers=trials(content),
    )


def _alternative(content: ReportContent) -> str:
    means = [
        f"{result.name} {words.percent(result.accuracy.value)} with {words.labels(result.labels)}"
        for result in content.results
    ]
    return f"Dot plot of test accuracy by strategy. Means: {'; '.join(means)}."


def _chart(content: ReportContent, labels: Budget, drawing: Drawing) -> Spec:
    """One label budget: a row a strategy."""
    dots, means = trial_dots(content, labels), trial_means(content, labels)
    room = extent([*dots["accuracy"], *means["mean"]], ticks=6 if drawing.wide else 4, ceiling=1.0)
    axis = {
        "values": list(room.ticks),
        "format": f".{room.percent_digits}%",
        "title": "Test accuracy",
    }
    start, end = drawing.gutter(content.strategies), drawing.width - 24
    x = number("accuracy", scale=room.scale(start, end), axis=axis)
    rows = len(content.strategies)
    y = number("y", scale={"domain": [rows - 0.5, -0.5], "nice": False}, axis=None)
    piled = _piled(dots, room, drawing.width // 10)
    joined = dots.groupby("row").size().max() <= MOST_LINES
    title = words.labels(labels, content.training_pictures)
    return {
        "width": drawing.width,
        "height": STEP * rows,
        "layer": [
            *_names(content, drawing, y),
            *(_lines(drawing, piled, x, y) if joined else []),
            *_dots(drawing, piled, x, y, strategy_colour(content)),
            *_means(drawing, means, x, y),
        ],
    } | ({"title": title} if len(content.budgets) > 1 else {})


def _piled(dots: pd.DataFrame, room: Extent, bins: int) -> pd.DataFrame:
    """The dots with their height `y`, and what to say of each in `tip`."""
    heights = np.zeros(len(dots))
    for row in dots["row"].unique():
        own = (dots["row"] == row).to_numpy()
        heights[own] = stacked_offsets(list(dots["accuracy"][own]), room, bins)
    tips = [
        f"seed {seed}{TIP}{name}, seed {seed}: {words.percent(accuracy)}"
        for name, seed, accuracy in zip(
            dots["strategy"], dots["seed"], dots["accuracy"], strict=True
        )
    ]
    keys = [f"seed {seed}{TIP}" for seed in dots["seed"]]
    return dots.assign(y=dots["row"] + 0.3 * heights, tip=tips, key=keys)


def _lines(drawing: Drawing, dots: pd.DataFrame, x: Spec, y: Spec) -> list[Spec]:
    look = {"color": palette.FAINT[0], "strokeWidth": 1, "opacity": 0.55}
    return [
        layer(
            drawing.data(dots),
            "line",
            look,
            x=x,
            y=y,
            detail=field("seed"),
            order=number("row"),
            description=field("key"),
        )
    ]


def _dots(drawing: Drawing, dots: pd.DataFrame, x: Spec, y: Spec, colour: Spec) -> list[Spec]:
    look = {"size": 52, "opacity": 0.8}
    data = drawing.data(dots)
    return [layer(data, "circle", look, x=x, y=y, color=colour, description=field("tip"))]


def _names(content: ReportContent, drawing: Drawing, y: Spec) -> list[Spec]:
    """The strategies' names at the left, and a faint line to lead the eye along each row."""
    names = pd.DataFrame(
        {
            "strategy": content.strategies,
            "y": range(len(content.strategies)),
            "lines": drawing.names(content.strategies),
        }
    )
    data, colour = drawing.data(names), strategy_colour(content)
    start, end = at(drawing.gutter(content.strategies)), at(drawing.width)
    look = NAME_LOOK | {"baseline": "middle"}
    return [
        layer(data, "rule", {"color": palette.GRID[0]}, x=start, x2=end, y=y),
        layer(data, "text", look, x=at(0), y=y, text=field("lines"), color=colour),
    ]


def _means(drawing: Drawing, means: pd.DataFrame, x: Spec, y: Spec) -> list[Spec]:
    data = drawing.data(
        means.assign(y=means["row"], text=[words.percent(mean) for mean in means["mean"]])
    )
    ink = palette.INK[0]
    tick = {"orient": "vertical", "size": 26, "thickness": 2.5, "color": ink, "opacity": 1}
    label = {"dy": -21, "fontWeight": 600, "color": ink}
    mean = x | {"field": "mean"}
    return [
        layer(data, "tick", tick, x=mean, y=y),
        layer(data, "text", label, x=mean, y=y, text=field("text")),
    ]
