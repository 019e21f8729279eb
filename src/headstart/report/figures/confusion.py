"""Which class is taken for which, a matrix a strategy, averaged over seeds."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from headstart.report import palette, words
from headstart.report.content import Budget, Confusion, ReportContent, budget
from headstart.report.figures._base import (
    Drawing,
    Figure,
    Panel,
    Spec,
    at,
    field,
    layer,
    number,
    panel,
    strategy_colour,
)
from headstart.report.svg import TIP
from headstart.report.tables import LABELS, NAME, Column, Table, table

MOST_NAMED = 30
MOST_NUMBERED = 12
LEAST_SHOWN = 0.005
LEAST_WORST = 0.05
"""The share that is drawn in full strength is the commonest mistake's, but no less than this: a
matrix of rare mistakes shall look calm."""

STRONGEST = 0.55
"""The strongest tint of a cell on which the page's ink is still read with ease (WCAG AA)."""


def shares(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each row of a confusion matrix as shares of its class; 0 for a class without pictures.

    Args:
        matrix: Shape (C, C), counts; rows are the truth.
    """
    counts = np.asarray(matrix, dtype=np.float64)
    totals = counts.sum(axis=1, keepdims=True)
    found: NDArray[np.float64] = np.zeros_like(counts)
    np.divide(counts, totals, out=found, where=totals > 0)
    return found


def confusion_cells(confusion: Confusion) -> pd.DataFrame:
    """A confusion matrix cell by cell.

    Returns:
        Columns `truth, said` (names), `row, column`, `count` (mean over seeds), `share` (of the
        pictures of that class), `right` (whether it is on the diagonal).
    """
    names = list(confusion.class_names)
    size = len(names)
    row, column = np.divmod(np.arange(size * size), size)
    return pd.DataFrame(
        {
            "truth": [names[r] for r in row],
            "said": [names[c] for c in column],
            "row": row,
            "column": column,
            "count": np.asarray(confusion.matrix, dtype=float).ravel(),
            "share": shares(confusion.matrix).ravel(),
            "right": row == column,
        }
    )


def figure(content: ReportContent) -> Figure | None:
    """The figure, a panel for each label budget, or None without confusion matrices."""
    matrices = [Confusion(*entry) for entry in content.confusions]
    by_budget = {
        labels: [m for m in matrices if budget(m.labels) == labels and len(m.class_names)]
        for labels in content.budgets
    }
    by_budget = {labels: found for labels, found in by_budget.items() if found}
    if not by_budget:
        return None
    several = len(by_budget) > 1
    return Figure(
        slug="confusion",
        title="What is taken for what",
        reading=(
            "A row holds the test pictures of one class; each cell is the share of them that was "
            "taken for the class of its column, averaged over seeds. Right answers lie on the "
            "outlined diagonal; the stronger a cell off the diagonal, the more common that "
            "mistake. Cells are percentages; below half a percent they are left empty."
        ),
        panels=tuple(
            _panel(content, found, words.labels(labels) if several else "", labels)
            for labels, found in by_budget.items()
        ),
        numbers=_numbers(by_budget),
    )


def _numbers(by_budget: dict[Budget, list[Confusion]]) -> Table:
    """The commonest mistakes first."""
    cells = pd.concat(
        [
            confusion_cells(matrix).assign(strategy=matrix.strategy, labels=words.labels(labels))
            for labels, found in by_budget.items()
            for matrix in found
        ]
    )
    wrong = cells[~cells["right"] & (cells["count"] > 0)]
    wrong = wrong.sort_values("count", ascending=False, kind="stable")
    kept = wrong[["strategy", "labels", "truth", "said", "count", "share"]]
    rows = [
        [strategy, labels, truth, said, words.decimal(count, 2), words.percent(share)]
        for strategy, labels, truth, said, count, share in kept.itertuples(index=False)
    ]
    names = [NAME, LABELS, Column("Truth", numeric=False), Column("Taken for", numeric=False)]
    return table(
        "The commonest mistakes", [*names, "Pictures, mean over seeds", "Share of the class"], rows
    )


def _panel(
    content: ReportContent, matrices: Sequence[Confusion], name: str, labels: Budget
) -> Panel:
    found = sorted(matrices, key=lambda m: content.strategies.index(m.strategy))
    cells = [confusion_cells(matrix).assign(strategy=matrix.strategy) for matrix in found]
    everything = pd.concat(cells)
    worst = float(everything.loc[~everything["right"], "share"].max()) if len(everything) else 0.0

    def draw(drawing: Drawing) -> Spec:
        across = min(len(found), 3) if drawing.wide else 1
        return drawing.specification(
            [_chart(content, own, drawing, across, max(worst, LEAST_WORST)) for own in cells],
            columns=across,
        )

    right = [
        f"{m.strategy} {words.percent(float(np.trace(m.matrix) / max(np.sum(m.matrix), 1e-12)))}"
        for m in found
    ]
    alternative = (
        f"Confusion matrices with {words.labels(labels)}. Share on the diagonal: "
        f"{'; '.join(right)}."
    )
    return panel(draw, alternative, name)


def _chart(
    content: ReportContent, cells: pd.DataFrame, drawing: Drawing, across: int, worst: float
) -> Spec:
    """One strategy's matrix."""
    names = list(dict.fromkeys(cells["truth"]))
    strategy = str(cells["strategy"].iloc[0])
    named = len(names) <= MOST_NAMED
    left = min(110, 8 + 7 * max(len(name) for name in names)) if named else 4
    width = min((drawing.width - (across - 1) * 20) / across, 420)
    side = (width - left) / len(names)
    shown = cells.assign(
        strength=STRONGEST * cells["share"] / worst,
        text=[f"{100 * s:.0f}" if s >= LEAST_SHOWN else "" for s in cells["share"]],
        tip=[
            f"{TIP}{truth} taken for {said}: {words.percent(share)} of its pictures"
            for truth, said, share in zip(
                cells["truth"], cells["said"], cells["share"], strict=True
            )
        ],
    )
    layers = _squares(content, drawing, shown, side, left)
    if len(names) <= MOST_NUMBERED:
        layers += _figures(drawing, shown, side, left)
    if named:
        layers += _names(drawing, names, side, left)
    colour = palette.strategy_colours(content.strategies, content.baseline)[strategy][0]
    return {
        "title": {"text": words.cut(strategy, 40), "color": colour},
        "width": width,
        "height": side * len(names) + 4,
        "layer": layers,
    }


def _place(channel: str, side: float, start: float, shift: float = 0.5) -> Spec:
    """The channel that puts a row or column number at its pixels."""
    scale = {"domain": [0, 1], "range": [start + side * shift, start + side * (1 + shift)]}
    return number(channel, scale=scale | {"nice": False, "zero": False}, axis=None)


def _squares(
    content: ReportContent, drawing: Drawing, cells: pd.DataFrame, side: float, left: float
) -> list[Spec]:
    gap = 1.5 if side > 8 else 0
    look = {"width": side - gap, "height": side - gap, "cornerRadius": 2 if side > 12 else 0}
    x, y = _place("column", side, left), _place("row", side, 0)
    wrong = cells[~cells["right"]]
    ground = drawing.data(wrong)
    seen = drawing.data(wrong[wrong["share"] >= LEAST_SHOWN])
    return [
        layer(
            ground,
            "rect",
            look | {"color": palette.GRID[0], "opacity": 0.4},
            x=x,
            y=y,
        ),
        layer(
            seen,
            "rect",
            look,
            x=x,
            y=y,
            color=strategy_colour(content),
            fillOpacity=number("strength", scale=None),
            description=field("tip"),
        ),
        layer(
            drawing.data(cells[cells["right"]]),
            "rect",
            look | {"fill": palette.CARD[0], "stroke": palette.FAINT[0], "strokeWidth": 1},
            x=x,
            y=y,
            description=field("tip"),
        ),
    ]


def _figures(drawing: Drawing, cells: pd.DataFrame, side: float, left: float) -> list[Spec]:
    """The percentages."""
    look = {"fontSize": 11 if side >= 22 else 9, "baseline": "middle"}
    x, y = _place("column", side, left), _place("row", side, 0)
    seen = cells[cells["text"] != ""]
    return [layer(drawing.data(seen), "text", look, x=x, y=y, text=field("text"))]


def _names(drawing: Drawing, names: list[str], side: float, left: float) -> list[Spec]:
    numbered = pd.DataFrame(
        {
            "row": range(len(names)),
            "column": range(len(names)),
            "name": [words.cut(name, 15) for name in names],
        }
    )
    data, size = drawing.data(numbered), 12 if side >= 14 else 9
    shared = {"fontSize": size, "color": palette.MUTED[0], "baseline": "middle", "align": "right"}
    return [
        layer(
            data,
            "text",
            shared,
            x=at(left - 6),
            y=_place("row", side, 0),
            text=field("name"),
        ),
        layer(
            data,
            "text",
            shared | {"angle": 270},
            x=_place("column", side, left),
            y=at(side * len(names) + 8),
            text=field("name"),
        ),
    ]
