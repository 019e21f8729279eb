"""Accuracy as a function of the label budget: monotone and power-law curves, many at once.

Every function takes whole batches of curves, shape (budgets B, curves R), since the bootstrap
fits each curve again a few thousand times.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Curves = NDArray[np.float64]

GRID = 400
"""Points on the logarithmic axis of labels between the smallest and the largest budget."""

EXPONENTS = np.geomspace(0.03, 3.0, 160)


@dataclass(frozen=True)
class PowerLaw:
    """``error(n) = floor + scale·n^(−exponent)``, with none of them negative.

    Attributes:
        floor: The error that no number of labels removes.
        scale: See above.
        exponent: See above.
    """

    floor: float
    scale: float
    exponent: float

    def accuracy(self, labels: NDArray[np.float64]) -> NDArray[np.float64]:
        """The accuracy that the law gives for numbers of labels."""
        curve: NDArray[np.float64] = 1 - self.floor - self.scale * labels**-self.exponent
        return curve


def isotonic(accuracy: Curves) -> Curves:
    """The nearest curves that never fall (least squares), shape (B, R) as given.

    For few budgets the max–min formula does it for all curves at once:
    ``fit[j] = max over i ≤ j of min over k ≥ j of mean(accuracy[i … k])``
    (Barlow et al. 1972, §1.2).
    """
    count = len(accuracy)
    sums = np.concatenate([np.zeros_like(accuracy[:1]), np.cumsum(accuracy, axis=0)])
    fit = np.full_like(accuracy, -np.inf)
    for i in range(count):
        lengths = np.arange(1, count - i + 1)[:, None]
        means = (sums[i + 1 :] - sums[i]) / lengths
        # smallest mean of a stretch that starts at i and ends at k or later
        ahead = np.minimum.accumulate(means[::-1], axis=0)[::-1]
        fit[i:] = np.maximum(fit[i:], ahead)
    return fit


def monotone_inverse(budgets: NDArray[np.float64], curves: Curves, targets: Curves) -> Curves:
    """The labels at which each curve first reaches its target.

    Between budgets a curve that never falls is joined by a monotone cubic in the logarithm of the
    labels (Fritsch and Carlson 1980).

    Args:
        budgets: Shape (B,), rising.
        curves: Shape (B, R).
        targets: The accuracy to reach, shape (R,).

    Returns:
        Shape (R,); 0 where the smallest budget already exceeds the target, infinite where the
        largest does not reach it.
    """
    from scipy.interpolate import PchipInterpolator  # loaded where it is needed only

    axis = np.linspace(np.log(budgets[0]), np.log(budgets[-1]), GRID)
    fine = np.asarray(PchipInterpolator(np.log(budgets), curves, axis=0)(axis))
    fine[-1] = curves[-1]
    below = (fine < targets).sum(axis=0)
    column = np.arange(len(targets))
    upper = np.clip(below, 1, GRID - 1)
    low, high = fine[upper - 1, column], fine[upper, column]
    rise = np.where(high > low, high - low, 1.0)
    part = np.clip((targets - low) / rise, 0.0, 1.0)
    labels = np.exp(axis[upper - 1] + part * (axis[1] - axis[0]))
    labels = np.where(targets < curves[0], 0.0, labels)
    return np.where(targets > curves[-1], np.inf, labels)


def power_laws(budgets: NDArray[np.float64], accuracy: Curves) -> tuple[Curves, Curves, Curves]:
    """Least-squares power laws of the error; floors, scales, exponents, each of shape (R,).

    For each exponent on a grid floor and scale are a line's, with neither below zero; the
    exponent with the smallest rest wins.
    """
    error = 1 - accuracy
    best = np.full(error.shape[1], np.inf)
    floors, scales, exponents = (np.zeros(error.shape[1]) for _ in range(3))
    mean_error = error.mean(axis=0)
    for exponent in EXPONENTS:
        x = budgets**-exponent
        gaps = x - x.mean()
        scale = np.maximum(gaps @ error / (gaps @ gaps), 0.0)
        floor = mean_error - scale * x.mean()
        scale = np.where(floor < 0, x @ error / (x @ x), scale)
        floor = np.maximum(floor, 0.0)
        rest = ((error - floor - x[:, None] * scale) ** 2).sum(axis=0)
        better = rest < best
        best = np.where(better, rest, best)
        floors, scales = np.where(better, floor, floors), np.where(better, scale, scales)
        exponents = np.where(better, exponent, exponents)
    return floors, scales, exponents


def power_inverse(budgets: NDArray[np.float64], curves: Curves, targets: Curves) -> Curves:
    """As `monotone_inverse`, through the power laws fitted to the curves."""
    floors, scales, exponents = power_laws(budgets, curves)
    room = 1 - targets - floors
    with np.errstate(divide="ignore", over="ignore"):
        log_labels = np.log(scales / np.where(room > 0, room, np.nan)) / exponents
    log_labels = np.where(room > 0, log_labels, np.inf)
    labels = np.exp(np.clip(log_labels, -700, 700))
    labels = np.where(labels < budgets[0], 0.0, labels)
    return np.where(labels > budgets[-1], np.inf, labels)
