"""Where things go in a chart: the ends of axes, round ticks, piles of dots, labels kept apart."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Extent:
    """Where an axis begins and ends, and where it has ticks."""

    low: float
    high: float
    ticks: tuple[float, ...]

    @property
    def digits(self) -> int:
        """How many digits after the point the ticks need."""
        return next(
            (d for d in range(9) if all(abs(t - round(t, d)) < 1e-10 for t in self.ticks)), 9
        )

    @property
    def percent_digits(self) -> int:
        """How many digits after the point the ticks need as percentages."""
        return max(0, self.digits - 2)

    def scale(self, start: float, end: float) -> dict[str, Any]:
        """A linear scale onto pixels `start` to `end`, as Vega-Lite has it."""
        return {"domain": [self.low, self.high], "range": [start, end], "zero": False}


def extent(
    values: Sequence[float], *, ticks: int = 5, least: float = 0.004, ceiling: float = math.inf
) -> Extent:
    """Room for all values with a little air, and round ticks within it.

    Args:
        values: What must be seen; those that are not finite are passed over.
        ticks: About how many ticks.
        least: The smallest span: equal values shall not look far apart.
        ceiling: No tick lies above it (an accuracy has none above 1).
    """
    finite = [value for value in values if math.isfinite(value)] or [0.0]
    low, high = min(finite), max(finite)
    missing = max(0.0, least - (high - low))
    low, high = low - missing * 0.7, high + missing * 0.3
    air = 0.06 * (high - low)
    low, high = low - air, high + air
    raw = (high - low) / ticks
    magnitude = 10.0 ** math.floor(math.log10(raw))
    step = next(m * magnitude for m in (1, 2, 2.5, 5, 10) if m * magnitude >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    marks = (round(place * step, 12) for place in range(first, last + 1))
    return Extent(low, high, tuple(mark for mark in marks if mark <= ceiling + 1e-12))


def piles(values: Sequence[float], within: Extent, bins: int) -> list[float]:
    """How far to move each dot off its row so that dots of nearly equal value stay apart.

    Dots that fall into the same of `bins` bins are set in a symmetrical pile around the row.

    Returns:
        Offsets in −1 to 1, 0 for a dot alone; in the order of `values`.
    """
    span = (within.high - within.low) or 1.0
    bin_of = np.floor((np.asarray(values, dtype=float) - within.low) / span * bins).astype(int)
    _, member, counts = np.unique(bin_of, return_inverse=True, return_counts=True)
    tallest = max(int(counts.max(initial=1)) - 1, 6)
    offsets = np.zeros(len(bin_of))
    for pile, count in enumerate(counts):
        offsets[member == pile] = (np.arange(count) - (count - 1) / 2) * 2 / tallest
    return [float(offset) for offset in offsets]


def apart(places: Sequence[float], least: float) -> list[float]:
    """Places for labels, each near where it belongs and none nearer than `least` to another.

    Labels that would touch are moved as a group around the group's middle (the least squares
    solution that keeps their order, by pooling neighbours).

    Returns:
        The new places, in the order given.
    """
    order = sorted(range(len(places)), key=lambda place: places[place])
    groups: list[tuple[float, int]] = []
    for rank, label in enumerate(order):
        groups.append((places[label] - rank * least, 1))
        while len(groups) > 1 and groups[-2][0] > groups[-1][0]:
            (mean_2, size_2), (mean_1, size_1) = groups.pop(), groups.pop()
            size = size_1 + size_2
            groups.append(((mean_1 * size_1 + mean_2 * size_2) / size, size))
    pooled = [mean for mean, size in groups for _ in range(size)]
    moved = {label: pooled[rank] + rank * least for rank, label in enumerate(order)}
    return [moved[label] for label in range(len(places))]


def evenly(count: int, most: int) -> list[int]:
    """Which of `count` ranked things to show when at most `most` may be: evenly by rank."""
    if count <= most:
        return list(range(count))
    return [int((place + 0.5) * count / most) for place in range(most)]
