"""What every figure is made of: a record to read by value, a thin drawing, words beneath it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from markupsafe import Markup

from headstart.report import palette
from headstart.report.content import ReportContent
from headstart.report.drawing import NARROW, SMALL, WIDE, Drawing, Spec
from headstart.report.svg import drawn
from headstart.report.tables import Table

Draw = Callable[[Drawing], Spec]


class Chart(NamedTuple):
    """A chart as the page holds it.

    Attributes:
        wide: The drawing for a desktop and for paper.
        narrow: The drawing for a phone; empty when one drawing serves both, as do the small
            multiples, which the page lays out in as many columns as fit.
    """

    wide: Markup
    narrow: Markup = Markup()


@dataclass(frozen=True)
class Panel:
    """One view of a figure; several are shown as tabs on screens and one by one on paper.

    Attributes:
        name: The tab's label, empty when there is only one panel.
        charts: One chart that fills the width, or small multiples.
    """

    name: str
    charts: tuple[Chart, ...]


@dataclass(frozen=True)
class Figure:
    """A figure as the page shows it.

    Attributes:
        slug: Its anchor in the page.
        title: What it tells, a phrase.
        reading: How to read it, one plain sentence or two.
        panels: The drawings.
        numbers: Its data, reachable beneath the drawing.
    """

    slug: str
    title: str
    reading: str
    panels: tuple[Panel, ...]
    numbers: Table


def chart(content: ReportContent, draw: Draw, alternative: str) -> Chart:
    """A chart that fills the width, drawn for a desktop and for a phone.

    Args:
        content: Whose strategies give the colours.
        draw: Makes the chart.
        alternative: What it shows, for who cannot see it.
    """
    light = _light(content)
    wide, narrow = (drawn(draw(Drawing(width, light)), alternative) for width in (WIDE, NARROW))
    return Chart(wide, narrow)


def small_multiple(content: ReportContent, draw: Draw, alternative: str) -> Chart:
    """A chart that stands beside others of its kind; arguments as for `chart`."""
    return Chart(drawn(draw(Drawing(SMALL, _light(content))), alternative))


def _light(content: ReportContent) -> dict[str, str]:
    """Strategy → colour, as drawn in light."""
    pairs = palette.strategy_colours(content.strategies, content.baseline)
    return {strategy: pair[0] for strategy, pair in pairs.items()}
