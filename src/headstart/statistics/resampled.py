"""Statistics of one score a split or seed: cross-validation, and the chance that a beats b."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from headstart.errors import RecordsError, StudyError
from headstart.statistics.error_reduction import ErrorReduction, fieller
from headstart.statistics.intervals import Interval
from headstart.statistics.paired import LOWER_IS_BETTER, Comparison, Verdict, decide
from headstart.statistics.scores import checked_settings
from headstart.statistics.sign_flip import MIN_PAIRS
from headstart.statistics.special import ndtri
from headstart.statistics.variance import Estimate


@dataclass(frozen=True)
class ResampledComparison:
    """A paired comparison over resampled splits (cross-validation folds, random splits).

    Attributes:
        splits: How many.
        difference: Mean of a − b.
        low: Lower end of the corrected interval.
        high: Upper end.
        p_value: Two-sided, of no difference.
        p_equivalence: Of the two one-sided tests against ±margin.
        standard_error: Corrected.
        degrees: splits − 1.
    """

    splits: int
    difference: float
    low: float
    high: float
    p_value: float
    p_equivalence: float
    standard_error: float
    degrees: int


def nadeau_bengio(
    differences: ArrayLike,
    *,
    train: int,
    test: int,
    margin: float = 0.005,
    confidence: float = 0.95,
) -> ResampledComparison:
    """The corrected resampled t test, for splits whose training pictures overlap.

    Null hypothesis: the two strategies have the same expected score for training sets of this
    size. Pairing: both on the same split. Assumption: the correlation between splits is
    n_test/(n_test + n_train) (Nadeau and Bengio 2003; for repeated k-fold Bouckaert and Frank
    2004); a plain t test takes overlapping splits for independent and claims far too often.
    Multiplicity: none.

    ``t = mean / √((1/k + n_test/n_train)·s²)`` with k − 1 degrees of freedom.

    Args:
        differences: Score of a less score of b, one for each split, shape (k,).
        train: Training pictures of a split.
        test: Test pictures of a split.
        margin: For `p_equivalence`.
        confidence: Two-sided.

    Raises:
        RecordsError: If there are fewer than two finite differences.
        StudyError: If a setting makes no sense.
    """
    checked_settings(confidence=confidence, margin=margin)
    if train < 1 or test < 1:
        raise StudyError(f"train and test must be at least 1 picture, not {train} and {test}")
    x = _checked_vector(differences, "differences")
    error = math.sqrt((1 / len(x) + test / train) * float(x.var(ddof=1)))
    estimate = Estimate(float(x.mean()), error, float(len(x) - 1))
    half = estimate.half_width(confidence)
    return ResampledComparison(
        splits=len(x),
        difference=estimate.mean,
        low=estimate.mean - half,
        high=estimate.mean + half,
        p_value=estimate.p_value(),
        p_equivalence=estimate.p_equivalence(margin),
        standard_error=error,
        degrees=len(x) - 1,
    )


@dataclass(frozen=True)
class Resampling:
    """How a set of pictures was resampled.

    Attributes:
        train: Pictures outside a fold, from which its trials learn.
        test: Pictures in a fold, on average.
        pictures: Different pictures that were tested on.
    """

    train: int
    test: float
    pictures: int

    def estimate(self, values: np.ndarray) -> Estimate:
        """The mean of one value a fold, with Nadeau and Bengio's standard error.

        The variance is never below that of two pictures, as where nothing varies in
        `headstart.statistics.variance.MeanSquares.estimate`.
        """
        spread = (1 / len(values) + self.test / self.train) * float(values.var(ddof=1))
        error = math.sqrt(max(spread, 2 / self.pictures**2))
        return Estimate(float(values.mean()), error, float(len(values) - 1))


def compare_folds(
    scores_a: ArrayLike,
    scores_b: ArrayLike,
    resampling: Resampling,
    *,
    margin: float = 0.005,
    confidence: float = 0.95,
    metric: str = "accuracy",
) -> Comparison:
    """Compare two strategies over the folds of a (repeated) cross-validation.

    Null hypothesis: both have the same expected score for training sets of this size. Pairing:
    both on the same fold, trained on the same others. Assumptions and correction: as
    `nadeau_bengio`; where label budgets leave training pictures out, training sets overlap less
    than the correction takes for granted, which makes fewer claims and not more. Multiplicity:
    none; hand comparisons to `headstart.statistics.multiplicity.correct_family`.

    The verdict has the same order and the same margin as that of `compare_pairs`, and needs as
    many folds as that needs seeds. There is no sign-flip test: folds share pictures, so their
    signs are not independent, and it would claim too much.

    Args:
        scores_a: The metric of each fold, shape (folds,).
        scores_b: The same for the baseline, paired.
        resampling: Sizes of the folds.
        margin: Differences up to this do not matter.
        confidence: Two-sided.
        metric: What the scores are; for accuracy the relative error reduction is told, too.

    Raises:
        RecordsError: If they are not pairs of at least two finite numbers.
        StudyError: If a setting makes no sense.
    """
    checked_settings(confidence=confidence, margin=margin)
    a, b = _checked_vector(scores_a, "scores_a"), _checked_vector(scores_b, "scores_b")
    if len(a) != len(b):
        raise RecordsError(f"{len(a)} scores of a and {len(b)} of b are no pairs")
    folds, estimate = len(a), resampling.estimate(a - b)
    half, near = estimate.half_width(confidence), estimate.half_width(2 * confidence - 1)
    low, high = estimate.mean - half, estimate.mean + half
    if metric != "log_loss":
        low, high = max(low, -1.0), min(high, 1.0)
    equivalence = (estimate.mean - near, estimate.mean + near)
    enough = folds >= MIN_PAIRS
    p_value = estimate.p_value() if enough else None
    verdict = decide((low, high), equivalence, p_value, margin, confidence)
    return Comparison(
        pairs=folds,
        pictures=resampling.pictures,
        difference=estimate.mean,
        low=low,
        high=high,
        p_value=p_value,
        p_interval=estimate.p_value(),
        p_equivalence=estimate.p_equivalence(margin) if enough else None,
        relative_error_reduction=_reduction(a, b, resampling, confidence, metric),
        variance=None,
        equivalence=equivalence,
        verdict=_turned(verdict) if metric in LOWER_IS_BETTER else verdict,
        margin=margin,
        confidence=confidence,
        standard_error=estimate.standard_error,
        degrees=estimate.degrees,
        note="" if enough else f"{folds} folds are too few for a verdict: ask for repeats",
        metric=metric,
        unit="fold",
    )


def mean_of_folds(
    scores: ArrayLike, resampling: Resampling, *, confidence: float = 0.95
) -> Interval:
    """The mean of a share (such as accuracy) over folds, with the corrected interval.

    No null hypothesis. Assumptions as `nadeau_bengio`. Multiplicity: none.

    Raises:
        RecordsError: If there are not at least two finite numbers.
        StudyError: If `confidence` makes no sense.
    """
    checked_settings(confidence=confidence)
    estimate = resampling.estimate(_checked_vector(scores, "scores"))
    half = estimate.half_width(confidence)
    return Interval(estimate.mean, max(0.0, estimate.mean - half), min(1.0, estimate.mean + half))


def _turned(verdict: Verdict) -> Verdict:
    """The verdict where less is better."""
    return {"better": "worse", "worse": "better"}.get(verdict, verdict)  # type: ignore[return-value]


def _reduction(
    a: np.ndarray, b: np.ndarray, resampling: Resampling, confidence: float, metric: str
) -> ErrorReduction:
    """The share of the baseline's errors that goes away, with Fieller's interval."""
    errors_a, errors_b = 1 - a, 1 - b
    if metric != "accuracy" or errors_b.mean() <= 0:
        return ErrorReduction(None, None, None)
    ratio = float(errors_a.mean() / errors_b.mean())
    return fieller(ratio, lambda rho: resampling.estimate(errors_a - rho * errors_b), confidence)


@dataclass(frozen=True)
class Improvement:
    """How often a beats b.

    Attributes:
        probability: P(A > B), ties counted half.
        low: Lower end of the interval.
        high: Upper end.
        pairs: How many pairs stand behind it.
        convincing: Whether the lower end is above one half, which a claim should want.
    """

    probability: float
    low: float
    high: float
    pairs: int

    @property
    def convincing(self) -> bool:
        """Whether the whole interval is above one half."""
        return self.low > 0.5


def probability_of_improvement(
    scores_a: ArrayLike, scores_b: ArrayLike, *, confidence: float = 0.95
) -> Improvement:
    """The probability that a new seed of a beats the same seed of b (Bouthillier et al. 2021).

    Null hypothesis behind `convincing`: a beats b no more often than not. Pairing: row by row.
    Assumption: seeds are independent of each other; it speaks of these test pictures. Wilson's
    interval, which holds its level from a few pairs on, where the percentile bootstrap does not;
    ties count half. Multiplicity: none.

    Args:
        scores_a: The accuracy of each seed, shape (S,), more is better.
        scores_b: The same for b, paired.
        confidence: Two-sided.

    Raises:
        RecordsError: If they are not pairs of finite numbers.
        StudyError: If `confidence` makes no sense.
    """
    checked_settings(confidence=confidence)
    a = _checked_vector(scores_a, "scores_a", least=1)
    b = _checked_vector(scores_b, "scores_b", least=1)
    if len(a) != len(b):
        raise RecordsError(f"{len(a)} scores of a and {len(b)} of b are no pairs")
    share = float(np.mean((a > b) + 0.5 * (a == b)))
    z2 = float(ndtri((1 + confidence) / 2)) ** 2
    n = len(a)
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = math.sqrt(z2 * (share * (1 - share) / n + z2 / (4 * n * n))) / (1 + z2 / n)
    return Improvement(share, max(0.0, centre - half), min(1.0, centre + half), n)


def _checked_vector(values: ArrayLike, name: str, least: int = 2) -> np.ndarray:
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or len(x) < least or not np.isfinite(x).all():
        raise RecordsError(
            f"{name} must be at least {least} finite numbers, one a split or seed, "
            f"found shape {x.shape}{'' if np.isfinite(x).all() else ' with NaN or infinity'}"
        )
    return x
