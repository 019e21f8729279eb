"""How sure a single strategy's score is, over seeds and test pictures."""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from headstart.errors import RecordsError, StudyError
from headstart.statistics.bootstrap import calibrated_interval, crossed_means
from headstart.statistics.scores import Scores, checked_scores, checked_settings, merge_groups
from headstart.statistics.variance import Estimate, estimate_mean, mean_squares, t_quantile


@dataclass(frozen=True)
class Interval:
    """A mean and the interval around it.

    Attributes:
        mean: The mean over seeds and pictures.
        low: Lower end; None with one seed, which says nothing of how the next would fall.
        high: Upper end; None with one seed.
    """

    mean: float
    low: float | None
    high: float | None


def mean_interval(
    correct: ArrayLike,
    *,
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
    groups: ArrayLike | None = None,
) -> Interval:
    """The mean score of one strategy over seeds × test pictures, with its interval.

    The interval is about *new seeds and new test pictures* of the same kind. Assumptions: seeds
    are independent of each other, and so are pictures, or the groups that `groups` names.
    Multiplicity: none; see `headstart.statistics.multiplicity` for several at once.

    For 0/1 scores it is Wilson's interval with the effective number of pictures
    ``mean·(1 − mean)/V`` and a t quantile, so that it stays within 0 to 1 and does not collapse
    when (nearly) all is right; for other scores the calibrated crossed bootstrap.

    Args:
        correct: 1 where right, 0 where wrong, or any score a picture; shape (seeds, pictures).
        confidence: Two-sided.
        resamples: Of the bootstrap, for scores that are not 0/1.
        seed: Of the resamples.
        groups: The group of each picture, shape (pictures,), where some belong together (one
            patient, near duplicates); they are then kept together.

    Raises:
        RecordsError: If the scores are not a table of finite numbers.
        StudyError: If a setting makes no sense.
    """
    checked_settings(confidence=confidence, resamples=resamples)
    scores = checked_scores(correct)
    mean = float(scores.mean())
    if len(scores) < 2:
        return Interval(mean, None, None)
    table = merge_groups(scores, groups)
    estimate = estimate_mean(table)
    if is_binary(scores):
        return Interval(mean, *_wilson(estimate, 1 - confidence, table.shape[1]))
    resampled = crossed_means(table, resamples, seed)
    return Interval(mean, *calibrated_interval(estimate, resampled, confidence))


def interval_at_level(
    correct: ArrayLike, alpha: float, *, groups: ArrayLike | None = None
) -> Interval:
    """The interval that misses with a chance of α, also where α is far too small to resample.

    As `mean_interval`, but scores that are not 0/1 get the plain t interval.

    Args:
        correct: Shape (seeds, pictures).
        alpha: In (0, 1).
        groups: As for `mean_interval`.

    Raises:
        RecordsError: If the scores are not a table of finite numbers.
        StudyError: If `alpha` is not in (0, 1).
    """
    if not 0 < alpha < 1:
        raise StudyError(f"alpha must be above 0 and below 1, for example 0.05, not {alpha}")
    scores = checked_scores(correct)
    mean = float(scores.mean())
    if len(scores) < 2:
        return Interval(mean, None, None)
    table = merge_groups(scores, groups)
    estimate = estimate_mean(table)
    if is_binary(scores):
        return Interval(mean, *_wilson(estimate, alpha, table.shape[1]))
    reach = estimate.reach(alpha)
    return Interval(mean, mean - reach, mean + reach)


def share_interval(share: float, count: int, alpha: float) -> tuple[float, float]:
    """Wilson's score interval (1927) for a share of independent answers, each right or wrong.

    Assumption: one network, and answers that are independent of each other; nothing is said of
    other networks. Multiplicity: none.

    Args:
        share: Of the answers that are right, 0 to 1.
        count: How many answers there are, at least one.
        alpha: In (0, 1): with this chance the interval misses.

    Returns:
        Its lower and its upper end, within 0 to 1.

    Raises:
        StudyError: If a number makes no sense.
    """
    if not 0 < alpha < 1 or count < 1 or not 0 <= share <= 1:
        raise StudyError(
            f"share = {share}, count = {count}, alpha = {alpha}: expected a share from 0 to 1 of "
            "one answer or more, and an alpha above 0 and below 1"
        )
    return _score_interval(share, float(count), NormalDist().inv_cdf(1 - alpha / 2) ** 2)


def spread_of_finite_test_set(correct: ArrayLike) -> tuple[float, float]:
    """The spread over seeds, beside what a finite test set alone would give.

    If seeds did not differ at all, each seed's accuracy would still move by chance, cell by cell;
    where both numbers are alike, the visible spread of seeds is nothing but the test set's size.

    Args:
        correct: Shape (seeds, pictures), at least two seeds.

    Returns:
        The observed standard deviation of the seeds' means, and that expected from the pictures'
        part alone, √(MS_both / n).

    Raises:
        RecordsError: If the scores are not a table, or there is only one seed.
    """
    scores = checked_scores(correct)
    if len(scores) < 2:
        raise RecordsError("one seed has no spread: give at least two")
    both = max(float(mean_squares(scores).both[0, 0]), 0.0)
    return float(scores.mean(axis=1).std(ddof=1)), math.sqrt(both / scores.shape[1])


def is_binary(*tables: Scores) -> bool:
    """Whether every score is 0 or 1."""
    return all(bool(np.all((table == 0) | (table == 1))) for table in tables)


def _wilson(estimate: Estimate, alpha: float, pictures: int) -> tuple[float, float]:
    """Wilson's score interval with an effective count and a t quantile."""
    mean = min(max(estimate.mean, 0.0), 1.0)
    variance = estimate.standard_error**2
    spread = mean * (1 - mean)
    count = spread / variance if spread > 0 else float(pictures)
    return _score_interval(mean, count, t_quantile(alpha, estimate.degrees) ** 2)


def _score_interval(mean: float, count: float, t2: float) -> tuple[float, float]:
    """Where a squared quantile lets Wilson's interval end."""
    spread = mean * (1 - mean)
    centre = (mean + t2 / (2 * count)) / (1 + t2 / count)
    half = math.sqrt(t2 * (spread / count + t2 / (4 * count**2))) / (1 + t2 / count)
    return max(0.0, centre - half), min(1.0, centre + half)
