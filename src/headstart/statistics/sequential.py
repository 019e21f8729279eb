"""Looking at the data as seeds come in, without fooling oneself.

Looking again and again at an ordinary test and stopping when it pleases makes false claims in
nearly a quarter of all studies of two equal strategies. Here every look has a level of its own,
declared before the first seed (`headstart.statistics.boundaries`).

The standard error includes the luck of the test pictures. That part does not shrink with more
seeds, so looks are *more* alike than the levels assume, which makes fewer false claims, not more
(the means at two looks have the covariance min(1/information), whatever the information is made
of; Jennison and Turnbull 2000, §3).
"""

import math
from dataclasses import dataclass
from typing import Literal

from numpy.typing import ArrayLike

from headstart.errors import StudyError
from headstart.statistics.boundaries import nominal_levels, seed_fractions
from headstart.statistics.paired import Verdict
from headstart.statistics.scores import checked_pair, merge_groups
from headstart.statistics.sign_flip import MIN_PAIRS
from headstart.statistics.special import ndtr
from headstart.statistics.variance import (
    Estimate,
    VarianceSplit,
    estimate_mean,
    t_quantile,
    variance_split,
)

Stop = Literal["better", "worse", "equivalent", "futile", "maximum"]


@dataclass(frozen=True)
class Design:
    """What was declared before the first seed.

    Attributes:
        looks: After how many pairs to look, rising; the last is the most seeds there will be.
        alpha: Two-sided chance of a false claim over all looks together.
        margin: Differences up to this do not matter, as a fraction.
        futility: Stop when the chance to decide by the last look falls below this; 0 never does.
        claim_levels: The two-sided p that "better" or "worse" needs at each look.
        equivalence_levels: The same for equivalence: two-sided 2α over all looks, so that each
            of the two one-sided tests has α.
    """

    looks: tuple[int, ...]
    alpha: float
    margin: float
    futility: float
    claim_levels: tuple[float, ...]
    equivalence_levels: tuple[float, ...]

    @property
    def max_seeds(self) -> int:
        """The most seeds that will be spent."""
        return self.looks[-1]


@dataclass(frozen=True)
class Look:
    """What one look showed.

    Attributes:
        pairs: Seeds so far.
        difference: Mean score of a less that of b.
        low: Lower end of the repeated confidence interval, valid whenever one stops.
        high: Its upper end.
        equivalence: The repeated interval that must lie within ±margin for "equivalent".
        p_value: Two-sided t test at this look.
        level: What `p_value` must not exceed for a claim at this look.
        chance: Chance to decide by the last look, if things go on as they look now.
        stop: Why to stop here, or None to go on.
    """

    pairs: int
    difference: float
    low: float
    high: float
    equivalence: tuple[float, float]
    p_value: float
    level: float
    chance: float
    stop: Stop | None

    @property
    def verdict(self) -> Verdict:
        """The verdict that may be told at this look."""
        if self.stop in ("better", "worse", "equivalent"):
            return self.stop
        return "undecided"


@dataclass(frozen=True)
class Path:
    """The looks up to where one had to stop, or up to the seeds that are there.

    Attributes:
        design: What was declared.
        looks: In order; only the last can have a `stop`.
    """

    design: Design
    looks: tuple[Look, ...]

    @property
    def stop(self) -> Stop | None:
        """Why it stopped; None when it may go on."""
        return self.looks[-1].stop if self.looks else None

    @property
    def verdict(self) -> Verdict:
        """The verdict of the last look; undecided before the first."""
        return self.looks[-1].verdict if self.looks else "undecided"


def declare(
    max_seeds: int = 40,
    *,
    first: int = MIN_PAIRS,
    every: int = 1,
    alpha: float = 0.05,
    margin: float = 0.005,
    futility: float = 0.1,
) -> Design:
    """A group-sequential design: declare it before the first seed, and keep to it.

    Args:
        max_seeds: The most seeds there will be; more means later and stricter looks.
        first: Pairs at the first look, at least 6.
        every: Pairs between looks.
        alpha: Two-sided, over all looks.
        margin: Differences up to this do not matter, as a fraction; with 0 nothing is equivalent.
        futility: Stop when the chance to decide falls below this; it does not loosen the levels,
            so going on regardless is allowed.

    Raises:
        StudyError: If the numbers make no design.
    """
    problems = []
    if first < MIN_PAIRS:
        problems.append(f"the first look needs at least {MIN_PAIRS} pairs, not {first}")
    if max_seeds < first:
        problems.append(f"max_seeds must be at least the first look's {first} pairs: {max_seeds}")
    if every < 1:
        problems.append(f"looks must be at least 1 pair apart, not {every}")
    if not 0 < alpha <= 0.25:
        problems.append(f"alpha must be above 0 and at most 0.25, for example 0.05, not {alpha}")
    if not margin >= 0:
        problems.append(f"margin must be 0 or more, as a fraction, not {margin}")
    if not 0 <= futility < 1:
        problems.append(f"futility must be in [0, 1), not {futility}")
    if problems:
        raise StudyError(*problems)
    looks = tuple(sorted({*range(first, max_seeds, every), max_seeds}))
    fractions = seed_fractions(looks)
    return Design(
        looks=looks,
        alpha=alpha,
        margin=margin,
        futility=futility,
        claim_levels=nominal_levels(fractions, alpha),
        equivalence_levels=nominal_levels(fractions, 2 * alpha),
    )


def take_look(
    design: Design,
    correct_a: ArrayLike,
    correct_b: ArrayLike,
    *,
    groups: ArrayLike | None = None,
) -> Look:
    """Look at the pairs that are there, as `design` allows.

    Null hypothesis: no difference over new seeds and new test pictures; for "equivalent", a
    difference of at least the margin. Pairing and assumptions: as `compare_pairs`, and that means
    over seeds are nearly normal. Multiplicity: the design's looks are accounted for; several
    comparisons in one study are not.

    Args:
        design: From `declare`.
        correct_a: Shape (pairs so far, pictures); the number of pairs must be one of the looks.
        correct_b: The same for the baseline.
        groups: As for `compare_pairs`.

    Raises:
        StudyError: If the design has no look at this number of pairs.
        RecordsError: If the tables are not pairs.
    """
    a, b = checked_pair(correct_a, correct_b)
    pairs = len(a)
    if pairs not in design.looks:
        raise StudyError(
            f"the design has no look at {pairs} pairs; its looks are at "
            f"{', '.join(map(str, design.looks))}"
        )
    k = design.looks.index(pairs)
    table = merge_groups(a - b, groups)
    estimate, split = estimate_mean(table), variance_split(table)
    half = estimate.half_width(1 - design.claim_levels[k])
    near = estimate.half_width(1 - design.equivalence_levels[k])
    equivalence = (estimate.mean - near, estimate.mean + near)
    chance = chance_to_decide(design, estimate, split)
    low, high = estimate.mean - half, estimate.mean + half
    return Look(
        pairs=pairs,
        difference=estimate.mean,
        low=low,
        high=high,
        equivalence=equivalence,
        p_value=estimate.p_value(),
        level=design.claim_levels[k],
        chance=chance,
        stop=_stop(design, pairs, (low, high), equivalence, chance),
    )


def follow(
    design: Design,
    correct_a: ArrayLike,
    correct_b: ArrayLike,
    *,
    groups: ArrayLike | None = None,
) -> Path:
    """All looks in order over pairs that came one after another, up to the first stop.

    Args:
        design: From `declare`.
        correct_a: Shape (pairs, pictures), rows in the order in which the seeds came.
        correct_b: The same for the baseline.
        groups: As for `compare_pairs`.

    Raises:
        RecordsError: If the tables are not pairs.
    """
    a, b = checked_pair(correct_a, correct_b)
    looks = []
    for pairs in design.looks:
        if pairs > len(a):
            break
        looks.append(take_look(design, a[:pairs], b[:pairs], groups=groups))
        if looks[-1].stop is not None:
            break
    return Path(design, tuple(looks))


def chance_to_decide(design: Design, estimate: Estimate, split: VarianceSplit) -> float:
    """The chance of a verdict by the last look, if the future is like what was seen.

    The difference at the last look is predicted as normal around the present one, with the
    variance that is still to be removed (a flat prior's predictive distribution); its standard
    error then comes from the variance split, so the pictures' part stays.

    Args:
        design: From `declare`.
        estimate: Of the difference so far.
        split: Of the differences so far.

    Returns:
        A probability.
    """
    final = split.variance(seeds=design.max_seeds)
    error = math.sqrt(final)
    degrees = max(design.max_seeds - 1, 1)
    room = math.sqrt(max(estimate.standard_error**2 - final, 0.0)) or 1e-12
    reach = t_quantile(design.claim_levels[-1], degrees) * error
    ahead = ndtr((estimate.mean - reach) / room)
    behind = ndtr((-reach - estimate.mean) / room)
    within = design.margin - t_quantile(design.equivalence_levels[-1], degrees) * error
    same = 0.0
    if within > 0:
        same = ndtr((within - estimate.mean) / room) - ndtr((-within - estimate.mean) / room)
    return float(min(1.0, ahead + behind + same))


def _stop(
    design: Design,
    pairs: int,
    interval: tuple[float, float],
    equivalence: tuple[float, float],
    chance: float,
) -> Stop | None:
    if -design.margin < equivalence[0] and equivalence[1] < design.margin:
        return "equivalent"
    if interval[0] > 0:
        return "better"
    if interval[1] < 0:
        return "worse"
    if pairs == design.max_seeds:
        return "maximum"
    return "futile" if chance < design.futility else None
