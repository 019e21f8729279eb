"""Counting over simulated data sets, and telling the counts as a table."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np

from headstart.seeding import generator

Outcome = Mapping[str, bool | float | None]
"""What one data set showed: yes or no, or a number; None where the question does not arise."""

Simulate = Callable[[np.random.Generator], Outcome]
"""One data set, from its random stream."""


@dataclass(frozen=True)
class Cell:
    """One setting to simulate many times.

    Attributes:
        labels: Column → value, what makes this setting.
        simulate: One data set.
        share: Of the data sets asked for, how many this setting gets (large tables are dear).
    """

    labels: Mapping[str, str | int | float]
    simulate: Simulate
    share: float = 1.0


@dataclass(frozen=True)
class Tally:
    """What all data sets of a setting showed together.

    Attributes:
        labels: As the cell's.
        data_sets: How many.
        means: Column → mean; of yes and no the share of yes.
        counts: Column → the data sets for which the question arose.
        spreads: Column → standard deviation over data sets.
    """

    labels: Mapping[str, str | int | float]
    data_sets: int
    means: Mapping[str, float]
    counts: Mapping[str, int]
    spreads: Mapping[str, float]


def draw_seed(random: np.random.Generator) -> int:
    """A seed for what a data set's statistics resample."""
    return int(random.integers(2**31))


def tally(cell: Cell, data_sets: int, seed: int) -> Tally:
    """Simulate one setting, each data set from a stream of its own."""
    count = max(1, round(data_sets * cell.share))
    values: dict[str, list[float]] = {}
    seen: Counter[str] = Counter()
    for number in range(count):
        random = generator(seed, *(str(label) for label in cell.labels.values()), number)
        for name, value in cell.simulate(random).items():
            values.setdefault(name, [])
            if value is not None:
                values[name].append(float(value))
                seen[name] += 1
    means = {name: float(np.mean(column)) for name, column in values.items() if column}
    spreads = {name: float(np.std(column)) for name, column in values.items() if column}
    return Tally(cell.labels, count, means, dict(seen), spreads)


def tally_all(cells: Sequence[Cell], data_sets: int, seed: int, jobs: int = 1) -> list[Tally]:
    """Simulate several settings, in as many processes as wanted."""
    work = partial(tally, data_sets=data_sets, seed=seed)
    if jobs == 1:
        return [work(cell) for cell in cells]
    with ProcessPoolExecutor(jobs) as pool:
        return list(pool.map(work, cells))


def pooled(tallies: Iterable[Tally], column: str) -> float:
    """The mean of a column over all settings' data sets together."""
    parts = [(t.means[column], t.counts[column]) for t in tallies if column in t.means]
    return sum(mean * count for mean, count in parts) / sum(count for _, count in parts)


def markdown(tallies: Sequence[Tally]) -> str:
    """The settings as rows; shares in percent, others as plain numbers."""
    labels = list(tallies[0].labels)
    columns = list(dict.fromkeys(name for t in tallies for name in t.means))
    lines = [
        f"| {' | '.join([*labels, 'data sets', *columns])} |",
        f"|{'---|' * (len(labels) + 1 + len(columns))}",
    ]
    for t in tallies:
        shown = [_shown(name, t.means.get(name)) for name in columns]
        row = [*(str(t.labels[label]) for label in labels), f"{t.data_sets:,}", *shown]
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines)


def _shown(name: str, value: float | None) -> str:
    if value is None:
        return "–"
    if name.endswith("/ SE"):
        return f"{value:.2f}"
    if name.startswith("number of"):
        return f"{value:.1f}"
    return f"{100 * value:.1f}%"
