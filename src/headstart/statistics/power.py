"""From a pilot: how many seeds, and how many test pictures, would decide.

The pilot's variance split says what each buys: more seeds shrink σ²_seeds/S and σ²_both/(S·n),
more pictures shrink σ²_pictures/n and σ²_both/(S·n). Where the pictures' part alone is already too
large, no number of seeds will help, and this says so.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from headstart.errors import RecordsError, StudyError
from headstart.statistics.paired import Comparison, counted
from headstart.statistics.sign_flip import MIN_PAIRS
from headstart.statistics.special import ndtr
from headstart.statistics.variance import VarianceSplit, t_quantile

MOST_SEEDS = 200
"""Beyond this many seeds, "more seeds" is no advice."""

MOST_PICTURES = 1_000_000


@dataclass(frozen=True)
class Goal:
    """What deciding means.

    Attributes:
        margin: Differences up to this do not matter, as a fraction; with 0 every one does.
        alpha: Two-sided level of a claim.
        chance: The chance of a verdict to plan for.
    """

    margin: float = 0.005
    alpha: float = 0.05
    chance: float = 0.8

    def __post_init__(self) -> None:
        problems = []
        if not self.margin >= 0:
            problems.append(f"margin must be 0 or more, as a fraction, not {self.margin}")
        if not 0 < self.alpha < 1:
            problems.append(f"alpha must be above 0 and below 1, not {self.alpha}")
        if not 0 < self.chance < 1:
            problems.append(f"chance must be above 0 and below 1, not {self.chance}")
        if problems:
            raise StudyError(*problems)


@dataclass(frozen=True)
class PowerCell:
    """What a study of so many seeds and pictures would show.

    Attributes:
        seeds: Pairs.
        pictures: Test pictures.
        half_width: Expected half-width of the interval, as a fraction.
        power: Chance to claim the difference that was asked about.
        power_equivalence: Chance to claim equivalence, were there no difference at all.
    """

    seeds: int
    pictures: int
    half_width: float
    power: float
    power_equivalence: float


@dataclass(frozen=True)
class Advice:
    """What would decide an undecided comparison, if the difference is as it looks now.

    Attributes:
        more_seeds: Seeds to add; 0 when decided, None when no number up to 200 would do.
        more_pictures: Test pictures to add, rounded to two digits; None when a million would not.
        both: Seeds and pictures to add together when neither alone would do; else None.
        decided: Whether there is nothing to advise.
    """

    more_seeds: int | None
    more_pictures: int | None
    both: tuple[int, int] | None
    decided: bool = False

    def sentence(self) -> str:
        """The advice in words."""
        if self.decided:
            return "decided"
        pictures = self.more_pictures and f"about {self.more_pictures:,} more test pictures would"
        if self.more_seeds is not None:
            seeds = counted(self.more_seeds, "more seed")
            return f"undecided: {seeds} would do"
        if pictures:
            return f"undecided: more seeds will not help, {pictures}"
        if self.both is not None:
            return (
                f"undecided: neither seeds nor test pictures alone will help, about "
                f"{self.both[0]:,} more seeds and {self.both[1]:,} more test pictures would"
            )
        return (
            "undecided: the difference is so close to the margin that no number of seeds and "
            "test pictures in reach would tell"
        )


def power(
    split: VarianceSplit,
    difference: float,
    seeds: int,
    pictures: int,
    *,
    alpha: float = 0.05,
) -> float:
    """The chance that `compare_pairs` claims a difference of this size.

    Null hypothesis of the test planned for: no difference. Assumptions: the variances are those
    of the pilot, and means are nearly normal. Multiplicity: none; for m comparisons use α/m.

    Args:
        split: Of the pilot's paired differences (`Comparison.variance`).
        difference: The true difference, as a fraction.
        seeds: Pairs to be had.
        pictures: Test pictures to be had.
        alpha: Two-sided.

    Returns:
        A probability; 0 where the sign-flip test over so few pairs cannot reach α.

    Raises:
        StudyError: If a number makes no sense.
    """
    _check(seeds, pictures, alpha)
    if 2.0 ** (1 - seeds) > alpha:
        return 0.0
    error = _error(split, seeds, pictures)
    degrees = _degrees(split, seeds, pictures)
    reach = t_quantile(alpha, degrees)
    shift = abs(difference) / error
    if shift > 8:  # the noncentral t loses its digits there, and the other side is long gone
        return float(ndtr(shift - reach))
    from scipy.stats import nct  # takes half a second to load

    beyond = float(nct.cdf(-reach, degrees, shift))
    # SciPy has no number for it where it is far too small to matter.
    return float(nct.sf(reach, degrees, shift)) + (0.0 if math.isnan(beyond) else beyond)


def power_equivalence(
    split: VarianceSplit,
    seeds: int,
    pictures: int,
    *,
    margin: float = 0.005,
    difference: float = 0.0,
    alpha: float = 0.05,
) -> float:
    """The chance that `compare_pairs` claims equivalence if this is the true difference.

    Null hypothesis of the test planned for: a difference of at least the margin. Assumptions and
    multiplicity: as `power`; the standard error is taken as known, which flatters very few seeds
    a little.

    Raises:
        StudyError: If a number makes no sense.
    """
    _check(seeds, pictures, alpha)
    if seeds < MIN_PAIRS:
        return 0.0
    error = _error(split, seeds, pictures)
    room = margin / error - t_quantile(2 * alpha, _degrees(split, seeds, pictures))
    if room <= 0:
        return 0.0
    shift = difference / error
    return float(ndtr(room - shift) - ndtr(-room - shift))


def power_table(
    split: VarianceSplit,
    difference: float,
    seeds: Sequence[int],
    pictures: Sequence[int],
    *,
    margin: float = 0.005,
    alpha: float = 0.05,
) -> tuple[PowerCell, ...]:
    """Every combination of seeds and pictures: how sure, and how likely a verdict.

    Args:
        split: Of the pilot's paired differences.
        difference: The true difference to ask about, as a fraction.
        seeds: Numbers of pairs.
        pictures: Numbers of test pictures.
        margin: For equivalence.
        alpha: Two-sided.

    Returns:
        Row by row: all pictures of the first number of seeds, then the next.

    Raises:
        StudyError: If a number makes no sense.
    """
    return tuple(
        PowerCell(
            seeds=s,
            pictures=n,
            half_width=_error(split, s, n) * t_quantile(alpha, _degrees(split, s, n)),
            power=power(split, difference, s, n, alpha=alpha),
            power_equivalence=power_equivalence(split, s, n, margin=margin, alpha=alpha),
        )
        for s in seeds
        for n in pictures
    )


def chances(
    split: VarianceSplit, difference: float, seeds: Sequence[int], pictures: int, goal: Goal
) -> tuple[float, ...]:
    """The chance of a verdict for rising numbers of seeds: a power curve.

    "Verdict" is the likelier of both that the difference allows: better/worse, or, for a
    difference within the margin, equivalent.

    Args:
        split: Of the pilot's paired differences.
        difference: The true difference, as a fraction.
        seeds: Numbers of pairs; fewer than six decide nothing.
        pictures: Test pictures to be had.
        goal: What deciding means.

    Raises:
        StudyError: If a number makes no sense.
    """
    return tuple(_chance(split, difference, s, pictures, goal) for s in seeds)


def seeds_needed(
    split: VarianceSplit,
    difference: float,
    goal: Goal,
    *,
    pictures: int | None = None,
    most: int = MOST_SEEDS,
) -> int | None:
    """The fewest pairs that decide with the wanted chance; None if no number up to `most` does.

    "Decide" is either verdict that the difference allows: better/worse, or, for a difference
    within the margin, equivalent.
    """
    n = split.n_pictures if pictures is None else pictures
    for s in range(MIN_PAIRS, most + 1):
        if _chance(split, difference, s, n, goal) >= goal.chance:
            return s
    return None


def pictures_needed(
    split: VarianceSplit,
    difference: float,
    goal: Goal,
    *,
    seeds: int | None = None,
    most: int = MOST_PICTURES,
) -> int | None:
    """The fewest test pictures that decide with the wanted chance; None if `most` do not."""
    s = split.n_seeds if seeds is None else seeds
    if _chance(split, difference, s, most, goal) < goal.chance:
        return None
    low, high = 2, most
    while high - low > max(1, low // 200):
        middle = (low + high) // 2
        if _chance(split, difference, s, middle, goal) >= goal.chance:
            high = middle
        else:
            low = middle
    return high


def advise(comparison: Comparison, *, chance: float = 0.8, comparisons: int = 1) -> Advice:
    """What would decide a comparison, if the true difference is the one seen.

    That is a big if: the difference seen is itself uncertain, so this is a plan and no promise.

    Args:
        comparison: From `compare_pairs`, with at least two pairs.
        chance: Of a verdict, to plan for.
        comparisons: How many are made; each has its share of α (Bonferroni, so that Holm's
            correction will be met, too).

    Raises:
        RecordsError: If there is one pair, which has no spread to plan with.
    """
    split = comparison.variance
    if split is None:
        raise RecordsError("one pair has no spread to plan with: give at least two")
    if comparison.verdict != "undecided":
        return Advice(0, 0, None, decided=True)
    goal = Goal(comparison.margin, (1 - comparison.confidence) / max(1, comparisons), chance)
    gap = comparison.difference
    seeds = seeds_needed(split, gap, goal)
    more_seeds = None if seeds is None else max(seeds - split.n_seeds, 1)
    pictures = None
    if split.n_seeds >= MIN_PAIRS:
        pictures = pictures_needed(split, gap, goal)
    more_pictures = None if pictures is None else _rounded(max(pictures - split.n_pictures, 1))
    both = None
    if more_seeds is None and more_pictures is None:
        both = _both(split, gap, goal)
    return Advice(more_seeds, more_pictures, both)


def _both(split: VarianceSplit, gap: float, goal: Goal) -> tuple[int, int] | None:
    """Seeds and pictures to add together: the first multiple of the pilot that decides."""
    for factor in (2, 4, 8, 16, 32, 64):
        seeds = max(MIN_PAIRS, split.n_seeds * factor)
        if seeds > MOST_SEEDS:
            return None
        pictures = pictures_needed(split, gap, goal, seeds=seeds)
        if pictures is not None:
            return seeds - split.n_seeds, _rounded(max(pictures - split.n_pictures, 1))
    return None


def _chance(
    split: VarianceSplit, difference: float, seeds: int, pictures: int, goal: Goal
) -> float:
    """The chance of the likelier verdict."""
    claim = power(split, difference, seeds, pictures, alpha=goal.alpha)
    same = power_equivalence(
        split, seeds, pictures, margin=goal.margin, difference=difference, alpha=goal.alpha
    )
    return max(claim, same)


def _error(split: VarianceSplit, seeds: int, pictures: int) -> float:
    """The standard error to expect; where the pilot had no variance, that of two pictures."""
    return math.sqrt(split.variance(seeds, pictures)) or math.sqrt(2) / pictures


def _degrees(split: VarianceSplit, seeds: int, pictures: int) -> float:
    """Satterthwaite's degrees of freedom to expect."""
    by_seeds = split.seeds / seeds + split.both / (seeds * pictures)
    by_pictures = split.pictures / pictures
    spread = by_seeds**2 / (seeds - 1) + by_pictures**2 / max(pictures - 1, 1)
    return (by_seeds + by_pictures) ** 2 / spread if spread > 0 else float(max(pictures - 1, 1))


def _rounded(number: int) -> int:
    """Rounded up to two digits, for it is a guess."""
    unit = int(10 ** max(len(str(number)) - 2, 0))
    return -(-number // unit) * unit


def _check(seeds: int, pictures: int, alpha: float) -> None:
    problems = []
    if seeds < 2:
        problems.append(f"seeds must be at least 2, not {seeds}")
    if pictures < 2:
        problems.append(f"pictures must be at least 2, not {pictures}")
    if not 0 < alpha < 1:
        problems.append(f"alpha must be above 0 and below 1, for example 0.05, not {alpha}")
    if problems:
        raise StudyError(*problems)
