"""Charts as Vega-Lite: plain dictionaries built from records, in one quiet look.

Altair would build the same dictionaries, but takes several times as long to do so as Vega takes to
draw them; the tests hold every specification against Altair's schema instead.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from headstart.report import palette, words

WIDE, NARROW, SMALL = 860, 350, 290
"""Widths in pixels that charts are drawn at: for a desktop and paper, for a phone, and as one of
several small multiples, which fit both."""

Spec = dict[str, Any]
"""A part of a Vega-Lite specification."""

LOOK: Spec = {
    "background": "transparent",
    "padding": 0,
    "view": {"stroke": None},
    "axis": {
        "domain": False,
        "ticks": False,
        "gridColor": palette.GRID[0],
        "labelColor": palette.MUTED[0],
        "labelFontSize": 12,
        "labelPadding": 6,
        "labelFlush": False,
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
        "subtitleColor": palette.MUTED[0],
        "subtitleFontSize": 12,
        "subtitlePadding": 5,
    },
}
"""No frames, quiet axes, the palette's inks."""

NAME_LOOK: Spec = {"align": "left", "fontWeight": 600, "fontSize": 13, "lineHeight": 15}
"""How a strategy's name stands beside its marks."""


class Drawing:
    """A chart in the making: its records lie under names, apart from the marks.

    Attributes:
        width: The whole drawing's width in pixels.
        colours: Strategy → colour, as drawn in light.
    """

    def __init__(self, width: int, colours: Mapping[str, str]) -> None:
        self.width = width
        self.colours = colours
        self._datasets: dict[str, list[Spec]] = {}

    @property
    def wide(self) -> bool:
        """Whether it is drawn for a desktop or paper rather than for a phone."""
        return self.width >= WIDE

    @property
    def colour(self) -> Spec:
        """The channel that gives every row the colour of its `strategy`."""
        scale = {"domain": list(self.colours), "range": list(self.colours.values())}
        return field("strategy", scale=scale, legend=None)

    def gutter(self) -> int:
        """The room at the left for the strategies' names, pixels."""
        lines = [line for name in self.colours for line in self.lines(name)]
        longest = max(map(len, lines), default=0)
        return round(min(max(8.2 * longest, 84), 180 if self.wide else 104)) + 16

    def lines(self, name: str) -> list[str]:
        """A strategy's name as lines that fit the gutter."""
        return words.wrapped(name, 22 if self.wide else 13)

    def data(self, frame: pd.DataFrame) -> Spec:
        """A record's rows, to be named as the `data` of layers; numbers that are none are null."""
        name = f"record {len(self._datasets)}"
        self._datasets[name] = [
            {str(key): _plain(value) for key, value in row.items()}
            for row in frame.to_dict(orient="records")
        ]
        return {"name": name}

    def specification(self, charts: Sequence[Spec], spacing: int = 24) -> Spec:
        """Charts below each other, with their records and the look that all charts share."""
        return {
            "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
            "vconcat": list(charts),
            "spacing": spacing,
            "datasets": self._datasets,
            "config": LOOK,
        }


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


def rows(count: int) -> Spec:
    """The upright channel `y` of a chart of named rows, 0 on top."""
    return number("y", scale={"domain": [count - 0.5, -0.5], "nice": False}, axis=None)


def texts(lines: Sequence[Sequence[str]], like: pd.DataFrame) -> "pd.Series[Any]":
    """Texts of several lines as a column beside those of `like`."""
    return pd.Series([list(text) for text in lines], index=like.index, dtype=object)


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
