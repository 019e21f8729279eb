"""What reading the test split again and again costs, and gates that make it cost less.

A test split that is read once gives an honest interval. Whoever tries 200 configurations on it
and tells the best has read it 200 times, and the best of 200 lucky draws lies far outside a 95%
interval. Three answers, chosen in the study:

- *count*: intervals are widened by the number of reads (a union bound: each of k reads at
  1 − α/k). Right for any list of things that was not made up from earlier answers, such as a
  random search.
- *ladder* (Blum and Hardt 2015): an answer is given only when it beats the best so far by more
  than a step, so later tries can learn little from earlier answers. Right for adaptive search.
- *thresholdout* (Dwork et al. 2015): the validation score is confirmed as long as the test split
  agrees; only disagreement reads the test split, and those reads have a budget.

For the two gates the interval is widened by the number of *transcripts*, the different sequences
of answers that could have been given: whatever was tried next is a function of the transcript, so
a union bound over transcripts holds however cunning the analyst was. The levels get very small, so
they are told as α, the chance to miss.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headstart.errors import RecordsError, StudyError, nearest
from headstart.seeding import generator
from headstart.statistics.intervals import Interval, interval_at_level
from headstart.statistics.scores import checked_scores
from headstart.statistics.special import gammaln, logsumexp

Gate = Literal["count", "ladder", "thresholdout"]
GATES: tuple[Gate, ...] = ("count", "ladder", "thresholdout")


@dataclass(frozen=True)
class AccessPolicy:
    """How often a test split may be read, and what each read costs.

    Attributes:
        budget: Reads that cost nothing; from the next on, intervals are widened for all reads.
        limit: After so many reads the door stays shut until a fresh split is named.
        gate: ``"count"``, ``"ladder"`` or ``"thresholdout"``.
    """

    budget: int = 1
    limit: int = 200
    gate: Gate = "count"

    def __post_init__(self) -> None:
        problems = []
        if self.budget < 1:
            problems.append(f"budget must be at least 1 read, not {self.budget}")
        if self.limit < self.budget:
            problems.append(
                f"limit must be at least the budget of {self.budget} reads, not {self.limit}"
            )
        if self.gate not in GATES:
            problems.append(f"there is no gate {self.gate!r}: {nearest(self.gate, GATES)}")
        if problems:
            raise StudyError(*problems)

    def allow(self, reads: int, more: int = 1) -> None:
        """Refuse reads beyond the limit.

        Args:
            reads: Reads so far.
            more: Reads that are wanted now.

        Raises:
            RecordsError: If they would go beyond the limit.
        """
        if reads + more > self.limit:
            raise RecordsError(
                f"this test split was read {reads} times and its limit is {self.limit}: its door "
                "stays shut; name a fresh test split"
            )

    def sentence(self, reads: int, confidence: float = 0.95) -> str:
        """How often the split was read, and what that did to the intervals."""
        times = "once" if reads == 1 else f"{reads:,} times"
        if reads <= self.budget:
            return f"the test split was read {times}, within its budget of {self.budget}"
        each = 100 * (1 - widened_alpha(reads, self.budget, 1 - confidence))
        return (
            f"the test split was read {times}, beyond its budget of {self.budget}: intervals are "
            f"widened to {each:.5g}% each, so that all hold together with {100 * confidence:g}%"
        )


def widened_alpha(reads: int, budget: int = 1, alpha: float = 0.05) -> float:
    """The chance to miss that each of `reads` intervals may have.

    Within the budget α itself; beyond it α/reads, so that *all* reads' intervals hold together,
    the best one's too (Bonferroni). Assumption: what was tried did not depend on earlier answers;
    for that use a gate and `transcript_alpha`.

    Raises:
        StudyError: If a number is below 1.
    """
    if reads < 1 or budget < 1:
        raise StudyError(f"reads and budget must be at least 1, not {reads} and {budget}")
    return alpha if reads <= budget else alpha / reads


def transcript_alpha(reads: int, answers: int, levels: int, alpha: float = 0.05) -> float:
    """The chance to miss that the analyst's last choice may have after adaptive reads.

    A transcript says which of the `reads` tries got a new answer (at most `answers` of them) and
    which of `levels` values each was. There are N = Σ_{j ≤ answers} (reads choose j)·levels^j, and
    each may miss with α/N.

    Args:
        reads: Tries so far.
        answers: New answers given so far (ladder: improvements; thresholdout: disagreements).
        levels: Different values an answer can have.
        alpha: Chance to miss of the final statement.

    Raises:
        StudyError: If the numbers do not fit together.
    """
    if reads < 1 or not 0 <= answers <= reads or levels < 1:
        raise StudyError(
            "reads must be at least 1, answers between 0 and reads, and levels at least 1; found "
            f"{reads}, {answers} and {levels}"
        )
    j = np.arange(answers + 1)
    log_choose = gammaln(reads + 1) - gammaln(j + 1) - gammaln(reads - j + 1)
    transcripts = float(logsumexp(log_choose + j * math.log(levels)))
    return max(alpha * math.exp(-transcripts), np.finfo(float).tiny)


def interval_after_reads(
    correct: ArrayLike,
    reads: int,
    *,
    budget: int = 1,
    confidence: float = 0.95,
    groups: ArrayLike | None = None,
) -> Interval:
    """The interval of a score that was the best, or any, of so many reads.

    No null hypothesis. Assumptions: as `mean_interval`, and that what was tried did not depend on
    earlier answers. Multiplicity: all reads of this test split, by the union bound.

    Args:
        correct: Shape (seeds, pictures).
        reads: Of this test split so far, this one included.
        budget: Reads that cost nothing.
        confidence: With which all reads' intervals hold together.
        groups: As for `mean_interval`.

    Raises:
        RecordsError: If the scores are not a table of finite numbers.
        StudyError: If a number makes no sense.
    """
    return interval_at_level(correct, widened_alpha(reads, budget, 1 - confidence), groups=groups)


@dataclass(frozen=True)
class Ladder:
    """The gate's state: the best so far, which is all it ever tells.

    Attributes:
        best: Scores of the best so far, shape (n,), each picture's mean over seeds; None at
            first.
        told: What was told last, rounded to 1/n; None at first.
        reads: Tries so far.
        improvements: How many of them were told.
    """

    best: NDArray[np.float64] | None = None
    told: float | None = None
    reads: int = 0
    improvements: int = 0

    def climb(self, correct: ArrayLike) -> "Ladder":
        """Try another: the next state, whose `told` is the gate's answer.

        The step is free of parameters: one standard deviation of the paired differences ÷ √n
        (Blum and Hardt 2015, §5). Below it the earlier answer is told again, and nothing more
        becomes known than that it was not better.

        Args:
            correct: Scores, shape (seeds, pictures).

        Raises:
            RecordsError: If the scores are unusable or on other pictures.
        """
        scores = checked_scores(correct).mean(axis=0)
        n = len(scores)
        if self.best is None:
            return Ladder(scores, round(float(scores.mean()) * n) / n, 1, 1)
        if len(self.best) != n:
            raise RecordsError(
                f"the ladder stands on {len(self.best)} test pictures, these scores on {n}: it "
                "cannot compare different test splits"
            )
        gaps = scores - self.best
        step = float(gaps.std(ddof=1)) / math.sqrt(n)
        if float(gaps.mean()) <= step:
            return Ladder(self.best, self.told, self.reads + 1, self.improvements)
        told = round(float(scores.mean()) * n) / n
        return Ladder(scores, told, self.reads + 1, self.improvements + 1)

    def alpha(self, alpha: float = 0.05) -> float:
        """The chance to miss for `interval_at_level` around the best, however tries were made up.

        Raises:
            RecordsError: If nothing was tried yet.
        """
        if self.best is None:
            raise RecordsError("nothing was tried on this ladder yet")
        return transcript_alpha(self.reads, self.improvements, len(self.best) + 1, alpha)


@dataclass(frozen=True)
class Thresholdout:
    """The gate's state; deterministic for a seed, so that it can be replayed from the ledger.

    Attributes:
        threshold: How far test and validation may differ before the test split is heard, as a
            fraction; about 4/√n is usual.
        noise: Scale of the Laplace noise, about threshold/4.
        budget: Answers from the test split before the door shuts.
        seed: Of the noise.
        reads: Tries so far.
        answers: Answers that came from the test split.
        told: The last answer; None at first.
        levels: Different answers it can give.
    """

    threshold: float = 0.04
    noise: float = 0.01
    budget: int = 10
    seed: int = 0
    reads: int = 0
    answers: int = 0
    told: float | None = None
    levels: int = 1001

    def ask(self, validation: float, test: float) -> "Thresholdout":
        """Try another: the next state, whose `told` is the gate's answer.

        Args:
            validation: Mean score on the validation pictures, in [0, 1].
            test: Mean score on the test pictures, in [0, 1].

        Raises:
            RecordsError: If the budget is used up, or a score is not in [0, 1].
        """
        if not (0 <= validation <= 1 and 0 <= test <= 1):
            raise RecordsError(f"scores must be in [0, 1], found {validation} and {test}")
        if self.answers >= self.budget:
            raise RecordsError(
                f"the test split disagreed with validation {self.answers} times, which is its "
                "budget: its door stays shut; name a fresh test split"
            )
        random = generator(self.seed, "thresholdout", self.reads)
        # the threshold's own noise is drawn anew after each disagreement only
        blur = generator(self.seed, "threshold", self.answers).laplace(scale=2 * self.noise)
        limit = self.threshold + float(blur)
        disagree = abs(validation - test) > limit + float(random.laplace(scale=4 * self.noise))
        answer = test + float(random.laplace(scale=self.noise)) if disagree else validation
        grid = self.levels - 1
        told = round(min(max(answer, 0.0), 1.0) * grid) / grid
        return Thresholdout(
            threshold=self.threshold,
            noise=self.noise,
            budget=self.budget,
            seed=self.seed,
            reads=self.reads + 1,
            answers=self.answers + int(disagree),
            told=told,
            levels=self.levels,
        )

    def alpha(self, alpha: float = 0.05) -> float:
        """The chance to miss for `interval_at_level` around the last choice.

        Raises:
            RecordsError: If nothing was tried yet.
        """
        if self.told is None:
            raise RecordsError("nothing was tried through this gate yet")
        return transcript_alpha(self.reads, self.answers, self.levels, alpha)
