"""The report's figures, one file each: a record to read by value, and a thin drawing of it.

A figure is a function ``figure(content) -> Figure | None``; adding one is writing its file and
naming it in `FIGURES`.
"""

from collections.abc import Callable

from headstart.report.content import ReportContent
from headstart.report.figures import (
    best,
    confusion,
    depth_map,
    differences,
    gate,
    label_curve,
    learning,
    looks,
    order,
    power,
    reads,
    search,
    spread,
    trial_dots,
    worth,
)
from headstart.report.figures._base import Chart, Figure, Panel

MakeFigure = Callable[[ReportContent], Figure | None]

FIGURES: tuple[MakeFigure, ...] = (
    trial_dots.figure,
    differences.figure,
    depth_map.figure,
    order.figure,
    spread.figure,
    power.figure,
    looks.figure,
    label_curve.figure,
    worth.figure,
    best.figure,
    learning.figure,
    search.figure,
    confusion.figure,
    gate.figure,
    reads.figure,
)
"""In the order of the page."""

__all__ = ["FIGURES", "Chart", "Figure", "MakeFigure", "Panel"]
