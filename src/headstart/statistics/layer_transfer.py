"""What each layer is worth: the numbers of a map of layer transfer, with their intervals.

Yosinski, Clune, Bengio and Lipson 2014. Base B is trained on the target from scratch. AnB copies
the lowest n groups of a source and freezes them, BnB those of the target's own source; "+" lets
them learn, too. From these

- specificity = BnB − AnB: what a source of another task loses against one of the same task;
- co-adaptation = base B − BnB: what is lost by tearing layers apart that learned together;
- lasting boost = AnB+ − BnB+: what the other task adds that learning does not take away again.

A *world* is one class split with its own seeds and test pictures. All numbers are mean differences
of accuracy within pairs (same class split, seed, order, picture). In one world the interval is the
crossed one, over new seeds and new test pictures. In several the worlds are what is drawn: the t
interval over the worlds' means, whose spread has that of seeds within it, and that of test pictures
as far as worlds do not share them. No interval reaches beyond what accuracies can differ by.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headstart.errors import RecordsError, StudyError
from headstart.statistics.paired import counted
from headstart.statistics.scores import Scores, checked_scores, merge_groups
from headstart.statistics.sign_flip import MIN_PAIRS
from headstart.statistics.variance import TINY, Estimate, estimate_mean

Arm = Literal["AnB", "AnB+", "BnB", "BnB+"]
Answer = Literal["yes", "no", "cannot tell"]
BASE = "base"
AGAIN = "again"
Key = tuple[str, int]
"""An arm and its cut; `BASE` and `AGAIN` have the cut 0."""

DERIVED: Mapping[str, tuple[tuple[str, float], tuple[str, float]]] = {
    "specificity": (("BnB", 1.0), ("AnB", -1.0)),
    "co_adaptation": ((BASE, 1.0), ("BnB", -1.0)),
    "lasting_boost": (("AnB+", 1.0), ("BnB+", -1.0)),
}


@dataclass(frozen=True)
class World:
    """One class split: who was right, every table with the same seeds and pictures.

    Attributes:
        tables: (arm, cut) → 1 where right, shape (seeds, pictures).
        groups: The group of each test picture, where some belong together.
    """

    tables: Mapping[Key, ArrayLike]
    groups: ArrayLike | None = None


@dataclass(frozen=True)
class Number:
    """A mean difference of accuracy, a share.

    Attributes:
        value: The estimate.
        low: Lower end of its interval; None where one seed or one world says nothing of the next.
        high: Upper end.
        all_low: Lower end of the interval that holds together with those of the other cuts.
        all_high: Its upper end.
    """

    value: float
    low: float | None = None
    high: float | None = None
    all_low: float | None = None
    all_high: float | None = None


@dataclass(frozen=True)
class CutNumbers:
    """The numbers of one cut.

    Attributes:
        cut: How many groups are copied.
        arms: Each arm's difference to base B; the intervals of an arm hold together over the cuts.
        derived: `DERIVED`, as far as their arms are there; likewise.
    """

    cut: int
    arms: Mapping[str, Number]
    derived: Mapping[str, Number]


@dataclass(frozen=True)
class Sign:
    """One of the four things that Yosinski's curves show.

    Attributes:
        name: In a few words.
        answer: Whether it is to be seen here.
        sentence: With its number, and before it what an answer lacks where units are too few.
        number: What was looked at.
    """

    name: str
    answer: Answer
    sentence: str
    number: Number


@dataclass(frozen=True)
class LayerMap:
    """The map at one label budget.

    Attributes:
        cuts: By the number of groups copied, rising.
        again: Base B trained once more, less base B: what luck does.
        base: The accuracy of base B.
        signs: The four signs, as far as their arms are there.
        worlds: How many class splits there are.
        seeds: Of each.
        units: What is counted: the class splits where there are several, else seeds.
        few: Why no sign is answered, ``"2 seeds, at least 6 are needed"``; else empty.
    """

    cuts: tuple[CutNumbers, ...]
    again: Number | None
    base: float
    signs: tuple[Sign, ...]
    worlds: int
    seeds: int
    units: int
    few: str


def layer_map(
    worlds: Sequence[World], *, confidence: float = 0.95, margin: float = 0.005
) -> LayerMap:
    """The numbers of a map, and which of the four signs it shows.

    No verdicts on single arms, so no p-values: every number has its interval, and one that holds
    together with those of the other cuts (Bonferroni). Each sign is judged by one contrast that was
    settled beforehand; middle cuts are all but the first and the last:

    - *BnB dips in the middle*: co-adaptation, the mean over the middle cuts, is above 0;
    - *BnB+ recovers*: BnB+ − BnB, the mean over the middle cuts, is above 0, and BnB dips: where no
      dip was found, there is nothing to recover from, and "cannot tell" takes the place of "yes";
    - *AnB falls with n*: the least-squares slope of AnB over n is below 0;
    - *AnB+ at or above base*: AnB+ − base, the mean over all cuts, is above −margin.

    Each over the cuts that all of its arms have. "No" is said where the interval lies below the
    margin (the first two), above minus the margin by the number of cuts (the slope, so that the
    whole fall is within about the margin), or below −margin (the last); "cannot tell" else.

    Fewer than `MIN_PAIRS` units (class splits where there are several, else seeds) answer nothing,
    whatever their intervals say, which take the spread for a bell curve's: where there is nothing,
    five fall to the same side 1 time in 16, six 1 in 32. `compare_pairs` has the same minimum.

    Args:
        worlds: One, or one for each class split.
        confidence: Two-sided.
        margin: Differences of accuracy within ± this share do not matter.

    Raises:
        RecordsError: If the tables of a world are no pairs, or worlds have other arms.
        StudyError: If a setting makes no sense.
    """
    if not 0 < confidence < 1:
        raise StudyError(f"confidence must be above 0 and below 1, not {confidence}")
    gaps = _Contrasts([_checked(world) for world in worlds], 1 - confidence)
    keys = gaps.keys
    cuts = sorted({cut for arm, cut in keys if arm not in (BASE, AGAIN)})
    arms = [arm for arm in ("AnB", "AnB+", "BnB", "BnB+") if any(a == arm for a, _ in keys)]
    numbers = tuple(_cut_numbers(gaps, cut, arms, len(cuts)) for cut in cuts)
    again = (AGAIN, 0) in keys
    return LayerMap(
        cuts=numbers,
        again=gaps.number({(AGAIN, 0): 1.0, (BASE, 0): -1.0}) if again else None,
        base=gaps.number({(BASE, 0): 1.0}).value,
        signs=tuple(_signs(gaps, margin)),
        worlds=len(worlds),
        seeds=gaps.seeds,
        units=gaps.units,
        few=gaps.few,
    )


def _checked(world: World) -> Mapping[Key, Scores]:
    tables = {key: checked_scores(table) for key, table in world.tables.items()}
    shapes = {table.shape for table in tables.values()}
    if (BASE, 0) not in tables or len(tables) < 2 or len(shapes) > 1:
        raise RecordsError(
            "a map needs base B and its arms on the same seeds and pictures, found the shapes "
            f"{sorted(shapes)}"
        )
    return {key: merge_groups(table, world.groups) for key, table in tables.items()}


class _Contrasts:
    """Weighted sums of a map's tables, as numbers with intervals."""

    def __init__(self, worlds: Sequence[Mapping[Key, Scores]], alpha: float) -> None:
        if not worlds or any(set(world) != set(worlds[0]) for world in worlds):
            raise RecordsError("every class split of a map needs the same arms and cuts")
        self.keys = set(worlds[0])
        self.seeds = len(worlds[0][BASE, 0])
        self.units = len(worlds) if len(worlds) > 1 else self.seeds
        self.few = ""
        if self.units < MIN_PAIRS:
            what = counted(self.units, "class split" if len(worlds) > 1 else "seed")
            self.few = f"{what}, at least {MIN_PAIRS} are needed"
        self._worlds = worlds
        self._alpha = alpha

    def cuts(self, *arms: str) -> list[int]:
        """The cuts that all of these arms have, rising."""
        own = [{cut for name, cut in self.keys if name == arm} for arm in arms]
        return sorted(set.intersection(*own))

    def number(self, weights: Mapping[Key, float], among: int = 1) -> Number:
        """Σ weight · table, its interval, and the one that holds among so many.

        Both end where accuracies of 0 and 1 would put the sum: at ±1 for a difference.
        """
        tables = [
            np.asarray(sum(weight * world[key] for key, weight in weights.items()))
            for world in self._worlds
        ]
        estimate = _estimate(tables)
        if estimate is None:
            return Number(float(np.mean([table.mean() for table in tables])))
        own, wide = (estimate.reach(alpha) for alpha in (self._alpha, self._alpha / among))
        mean, below = estimate.mean, sum(min(weight, 0.0) for weight in weights.values())
        above = sum(max(weight, 0.0) for weight in weights.values())
        ends = (mean - own, mean + own, mean - wide, mean + wide)
        return Number(mean, *(min(max(end, below), above) for end in ends))


def _estimate(tables: Sequence[NDArray[np.float64]]) -> Estimate | None:
    """A mean and its standard error: over seeds × pictures in one world, else over worlds.

    Worlds whose means are equal by chance leave as little doubt as two pictures of one world do,
    not none (`headstart.statistics.variance.MeanSquares.estimate`).
    """
    if len(tables) == 1:
        return estimate_mean(tables[0]) if len(tables[0]) > 1 else None
    means = np.array([table.mean() for table in tables])
    variance = float(means.var(ddof=1)) / len(means)
    if variance < TINY:
        variance = 2 / min(table.shape[1] for table in tables) ** 2
    error = float(np.sqrt(variance))
    return Estimate(float(means.mean()), error, float(len(means) - 1))


def _cut_numbers(gaps: _Contrasts, cut: int, arms: Sequence[str], count: int) -> CutNumbers:
    there = [arm for arm in arms if (arm, cut) in gaps.keys]
    derived = {
        name: gaps.number({_key(arm, cut): weight for arm, weight in parts}, count)
        for name, parts in DERIVED.items()
        if all(arm == BASE or arm in there for arm, _ in parts)
    }
    return CutNumbers(
        cut=cut,
        arms={arm: gaps.number({(arm, cut): 1.0, (BASE, 0): -1.0}, count) for arm in there},
        derived=derived,
    )


def _key(arm: str, cut: int) -> Key:
    return (arm, 0 if arm == BASE else cut)


def _mean_gap(a: str, b: str, cuts: Sequence[int]) -> dict[Key, float]:
    """The weights of a − b, the mean over some cuts."""
    weights: dict[Key, float] = {}
    for cut in cuts:
        for arm, sign in ((a, 1.0), (b, -1.0)):
            key = _key(arm, cut)
            weights[key] = weights.get(key, 0.0) + sign / len(cuts)
    return weights


def _signs(gaps: _Contrasts, margin: float) -> list[Sign]:
    """The signs whose arms are there, each over the cuts that all of its arms have."""
    found: list[Sign] = []

    def judge(name: str, answer: Answer, said: str, number: Number) -> None:
        if gaps.few:
            answer, said = "cannot tell", f"{gaps.few}; {said}"
        found.append(Sign(name, answer, said, number))

    dips: Answer = "cannot tell"
    if middle := _middle(gaps.cuts("BnB")):
        number = gaps.number(_mean_gap(BASE, "BnB", middle))
        dips = _answer(number, above=0, below=margin)
        said = f"base B is {_points(number)} points above BnB (mean over {_where(middle)})"
        judge("BnB dips in the middle", dips, said, number)
    if middle := _middle(gaps.cuts("BnB", "BnB+")):
        number = gaps.number(_mean_gap("BnB+", "BnB", middle))
        said = f"BnB+ is {_points(number)} points above BnB (mean over {_where(middle)})"
        answer = _answer(number, above=0, below=margin)
        if answer == "yes" and dips != "yes" and not gaps.few:
            answer, said = "cannot tell", f"{said}, but no dip was found to recover from"
        judge("BnB+ recovers", answer, said, number)
    if len(cuts := gaps.cuts("AnB")) > 1:
        number = gaps.number(_slope("AnB", cuts))
        fall = gaps.number({key: -weight for key, weight in _slope("AnB", cuts).items()})
        said = f"AnB changes by {_points(number)} points with each further group"
        falls = _answer(fall, above=0, below=margin / len(cuts))
        judge("AnB falls with n", falls, said, number)
    if cuts := gaps.cuts("AnB+"):
        number = gaps.number(_mean_gap("AnB+", BASE, cuts))
        said = f"AnB+ is {_points(number)} points above base B (mean over all cuts)"
        answer = _answer(number, above=-margin, below=-margin)
        judge("AnB+ at or above base", answer, said, number)
    return found


def _middle(cuts: Sequence[int]) -> Sequence[int]:
    """All but the first and the last; all of them where there are but two."""
    return cuts[1:-1] or cuts


def _where(cuts: Sequence[int]) -> str:
    return f"cuts {cuts[0]} to {cuts[-1]}" if len(cuts) > 1 else f"cut {cuts[0]}"


def _slope(arm: str, cuts: Sequence[int]) -> dict[Key, float]:
    """The weights of the least-squares slope of an arm over its cuts."""
    places = np.array(cuts, dtype=np.float64) - np.mean(cuts)
    slopes = places / float(places @ places)
    return {(arm, cut): float(slope) for cut, slope in zip(cuts, slopes, strict=True)}


def _answer(number: Number, *, above: float, below: float) -> Answer:
    """Yes where all of the interval is above the one, no where all of it is below the other."""
    if number.low is not None and number.low > above:
        return "yes"
    return "no" if number.high is not None and number.high < below else "cannot tell"


def _points(number: Number) -> str:
    """A number in points with its interval."""
    value = _signed(number.value)
    if number.low is None or number.high is None:
        return value
    return f"{value} ({_signed(number.low)} to {_signed(number.high)})"


def _signed(share: float) -> str:
    text = f"{100 * share:+.2f}"
    return text.replace("-", "−") if float(text) else text[1:]
