"""Which class is taken for which, a matrix a strategy, averaged over seeds."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from headstart.report import palette, words
from headstart.report.content import Budget, Confusion, ReportContent, budget
from headstart.report.drawing import Drawing, Spec, at, field, layer, number
from headstart.report.figures._base import Chart, Figure, Panel, small_multiple
from headstart.report.svg import TIP
from headstart.report.tables import LABELS, NAME, Column, Table, table

MOST_NAMED = 30
LEAST_NUMBERED = 17
MOST_LETTERS = 15
LEAST_SHOWN = 0.005
LEAST_WORST = 0.05
"""The share that is drawn in full strength is the commonest mistake's, but no less than this: a
matrix of rare mistakes shall look calm."""

STRONGEST = 0.46
"""The strongest tint of a cell on which the page's ink is still read with ease (WCAG AA)."""


class ConfusionCells(NamedTuple):
    """The confusion matrices of one label budget, cell by cell.

    Attributes:
        labels: The budget.
        class_names: In label order.
        cells: Columns `strategy, row, column` (class numbers of truth and of what was said),
            `truth, said` (their names), `count` (mean over seeds), `share` (of the pictures of
            that class, 0 for a class without pictures).
    """

    labels: Budget
    class_names: tuple[str, ...]
    cells: pd.DataFrame


def confusion_cells(content: ReportContent) -> tuple[ConfusionCells, ...]:
    """The figure's record: one for each label budget that has confusion matrices."""
    matrices = [Confusion(*entry) for entry in content.confusions]
    place = {name: place_ for place_, name in enumerate(content.strategies)}
    found = []
    for labels in content.budgets:
        own = [m for m in matrices if budget(m.labels) == labels and len(m.class_names)]
        own.sort(key=lambda matrix: place.get(matrix.strategy, len(place)))
        if own:
            cells = pd.concat([_cells(matrix) for matrix in own], ignore_index=True)
            found.append(ConfusionCells(labels, tuple(own[0].class_names), cells))
    return tuple(found)


def figure(content: ReportContent) -> Figure | None:
    """The figure, a panel for each label budget, or None without confusion matrices."""
    records = confusion_cells(content)
    if not records:
        return None
    crowded = any(len(record.class_names) > MOST_NAMED for record in records)
    return Figure(
        slug="confusion",
        title="What is taken for what",
        reading=(
            "A row holds the test pictures of one class; each cell is the percentage of them that "
            "was taken for the class of its column, averaged over seeds. Right answers lie on the "
            "outlined diagonal; the stronger a cell off the diagonal, the more common that "
            "mistake. Cells below half a percent are left empty."
            + (" The names of so many classes stand in the table below." if crowded else "")
        ),
        panels=tuple(
            Panel(
                words.labels(record.labels) if len(records) > 1 else "",
                tuple(
                    _small_multiple(content, record, str(strategy))
                    for strategy in record.cells["strategy"].unique()
                ),
            )
            for record in records
        ),
        numbers=_numbers(records),
    )


def _shares(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each row of a matrix of counts (C, C) as shares of the row; 0 for an empty row."""
    counts = np.asarray(matrix, dtype=np.float64)
    totals = counts.sum(axis=1, keepdims=True)
    found: NDArray[np.float64] = np.zeros_like(counts)
    np.divide(counts, totals, out=found, where=totals > 0)
    return found


def _cells(confusion: Confusion) -> pd.DataFrame:
    names = list(confusion.class_names)
    row, column = np.divmod(np.arange(len(names) ** 2), len(names))
    return pd.DataFrame(
        {
            "strategy": confusion.strategy,
            "row": row,
            "column": column,
            "truth": [names[place_] for place_ in row],
            "said": [names[place_] for place_ in column],
            "count": np.asarray(confusion.matrix, dtype=float).ravel(),
            "share": _shares(confusion.matrix).ravel(),
        }
    )


def _numbers(records: Sequence[ConfusionCells]) -> Table:
    """The commonest mistakes first."""
    cells = pd.concat([r.cells.assign(labels=words.budget(r.labels)) for r in records])
    wrong = cells[(cells["row"] != cells["column"]) & (cells["count"] > 0)]
    wrong = wrong.sort_values("count", ascending=False, kind="stable")
    kept = wrong[["strategy", "labels", "truth", "said", "count", "share"]]
    lines = [
        [strategy, labels, truth, said, words.decimal(count, 2), words.percent(share)]
        for strategy, labels, truth, said, count, share in kept.itertuples(index=False)
    ]
    names: list[str | Column] = [NAME, LABELS]
    names += [Column("Truth", numeric=False), Column("Taken for", numeric=False)]
    headings = [*names, "Pictures, mean over seeds", "Share of the class"]
    return table("The commonest mistakes", headings, lines)


def _small_multiple(content: ReportContent, record: ConfusionCells, strategy: str) -> Chart:
    """One strategy's matrix, its tints on a scale that all strategies of the budget share."""
    cells = record.cells
    wrong = cells.loc[cells["row"] != cells["column"], "share"]
    worst = max(float(wrong.max()) if len(wrong) else 0.0, LEAST_WORST)
    own = cells[cells["strategy"] == strategy]
    told = own.assign(
        strength=STRONGEST * own["share"] / worst,
        text=[f"{100 * s:.0f}" if s >= LEAST_SHOWN else "" for s in own["share"]],
        tip=[
            f"{TIP}{truth} taken for {said}: {words.percent(share)}"
            for truth, said, share in zip(own["truth"], own["said"], own["share"], strict=True)
        ],
    )
    right = float(own.loc[own["row"] == own["column"], "count"].sum())
    share = words.percent(right / max(float(own["count"].sum()), 1e-12))
    return small_multiple(
        content,
        lambda drawing: _draw(drawing, told, record.class_names),
        f"Confusion matrix of {strategy} with {words.labels(record.labels)}; {share} of the test "
        "pictures lie on its diagonal.",
    )


def _draw(drawing: Drawing, cells: pd.DataFrame, names: Sequence[str]) -> Spec:
    """One strategy's matrix."""
    strategy = str(cells["strategy"].iloc[0])
    shown = [words.cut(name, MOST_LETTERS) for name in names]
    named = len(names) <= MOST_NAMED
    left = 8 + 7 * max(len(name) for name in shown) if named else 0
    side = (drawing.width - left) / len(names)
    layers = _squares(drawing, cells, side, left, len(names))
    layers += _figures(drawing, cells, side, left) if side >= LEAST_NUMBERED else []
    layers += _names(drawing, shown, side, left) if named else []
    title = {"text": words.cut(strategy, 38), "color": drawing.colours[strategy]}
    size = {"width": drawing.width, "height": side * len(names)}
    return drawing.specification([{"title": title, "layer": layers} | size])


def _place(channel: str, side: float, start: float) -> Spec:
    """The channel that puts a row's or column's number at the middle of its cells."""
    scale = {"domain": [0, 1], "range": [start + side * 0.5, start + side * 1.5], "zero": False}
    return number(channel, scale=scale | {"nice": False}, axis=None)


def _squares(
    drawing: Drawing, cells: pd.DataFrame, side: float, left: float, size: int
) -> list[Spec]:
    """A faint ground, the mistakes in the strategy's colour, the diagonal outlined."""
    gap = 1.5 if side > 8 else 0
    square = {"width": side - gap, "height": side - gap}
    x, y = _place("column", side, left), _place("row", side, 0)
    off = cells["row"] != cells["column"]
    ground = cells[off] if gap else cells.iloc[:0]
    seen = cells[off & (cells["share"] >= LEAST_SHOWN)]
    faint = square | {"color": palette.GRID[0], "opacity": 0.4}
    outlined = square | {"fill": palette.CARD[0], "stroke": palette.FAINT[0], "strokeWidth": 1}
    tip, strength = field("tip"), number("strength", scale=None)
    tinted = {"color": drawing.colour, "fillOpacity": strength, "description": tip}
    whole = drawing.data(pd.DataFrame({"size": [size]}))
    field_ = {"x": at(left), "x2": at(left + side * size), "y": at(0), "y2": at(side * size)}
    return [
        *([] if gap else [layer(whole, "rect", faint, **field_)]),
        layer(drawing.data(ground), "rect", faint, x=x, y=y),
        layer(drawing.data(seen), "rect", square, x=x, y=y, **tinted),
        layer(drawing.data(cells[~off]), "rect", outlined, x=x, y=y, description=tip),
    ]


def _figures(drawing: Drawing, cells: pd.DataFrame, side: float, left: float) -> list[Spec]:
    """The percentages."""
    look = {"fontSize": 11 if side >= 22 else 9, "baseline": "middle"}
    x, y = _place("column", side, left), _place("row", side, 0)
    seen = drawing.data(cells[cells["text"] != ""])
    return [layer(seen, "text", look, x=x, y=y, text=field("text"))]


def _names(drawing: Drawing, names: Sequence[str], side: float, left: float) -> list[Spec]:
    """The classes' names at the left and below, there turned unless they are short."""
    places = pd.DataFrame({"row": range(len(names)), "column": range(len(names)), "name": names})
    data = drawing.data(places)
    look = {"fontSize": 12 if side >= 14 else 9, "color": palette.MUTED[0]}
    beside = look | {"baseline": "middle", "align": "right"}
    upright = all(7 * len(name) <= side for name in names)
    turned = beside | {"angle": 270}
    below = look | {"baseline": "top", "align": "center"} if upright else turned
    x, y, name = _place("column", side, left), _place("row", side, 0), field("name")
    bottom = at(side * len(names) + 8)
    return [
        layer(data, "text", beside, x=at(left - 6), y=y, text=name),
        layer(data, "text", below, x=x, y=bottom, text=name),
    ]
