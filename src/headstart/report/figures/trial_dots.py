"""Every trial as a dot; lines join the trials of one seed, which are the pairs."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from headstart.report import palette, words
from headstart.report.content import Budget, ReportContent
from headstart.report.drawing import NAME_LOOK, Drawing, Spec, at, field, layer, number, rows, texts
from headstart.report.figures._base import Figure, Panel, chart
from headstart.report.scales import Extent, evenly, extent, piles
from headstart.report.svg import TIP
from headstart.report.tables import trials

STEP = 56
PILE = 0.24
"""Height of a row in pixels, and half the height of the tallest pile of dots in rows."""

MOST_DOTS = 400
MOST_LINES = 60


class TrialDots(NamedTuple):
    """The trials of one label budget.

    Attributes:
        title: The budget in words.
        dots: Columns `strategy, seed, accuracy, row` (0 on top, the baseline), sorted by row and
            seed; beyond `MOST_DOTS` trials of a strategy, so many of them, evenly by rank.
        means: Columns `strategy, row, mean`, as in the summary.
    """

    title: str
    dots: pd.DataFrame
    means: pd.DataFrame


def trial_dots(content: ReportContent) -> tuple[TrialDots, ...]:
    """The figure's record: one for each label budget that has finished trials."""
    found = (_of_budget(content, labels) for labels in content.budgets)
    return tuple(record for record in found if len(record.dots))


def figure(content: ReportContent) -> Figure | None:
    """The figure, or None when no trial is finished."""
    records = trial_dots(content)
    if not records:
        return None

    def draw(drawing: Drawing) -> Spec:
        several = len(content.budgets) > 1
        return drawing.specification([_chart(drawing, record, several) for record in records])

    return Figure(
        slug="trials",
        title="Every trial",
        reading=_reading(content, several=len(records) > 1),
        panels=(Panel("", (chart(content, draw, _alternative(content)),)),),
        numbers=trials(content),
    )


def _reading(content: ReportContent, *, several: bool) -> str:
    most = max((len(content.accuracies(r.name, r.labels)) for r in content.results), default=0)
    told = "Each dot is one trial’s accuracy on the test pictures; the upright stroke is the mean."
    if most <= MOST_LINES:
        told += (
            " A thin line joins the trials of one seed, which saw the same pictures in the same "
            "order: lines that all lean the same way are what a real difference looks like. Point "
            "at a dot to follow its seed through the figures."
        )
    if most > MOST_DOTS:
        told += f" Of {most:,} trials a row, {MOST_DOTS} are drawn, evenly by rank."
    return told + (" Each panel has its own scale." if several else "")


def _of_budget(content: ReportContent, labels: Budget) -> TrialDots:
    parts = []
    for row, name in enumerate(content.strategies):
        own = content.accuracies(name, labels).rename("accuracy").reset_index()
        ranked = own.sort_values("accuracy", kind="stable").iloc[evenly(len(own), MOST_DOTS)]
        parts.append(ranked.sort_values("seed").assign(strategy=name, row=row))
    dots = pd.concat(parts, ignore_index=True)[["strategy", "seed", "accuracy", "row"]]
    means = [
        (result.name, content.strategies.index(result.name), result.accuracy.value)
        for result in content.results
        if result.labels == labels and result.accuracy.value is not None
    ]
    return TrialDots(
        title=words.labels(labels, content.training_pictures),
        dots=dots,
        means=pd.DataFrame(means, columns=["strategy", "row", "mean"]),
    )


def _alternative(content: ReportContent) -> str:
    means = [
        f"{result.name} {words.percent(result.accuracy.value)} with {words.labels(result.labels)}"
        for result in content.results
    ]
    return f"Dot plot of test accuracy by strategy. Means: {'; '.join(means)}."


def _chart(drawing: Drawing, record: TrialDots, several: bool) -> Spec:
    """One label budget: a row a strategy."""
    shown = [*record.dots["accuracy"], *record.means["mean"]]
    room = extent(shown, ticks=6 if drawing.wide else 4, ceiling=1.0)
    axis = {
        "values": list(room.ticks),
        "format": f".{room.percent_digits}%",
        "title": "Test accuracy",
    }
    x = number("accuracy", scale=room.scale(drawing.gutter(), drawing.width - 24), axis=axis)
    y = rows(len(drawing.colours))
    dots = _placed(record.dots, room, drawing.width // 10)
    joined = dots.groupby("row").size().max() <= MOST_LINES
    layers = [*_names(drawing, record, y), *(_lines(drawing, dots, x, y) if joined else [])]
    layers += [*_dots(drawing, dots, x, y), *_means(drawing, record.means, x, y)]
    size = {"width": drawing.width, "height": STEP * len(drawing.colours)}
    title = {"text": record.title, "offset": 12}
    return size | {"layer": layers} | ({"title": title} if several else {})


def _placed(dots: pd.DataFrame, room: Extent, bins: int) -> pd.DataFrame:
    """The dots with their height `y`, the seed's `key`, and what to say of each in `tip`."""
    heights = np.zeros(len(dots))
    for row in dots["row"].unique():
        own = (dots["row"] == row).to_numpy()
        heights[own] = piles(list(dots["accuracy"][own]), room, bins)
    tips = [
        f"seed {seed}{TIP}{name}, seed {seed}: {words.percent(accuracy)}"
        for name, seed, accuracy, _ in dots.itertuples(index=False)
    ]
    keys = [f"seed {seed}{TIP}" for seed in dots["seed"]]
    return dots.assign(y=dots["row"] + PILE * heights, tip=tips, key=keys)


def _names(drawing: Drawing, record: TrialDots, y: Spec) -> list[Spec]:
    """The strategies' names at the left, and a faint line to lead the eye along each row."""
    names = pd.DataFrame({"strategy": list(drawing.colours), "y": range(len(drawing.colours))})
    names = names.assign(lines=texts([drawing.lines(name) for name in drawing.colours], names))
    data = drawing.data(names)
    empty = drawing.data(names[~names["y"].isin(record.dots["row"])])
    start, end = at(drawing.gutter()), at(drawing.width)
    name = NAME_LOOK | {"baseline": "middle"}
    missing = {"align": "left", "dx": 12, "dy": -9, "color": palette.MUTED[0]}
    told = {"value": "no finished trial"}
    return [
        layer(data, "rule", {"color": palette.GRID[0]}, x=start, x2=end, y=y),
        layer(data, "text", name, x=at(0), y=y, text=field("lines"), color=drawing.colour),
        layer(empty, "text", missing, x=start, y=y, text=told),
    ]


def _lines(drawing: Drawing, dots: pd.DataFrame, x: Spec, y: Spec) -> list[Spec]:
    look = {"color": palette.FAINT[0], "strokeWidth": 1, "opacity": 0.55}
    by_seed = {"detail": field("seed"), "order": number("row"), "description": field("key")}
    return [layer(drawing.data(dots), "line", look, x=x, y=y, **by_seed)]


def _dots(drawing: Drawing, dots: pd.DataFrame, x: Spec, y: Spec) -> list[Spec]:
    look = {"size": 52, "opacity": 0.8}
    told = {"color": drawing.colour, "description": field("tip")}
    return [layer(drawing.data(dots), "circle", look, x=x, y=y, **told)]


def _means(drawing: Drawing, means: pd.DataFrame, x: Spec, y: Spec) -> list[Spec]:
    told = [words.percent(mean) for mean in means["mean"]]
    data = drawing.data(means.assign(y=means["row"], text=told))
    ink = palette.INK[0]
    tick = {"orient": "vertical", "size": 26, "thickness": 2.5, "color": ink, "opacity": 1}
    label = {"dy": -24, "fontWeight": 600, "color": ink}
    mean = x | {"field": "mean"}
    return [
        layer(data, "tick", tick, x=mean, y=y),
        layer(data, "text", label, x=mean, y=y, text=field("text")),
    ]
