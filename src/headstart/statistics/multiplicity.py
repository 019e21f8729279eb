"""Several claims at once: the more one looks for, the more turns up by luck alone."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from headstart.errors import RecordsError, StudyError, nearest
from headstart.statistics.paired import Comparison, Verdict, compare_pairs
from headstart.statistics.sign_flip import MIN_PAIRS


@dataclass(frozen=True)
class Claim:
    """One comparison of a family, with what may be claimed beside all the others.

    Attributes:
        a: Name of the strategy that was compared.
        b: Name of the baseline.
        comparison: On its own, except that `verdict` is the family's.
        adjusted_p: Holm's p of the difference; None below 6 pairs.
        adjusted_p_equivalence: Holm's p of equivalence; None below 6 pairs.
        low: Lower end of the simultaneous interval: all of a family's hold together.
        high: Its upper end.
    """

    a: str
    b: str
    comparison: Comparison
    adjusted_p: float | None
    adjusted_p_equivalence: float | None
    low: float | None
    high: float | None

    @property
    def verdict(self) -> Verdict:
        """The family's verdict for a against b."""
        return self.comparison.verdict

    def sentence(self) -> str:
        """What may be said of the two, with their names."""
        return self.comparison.sentence(self.a, self.b)


@dataclass(frozen=True)
class Order:
    """Strategies from best to worst, with ties as ties.

    Attributes:
        names: By mean score, best first.
        means: The mean score of each.
        ties: Each a largest group in which no member is known to be better than another, in the
            order of `names`. A strategy may be in several: "tied" does not carry over from one
            pair to the next. Alone, it is a group of one.
    """

    names: tuple[str, ...]
    means: tuple[float, ...]
    ties: tuple[tuple[str, ...], ...]


def holm(p_values: Sequence[float | None]) -> tuple[float | None, ...]:
    """Holm's adjusted p-values (1979), uniformly better than Bonferroni's.

    Each null hypothesis may be rejected where its adjusted p is at most α; then the chance of one
    or more false claims in the whole family is at most α, however the tests depend on each other.

    Args:
        p_values: One a claim; None (too few pairs) stays None and counts as a claim that was
            tried and failed.

    Returns:
        Adjusted p-values in the same order.

    Raises:
        StudyError: If a p-value is not in [0, 1].
    """
    wrong = [p for p in p_values if p is not None and not 0 <= p <= 1]
    if wrong:
        raise StudyError(f"p-values must be in [0, 1], found {', '.join(map(str, wrong))}")
    p = np.array([1.0 if value is None else value for value in p_values])
    order = np.argsort(p, kind="stable")
    factors = len(p) - np.arange(len(p))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * factors))
    return tuple(
        None if value is None else float(mended)
        for value, mended in zip(p_values, adjusted, strict=True)
    )


def pairs_needed(comparisons: int, alpha: float = 0.05) -> int:
    """The fewest pairs with which one of so many comparisons can be claimed at all.

    With S pairs the sign-flip p cannot fall below 2 / 2**S, and Holm multiplies the smallest p by
    the number of comparisons.
    """
    return max(MIN_PAIRS, math.ceil(math.log2(2 * comparisons / alpha) - 1e-9))


def compare_family(
    scores: Mapping[str, ArrayLike],
    *,
    baseline: str | None = None,
    margin: float = 0.005,
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
    groups: ArrayLike | None = None,
) -> tuple[Claim, ...]:
    """Compare several strategies; claims are corrected for how many there are.

    Null hypotheses, pairing and assumptions: as `compare_pairs`, for each comparison.
    Multiplicity: Holm over the family's claims of a difference, and separately over its claims of
    equivalence, each at α = 1 − confidence. Intervals: each comparison's own, and simultaneous
    ones (Bonferroni: the level 1 − α/m each), which all hold together with probability 1 − α.

    Args:
        scores: Strategy → scores, shape (seeds, pictures), rows and columns paired across all.
        baseline: Compare each against this one; None compares every two.
        margin: As for `compare_pairs`.
        confidence: As for `compare_pairs`.
        resamples: As for `compare_pairs`.
        seed: As for `compare_pairs`.
        groups: As for `compare_pairs`.

    Raises:
        StudyError: If the baseline is unknown, or a setting makes no sense.
        RecordsError: If there are fewer than two strategies, or they are not paired.
    """
    names = list(scores)
    if len(names) < 2:
        raise RecordsError(f"comparing needs at least two strategies, found {names}")
    if baseline is not None and baseline not in scores:
        raise StudyError(f"there is no strategy {baseline!r}: {nearest(baseline, names)}")
    if baseline is None:
        pairs = [(a, b) for i, b in enumerate(names) for a in names[i + 1 :]]
    else:
        pairs = [(name, baseline) for name in names if name != baseline]
    made = [
        compare_pairs(
            scores[a],
            scores[b],
            margin=margin,
            confidence=confidence,
            resamples=resamples,
            seed=seed,
            groups=groups,
        )
        for a, b in pairs
    ]
    return correct_family(pairs, made)


def correct_family(
    pairs: Sequence[tuple[str, str]], comparisons: Sequence[Comparison]
) -> tuple[Claim, ...]:
    """Correct comparisons that were already made (all at one confidence) as one family.

    Args:
        pairs: The names (a, b) of each comparison.
        comparisons: In the same order.

    Returns:
        Claims in the same order; see `compare_family` for what is corrected and how.
    """
    adjusted = holm([comparison.claim_p for comparison in comparisons])
    same = holm([comparison.p_equivalence for comparison in comparisons])
    return tuple(
        Claim(
            a=a,
            b=b,
            comparison=_with_family_verdict(comparison, p, p_same, len(comparisons)),
            adjusted_p=p,
            adjusted_p_equivalence=p_same,
            **_simultaneous(comparison, len(comparisons)),
        )
        for (a, b), comparison, p, p_same in zip(pairs, comparisons, adjusted, same, strict=True)
    )


def order_with_ties(means: Mapping[str, float], decided: Collection[tuple[str, str]]) -> Order:
    """Strategies from best to worst; those that were not told apart are shown as tied.

    Args:
        means: Strategy → mean score, more is better.
        decided: The pairs, either way round, with a verdict of better or worse.

    Raises:
        RecordsError: If a decided pair names an unknown strategy.
    """
    unknown = sorted({name for pair in decided for name in pair if name not in means})
    if unknown:
        raise RecordsError(f"no mean for {unknown[0]!r}: {nearest(unknown[0], means)}")
    names = sorted(means, key=lambda name: -means[name])
    apart = {frozenset(pair) for pair in decided}
    tied = {a: {b for b in names if b != a and frozenset((a, b)) not in apart} for a in names}
    groups = [tuple(name for name in names if name in group) for group in _cliques(tied)]
    groups.sort(key=lambda group: [names.index(name) for name in group])
    return Order(tuple(names), tuple(means[name] for name in names), tuple(groups))


def _cliques(neighbours: Mapping[str, set[str]]) -> list[set[str]]:
    """All largest groups in which everybody is everybody's neighbour (Bron and Kerbosch 1973)."""
    found: list[set[str]] = []

    def grow(group: set[str], candidates: set[str], seen: set[str]) -> None:
        if not candidates and not seen:
            found.append(group)
            return
        pivot = max(candidates | seen, key=lambda name: len(neighbours[name] & candidates))
        for name in sorted(candidates - neighbours[pivot]):
            grow(group | {name}, candidates & neighbours[name], seen & neighbours[name])
            candidates = candidates - {name}
            seen = seen | {name}

    grow(set(), set(neighbours), set())
    return found


def _with_family_verdict(
    comparison: Comparison, p: float | None, p_same: float | None, count: int
) -> Comparison:
    alpha = 1 - comparison.confidence + 1e-12
    verdict: Verdict = "undecided"
    if comparison.verdict == "equivalent" and p_same is not None and p_same <= alpha:
        verdict = "equivalent"
    elif comparison.verdict in ("better", "worse", "equivalent") and p is not None and p <= alpha:
        verdict = _direction(comparison)
    notes = [comparison.note] if comparison.note else []
    needed = pairs_needed(count, 1 - comparison.confidence)
    if MIN_PAIRS <= comparison.pairs < needed:
        notes.append(
            f"among {count} comparisons a difference can only be claimed from {needed} pairs on"
        )
    if verdict != comparison.verdict:
        notes.append(f"{comparison.verdict} on its own, but not among {count} comparisons (Holm)")
    return replace(comparison, verdict=verdict, note="; ".join(notes))


def _direction(comparison: Comparison) -> Verdict:
    """Better or worse for a comparison whose difference is claimed."""
    if comparison.verdict in ("better", "worse"):
        return comparison.verdict
    if comparison.low is not None and comparison.low > 0:
        return "better" if not comparison.lower_is_better else "worse"
    if comparison.high is not None and comparison.high < 0:
        return "worse" if not comparison.lower_is_better else "better"
    return "undecided"


def _simultaneous(comparison: Comparison, count: int) -> dict[str, float | None]:
    """The comparison's interval stretched to the level 1 − α/count."""
    estimate = comparison.estimate
    if estimate is None or comparison.low is None or comparison.high is None:
        return {"low": None, "high": None}
    alpha = 1 - comparison.confidence
    wide, own = estimate.half_width(1 - alpha / count), estimate.half_width(1 - alpha)
    stretch = wide / own
    return {
        "low": comparison.difference - stretch * (comparison.difference - comparison.low),
        "high": comparison.difference + stretch * (comparison.high - comparison.difference),
    }
