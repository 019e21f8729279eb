"""What every figure is made of: a record to read by value, a thin drawing, words beneath it."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from headstart.report import palette, words
from headstart.report.content import ReportContent
from headstart.report.svg import drawn
from headstart.report.tables import Table

WIDE, NARROW = 860, 350
"""Widths in pixels that every chart is drawn at: for a desktop and paper, and for a phone."""


Spec = dict[str, Any]
"""A part of a Vega-Lite specification; the tests hold every whole one against its schema."""

LOOK: Spec = {
    "background": None,
    "padding": 0,
    "view": {"stroke": None},
    "axis": {
        "domain": False,
        "ticks": False,
        "gridColor": palette.GRID[0],
        "labelColor": palette.MUTED[0],
        "labelFontSize": 12,
        "labelPadding": 6,
        "titleColor": palette.MUTED[0],
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "titlePadding": 8,
    },
    "text": {"fontSize": 12, "color": palette.INK[0]},
    "title": {
        "anchor": "start",
        "color": palette.INK[0],
        "fontSize": 13,
        "fontWeight": 600,
        "offset": 6,
        "frame": "group",
    },
    "concat": {"spacing": 24},
}
"""No frames, quiet axes, the palette's inks."""


@dataclass(frozen=True)
class Panel:
    """One view of a figure; several are shown as tabs on screens and one by one on paper.

    Attributes:
        name: The tab's label, empty when there is only one panel.
        wide: The drawing for a desktop and for paper.
        narrow: The drawing for a phone.
    """

    name: str
    wide: Markup
    narrow: Markup


@dataclass(frozen=True)
class Figure:
    """A figure as the page shows it.

    Attributes:
        slug: Its anchor in the page.
        title: What it tells, a phrase.
        reading: How to read it, one plain sentence or two.
        panels: The drawings.
        numbers: Its data, reachable beneath the drawing.
    """

    slug: str
    title: str
    reading: str
    panels: tuple[Panel, ...]
    numbers: Table


def light_colours(content: ReportContent) -> dict[str, str]:
    """Each strategy's colour as the charts draw it."""
    pairs = palette.strategy_colours(content.strategies, content.baseline)
    return {name: pair[0] for name, pair in pairs.items()}


class Drawing:
    """A chart in the making, as Vega-Lite: plain dictionaries, with the records under names.

    Attributes:
        width: The whole drawing's width in pixels.
    """

    def __init__(self, width: int) -> None:
        self.width = width
        self._datasets: dict[str, list[Spec]] = {}

    @property
    def wide(self) -> bool:
        """Whether it is drawn for a desktop or paper rather than for a phone."""
        return self.width >= WIDE

    def gutter(self, names: Sequence[str]) -> int:
        """The room at the left for the names of rows, pixels."""
        longest = max((len(line) for lines in self.names(names) for line in lines), default=0)
        return round(min(max(8.2 * longest, 84), 180 if self.wide else 104)) + 16

    def names(self, names: Sequence[str]) -> list[list[str]]:
        """Strategies' names as lines that fit the gutter."""
        return [words.wrapped(name, 22 if self.wide else 13) for name in names]

    def data(self, frame: pd.DataFrame) -> Spec:
        """A record's rows, to be named as the `data` of layers."""
        name = f"record {len(self._datasets)}"
        self._datasets[name] = [
            {str(key): value for key, value in row.items()}
            for row in frame.to_dict(orient="records")
        ]
        return {"name": name}

    def specification(self, charts: Sequence[Spec], columns: int = 1) -> Spec:
        """Charts in rows of `columns`, with their records and the look that all charts share."""
        return {
            "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
            "concat": list(charts),
            "columns": columns,
            "datasets": self._datasets,
            "config": LOOK,
        }


Draw = Callable[[Drawing], Spec]


def panel(draw: Draw, alternative: str, name: str = "") -> Panel:
    """Draw a chart at both widths."""
    return Panel(
        name, drawn(draw(Drawing(WIDE)), alternative), drawn(draw(Drawing(NARROW)), alternative)
    )


def layer(data: Spec, mark: str, look: Spec, **encoding: Spec) -> Spec:
    """One layer of a chart: a mark for each row.

    Args:
        data: From `Drawing.data`.
        mark: Vega-Lite's name of the mark.
        look: The mark's properties.
        **encoding: Channel → field or value.
    """
    return {"data": data, "mark": {"type": mark} | look, "encoding": encoding}


def field(name: str, **more: Any) -> Spec:
    """A channel that reads a column of texts or names."""
    return {"field": name, "type": "nominal"} | more


def number(name: str, **more: Any) -> Spec:
    """A channel that reads a column of numbers."""
    return {"field": name, "type": "quantitative"} | more


def at(pixels: float) -> Spec:
    """A channel that is the same place for every row."""
    return {"value": pixels}


NAME_LOOK: Spec = {"align": "left", "fontWeight": 600, "fontSize": 13, "lineHeight": 15}


def strategy_colour(content: ReportContent) -> Spec:
    """The channel that gives every strategy its colour, as drawn in light."""
    pairs = palette.strategy_colours(content.strategies, content.baseline)
    scale = {"domain": list(pairs), "range": [light for light, _ in pairs.values()]}
    return field("strategy", scale=scale, legend=None)


@dataclass(frozen=True)
class Extent:
    """Where an axis begins and ends, and where it has ticks."""

    low: float
    high: float
    ticks: tuple[float, ...]

    @property
    def digits(self) -> int:
        """How many digits after the point the ticks need."""
        return next(
            (d for d in range(9) if all(abs(t - round(t, d)) < 1e-10 for t in self.ticks)), 9
        )

    @property
    def percent_digits(self) -> int:
        """How many digits after the point the ticks need as percentages."""
        return max(0, self.digits - 2)

    def scale(self, start: float, end: float) -> Spec:
        """A linear scale onto pixels `start` to `end`."""
        return {"domain": [self.low, self.high], "range": [start, end], "zero": False}


def extent(
    values: Sequence[float], *, ticks: int = 5, least: float = 0.004, ceiling: float = math.inf
) -> Extent:
    """Room for all values with a little air, and round ticks within it.

    Args:
        values: What must be seen; those that are not finite are passed over.
        ticks: About how many ticks.
        least: The smallest span: equal values shall not look far apart.
        ceiling: No tick lies above it (an accuracy has none above 1).
    """
    finite = [value for value in values if math.isfinite(value)] or [0.0]
    low, high = min(finite), max(finite)
    missing = max(0.0, least - (high - low))
    low, high = low - missing * 0.7, high + missing * 0.3
    air = 0.06 * (high - low)
    low, high = low - air, high + air
    raw = (high - low) / ticks
    magnitude = 10.0 ** math.floor(math.log10(raw))
    step = next(m * magnitude for m in (1, 2, 2.5, 5, 10) if m * magnitude >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    marks = (round(number * step, 12) for number in range(first, last + 1))
    return Extent(low, high, tuple(mark for mark in marks if mark <= ceiling + 1e-12))


def stacked_offsets(values: Sequence[float], bins: Extent, count: int = 70) -> list[float]:
    """How far to move each dot off its row so that dots of nearly equal value stay apart.

    Dots that fall into the same of `count` bins are set in a symmetrical pile around the row.

    Returns:
        Offsets in −1 to 1, 0 for a dot alone; in the order of `values`.
    """
    if not len(values):
        return []
    span = (bins.high - bins.low) or 1.0
    bin_of = np.floor((np.asarray(values, dtype=float) - bins.low) / span * count).astype(int)
    offsets = np.zeros(len(values))
    tallest = max(np.bincount(bin_of - bin_of.min()).max() - 1, 6)
    for number in np.unique(bin_of):
        members = np.flatnonzero(bin_of == number)
        offsets[members] = (np.arange(len(members)) - (len(members) - 1) / 2) * 2 / tallest
    return [float(value) for value in offsets]


def apart(places: Sequence[float], least: float) -> list[float]:
    """Places for labels, each near where it belongs and none nearer than `least` to another.

    Labels that would touch are moved as a group around the group's middle (the least squares
    solution under the order, by pooling neighbours).

    Returns:
        The new places, in the order given.
    """
    order = sorted(range(len(places)), key=lambda number: places[number])
    groups: list[tuple[float, int]] = []
    for rank, number_ in enumerate(order):
        groups.append((places[number_] - rank * least, 1))
        while len(groups) > 1 and groups[-2][0] > groups[-1][0]:
            (mean_2, size_2), (mean_1, size_1) = groups.pop(), groups.pop()
            size = size_1 + size_2
            groups.append(((mean_1 * size_1 + mean_2 * size_2) / size, size))
    pooled = [mean for mean, size in groups for _ in range(size)]
    moved = {number_: pooled[rank] + rank * least for rank, number_ in enumerate(order)}
    return [moved[number_] for number_ in range(len(places))]
