"""Paired differences with their intervals, beside the margin within which they do not matter."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from headstart.report import palette, words
from headstart.report.content import Budget, ReportContent
from headstart.report.drawing import NAME_LOOK, Drawing, Spec, at, field, layer, number, rows, texts
from headstart.report.figures._base import Figure, Panel, chart
from headstart.report.scales import Extent, evenly, extent, piles
from headstart.report.svg import TIP
from headstart.report.tables import comparisons
from headstart.statistics.sign_flip import MIN_PAIRS

STEP = 62
MOST_DOTS = 200
ABOVE, BELOW = 0.14, 0.2
"""How far above its row's middle an interval is drawn, and its pairs below, in rows."""


class Differences(NamedTuple):
    """The comparisons of one label budget, all numbers in points.

    Attributes:
        title: The budget in words.
        means: Columns `strategy` (the one asked about), `against, verdict, difference, low, high,
            row` (0 on top).
        pairs: Each seed's difference: columns `row, seed, difference`; beyond `MOST_DOTS` pairs
            a row, so many of them, evenly by rank.
    """

    title: str
    means: pd.DataFrame
    pairs: pd.DataFrame


def differences(content: ReportContent) -> tuple[Differences, ...]:
    """The figure's record: one for each label budget that has a comparison."""
    found = (_of_budget(content, labels) for labels in content.budgets)
    return tuple(record for record in found if len(record.means))


def figure(content: ReportContent) -> Figure | None:
    """The figure, or None when nothing could be compared."""
    records = differences(content)
    if not records:
        return None
    margin = 100 * content.margin

    def draw(drawing: Drawing) -> Spec:
        frame = _Frame(
            room=_room(records, margin, ticks=7 if drawing.wide else 5),
            margin=margin,
            named=len(content.budgets) > 1,
            others=any((r.means["against"] != content.baseline).any() for r in records),
        )
        return drawing.specification(
            [
                _chart(drawing, record, frame, first=not place, last=place == len(records) - 1)
                for place, record in enumerate(records)
            ]
        )

    return Figure(
        slug="differences",
        title=f"Differences, {content.pair_name} by {content.pair_name}",
        reading=_reading(content),
        panels=(Panel("", (chart(content, draw, _alternative(content)),)),),
        numbers=comparisons(content),
    )


def _reading(content: ReportContent) -> str:
    """How to read it: what a bar speaks for, and from how many pairs on that counts."""
    pair = content.pair_name
    said = (
        f"Each small dot is the difference between two trials of one {pair}, in points of "
        f"accuracy; the large dot is their mean and the bar its {content.interval_name}. From "
        f"{MIN_PAIRS} {pair}s on, a bar that stays clear of the zero line speaks for a difference, "
        "and one wholly within the shaded band, where differences are too small to matter "
        f"(±{100 * content.margin:g} points), for none that matters; the verdict beneath the name "
        "tells whether that holds."
    )
    if any(entry.pairs < MIN_PAIRS for entry in content.comparisons):
        said += f" A bar of fewer {pair}s decides nothing, wherever it lies."
    return said


class _Frame(NamedTuple):
    """What all panels share: scale, margin, whether budgets and opponents need naming."""

    room: Extent
    margin: float
    named: bool
    others: bool


def _of_budget(content: ReportContent, labels: Budget) -> Differences:
    means: list[tuple[object, ...]] = []
    pairs: list[pd.DataFrame] = []
    for entry in content.comparisons:
        value, low, high = entry.difference
        if entry.labels != labels or value is None:
            continue
        ends = (100 * end if end is not None else np.nan for end in (value, low, high))
        row = len(means)
        means.append((entry.a, entry.b, entry.verdict, *ends, row))
        gaps = content.accuracies(entry.a, labels) - content.accuracies(entry.b, labels)
        own = (100 * gaps.dropna()).rename("difference").sort_values(kind="stable").reset_index()
        pairs.append(own.iloc[evenly(len(own), MOST_DOTS)].assign(row=row))
    columns = ["strategy", "against", "verdict", "difference", "low", "high", "row"]
    nothing = pd.DataFrame({"row": [], "seed": [], "difference": []})
    return Differences(
        title=words.labels(labels, content.training_pictures),
        means=pd.DataFrame(means, columns=columns),
        pairs=pd.concat(pairs, ignore_index=True)[list(nothing)] if pairs else nothing,
    )


def _alternative(content: ReportContent) -> str:
    told = [
        f"{entry.a} minus {entry.b} with {words.labels(entry.labels)}: "
        f"{words.points(entry.difference.value)} points, {words.points_interval(entry.difference)}"
        for entry in content.comparisons
        if entry.difference.value is not None
    ]
    return f"Paired differences of test accuracy with 95% intervals. {'; '.join(told)}."


def _room(records: Sequence[Differences], margin: float, ticks: int) -> Extent:
    """One scale for all budgets, with zero and the margin in view."""
    seen = [-1.3 * margin, 1.3 * margin]
    for record in records:
        seen += [*record.pairs["difference"], *record.means[["difference", "low", "high"]].stack()]
    return extent([float(value) for value in seen], ticks=ticks, least=1.0)


def _chart(
    drawing: Drawing, record: Differences, frame: _Frame, *, first: bool, last: bool
) -> Spec:
    """One label budget: a row a comparison."""
    form = f"format(datum.value, '+.{frame.room.digits}f')"
    axis = {
        "values": list(frame.room.ticks),
        "labelExpr": f"datum.value == 0 ? '0' : {form}",
        "title": "Difference of test accuracy in points" if last else None,
    }
    scale = frame.room.scale(drawing.gutter(), drawing.width - 24)
    x, y = number("difference", scale=scale, axis=axis), rows(len(record.means))
    layers = [
        *_ground(drawing, x, frame.margin, sides=first),
        *_pairs(drawing, record, frame, x, y),
        *_intervals(drawing, record, x, y),
        *_names(drawing, record, frame, y),
    ]
    whole = {"width": drawing.width, "height": STEP * len(record.means), "layer": layers}
    title = {"text": record.title, "offset": 24 if first else 6}
    return whole | ({"title": title} if frame.named else {})


def _ground(drawing: Drawing, x: Spec, margin: float, *, sides: bool) -> list[Spec]:
    """The margin's band, the zero line, and on top which side is which."""
    data = drawing.data(pd.DataFrame({"low": [-margin], "high": [margin], "zero": [0.0]}))
    low, high, zero = x | {"field": "low"}, {"field": "high"}, x | {"field": "zero"}
    layers = [
        layer(data, "rect", {"color": palette.BAND[0], "opacity": 1}, x=low, x2=high),
        layer(data, "rule", {"color": palette.MUTED[0]}, x=zero),
    ]
    for text, align, shift in (("← worse", "right", -8), ("better →", "left", 8)):
        look = {"align": align, "dx": shift, "color": palette.MUTED[0], "baseline": "bottom"}
        if sides:
            layers.append(layer(data, "text", look, x=zero, y=at(-5), text={"value": text}))
    return layers


def _pairs(drawing: Drawing, record: Differences, frame: _Frame, x: Spec, y: Spec) -> list[Spec]:
    """Each seed's difference as a small dot."""
    pairs, heights = record.pairs, np.zeros(len(record.pairs))
    for row in pairs["row"].unique():
        own = (pairs["row"] == row).to_numpy()
        heights[own] = piles(list(pairs["difference"][own]), frame.room, drawing.width // 7)
    tips = [
        f"seed {seed:.0f}{TIP}seed {seed:.0f}: {words.points(gap / 100)} points"
        for seed, gap in zip(pairs["seed"], pairs["difference"], strict=True)
    ]
    data = drawing.data(pairs.assign(y=pairs["row"] + BELOW + 0.14 * heights, tip=tips))
    look = {"size": 20, "opacity": 0.55, "color": palette.MUTED[0]}
    return [layer(data, "circle", look, x=x, y=y, description=field("tip"))]


def _intervals(drawing: Drawing, record: Differences, x: Spec, y: Spec) -> list[Spec]:
    """Mean and interval in the strategy's colour."""
    shown = record.means.assign(y=record.means["row"] - ABOVE)
    known = drawing.data(shown.dropna(subset=["low", "high"]))
    bar = {"strokeWidth": 6, "strokeCap": "round", "opacity": 0.45}
    ends = {"x": x | {"field": "low"}, "x2": {"field": "high"}}
    dot = {"size": 84, "opacity": 1}
    return [
        layer(known, "rule", bar, **ends, y=y, color=drawing.colour),
        layer(drawing.data(shown), "circle", dot, x=x, y=y, color=drawing.colour),
    ]


def _names(drawing: Drawing, record: Differences, frame: _Frame, y: Spec) -> list[Spec]:
    """Whose difference it is in its colour; below it what it is against, and the verdict."""
    means = record.means
    below = [
        [*([f"against {against}"] if frame.others else []), f"{words.points(gap / 100)} {verdict}"]
        for against, gap, verdict in zip(
            means["against"], means["difference"], means["verdict"], strict=True
        )
    ]
    shown = means.assign(
        y=means["row"] - ABOVE,
        lines=texts([drawing.lines(name) for name in means["strategy"]], means),
        below=texts(below, means),
    )
    data, x, muted = drawing.data(shown), at(0), {"color": palette.MUTED[0]}
    name = NAME_LOOK | {"baseline": "line-bottom", "dy": 4}
    under = NAME_LOOK | muted | {"baseline": "line-top", "dy": 5, "fontWeight": 400, "fontSize": 12}
    return [
        layer(data, "text", name, x=x, y=y, text=field("lines"), color=drawing.colour),
        layer(data, "text", under, x=x, y=y, text=field("below")),
    ]
