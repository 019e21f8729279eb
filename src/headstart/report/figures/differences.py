"""Paired differences with their intervals, beside the margin within which they do not matter."""

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
from headstart.report.tables import comparisons

STEP = 64
MOST_DOTS = 200
DIFFERENCE_COLUMNS = ["a", "b", "labels", "verdict", "difference", "low", "high", "row"]
PAIR_COLUMNS = ["row", "seed", "difference"]


def differences(content: ReportContent, labels: Budget) -> pd.DataFrame:
    """The comparisons of one label budget that have a difference.

    Returns:
        Columns `a, b, labels, verdict, difference, low, high` in points, and `row` (0 on top).
    """
    known = [
        (entry.a, entry.b, entry.labels, entry.verdict, *(_points(v) for v in entry.difference))
        for entry in content.comparisons
        if entry.labels == labels and entry.difference.value is not None
    ]
    return pd.DataFrame(
        [(*entry, row) for row, entry in enumerate(known)], columns=DIFFERENCE_COLUMNS
    )


def paired_differences(content: ReportContent, labels: Budget) -> pd.DataFrame:
    """The difference of each seed's pair.

    Returns:
        Columns `row` (as in `differences`), `seed`, `difference` in points. Beyond `MOST_DOTS`
        pairs a row, so many of them, evenly by rank.
    """
    parts = [pd.DataFrame(columns=PAIR_COLUMNS).astype({"row": int, "difference": float})]
    compared = differences(content, labels)[["row", "a", "b"]]
    for row, a, b in compared.itertuples(index=False):
        gap = content.accuracies(a, labels) - content.accuracies(b, labels)
        own = (100 * gap.dropna()).rename("difference").reset_index().assign(row=row)
        if len(own) > MOST_DOTS:
            ranks = [int((k + 0.5) * len(own) / MOST_DOTS) for k in range(MOST_DOTS)]
            own = own.sort_values("difference").iloc[ranks]
        parts.append(own[PAIR_COLUMNS])
    return pd.concat(parts[1:] or parts, ignore_index=True)


def figure(content: ReportContent) -> Figure | None:
    """The figure, or None when nothing could be compared."""
    budgets = [labels for labels in content.budgets if len(differences(content, labels))]
    if not budgets:
        return None

    def draw(drawing: Drawing) -> Spec:
        room = _room(content, budgets, ticks=7 if drawing.wide else 4)
        return drawing.specification(
            [
                _chart(content, labels, room, drawing, first=labels == budgets[0])
                for labels in budgets
            ]
        )

    margin = words.decimal(100 * content.margin, 2).rstrip("0").rstrip(".")
    return Figure(
        slug="differences",
        title="Differences, seed by seed",
        reading=(
            "Each small dot is the difference between two trials of one seed, in points of "
            "accuracy; the large dot is their mean and the bar its 95% interval. A bar that stays "
            "clear of the zero line is a difference that is not luck. The shaded band is where a "
            f"difference is too small to matter (±{margin} points): a bar wholly within it means "
            "equivalent."
        ),
        panels=(panel(draw, _alternative(content)),),
        numbers=comparisons(content),
    )


def _alternative(content: ReportContent) -> str:
    told = [
        f"{entry.a} minus {entry.b} with {words.labels(entry.labels)}: "
        f"{words.points(entry.difference.value)} points, {words.points_interval(entry.difference)}"
        for entry in content.comparisons
        if entry.difference.value is not None
    ]
    return f"Paired differences of test accuracy with 95% intervals. {'; '.join(told)}."


def _points(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _room(content: ReportContent, budgets: list[Budget], ticks: int) -> Extent:
    """One scale for all budgets, with zero and the margin in view."""
    margin = 100 * content.margin
    seen = [-1.2 * margin, 1.2 * margin, 0.0]
    for labels in budgets:
        rows = differences(content, labels)
        seen += [*rows["difference"], *rows["low"].dropna(), *rows["high"].dropna()]
        seen += list(paired_differences(content, labels)["difference"])
    return extent([float(value) for value in seen], ticks=ticks, least=1.0)


def _chart(
    content: ReportContent, labels: Budget, room: Extent, drawing: Drawing, *, first: bool
) -> Spec:
    """One label budget: a row a comparison."""
    rows, pairs = differences(content, labels), paired_differences(content, labels)
    sign = f"format(datum.value, '+.{room.digits}f')"
    start = drawing.gutter(content.strategies)
    axis = {
        "values": list(room.ticks),
        "labelExpr": f"datum.value == 0 ? '0' : {sign}",
        "title": "Difference of test accuracy in points",
    }
    x = number("difference", scale=room.scale(start, drawing.width - 24), axis=axis)
    y = number("y", scale={"domain": [len(rows) - 0.5, -0.5], "nice": False}, axis=None)
    title = words.labels(labels, content.training_pictures)
    return {
        "width": drawing.width,
        "height": STEP * len(rows),
        "layer": [
            *_ground(content, drawing, x, named=first),
            *_pairs(drawing, pairs, room, x, y, rows),
            *_intervals(content, drawing, rows, x, y),
            *_names(content, drawing, rows, y),
        ],
    } | (
        {"title": {"text": title, "offset": 24 if first else 6}} if len(content.budgets) > 1 else {}
    )


def _ground(content: ReportContent, drawing: Drawing, x: Spec, *, named: bool) -> list[Spec]:
    """The margin's band, the zero line, and which side is which."""
    margin = 100 * content.margin
    data = drawing.data(pd.DataFrame({"low": [-margin], "high": [margin], "zero": [0.0]}))
    layers = [
        layer(
            data,
            "rect",
            {"color": palette.BAND[0], "opacity": 1},
            x=x | {"field": "low"},
            x2={"field": "high"},
        ),
        layer(data, "rule", {"color": palette.MUTED[0]}, x=x | {"field": "zero"}),
    ]
    if named:
        sides = (("← worse", "right", -8), ("better →", "left", 8))
        layers += [
            layer(
                data,
                "text",
                {"align": align, "dx": shift, "color": palette.MUTED[0], "baseline": "bottom"},
                x=x | {"field": "zero"},
                y=at(-4),
                text={"value": text},
            )
            for text, align, shift in sides
        ]
    return layers


def _pairs(
    drawing: Drawing, pairs: pd.DataFrame, room: Extent, x: Spec, y: Spec, rows: pd.DataFrame
) -> list[Spec]:
    if pairs.empty:
        return []
    named = dict(zip(rows["row"], rows["a"], strict=True))
    offsets = pd.Series(0.0, index=pairs.index)
    for _, own in pairs.groupby("row"):
        piled = stacked_offsets(list(own["difference"]), room, drawing.width // 7)
        offsets = offsets.add(pd.Series(piled, index=own.index), fill_value=0)
    shown = pairs.assign(
        y=pairs["row"] + 0.18 + 0.12 * offsets,
        strategy=[named[row] for row in pairs["row"]],
        tip=[
            f"seed {seed}{TIP}seed {seed}: {words.points(gap / 100)} points"
            for seed, gap in zip(pairs["seed"], pairs["difference"], strict=True)
        ],
    )
    look = {"size": 20, "opacity": 0.5, "color": palette.MUTED[0]}
    return [layer(drawing.data(shown), "circle", look, x=x, y=y, description=field("tip"))]


def _intervals(
    content: ReportContent, drawing: Drawing, rows: pd.DataFrame, x: Spec, y: Spec
) -> list[Spec]:
    shown = rows.assign(y=rows["row"] - 0.12, strategy=rows["a"])
    data, colour = drawing.data(shown), strategy_colour(content)
    bars = drawing.data(shown.dropna(subset=["low", "high"]))
    bar = {"strokeWidth": 5, "strokeCap": "round", "opacity": 0.55}
    return [
        layer(bars, "rule", bar, x=x | {"field": "low"}, x2={"field": "high"}, y=y, color=colour),
        layer(data, "circle", {"size": 130, "opacity": 1}, x=x, y=y, color=colour),
    ]


def _names(content: ReportContent, drawing: Drawing, rows: pd.DataFrame, y: Spec) -> list[Spec]:
    """Whose difference it is in its colour; what it is compared with, and the verdict, below."""
    others = set(rows["b"]) != {content.baseline}
    others = set(rows["b"]) != {content.baseline}
    lines = pd.Series(drawing.names(list(rows["a"])), index=rows.index, dtype=object)
    below = [
        [*([f"against {b}"] if others else []), f"{words.points(gap / 100)} {verdict}"]
        for b, gap, verdict in zip(rows["b"], rows["difference"], rows["verdict"], strict=True)
    ]
    shown = rows.assign(
        strategy=rows["a"],
        y=rows["row"] - 0.12,
        lines=lines,
        below=pd.Series(below, index=rows.index, dtype=object),
    )
    data, x, colour = drawing.data(shown), at(0), strategy_colour(content)
    name = NAME_LOOK | {"baseline": "line-bottom", "dy": 3}
    under = {"baseline": "line-top", "color": palette.MUTED[0], "dy": 4, "lineHeight": 14}
    return [
        layer(data, "text", name, x=x, y=y, text=field("lines"), color=colour),
        layer(data, "text", under | {"align": "left"}, x=x, y=y, text=field("below")),
    ]
