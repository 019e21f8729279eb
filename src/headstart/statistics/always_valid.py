"""Evidence without a declared end: a t-based e-value that may be looked at after every seed.

An e-value is how many times more likely the data are if the strategies differ than if they are
the same; if they are the same, it ever reaches 20 with a probability of at most 1/20, however
often one looks and whenever one stops (Ville's inequality). That freedom costs: a declared maximum
(`headstart.statistics.sequential`) decides with fewer seeds.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from headstart.errors import StudyError
from headstart.statistics.paired import Verdict
from headstart.statistics.scores import checked_pair, checked_settings, merge_groups
from headstart.statistics.sign_flip import MIN_PAIRS
from headstart.statistics.variance import mean_squares


@dataclass(frozen=True)
class Evidence:
    """What the pairs so far say, valid at whatever number of pairs one stops.

    Attributes:
        pairs: Seeds so far.
        difference: Mean score of a less that of b.
        e_value: Evidence against "no difference".
        needed: The e-value that a claim needs, 1/α.
        low: Lower end of the always-valid interval; minus infinity while it has no end.
        high: Upper end, or infinity.
        equivalence: The interval that must lie within ±margin for "equivalent".
        verdict: What may be told now.
    """

    pairs: int
    difference: float
    e_value: float
    needed: float
    low: float
    high: float
    equivalence: tuple[float, float]
    verdict: Verdict


def evidence(
    correct_a: ArrayLike,
    correct_b: ArrayLike,
    *,
    margin: float = 0.005,
    alpha: float = 0.05,
    prior: float = 1.0,
    groups: ArrayLike | None = None,
) -> Evidence:
    """The e-value and the always-valid interval of the pairs so far.

    Null hypothesis: no difference over new seeds and new test pictures. Pairing: row by row and
    column by column. Assumptions: as `compare_pairs`, and that means over seeds are nearly
    normal. Multiplicity: any number of looks is accounted for; several comparisons are not (the
    mean of e-values is one again).

    It is the Bayes factor of a normal prior on the effect, in units of the seeds' standard
    deviation, with the scale integrated out (Rouder et al. 2009; anytime-valid by Wang and
    Ramdas 2024):

        e = (1 + m·g)^(−1/2) · [(1 + t²/ν) / (1 + t²/(ν·(1 + m·g)))]^((ν + 1)/2)

    with ν = S − 1 and g = `prior`². The luck of the test pictures does not shrink with more seeds.
    It enters through t, whose standard error contains it, and through m, the number of seeds
    reduced by its share in the variance.

    Args:
        correct_a: Shape (pairs S so far, pictures n).
        correct_b: The same for the baseline.
        margin: Differences up to this do not matter, as a fraction.
        alpha: Two-sided, over all looks that will ever be.
        prior: Standard deviation of the prior on the effect, in standard deviations of a seed's
            difference. Fix it beforehand.
        groups: As for `compare_pairs`.

    Raises:
        RecordsError: If the tables are not pairs, or there is only one.
        StudyError: If a setting makes no sense.
    """
    checked_settings(margin=margin)
    if not 0 < alpha <= 0.25 or not prior > 0:
        raise StudyError(
            f"alpha must be above 0 and at most 0.25, and prior above 0, not {alpha} and {prior}"
        )
    a, b = checked_pair(correct_a, correct_b)
    pairs = len(a)
    difference = float((a - b).mean())
    if pairs < 2:
        endless = (-math.inf, math.inf)
        return Evidence(pairs, difference, 1.0, 1 / alpha, *endless, endless, "undecided")
    error, effective = _error_and_seeds(merge_groups(a - b, groups))
    shrink = 1 + effective * prior**2
    t2 = (difference / error) ** 2
    e_value = _e_value(t2, pairs - 1, shrink)
    half = error * e_reach(alpha, pairs - 1, shrink)
    near = error * e_reach(2 * alpha, pairs - 1, shrink)
    equivalence = (difference - near, difference + near)
    verdict: Verdict = "undecided"
    if pairs >= MIN_PAIRS and -margin < equivalence[0] and equivalence[1] < margin:
        verdict = "equivalent"
    elif pairs >= MIN_PAIRS and e_value >= 1 / alpha:
        verdict = "better" if difference > 0 else "worse"
    return Evidence(
        pairs=pairs,
        difference=difference,
        e_value=e_value,
        needed=1 / alpha,
        low=difference - half,
        high=difference + half,
        equivalence=equivalence,
        verdict=verdict,
    )


def _error_and_seeds(table: ArrayLike) -> tuple[float, float]:
    """The standard error, and the seeds that would give it if pictures were no luck."""
    squares = mean_squares(np.asarray(table))
    error = squares.estimate(np.ones(1)).standard_error
    seeds, pictures = np.shape(table)
    by_seeds = float(squares.seeds[0, 0]) / (seeds * pictures)
    return error, seeds * min(1.0, by_seeds / error**2)


def _e_value(t2: float, degrees: int, shrink: float) -> float:
    """The Bayes factor of the docstring above, computed as a logarithm."""
    log = -0.5 * math.log(shrink) + (degrees + 1) / 2 * (
        math.log1p(t2 / degrees) - math.log1p(t2 / (degrees * shrink))
    )
    return math.exp(min(log, 700.0))


def e_reach(alpha: float, degrees: int, shrink: float) -> float:
    """The largest |t| whose e-value stays below 1/α; infinite when no t reaches it."""
    ratio = math.exp(2 / (degrees + 1) * (0.5 * math.log(shrink) - math.log(alpha)))
    if ratio >= shrink:
        return math.inf
    return math.sqrt(degrees * (ratio - 1) / (1 - ratio / shrink))
