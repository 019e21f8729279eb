"""What transfer is worth in labels, drawn on the curves of accuracy against labels."""

import math
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from headstart.report import palette, words
from headstart.report.content import ReportContent, finite
from headstart.report.drawing import Drawing, Spec, field, layer, number
from headstart.report.figures._base import Figure, Panel, small_multiple
from headstart.report.figures.label_curve import label_curve
from headstart.report.scales import Extent, extent
from headstart.report.svg import TIP
from headstart.report.tables import NAME, Column, Table, table

HEIGHT = 240

METHOD = (
    "Both curves are made never to fall (isotonic regression on the mean accuracy of each "
    "budget); between budgets they rise evenly on the logarithm of the labels. The worth is where "
    "the curve from scratch reaches the accuracy that transfer has; intervals by a crossed "
    "bootstrap over seeds (which draw the labels too) and test pictures, from 6 seeds on. Beyond "
    "the budgets that were tried it is a bound (≥, ≤), never continued."
)


def worth_marks(content: ReportContent) -> pd.DataFrame:
    """The figure's record: what each strategy's labels are worth at each budget.

    Returns:
        Columns `strategy, against` (trains from scratch), `at, accuracy, needed, beyond` ("≥" or
        "≤" where `needed` is a bound), `low, high` (None below 6 pairs), `sentence`.
    """
    marks = [
        (
            str(entry["a"]),
            str(entry["b"]),
            float(entry["at"]),
            float(entry["accuracy"]),
            float(entry["needed"]["labels"]),
            str(entry["needed"]["beyond"]),
            _end(entry.get("low")),
            _end(entry.get("high")),
            str(entry["sentence"]),
        )
        for entry in content.summary.get("worth", ())
    ]
    columns = ["strategy", "against", "at", "accuracy", "needed", "beyond", "low", "high"]
    return pd.DataFrame(marks, columns=[*columns, "sentence"])


def figure(content: ReportContent) -> Figure | None:
    """The figure, or None when the study cannot tell the worth of labels."""
    marks = worth_marks(content)
    if marks.empty:
        return None
    curves = label_curve(content)
    shown = curves[curves["strategy"].isin({*marks["strategy"], *marks["against"]})]
    room = extent([*shown["accuracy"], *marks["accuracy"]], ceiling=1.0)
    charts = tuple(
        small_multiple(
            content,
            partial(_drawn, str(name), curves, own, room),
            " ".join(f"{text}." for text in own["sentence"]),
        )
        for name, own in marks.groupby("strategy", sort=False)
    )
    return Figure(
        slug="worth",
        title="What a head start is worth in labels",
        reading=(
            "Grey is training from scratch. From each dot of the coloured curve a dotted line runs "
            "level to where training from scratch is as good: its end says how many labels that "
            "takes. A line with an open ring goes on beyond what was tried."
        ),
        panels=(Panel("", charts),),
        numbers=_numbers(marks, content.interval_name),
    )


def _end(entry: dict[str, Any] | None) -> str:
    """One end of an interval as a text."""
    if entry is None:
        return words.NONE
    return f"{entry['beyond']}{words.whole(finite(entry['labels']))}"


def _numbers(marks: pd.DataFrame, name: str) -> Table:
    rows = [
        [
            mark["strategy"],
            words.whole(mark["at"]),
            words.percent(mark["accuracy"]),
            f"{mark['beyond']}{words.whole(mark['needed'])}",
            f"{mark['beyond']}×{mark['needed'] / mark['at']:.2g}",
            words.NONE if mark["low"] == words.NONE else f"{mark['low']} to {mark['high']}",
        ]
        for mark in marks.to_dict(orient="records")
    ]
    columns: list[str | Column] = [
        NAME,
        "Labels with transfer",
        "Test accuracy",
        "Labels from scratch",
        "Worth",
        f"{name} of the labels",
    ]
    return table("Worth in labels", columns, rows, METHOD)


def _drawn(
    name: str, curves: pd.DataFrame, marks: pd.DataFrame, room: Extent, drawing: Drawing
) -> Spec:
    return drawing.specification([_chart(drawing, name, curves, marks, room)])


def _chart(
    drawing: Drawing, name: str, curves: pd.DataFrame, marks: pd.DataFrame, room: Extent
) -> Spec:
    budgets = sorted({float(pictures) for pictures in curves["pictures"]})
    axis = {
        "values": budgets,
        "format": ",",
        "title": "Labelled training pictures",
        "grid": False,
        "labelOverlap": "greedy",
    }
    log = {"type": "log", "domain": [budgets[0], budgets[-1]], "nice": False}
    x = number("pictures", scale=log | {"range": [54, drawing.width - 24]}, axis=axis)
    y_axis = {"values": list(room.ticks), "format": f".{room.percent_digits}%", "title": None}
    y = number("accuracy", scale=room.scale(HEIGHT, 0), axis=y_axis | {"offset": -42})
    pair = {name, *marks["against"]}
    layers = [
        *_curves(drawing, curves[curves["strategy"].isin(pair)], x, y),
        *_level_lines(drawing, marks, x, y),
    ]
    title = {"text": words.wrapped(name, 34)}
    return {"width": drawing.width, "height": HEIGHT, "layer": layers, "title": title}


def _curves(drawing: Drawing, curves: pd.DataFrame, x: Spec, y: Spec) -> list[Spec]:
    tips = [
        f"{strategy}{TIP}{strategy}, {labels} labels: {words.percent(accuracy)}"
        for strategy, labels, _, accuracy, _, _ in curves.itertuples(index=False)
    ]
    data, colour = drawing.data(curves.assign(tip=tips)), drawing.colour
    dot, told = {"size": 54, "opacity": 1}, field("tip")
    return [
        layer(data, "line", {"strokeWidth": 2, "opacity": 0.9}, x=x, y=y, color=colour),
        layer(data, "circle", dot, x=x, y=y, color=colour, description=told),
    ]


def _level_lines(drawing: Drawing, marks: pd.DataFrame, x: Spec, y: Spec) -> list[Spec]:
    """From each budget level with it to the labels that training from scratch needs."""
    tips = [
        f"{name}{TIP}{text}"
        for name, text in zip(marks["strategy"], marks["sentence"], strict=True)
    ]
    told = marks.assign(
        tip=tips,
        times=[
            _times(*mark)
            for mark in zip(marks["at"], marks["needed"], marks["beyond"], strict=True)
        ],
    )
    told = told.assign(middle=np.sqrt(told["at"] * told["needed"]))
    data = drawing.data(told[["at", "needed", "middle", "accuracy", "times", "tip"]])
    ends = {"x": x | {"field": "at"}, "x2": {"field": "needed"}}
    line = {"strokeWidth": 2, "strokeDash": [2, 3], "color": palette.MUTED[0]}
    text = {"baseline": "bottom", "dy": -4, "fontSize": 11, "fontWeight": 600}
    end = x | {"field": "needed"}
    return [
        layer(data, "rule", line, **ends, y=y, description=field("tip")),
        *_tips(drawing, told, end, y),
        layer(data, "text", text, x=x | {"field": "middle"}, y=y, text=field("times")),
    ]


def _tips(drawing: Drawing, marks: pd.DataFrame, x: Spec, y: Spec) -> list[Spec]:
    """The lines' ends: a filled point, an open ring where the worth lies further out."""
    layers = []
    for open_end in (False, True):
        own = marks[(marks["beyond"] != "") == open_end]
        look = {"size": 40, "opacity": 1, "filled": not open_end, "color": palette.INK[0]}
        if len(own):
            data = drawing.data(own[["needed", "accuracy", "tip"]])
            layers.append(layer(data, "point", look, x=x, y=y, description=field("tip")))
    return layers


def _times(at: float, needed: float, beyond: str) -> str:
    """The worth as a factor; nothing where the line is too short to carry it."""
    factor = needed / at
    return f"{beyond}×{factor:.2g}" if abs(math.log(factor)) > math.log(1.15) else ""
