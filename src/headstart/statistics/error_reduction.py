"""Relative error reduction: which share of the baseline's errors goes away."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from headstart.statistics.scores import Scores
from headstart.statistics.variance import Estimate, mean_squares


@dataclass(frozen=True)
class ErrorReduction:
    """The share of the baseline's errors that goes away, ``1 − errors_a / errors_b``.

    Attributes:
        value: 0.3 is 30% fewer errors, below 0 more errors; None when the baseline makes none.
        low: Lower end of the interval; None when there is none: the baseline's own errors cannot
            be told from zero (or there is one seed), so any increase is possible.
        high: Upper end, at most 1; None with `value`, or with one seed.
    """

    value: float | None
    low: float | None
    high: float | None


def error_reduction(errors_a: Scores, errors_b: Scores, confidence: float) -> ErrorReduction:
    """The reduction with Fieller's interval, which stays honest when errors are rare.

    A ratio ρ of errors is in the interval when the paired differences ``errors_a − ρ·errors_b``
    are compatible with a mean of zero, by the same standard error as the difference itself. No
    division by an uncertain number happens, so a baseline near zero error gives a wide or open
    interval instead of a wild one (Fieller 1954). Null hypothesis of the test inside: that mean
    is zero. Pairing, assumptions and multiplicity: as `compare_pairs`.

    Args:
        errors_a: 1 where strategy a is wrong, shape (S, n).
        errors_b: The same for the baseline.
        confidence: Two-sided.
    """
    mean_a, mean_b = float(errors_a.mean()), float(errors_b.mean())
    if mean_b <= 0:
        return ErrorReduction(None, None, None)
    ratio = mean_a / mean_b
    if len(errors_a) < 2:
        return ErrorReduction(1 - ratio, None, None)
    squares = mean_squares(errors_a, errors_b)
    # two that err on the very same pictures may yet differ on two others, whatever the ratio
    least = math.sqrt(2) / errors_a.shape[1] if np.array_equal(errors_a, errors_b) else 0.0

    def contrast(rho: float) -> Estimate:
        found = squares.estimate(np.array([1.0, -rho]))
        return replace(found, standard_error=max(found.standard_error, least))

    return fieller(ratio, contrast, confidence)


def fieller(
    ratio: float, contrast: Callable[[float], Estimate], confidence: float
) -> ErrorReduction:
    """Fieller's interval for one less a ratio of errors.

    Args:
        ratio: Errors of a ÷ errors of b, as seen.
        contrast: ρ → the mean of ``errors_a − ρ·errors_b`` with its standard error.
        confidence: Two-sided.
    """

    def excess(rho: float) -> float:
        """Above zero where ρ is outside the interval."""
        estimate = contrast(rho)
        return estimate.mean**2 - estimate.half_width(confidence) ** 2

    from scipy.optimize import brentq  # loaded where it is needed only

    least = 0.0 if ratio == 0 or excess(0.0) <= 0 else float(brentq(excess, 0.0, ratio))
    most = _upper_end(excess, ratio)
    return ErrorReduction(1 - ratio, None if math.isinf(most) else 1 - most, 1 - least)


def _upper_end(excess: Callable[[float], float], ratio: float) -> float:
    """The first ρ above the ratio that is outside the interval; infinite when there is none."""
    inside, outside = ratio, max(2 * ratio, 0.5)
    while excess(outside) <= 0:
        inside, outside = outside, 2 * outside
        if outside > 1e6:
            return math.inf
    from scipy.optimize import brentq

    return float(brentq(excess, inside, outside))
