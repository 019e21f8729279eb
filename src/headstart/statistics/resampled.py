"""Statistics of per-seed scores alone: resampled splits, and the chance that a beats b."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from headstart.errors import RecordsError, StudyError
from headstart.statistics.scores import checked_settings
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
    z2 = float(stats.norm.ppf((1 + confidence) / 2)) ** 2
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
