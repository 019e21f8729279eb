"""Learning curves: validation accuracy and loss by epoch, seeds as thin lines, with their mean."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from headstart.report import palette, words
from headstart.report.content import Budget, ReportContent, budget
from headstart.report.drawing import Drawing, Spec, at, field, layer, number
from headstart.report.figures._base import Chart, Figure, Panel, small_multiple
from headstart.report.scales import Extent, evenly, extent
from headstart.report.svg import TIP
from headstart.report.tables import LABELS, NAME, Table, table

LEFT, HEADROOM = 42, 16
ACCURACY_HEIGHT, LOSS_HEIGHT = 160, 115
MOST_SEEDS = 20
MOST_EPOCHS = 150
MEASURES = ["val_accuracy", "val_loss", "train_loss"]


class LearningCurves(NamedTuple):
    """How the trials of one label budget learned.

    Attributes:
        labels: The budget.
        curves: Every trial's: columns `strategy, seed, position` (epochs since the trial began,
            from 1), `phase, val_accuracy, val_loss, train_loss`, in the content's order.
        means: Over seeds, at each position for as long as at least half of a strategy's trials
            still train: columns `strategy, position, val_accuracy, val_loss, train_loss, seeds`.
            Beyond that the mean would be of the few that were not stopped early, which are not
            like the rest.
        phases: Where each phase begins, the median over seeds: `strategy, phase, position`.
    """

    labels: Budget
    curves: pd.DataFrame
    means: pd.DataFrame
    phases: pd.DataFrame


def learning_curves(content: ReportContent) -> tuple[LearningCurves, ...]:
    """The figure's record: one for each label budget that has curves."""
    curves = content.curves.assign(labels=[budget(value) for value in content.curves["labels"]])
    for measure in MEASURES:
        curves[measure] = pd.to_numeric(curves[measure], errors="coerce")
    trial = ["strategy", "labels", "seed"]
    curves["position"] = curves.groupby(trial, sort=False).cumcount() + 1
    columns = ["strategy", "seed", "position", "phase", *MEASURES]
    found = []
    for labels in content.budgets:
        same = np.array([value == labels for value in curves["labels"]], dtype=bool)
        own = curves.loc[same, columns]
        if len(own):
            found.append(
                LearningCurves(labels, own.reset_index(drop=True), _means(own), _phases(own))
            )
    return tuple(found)


def figure(content: ReportContent) -> Figure | None:
    """The figure, a panel for each label budget, or None without curves."""
    records = learning_curves(content)
    if not records:
        return None
    return Figure(
        slug="learning",
        title="How they learned",
        reading=_reading(records),
        panels=tuple(
            Panel(
                words.labels(record.labels) if len(records) > 1 else "",
                tuple(
                    _small_multiple(content, record, name)
                    for name in content.strategies
                    if (record.curves["strategy"] == name).any()
                ),
            )
            for record in records
        ),
        numbers=_numbers(records),
    )


def _reading(records: Sequence[LearningCurves]) -> str:
    told = "Validation accuracy (above) and loss (below) after each epoch. "
    if max(int(record.curves["position"].max()) for record in records) == 1:
        return told + (
            "There was one: small dots are single trials, the large dot is their mean, the ring "
            "the mean loss on the training pictures."
        )
    told += (
        "Thin lines are single trials, the thick line is their mean, drawn while at least half of "
        "the trials still train; the dashed line is the mean loss on the training pictures. An "
        "upright line marks where a phase begins. A dashed line that falls while the solid one "
        "rises is learning by heart."
    )
    most = max(record.curves["seed"].nunique() for record in records)
    return told + (f" Of {most:,} seeds, {MOST_SEEDS} are drawn." if most > MOST_SEEDS else "")


def epoch_ticks(longest: int) -> list[int]:
    """The epochs to name below curves that end at `longest`: whole, round, at most seven."""
    step = next(
        s * 10**power for power in range(9) for s in (1, 2, 5) if longest / (s * 10**power) <= 6
    )
    return [1, *range(step, longest + 1, step)] if step > 1 else list(range(1, longest + 1))


def _means(curves: pd.DataFrame) -> pd.DataFrame:
    trials = curves.groupby("strategy", sort=False)["seed"].nunique()
    grouped = curves.groupby(["strategy", "position"], sort=False)
    means = grouped[MEASURES].mean().assign(seeds=grouped["seed"].nunique()).reset_index()
    enough = means["seeds"] * 2 >= means["strategy"].map(trials)
    return means[enough].reset_index(drop=True)


def _phases(curves: pd.DataFrame) -> pd.DataFrame:
    firsts = curves.groupby(["strategy", "seed", "phase"], sort=False)["position"].min()
    starts = firsts.groupby(["strategy", "phase"], sort=False).median().reset_index()
    return starts.sort_values(["strategy", "position"], kind="stable").reset_index(drop=True)


def _numbers(records: Sequence[LearningCurves]) -> Table:
    lines: list[list[str]] = []
    for record in records:
        for name, epoch, accuracy, valid, train, seeds in record.means.itertuples(index=False):
            losses = (words.decimal(valid, 4), words.decimal(train, 4))
            measured = (f"{epoch}", words.percent(accuracy), *losses, f"{seeds}")
            lines.append([name, words.budget(record.labels), *measured])
    headings = ["Epoch", "Validation accuracy", "Validation loss", "Training loss", "Trials"]
    return table("Mean learning curves", [NAME, LABELS, *headings], lines)


class _Cell(NamedTuple):
    """One strategy's part of the drawing: its records as data, and what its layers share."""

    seeds: Spec
    mean: Spec
    phases: Spec
    borders: Spec
    x: Spec
    colour: Spec
    single: bool


def _small_multiple(content: ReportContent, record: LearningCurves, strategy: str) -> Chart:
    """One strategy's curves, on scales that all strategies of the budget share."""
    rooms = (
        extent(list(record.curves["val_accuracy"]), ticks=4, ceiling=1.0),
        extent([*record.curves["val_loss"], *record.means["train_loss"]], ticks=3),
    )
    means = record.means.loc[record.means["strategy"] == strategy, "val_accuracy"].dropna()
    end = f", ending at {words.percent(float(means.iloc[-1]))}" if len(means) else ""
    return small_multiple(
        content,
        lambda drawing: _draw(drawing, record, strategy, rooms),
        f"Learning curves of {strategy} with {words.labels(record.labels)}: validation accuracy"
        f"{end}, and loss.",
    )


def _draw(
    drawing: Drawing, record: LearningCurves, strategy: str, rooms: tuple[Extent, Extent]
) -> Spec:
    """One strategy: accuracy above, loss below."""
    accuracies, losses = rooms
    cell = _records(drawing, record, strategy)
    above = _measure(cell, "val_accuracy", accuracies, f".{accuracies.percent_digits}%")
    below = _measure(cell, "val_loss", losses, f".{losses.digits}f")
    for channels in (one["encoding"] for one in above if "y" in one["encoding"]):
        channels["x"] = channels["x"] | {"axis": channels["x"]["axis"] | {"labels": False}}
    solid = below[-1]["encoding"]
    dashed: Spec = {"strokeWidth": 1.5, "strokeDash": [4, 3], "opacity": 1}
    if cell.single:
        dashed |= {"point": {"size": 60, "filled": False}}
    train = solid | {"y": solid["y"] | {"field": "train_loss"}}
    below.append(layer(cell.mean, "line", dashed, **train))
    look = {"align": "left", "baseline": "top", "fontSize": 11, "color": palette.MUTED[0], "dx": 4}
    start = number("start", **cell.x)
    above.append(layer(cell.phases, "text", look, x=start, y=at(3), text=field("phase")))
    quiet = {"fontSize": 12, "fontWeight": "normal", "color": palette.MUTED[0]}
    name = {"text": words.cut(strategy, 38), "color": drawing.colours[strategy]}
    titles = (name | {"subtitle": "Validation accuracy"}, {"text": "Loss"} | quiet)
    heights = (ACCURACY_HEIGHT, LOSS_HEIGHT)
    return drawing.specification(
        [
            {"title": title, "width": drawing.width, "height": height, "layer": layers}
            for title, height, layers in zip(titles, heights, (above, below), strict=True)
        ],
        spacing=34,
    ) | {"bounds": "flush"}


def _records(drawing: Drawing, record: LearningCurves, strategy: str) -> _Cell:
    curves, means, starts = (
        frame[frame["strategy"] == strategy]
        for frame in (record.curves, record.means, record.phases)
    )
    longest = int(record.curves["position"].max())
    marks = starts.assign(start=(starts["position"] - 0.5).clip(lower=1))
    marks = marks if len(marks) > 1 else marks.iloc[:0]
    axis = {"title": None, "grid": False, "values": epoch_ticks(longest)}
    domain = [1, longest] if longest > 1 else [0.5, 1.5]
    return _Cell(
        seeds=drawing.data(_thinned(curves)),
        mean=drawing.data(means),
        phases=drawing.data(marks),
        borders=drawing.data(marks[marks["start"] > 1]),
        x={
            "scale": {"domain": domain, "range": [LEFT, drawing.width - 8], "nice": False},
            "axis": axis,
        },
        colour=drawing.colour,
        single=longest == 1,
    )


def _thinned(curves: pd.DataFrame) -> pd.DataFrame:
    """The curves of at most `MOST_SEEDS` seeds at about `MOST_EPOCHS` epochs, with their tips."""
    seeds = sorted(curves["seed"].unique())
    kept = [seeds[rank] for rank in evenly(len(seeds), MOST_SEEDS)]
    step = -(-int(curves["position"].max()) // MOST_EPOCHS)
    last = curves.groupby("seed")["position"].transform("max")
    on_step = ((curves["position"] - 1) % step == 0) | (curves["position"] == last)
    tips = [
        f"seed {seed}{TIP}{name}, seed {seed}"
        for name, seed in zip(curves["strategy"], curves["seed"], strict=True)
    ]
    return curves.assign(tip=tips)[curves["seed"].isin(kept) & on_step]


def _measure(cell: _Cell, measure: str, room: Extent, form: str) -> list[Spec]:
    """The layers of one measure: where phases begin, the seeds, their mean."""
    height = ACCURACY_HEIGHT if measure == "val_accuracy" else LOSS_HEIGHT
    axis = {"values": list(room.ticks), "format": form, "title": None, "offset": -LEFT}
    x = number("position", **cell.x)
    y = number(measure, scale=room.scale(height, HEADROOM), axis=axis)
    mark = {"color": palette.FAINT[0], "strokeWidth": 1}
    thin: Spec = {"strokeWidth": 1, "opacity": 0.3}
    thick: Spec = {"strokeWidth": 2.5, "opacity": 1}
    if cell.single:
        # A line through one point would not be seen.
        thin, thick = thin | {"point": {"size": 30}}, thick | {"point": {"size": 90}}
    by_seed = {"detail": field("seed"), "description": field("tip"), "color": cell.colour}
    return [
        layer(cell.borders, "rule", mark, x=number("start", **cell.x)),
        layer(cell.seeds, "line", thin, x=x, y=y, **by_seed),
        layer(cell.mean, "line", thick, x=x, y=y, color=cell.colour),
    ]
