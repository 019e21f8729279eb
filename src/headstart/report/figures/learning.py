"""Learning curves: validation accuracy and loss by epoch, seeds as thin lines, with their mean."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from headstart.report import palette, words
from headstart.report.content import Budget, ReportContent, budget
from headstart.report.figures._base import (
    Drawing,
    Extent,
    Figure,
    Panel,
    Spec,
    at,
    extent,
    field,
    layer,
    number,
    panel,
    strategy_colour,
)
from headstart.report.svg import TIP
from headstart.report.tables import LABELS, NAME, Table, table

LEFT = 42
GAP = 24
MOST_SEEDS = 40
MOST_EPOCHS = 150
MEASURES = ("val_accuracy", "val_loss", "train_loss")


def learning_curves(content: ReportContent, labels: Budget) -> pd.DataFrame:
    """Every trial's curve at one label budget.

    Returns:
        Columns `strategy, seed, position` (epochs since the trial began, from 1), `phase,
        val_accuracy, val_loss, train_loss`, in the content's order.
    """
    curves = content.curves
    own = curves[np.array([budget(value) == labels for value in curves["labels"]], dtype=bool)]
    own = own.copy()
    own["position"] = own.groupby(["strategy", "seed"], sort=False).cumcount() + 1
    for measure in MEASURES:
        own[measure] = pd.to_numeric(own[measure], errors="coerce")
    columns = ["strategy", "seed", "position", "phase", *MEASURES]
    return own[columns].reset_index(drop=True)


def mean_curves(curves: pd.DataFrame) -> pd.DataFrame:
    """The mean over seeds at each epoch, for as long as at least half of the trials still train.

    Beyond that the mean would be of the few that were not stopped early, which are not like the
    rest.

    Args:
        curves: From `learning_curves`.

    Returns:
        Columns `strategy, position, val_accuracy, val_loss, train_loss, seeds`.
    """
    trials = curves.groupby("strategy", sort=False)["seed"].nunique()
    grouped = curves.groupby(["strategy", "position"], sort=False)
    means = grouped[list(MEASURES)].mean().assign(seeds=grouped["seed"].nunique()).reset_index()
    enough = means["seeds"] * 2 >= means["strategy"].map(trials)
    return means[enough].reset_index(drop=True)


def phase_starts(curves: pd.DataFrame) -> pd.DataFrame:
    """Where each phase begins: columns `strategy, phase, position`, the median over seeds.

    Args:
        curves: From `learning_curves`.
    """
    firsts = curves.groupby(["strategy", "seed", "phase"], sort=False)["position"].min()
    starts = firsts.groupby(["strategy", "phase"], sort=False).median().reset_index()
    return starts.sort_values(["strategy", "position"], kind="stable").reset_index(drop=True)


def figure(content: ReportContent) -> Figure | None:
    """The figure, a panel for each label budget, or None without curves."""
    budgets = [labels for labels in content.budgets if len(learning_curves(content, labels))]
    if not budgets:
        return None
    several = len(budgets) > 1
    return Figure(
        slug="learning",
        title="How they learned",
        reading=(
            "Validation accuracy (above) and loss (below) after each epoch. Thin lines are single "
            "trials, the thick line is their mean, drawn while at least half of the trials still "
            "train; the dashed line is the mean loss on the training pictures. An upright line "
            "marks where a phase begins. A dashed line that falls while the solid one rises is "
            "learning by heart."
        ),
        panels=tuple(
            _panel(content, labels, words.labels(labels) if several else "") for labels in budgets
        ),
        numbers=_numbers(content, budgets),
    )


def _panel(content: ReportContent, labels: Budget, name: str) -> Panel:
    curves = learning_curves(content, labels)
    shown = [name_ for name_ in content.strategies if (curves["strategy"] == name_).any()]

    def draw(drawing: Drawing) -> Spec:
        across = min(len(shown), 3) if drawing.wide else 1
        cells = [_cell(content, curves, strategy, drawing, across) for strategy in shown]
        return drawing.specification(cells, columns=across)

    ends = mean_curves(curves).groupby("strategy", sort=False).last()
    told = [
        f"{strategy} ends at {words.percent(float(accuracy))}"
        for strategy, accuracy in ends["val_accuracy"].items()
        if accuracy == accuracy
    ]
    alternative = (
        f"Learning curves with {words.labels(labels)}: mean validation accuracy of "
        f"{'; '.join(told)}."
    )
    return panel(draw, alternative, name)


def _cell(
    content: ReportContent, curves: pd.DataFrame, strategy: str, drawing: Drawing, across: int
) -> Spec:
    """One strategy: accuracy above, loss below, on scales that all strategies share."""
    width = (drawing.width - (across - 1) * GAP) / across
    accuracies = extent(list(curves["val_accuracy"]), ticks=4, ceiling=1.0)
    losses = extent([*curves["val_loss"], *mean_curves(curves)["train_loss"]], ticks=3)
    longest = int(curves["position"].max())
    own = curves[curves["strategy"] == strategy]
    rows = _Rows(
        seeds=drawing.data(_thinned(own)),
        mean=drawing.data(mean_curves(curves).query("strategy == @strategy")),
        phases=drawing.data(_marks(own)),
        borders=drawing.data(_marks(own).query("start > 1")),
        x={
            "scale": {"domain": [1, max(longest, 2)], "range": [LEFT, width - 8], "nice": False},
            "axis": {
                "title": None,
                "grid": False,
                "tickMinStep": 1,
                "tickCount": 5,
                "labelFlush": True,
            },
        },
        colour=strategy_colour(content),
    )
    above = _measure(rows, "val_accuracy", accuracies, f".{accuracies.percent_digits}%", 150)
    below = _measure(rows, "val_loss", losses, f".{losses.digits}f", 110)
    dashed = {"strokeWidth": 1.5, "strokeDash": [4, 3], "opacity": 1}
    train = below[-1]["encoding"] | {"y": below[-1]["encoding"]["y"] | {"field": "train_loss"}}
    below.append(layer(rows.mean, "line", dashed, **train))
    look = {"align": "left", "baseline": "top", "fontSize": 11, "color": palette.MUTED[0], "dx": 4}
    place = number("start", **rows.x)
    above.append(layer(rows.phases, "text", look, x=place, y=at(2), text=field("phase")))
    colour = palette.strategy_colours(content.strategies, content.baseline)[strategy][0]
    quiet = {"fontSize": 12, "fontWeight": "normal", "color": palette.MUTED[0]}
    name = {
        "text": words.cut(strategy, 40),
        "color": colour,
        "subtitle": "Validation accuracy",
        "subtitleColor": palette.MUTED[0],
        "subtitleFontSize": 12,
        "subtitlePadding": 5,
    }
    return {
        "vconcat": [
            {"title": name, "width": width, "height": 150, "layer": above},
            {"title": {"text": "Loss"} | quiet, "width": width, "height": 110, "layer": below},
        ],
        "spacing": 10,
    }


class _Rows(NamedTuple):
    """The records of one strategy as a chart's data, with the channels that its layers share."""

    seeds: Spec
    mean: Spec
    phases: Spec
    borders: Spec
    x: Spec
    colour: Spec


def _measure(rows: _Rows, measure: str, room: Extent, form: str, height: int) -> list[Spec]:
    """The layers of one measure: phases, seeds, mean."""
    axis = {"values": list(room.ticks), "format": form, "title": None, "offset": -LEFT}
    x = number("position", **rows.x)
    y = number(measure, scale=room.scale(height, 0), axis=axis)
    mark = {"color": palette.FAINT[0], "strokeWidth": 1}
    thin, thick = {"strokeWidth": 1, "opacity": 0.3}, {"strokeWidth": 2.5, "opacity": 1}
    return [
        layer(rows.borders, "rule", mark, x=number("start", **rows.x)),
        layer(
            rows.seeds,
            "line",
            thin,
            x=x,
            y=y,
            detail=field("seed"),
            color=rows.colour,
            description=field("tip"),
        ),
        layer(rows.mean, "line", thick, x=x, y=y, color=rows.colour),
    ]


def _thinned(own: pd.DataFrame) -> pd.DataFrame:
    """The curves of at most `MOST_SEEDS` seeds at about `MOST_EPOCHS` epochs, with their tips."""
    seeds = sorted(own["seed"].unique())
    kept = seeds[:: -(-len(seeds) // MOST_SEEDS)]
    step = -(-int(own["position"].max()) // MOST_EPOCHS)
    last = own.groupby("seed")["position"].transform("max")
    seen = own["seed"].isin(kept) & (
        ((own["position"] - 1) % step == 0) | (own["position"] == last)
    )
    tips = [
        f"seed {seed}{TIP}{name}, seed {seed}"
        for name, seed in zip(own["strategy"], own["seed"], strict=True)
    ]
    return own.assign(tip=tips)[seen]


def _marks(own: pd.DataFrame) -> pd.DataFrame:
    """The beginnings of phases between two epochs; none when there is a single phase."""
    starts = phase_starts(own)
    if len(starts) < 2:
        starts = starts.iloc[:0]
    return starts.assign(start=(starts["position"] - 0.5).clip(lower=1))


def _numbers(content: ReportContent, budgets: list[Budget]) -> Table:
    rows = []
    for labels in budgets:
        means = mean_curves(learning_curves(content, labels))
        for name, epoch, accuracy, valid, train, seeds in means.itertuples(index=False):
            losses = (words.decimal(valid, 4), words.decimal(train, 4))
            measured = (f"{epoch}", words.percent(accuracy), *losses, f"{seeds}")
            rows.append([name, words.labels(labels), *measured])
    headings = ["Epoch", "Validation accuracy", "Validation loss", "Training loss", "Trials"]
    return table("Mean learning curves", [NAME, LABELS, *headings], rows)
