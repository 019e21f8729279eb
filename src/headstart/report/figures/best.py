"""The best strategy, chosen on validation pictures, before and after its luck is taken off."""

import pandas as pd

from headstart.report import palette, words
from headstart.report.content import Estimate, ReportContent, budget, budget_order
from headstart.report.drawing import NAME_LOOK, Drawing, Spec, at, field, layer, number, rows, texts
from headstart.report.figures._base import Figure, Panel, chart
from headstart.report.scales import extent
from headstart.report.svg import TIP
from headstart.report.tables import LABELS, Column, Table, table

STEP = 56

METHOD = (
    "Bootstrap bias correction (BBC-CV; Tsamardinos, Greasidou and Borboudakis 2018): validation "
    "pictures are drawn again and again, the choice is made anew on those drawn, and the winner "
    "is scored on those left out. A picture that several seeds share is drawn as a whole. Choices "
    "made while a strategy was trained, such as when to stop, are not corrected."
)


def best(content: ReportContent) -> pd.DataFrame:
    """The figure's record: the best strategy at each label budget.

    Returns:
        Columns `strategy, labels` (in words), `estimate, low, high, uncorrected, share_won` (of
        the winner), `of` (how many there were to choose from), `sentence, row`.
    """
    entries = sorted(
        content.summary.get("best", ()), key=lambda entry: budget_order(budget(entry["labels"]))
    )
    found = [
        (
            str(entry["winner"]),
            words.labels(budget(entry["labels"]), content.training_pictures),
            *(float(entry[name]) for name in ("estimate", "low", "high", "uncorrected")),
            float(entry["share_won"][entry["winner"]]),
            int(entry["strategies"]),
            str(entry["sentence"]),
            row,
        )
        for row, entry in enumerate(entries)
    ]
    columns = ["strategy", "labels", "estimate", "low", "high", "uncorrected", "share_won"]
    return pd.DataFrame(found, columns=[*columns, "of", "sentence", "row"])


def figure(content: ReportContent) -> Figure | None:
    """The figure, or None when there was nothing to choose from."""
    found = best(content)
    if found.empty:
        return None

    def draw(drawing: Drawing) -> Spec:
        return drawing.specification([_chart(drawing, found)])

    told = " ".join(f"With {row.labels}: {row.sentence}." for row in found.itertuples())
    return Figure(
        slug="best",
        title="The best one, its luck taken off",
        reading=(
            "The best of several looks better than it is, for it was also the luckiest. The ring "
            "is its accuracy on the pictures it was chosen on, as it stands, the dot what remains "
            f"once that luck is taken off, the bar its interval. {told}"
        ),
        panels=(Panel("", (chart(content, draw, told),)),),
        numbers=_numbers(found),
    )


def _numbers(found: pd.DataFrame) -> Table:
    shown = [
        [
            row["strategy"],
            row["labels"],
            words.percent(row["estimate"]),
            words.percent_interval(Estimate(row["estimate"], row["low"], row["high"])),
            words.percent(row["uncorrected"]),
            f"{row['of']}",
            words.percent(row["share_won"], 0),
        ]
        for row in found.to_dict(orient="records")
    ]
    columns: list[str | Column] = [
        Column("Chosen", numeric=False),
        Column(LABELS.heading, numeric=False),
        "Corrected",
        "Interval",
        "As it stands",
        "Chosen from",
        "Replayed choices won",
    ]
    return table("Accuracy of the best strategy on what it was chosen on", columns, shown, METHOD)


def _chart(drawing: Drawing, found: pd.DataFrame) -> Spec:
    ends = found[["estimate", "low", "high", "uncorrected"]].to_numpy().ravel()
    room = extent([float(value) for value in ends], ceiling=1.0)
    axis = {
        "values": list(room.ticks),
        "format": f".{room.percent_digits}%",
        "title": "Validation accuracy",
    }
    x = number("estimate", scale=room.scale(drawing.gutter(), drawing.width - 24), axis=axis)
    y = rows(len(found)) | {"field": "row"}
    tips = [
        f"{name}{TIP}{name}: {words.percent(value)} corrected, {words.percent(raw)} as it stands"
        for name, value, raw in zip(
            found["strategy"], found["estimate"], found["uncorrected"], strict=True
        )
    ]
    lines = texts([drawing.lines(name) for name in found["strategy"]], found)
    data = drawing.data(found.assign(lines=lines, tip=tips))
    bar = {"strokeWidth": 6, "strokeCap": "round", "opacity": 0.45}
    ring = {"size": 90, "filled": False, "strokeWidth": 2, "opacity": 1}
    name = NAME_LOOK | {"baseline": "line-bottom", "dy": -2}
    under = {"align": "left", "baseline": "line-top", "dy": 2, "color": palette.MUTED[0]}
    span = {"x": x | {"field": "low"}, "x2": {"field": "high"}}
    as_it_stands = x | {"field": "uncorrected"}
    colour = drawing.colour
    dot = {"size": 100, "opacity": 1}
    layers = [
        layer(data, "text", name, x=at(0), y=y, text=field("lines"), color=colour),
        layer(data, "text", under, x=at(0), y=y, text=field("labels")),
        layer(data, "rule", bar, **span, y=y, color=colour),
        layer(data, "circle", dot, x=x, y=y, color=colour, description=field("tip")),
        layer(data, "point", ring, x=as_it_stands, y=y, color=colour),
    ]
    return {"width": drawing.width, "height": STEP * len(found), "layer": layers}
