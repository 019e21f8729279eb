"""The report's figures, one file each: a record to read by value, and a thin drawing of it.

A figure is a function ``figure(content) -> Figure | None``; adding one is writing its file and
naming it in `FIGURES`.
"""

from collections.abc import Callable

from headstart.report.content import ReportContent
from headstart.report.figures import confusion, differences, label_curve, learning, trial_dots
from headstart.report.figures._base import Chart, Figure, Panel

FIGURES: tuple[Callable[[ReportContent], Figure | None], ...] = (
    trial_dots.figure,
    differences.figure,
    label_curve.figure,
    learning.figure,
    confusion.figure,
)
"""In the order of the page."""

__all__ = ["FIGURES", "Chart", "Figure", "Panel"]
