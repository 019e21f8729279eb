"""Planning from a pilot: the chance of a verdict against seeds and test pictures, as curves."""

from dataclasses import dataclass
from typing import Any

from headstart.statistics.paired import Comparison
from headstart.statistics.power import Goal, chances
from headstart.statistics.variance import VarianceSplit

SEEDS = (6, 8, 10, 12, 15, 20, 25, 30, 40)
TIMES = (1, 2, 5)
"""How many times the pilot's test pictures the curves are drawn for."""


@dataclass(frozen=True)
class Curve:
    """The chance of a verdict against the number of seeds.

    Attributes:
        pictures: With so many test pictures.
        seeds: Numbers of pairs, rising.
        chances: Of a verdict, one for each.
    """

    pictures: int
    seeds: tuple[int, ...]
    chances: tuple[float, ...]

    @property
    def enough(self) -> int | None:
        """The first of the numbers of seeds with which a verdict has a chance of 80%."""
        reached = (s for s, c in zip(self.seeds, self.chances, strict=True) if c >= Goal().chance)
        return next(reached, None)


def curves(split: VarianceSplit, difference: float, goal: Goal) -> tuple[Curve, ...]:
    """A curve for the pilot's test pictures and for multiples of them.

    Args:
        split: Of the pilot's paired differences.
        difference: The true difference that is asked about, a share.
        goal: What deciding means.
    """
    return tuple(
        Curve(pictures, SEEDS, chances(split, difference, SEEDS, pictures, goal))
        for pictures in (times * split.n_pictures for times in TIMES)
    )


def power_curves(comparison: Comparison, comparisons: int) -> dict[str, Any] | None:
    """The curves of an undecided comparison, for the summary; None where nothing is to be planned.

    Args:
        comparison: As it stands.
        comparisons: How many the study makes; each has its share of alpha (Bonferroni).

    Returns:
        ``difference`` (the one seen, taken for the true one) and ``curves``, each ``pictures,
        seeds, chances, enough``.
    """
    if comparison.verdict != "undecided" or comparison.variance is None:
        return None
    goal = Goal(comparison.margin, (1 - comparison.confidence) / max(1, comparisons))
    return {
        "difference": comparison.difference,
        "curves": [
            {
                "pictures": curve.pictures,
                "seeds": list(curve.seeds),
                "chances": list(curve.chances),
                "enough": curve.enough,
            }
            for curve in curves(comparison.variance, comparison.difference, goal)
        ],
    }
