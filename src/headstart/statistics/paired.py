"""Paired comparison of two strategies over the same seeds and the same test pictures."""

from dataclasses import dataclass
from typing import Literal

from numpy.typing import ArrayLike

from headstart.statistics.bootstrap import calibrated_interval, crossed_means
from headstart.statistics.error_reduction import ErrorReduction, error_reduction
from headstart.statistics.intervals import is_binary
from headstart.statistics.scores import (
    Scores,
    checked_pair,
    checked_settings,
    merge_groups,
)
from headstart.statistics.sign_flip import MIN_PAIRS, sign_flip_p
from headstart.statistics.variance import Estimate, VarianceSplit, estimate_mean, variance_split

LOWER_IS_BETTER = frozenset({"log_loss", "ece"})
Verdict = Literal["better", "worse", "equivalent", "undecided"]


@dataclass(frozen=True)
class Comparison:
    """What the pairs say about strategy a against strategy b.

    All numbers are fractions (0.01 is one point); only sentences speak in points.

    Attributes:
        pairs: Seeds that both strategies have.
        pictures: Test pictures.
        difference: Mean score of a less that of b.
        low: Lower end of the interval at `confidence`; None with one pair.
        high: Upper end; None with one pair.
        p_value: Exact sign-flip p over seeds; None below 6 pairs, where it cannot reach 0.05.
        p_interval: p of the t test that belongs to the interval, which also counts the luck of
            the test pictures; None with one pair. A claim needs both; see `claim_p`.
        p_equivalence: p of the two one-sided t tests against ±margin; None below 6 pairs.
        relative_error_reduction: Share of b's errors that a avoids.
        variance: Where the spread comes from; None with one pair.
        equivalence: The interval at 2·confidence − 1 (90% for 95%), which must lie within the
            margin for "equivalent" (two one-sided tests); None with one pair.
        verdict: For a against b.
        margin: Differences smaller than this do not matter.
        confidence: Of the interval.
        standard_error: Of the difference; None with one pair.
        degrees: Degrees of freedom of the standard error; None with one pair.
        note: What a reader must know beside the numbers, or "".
        metric: What was compared; "accuracy" goes without saying.
        unit: What a pair is called: a seed's is a "pair", that of a cross-validation a "fold".
    """

    pairs: int
    pictures: int
    difference: float
    low: float | None
    high: float | None
    p_value: float | None
    p_interval: float | None
    p_equivalence: float | None
    relative_error_reduction: ErrorReduction
    variance: VarianceSplit | None
    equivalence: tuple[float, float] | None
    verdict: Verdict
    margin: float
    confidence: float
    standard_error: float | None
    degrees: float | None
    note: str
    metric: str = "accuracy"
    unit: str = "pair"

    @property
    def claim_p(self) -> float | None:
        """The larger of `p_value` and `p_interval`: what "better" or "worse" is claimed with.

        This is the p-value to hand on when several claims are made at once.
        """
        if self.p_value is None or self.p_interval is None:
            return None
        return max(self.p_value, self.p_interval)

    def sentence(self, name_a: str, name_b: str) -> str:
        """What the numbers allow to be said, in plain words.

        Scores that are shares are told in points (1 point is 0.01), log loss as it is.
        """
        gap, pairs, what = self.difference, counted(self.pairs, self.unit), self._of_what
        if self.low is None or self.high is None:
            return (
                f"undecided between {name_a} and {name_b}{what}: one pair, a difference of "
                f"{self._shown(gap)}{self._unit}; one pair says nothing of how the next would "
                f"fall, at least {MIN_PAIRS} are needed"
            )
        low, high = sorted((self.low, self.high), key=abs)
        if self.verdict in ("better", "worse"):
            return (
                f"{name_a} is {self.verdict} than {name_b}{what} by "
                f"{self._shown(abs(gap))}{self._unit} "
                f"({self._shown(abs(low))} to {self._shown(abs(high))}), {pairs}"
            )
        seen = (
            f"the difference is {self._shown(gap)}{self._unit} "
            f"({self._shown(self.low)} to {self._shown(self.high)}), {pairs}"
        )
        if self.verdict == "equivalent":
            margin = f"{self.margin if self.metric == 'log_loss' else 100 * self.margin:g}"
            return (
                f"{name_a} and {name_b} are equivalent{what} within {margin}{self._unit}: "
                f"{seen}{self._ahead(name_a, name_b)}"
            )
        few = f"; at least {MIN_PAIRS} {self.unit}s are needed" if self.pairs < MIN_PAIRS else ""
        return f"undecided between {name_a} and {name_b}{what}: {seen}{few}"

    @property
    def estimate(self) -> Estimate | None:
        """The difference with its standard error; None with one pair."""
        if self.standard_error is None or self.degrees is None:
            return None
        return Estimate(self.difference, self.standard_error, self.degrees)

    @property
    def lower_is_better(self) -> bool:
        """Whether a smaller metric is the better one."""
        return self.metric in LOWER_IS_BETTER

    def _ahead(self, name_a: str, name_b: str) -> str:
        """Who is ahead where the interval excludes zero although the difference is small."""
        if self.low is None or self.high is None or self.low <= 0 <= self.high:
            return ""
        a_is_ahead = (self.difference > 0) == (not self.lower_is_better)
        return f"; {name_a if a_is_ahead else name_b} is ahead, but by less than matters"

    @property
    def _of_what(self) -> str:
        return "" if self.metric == "accuracy" else f" in {self.metric.replace('_', ' ')}"

    @property
    def _unit(self) -> str:
        return "" if self.metric == "log_loss" else " points"

    def _shown(self, value: float) -> str:
        """A number with a decimal more where the interval is too short for one."""
        scale, digits = (1.0, 3) if self.metric == "log_loss" else (100.0, 1)
        if self.low is not None and self.high is not None:
            digits += (self.high - self.low) * scale < 2 * 10.0**-digits
        return signed(scale * value, digits)


def compare_pairs(
    correct_a: ArrayLike,
    correct_b: ArrayLike,
    *,
    margin: float = 0.005,
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
    groups: ArrayLike | None = None,
) -> Comparison:
    """Compare two strategies that were scored on the same seeds and test pictures.

    Null hypothesis: both have the same mean score over new seeds and new test pictures. Pairing:
    row by row (same seed, split, order, head) and column by column (same picture). Assumptions:
    seeds are independent of each other; pictures too, or the groups that `groups` names.
    Multiplicity: one comparison, looked at once; for several use
    `headstart.statistics.multiplicity`, for looking as seeds come in
    `headstart.statistics.sequential`.

    The interval is the crossed bootstrap's (seeds and pictures drawn anew, independently), with
    its width set to the unbiased variance of the two-way table and to Satterthwaite's t
    quantile; as it stands a crossed bootstrap is too narrow for few seeds and too wide where
    seeds hardly differ (see `headstart.statistics.variance`, docs/statistics.md).

    The verdict, with α = 1 − confidence:

    - *equivalent*: at least 6 pairs, and two one-sided t tests at α put the difference within
      ±margin, that is, the 1 − 2α interval lies inside. It comes first: a difference that is
      real and too small to matter is told as equivalent, and the sentence says who is ahead;
    - *better* or *worse*: at least 6 pairs, the interval excludes zero, and the exact sign-flip
      p over seeds is at most α;
    - *undecided*: all else.

    Args:
        correct_a: 1 where a is right and 0 where wrong, or any score of which more is better;
            shape (seeds S, pictures n).
        correct_b: The same for the baseline b, paired by row and column.
        margin: Differences up to this do not matter; 0.005 is half a point. With 0 every
            difference matters, and nothing can be shown to be equivalent.
        confidence: Of the two-sided interval.
        resamples: Of the crossed bootstrap.
        seed: Of the resamples.
        groups: The group of each picture, shape (n,), where some belong together (one patient,
            near duplicates); they are then kept together.

    Raises:
        RecordsError: If the tables are not finite numbers, or not pairs.
        StudyError: If a setting makes no sense.
    """
    checked_settings(confidence=confidence, margin=margin, resamples=resamples)
    a, b = checked_pair(correct_a, correct_b)
    gaps = a - b
    pairs, pictures = gaps.shape
    difference = float(gaps.mean())
    reduction = _reduction(a, b, confidence, groups)
    if pairs < 2:
        return _one_pair(gaps, reduction, margin, confidence)
    table = merge_groups(gaps, groups)
    estimate = estimate_mean(table)
    low, high = calibrated_interval(estimate, crossed_means(table, resamples, seed), confidence)
    if is_binary(a, b):
        low, high = max(low, -1.0), min(high, 1.0)
    # sums of 0/1 scores are whole numbers, so that ties between sign patterns are exact
    p_value = sign_flip_p(gaps.sum(axis=1), seed=seed) if pairs >= MIN_PAIRS else None
    near = estimate.half_width(2 * confidence - 1)
    equivalence = (difference - near, difference + near)
    return Comparison(
        pairs=pairs,
        pictures=pictures,
        difference=difference,
        low=low,
        high=high,
        p_value=p_value,
        p_interval=estimate.p_value(),
        p_equivalence=estimate.p_equivalence(margin) if pairs >= MIN_PAIRS else None,
        relative_error_reduction=reduction,
        variance=variance_split(table),
        equivalence=equivalence,
        verdict=decide((low, high), equivalence, p_value, margin, confidence),
        margin=margin,
        confidence=confidence,
        standard_error=estimate.standard_error,
        degrees=estimate.degrees,
        note=_few_pairs(pairs),
    )


def signed(number: float, digits: int) -> str:
    """A number with so many decimals, a true minus sign, and never "−0.0"."""
    text = f"{number:.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", "−")


def counted(number: int, word: str) -> str:
    """The number with its word, in the plural where it is one."""
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def decide(
    interval: tuple[float, float],
    equivalence: tuple[float, float],
    p_value: float | None,
    margin: float,
    confidence: float,
) -> Verdict:
    """The verdict that intervals and p-value allow, as `compare_pairs` tells."""
    if p_value is None:
        return "undecided"
    if -margin < equivalence[0] and equivalence[1] < margin:
        return "equivalent"
    if p_value <= 1 - confidence + 1e-12:
        if interval[0] > 0:
            return "better"
        if interval[1] < 0:
            return "worse"
    return "undecided"


def _few_pairs(pairs: int) -> str:
    if pairs >= MIN_PAIRS:
        return ""
    return (
        f"{counted(pairs, 'pair')}: no p-value, since with fewer than {MIN_PAIRS} pairs it cannot "
        "fall below 0.05 whatever the data say"
    )


def _one_pair(
    gaps: Scores, reduction: ErrorReduction, margin: float, confidence: float
) -> Comparison:
    """A difference and nothing else: one seed has no spread."""
    return Comparison(
        pairs=1,
        pictures=gaps.shape[1],
        difference=float(gaps.mean()),
        low=None,
        high=None,
        p_value=None,
        p_interval=None,
        p_equivalence=None,
        relative_error_reduction=reduction,
        variance=None,
        equivalence=None,
        verdict="undecided",
        margin=margin,
        confidence=confidence,
        standard_error=None,
        degrees=None,
        note=f"{_few_pairs(1)}; one seed has no spread, so there is no interval",
    )


def _reduction(a: Scores, b: Scores, confidence: float, groups: ArrayLike | None) -> ErrorReduction:
    """Of the errors, where scores are 0/1; other scores have no errors to count."""
    if not is_binary(a, b):
        return ErrorReduction(None, None, None)
    return error_reduction(merge_groups(1 - a, groups), merge_groups(1 - b, groups), confidence)
