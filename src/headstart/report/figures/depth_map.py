"""The map of layer transfer: what copying the lower groups is worth, cut by cut."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from headstart.report import palette, words
from headstart.report.content import Estimate, ReportContent, budget, finite
from headstart.report.drawing import NAME_LOOK, Drawing, Spec, at, field, layer, number
from headstart.report.figures._base import Figure, Panel, chart
from headstart.report.scales import Extent, apart, extent
from headstart.report.svg import TIP
from headstart.report.tables import LABELS, Column, Table, table

LEFT = 48
FEWEST_UNITS, WIDEST = 3, 100.0
"""A band from fewer class splits or seeds, or over more points, says nothing and is left out."""
MOST_BAND = 2.0
"""How far bands may stretch the scale to each side, in heights of what the lines span."""
NOTHING = (float("nan"), float("nan"))

ARMS = {
    "AnB+": palette.SERIES[1][0],
    "AnB": palette.SERIES[5][0],
    "BnB+": palette.SERIES[0][0],
    "BnB": palette.SERIES[3][0],
}
DERIVED = {
    "specificity": ("specificity", palette.SERIES[2][0]),
    "co_adaptation": ("co-adaptation", palette.SERIES[3][0]),
    "lasting_boost": ("lasting boost", palette.SERIES[1][0]),
}


class _View(NamedTuple):
    """One tab of the figure: which numbers, under which names, in which colours."""

    part: str
    names: Mapping[str, str]
    colours: Mapping[str, str]


VIEWS = {
    "What follows from them": _View(
        "derived",
        {key: name for key, (name, _) in DERIVED.items()},
        dict(DERIVED.values()),
    ),
    "The arms": _View("arms", {arm: arm for arm in ARMS}, ARMS),
}
"""The last tab is the one that is open."""


def map_points(content: ReportContent, part: str = "arms") -> pd.DataFrame:
    """The figure's record: every number at every cut, in points.

    Args:
        content: What the report shows.
        part: ``"arms"``, or ``"derived"`` for what follows from them.

    Returns:
        Columns `labels` (the budget's words), `line` (an arm), `cut`, `group`, `value`, `low,
        high` (the interval that holds together with those of the line's other cuts; NaN without,
        and where it says nothing: see `FEWEST_UNITS`).
    """
    view = next(view for view in VIEWS.values() if view.part == part)
    rows = [
        (
            words.labels(budget(entry["labels"])),
            name,
            int(cut["cut"]),
            str(cut["group"]),
            _points(cut[part][key]["value"]),
            *(_band(cut[part][key], entry["units"], "all_") or NOTHING),
        )
        for entry in content.summary.get("map", ())
        for cut in entry["cuts"]
        for key, name in view.names.items()
        if key in cut[part]
    ]
    columns = ["labels", "line", "cut", "group", "value", "low", "high"]
    return pd.DataFrame(rows, columns=columns)


def figure(content: ReportContent) -> Figure | None:
    """The figure, or None when the study has no arms of a map."""
    maps: Sequence[Mapping[str, Any]] = content.summary.get("map", ())
    if not maps:
        return None
    panels, bands = [], []
    for name, view in VIEWS.items():
        points = map_points(content, view.part)
        bands += list(points["low"].notna())
        if len(points):
            drawn = chart(content, _drawing(points, view, maps), _alternative(points))
            panels.append(Panel(name, (drawn,)))
    return Figure(
        slug="map",
        title="What each layer is worth",
        reading=_reading(maps, content.interval_name, bands),
        panels=tuple(panels),
        numbers=_numbers(maps, content.interval_name),
    )


def _reading(maps: Sequence[Mapping[str, Any]], interval: str, bands: Sequence[bool]) -> str:
    """How to read what is drawn of it, with a warning where there is too little for an answer."""
    said = [
        "The lowest groups of a network are copied, as many as the scale below says, and all "
        "above them is grown anew. From the source: AnB freezes what was copied, AnB+ lets it "
        "learn. From a network trained from scratch on the same task: BnB and BnB+, the "
        "controls. Upright is the difference to training from scratch in points of accuracy, "
        "within pairs."
    ]
    if any(bands):
        said.append(
            f"Bands are {interval}s that hold together for all cuts of a line, as far as the "
            "figure reaches."
        )
    if any(_again(entry) for entry in maps):
        said.append("The shaded band about zero is where training from scratch once more lands.")
    if not all(bands):
        said.append(
            f"There is no band where an interval spans more than {WIDEST:g} points or rests on "
            f"fewer than {FEWEST_UNITS} class splits or seeds."
        )
    fewest = min(maps, key=lambda entry: int(entry["units"]))
    if fewest["few"]:
        said.append(f"No sign can be told from {fewest['few']}: what is seen may be luck.")
    return " ".join(said)


def _band(numbers: Mapping[str, Any], units: int, which: str = "") -> tuple[float, float] | None:
    """An interval's ends in points, where it is worth a band."""
    low, high = _points(numbers[f"{which}low"]), _points(numbers[f"{which}high"])
    return (low, high) if units >= FEWEST_UNITS and high - low <= WIDEST else None


def _again(entry: Mapping[str, Any]) -> tuple[float, float] | None:
    """What luck does, where that is worth a band."""
    return None if entry["again"] is None else _band(entry["again"], entry["units"])


def _points(share: object) -> float:
    value = finite(share)
    return float("nan") if value is None else 100 * value


def _drawing(points: pd.DataFrame, view: _View, maps: Sequence[Mapping[str, Any]]) -> Any:
    luck = {
        words.labels(budget(entry["labels"])): _again(entry) if view.part == "arms" else None
        for entry in maps
    }
    bands = [end for band in luck.values() for end in band or NOTHING]
    room = _room(points["value"], [*bands, *points["low"], *points["high"]])
    shown = points.assign(**points[["low", "high"]].clip(room.low, room.high))

    def draw(drawing: Drawing) -> Spec:
        frame = _Frame(room, view.colours, named=points["labels"].nunique() > 1)
        charts = [
            _chart(drawing, str(labels), own, frame, luck[str(labels)])
            for labels, own in shown.groupby("labels", sort=False)
        ]
        return drawing.specification(charts)

    return draw


def _room(values: Iterable[float], bands: Sequence[float]) -> Extent:
    """The scale of a tab: all lines and zero, and bands as far as the lines stay legible."""
    values = [0.0, *values]
    low, high = min(values), max(values)
    most = MOST_BAND * max(high - low, 1.0)
    return extent([*values, *np.clip(bands, low - most, high + most)], ticks=6, least=1.0)


class _Frame(NamedTuple):
    """What all charts of a tab share: their scale, their colours, whether budgets need naming."""

    room: Extent
    colours: Mapping[str, str]
    named: bool


def _chart(
    drawing: Drawing,
    labels: str,
    points: pd.DataFrame,
    frame: _Frame,
    luck: tuple[float, float] | None,
) -> Spec:
    height = 300 if drawing.wide else 260
    start, end = LEFT + 12, drawing.width - (112 if drawing.wide else 92)
    cuts = sorted(points["cut"].unique().tolist())
    edge = (cuts[-1] - cuts[0]) * 0.02 or 0.5
    scale = {
        "domain": [cuts[0] - edge, cuts[-1] + edge], "range": [start, end], "nice": False,
        "zero": False,
    }  # fmt: skip
    x_axis = {"values": cuts, "format": "d", "title": "Groups copied", "grid": False}
    form = f"format(datum.value, '+.{frame.room.digits}f')"
    y_axis = {
        "values": list(frame.room.ticks),
        "labelExpr": f"datum.value == 0 ? '0' : {form}",
        "title": None,
        "offset": -LEFT,
    }
    x = number("cut", scale=scale, axis=x_axis)
    y = number("value", scale=frame.room.scale(height, 0), axis=y_axis)
    domain = {"domain": list(frame.colours), "range": list(frame.colours.values())}
    colour = field("line", scale=domain, legend=None)
    layers = [
        *_ground(drawing, frame.room, y, luck, end),
        *_lines(drawing, points, x, y, colour),
        *_ends(drawing, points, frame.room, y, colour, height),
    ]
    whole = {"width": drawing.width, "height": height, "layer": layers}
    return whole | ({"title": {"text": labels[:1].upper() + labels[1:]}} if frame.named else {})


def _ground(
    drawing: Drawing, room: Extent, y: Spec, luck: tuple[float, float] | None, end: float
) -> list[Spec]:
    """The zero line, and about it what luck does."""
    sides = {"x": at(LEFT + 12), "x2": at(end)}
    zero = drawing.data(pd.DataFrame({"value": [0.0]}))
    layers = [layer(zero, "rule", {"color": palette.MUTED[0]}, **sides, y=y)]
    if luck is not None:
        band = pd.DataFrame([luck], columns=["low", "high"]).clip(room.low, room.high)
        ends = {"y": y | {"field": "low"}, "y2": {"field": "high"}}
        look = {"color": palette.BAND[0], "opacity": 1}
        layers.insert(0, layer(drawing.data(band), "rect", look, **sides, **ends))
    return layers


def _lines(drawing: Drawing, points: pd.DataFrame, x: Spec, y: Spec, colour: Spec) -> list[Spec]:
    tips = [
        f"{line} {cut}{TIP}{line}, {words.counted(cut, 'group')} copied"
        f"{f' (up to {group})' if group else ''}: {words.points(value / 100)} points"
        for line, cut, group, value in zip(
            points["line"], points["cut"], points["group"], points["value"], strict=True
        )
    ]
    data = drawing.data(points.assign(tip=tips))
    ends = {"y": y | {"field": "low"}, "y2": {"field": "high"}}
    dot, told = {"size": 54, "opacity": 1}, field("tip")
    return [
        layer(data, "area", {"opacity": 0.16}, x=x, **ends, color=colour),
        layer(data, "line", {"strokeWidth": 2.5, "opacity": 1}, x=x, y=y, color=colour),
        layer(data, "circle", dot, x=x, y=y, color=colour, description=told),
    ]


def _ends(
    drawing: Drawing, points: pd.DataFrame, room: Extent, y: Spec, colour: Spec, height: int
) -> list[Spec]:
    """The lines' names at their ends, kept apart."""
    last = points.sort_values("cut").groupby("line", sort=False).tail(1)
    least = 17 * (room.high - room.low) / height
    data = drawing.data(last.assign(place=apart(list(last["value"]), least)))
    look = NAME_LOOK | {"baseline": "middle"}
    x = at(drawing.width - (100 if drawing.wide else 84))
    place = y | {"field": "place"}
    return [layer(data, "text", look, x=x, y=place, text=field("line"), color=colour)]


def _alternative(points: pd.DataFrame) -> str:
    told = [
        f"{line} with {labels}: "
        + ", ".join(
            f"{cut} copied {words.points(value / 100)}"
            for cut, value in zip(own["cut"], own["value"], strict=True)
        )
        for (labels, line), own in points.groupby(["labels", "line"], sort=False)
    ]
    return f"Line chart of points of accuracy against groups copied. {'; '.join(told)}."


def _numbers(maps: Sequence[Mapping[str, Any]], interval: str) -> Table:
    several = len(maps) > 1
    rows = []
    for entry in maps:
        front = [words.budget(budget(entry["labels"]))] if several else []
        if entry["again"] is not None:
            rows.append([*front, words.NONE, words.NONE, "base B again", *_cells(entry["again"])])
        for cut in entry["cuts"]:
            for name, numbers in (*cut["arms"].items(), *_named(cut["derived"])):
                told = [str(cut["cut"]), cut["group"] or words.NONE, name, *_cells(numbers)]
                rows.append([*front, *told])
    columns: list[str | Column] = [
        *([LABELS] if several else []),
        "Groups copied",
        Column("Up to", numeric=False),
        Column("Line", numeric=False),
        "Points",
        interval,
        "Together with the line’s other cuts",
    ]
    notes = ["Intervals are cut at ±100 points."]
    for entry in maps:
        named = f"{words.labels(budget(entry['labels']))}: " if several else ""
        notes += [f"{named}{depth['sentence']}." for depth in entry["depths"]]
    return table("Differences of test accuracy in points", columns, rows, " ".join(notes))


def _named(derived: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(DERIVED[key][0], numbers) for key, numbers in derived.items()]


def _cells(numbers: Mapping[str, Any]) -> list[str]:
    own = Estimate.read(numbers["value"], numbers["low"], numbers["high"])
    wide = Estimate.read(numbers["value"], numbers["all_low"], numbers["all_high"])
    return [words.points(own.value), words.points_interval(own), words.points_interval(wide)]
