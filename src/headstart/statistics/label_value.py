"""What transfer is worth in labels: how many labels training from scratch needs for the same."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headstart.errors import RecordsError
from headstart.seeding import generator
from headstart.statistics.bootstrap import crossed_means_of_many
from headstart.statistics.intervals import Interval, mean_interval
from headstart.statistics.label_curves import (
    Curves,
    PowerLaw,
    isotonic,
    monotone_inverse,
    power_inverse,
    power_laws,
)
from headstart.statistics.scores import Scores, checked_scores, checked_settings, merge_groups
from headstart.statistics.sign_flip import MIN_PAIRS
from headstart.statistics.variance import MeanSquares, mean_squares

Fit = Literal["isotonic", "power_law"]


@dataclass(frozen=True)
class LabelCount:
    """A number of labels that may lie beyond what was tried.

    Attributes:
        labels: The number, or the budget that it lies beyond.
        beyond: ``"≥"`` above the largest budget, ``"≤"`` below the smallest, ``""`` between.
    """

    labels: float
    beyond: Literal["", "≥", "≤"]

    def __str__(self) -> str:
        return f"{self.beyond}{' ' if self.beyond else ''}{self.labels:,.0f}"


@dataclass(frozen=True)
class Worth:
    """What so many labels with transfer are worth.

    Attributes:
        at: n, the labels that transfer had.
        needed: n̂, the labels that training from scratch needs for the same accuracy.
        low: Lower end of the interval of n̂; None below 6 pairs.
        high: Upper end; None below 6 pairs.
    """

    at: int
    needed: LabelCount
    low: LabelCount | None
    high: LabelCount | None

    @property
    def multiplier(self) -> float:
        """n̂/n; a bound where `needed.beyond` says so."""
        return self.needed.labels / self.at

    @property
    def saving(self) -> float:
        """n̂ − n; below zero where transfer costs labels."""
        return self.needed.labels - self.at

    def sentence(self) -> str:
        """The worth in words; what was not seen is told as a bound, never extrapolated."""
        beyond = {"": "about", "≥": "at least", "≤": "at most"}[self.needed.beyond]
        sign = self.needed.beyond and f"{self.needed.beyond} "
        text = (
            f"{self.at:,} labels with transfer are worth {beyond} {self.needed.labels:,.0f} from "
            f"scratch: {sign}×{self.multiplier:.2g}"
        )
        if self.low is not None and self.high is not None:
            ends = [f"{end.beyond}×{end.labels / self.at:.2g}" for end in (self.low, self.high)]
            text += f" ({' to '.join(ends)})"
        if self.saving < 0 and self.needed.beyond != "≥":
            lost = "at least" if self.needed.beyond else "about"
            text += f"; transfer costs {lost} {-self.saving:,.0f} labels here"
        if self.low is None:
            text += f"; no interval with fewer than {MIN_PAIRS} pairs"
        return text


@dataclass(frozen=True)
class LabelCurve:
    """One arm's accuracy at each budget.

    Attributes:
        intervals: The mean and its interval at each budget.
        monotone: The isotonic fit at each budget.
        power_law: Fitted to the means.
    """

    intervals: tuple[Interval, ...]
    monotone: tuple[float, ...]
    power_law: PowerLaw


@dataclass(frozen=True)
class LabelWorth:
    """What transfer is worth in labels, at every budget.

    Attributes:
        budgets: Labels, rising.
        transfer: The curve with transfer.
        scratch: The curve from scratch.
        worths: The worth at each budget, by isotonic curves: the answer.
        by_power_law: The same by power laws, to be shown beside: where both differ, the shape of
            the curve matters and more budgets would help.
        pairs: How many independent rows stand behind it.
    """

    budgets: tuple[int, ...]
    transfer: LabelCurve
    scratch: LabelCurve
    worths: tuple[Worth, ...]
    by_power_law: tuple[Worth, ...]
    pairs: int


def worth_in_labels(
    budgets: Sequence[int],
    transfer: Sequence[ArrayLike],
    scratch: Sequence[ArrayLike],
    *,
    confidence: float = 0.95,
    resamples: int = 2_000,
    seed: int = 0,
    draws: ArrayLike | None = None,
    groups: ArrayLike | None = None,
) -> LabelWorth:
    """The labels that training from scratch needs for the accuracy that transfer has.

    No null hypothesis: estimates with intervals. Pairing: the same seeds, the same nested subsets
    and the same test pictures in both arms and at all budgets. Assumptions: rows are independent
    (each with its own seed and its own draw of the subset; rows that share a draw are named by
    `draws` and kept together), pictures too; more labels do not hurt in the long run (curves are
    fitted so that they never fall). Multiplicity: none; each budget's interval is its own.

    Both arms' means at all budgets are bootstrapped together over rows and pictures, with the
    covariance of the resamples set to the unbiased one of the two-way table and Student's
    tails, as for `compare_pairs`; curves are fitted anew to each resample and inverted. Worth
    beyond the budgets that were tried is told as "≥" or "≤", never extrapolated.

    Args:
        budgets: At least two, rising.
        transfer: For each budget the scores with transfer, shape (rows S, pictures n).
        scratch: The same from scratch, paired.
        confidence: Two-sided.
        resamples: Of the bootstrap.
        seed: Of the resamples.
        draws: The subset draw of each row, shape (S,), where rows share them.
        groups: The group of each picture, as for `compare_pairs`.

    Raises:
        RecordsError: If budgets do not rise, or scores are missing, unusable or not paired.
        StudyError: If a setting makes no sense.
    """
    checked_settings(confidence=confidence, resamples=resamples)
    tables = _checked_tables(budgets, transfer, scratch)
    axis = np.asarray(budgets, dtype=np.float64)
    means = np.array([table.mean() for table in tables])
    merged = [merge_groups(_merge_rows(table, draws), groups) for table in tables]
    rows = len(merged[0])
    resampled = None
    if rows >= MIN_PAIRS:
        resampled = _resampled_means(merged, resamples, seed)
    count = len(budgets)

    def curve(arm: Sequence[Scores]) -> LabelCurve:
        accuracy = np.array([table.mean() for table in arm])[:, None]
        floor, scale, exponent = (float(x[0]) for x in power_laws(axis, accuracy))
        return LabelCurve(
            intervals=tuple(
                mean_interval(_merge_rows(table, draws), confidence=confidence, groups=groups)
                for table in arm
            ),
            monotone=tuple(isotonic(accuracy)[:, 0].tolist()),
            power_law=PowerLaw(floor, scale, exponent),
        )

    return LabelWorth(
        budgets=tuple(int(budget) for budget in budgets),
        transfer=curve(tables[:count]),
        scratch=curve(tables[count:]),
        worths=_worths(axis, means, resampled, confidence, monotone_inverse),
        by_power_law=_worths(axis, means, resampled, confidence, power_inverse),
        pairs=rows,
    )


def check_nested(subsets: Sequence[ArrayLike]) -> None:
    """Refuse subsets of which a smaller one is not contained in the next larger one.

    Args:
        subsets: The picture numbers of each budget, smallest first.

    Raises:
        RecordsError: Naming each budget that is not nested in the next.
    """
    sets = [set(np.asarray(subset).tolist()) for subset in subsets]
    problems = [
        f"{len(inner - outer)} of the {len(inner)} labels of budget {len(inner)} are not in "
        f"budget {len(outer)}: budgets must be nested, or curves would mix in the draw's luck"
        for inner, outer in pairwise(sets)
        if not inner < outer
    ]
    if problems:
        raise RecordsError(*problems)


Inverse = Callable[[NDArray[np.float64], Curves, Curves], Curves]


def _worths(
    budgets: NDArray[np.float64],
    means: NDArray[np.float64],
    resampled: NDArray[np.float64] | None,
    confidence: float,
    inverse: Inverse,
) -> tuple[Worth, ...]:
    """The worth at each budget; `means` (2B,) and `resampled` (R, 2B): transfer, then scratch."""
    count = len(budgets)
    curves = means[:, None] if resampled is None else np.vstack([means, resampled]).T
    transfer, scratch = isotonic(curves[:count]), isotonic(curves[count:])
    tail = (1 - confidence) / 2
    worths = []
    for k, budget in enumerate(budgets):
        needed = inverse(budgets, scratch, transfer[k])
        ends: list[LabelCount | None] = [None, None]
        if resampled is not None:
            # order statistics, since infinities cannot be averaged
            ordered = np.sort(needed[1:])
            positions = [int(tail * len(ordered)), int(np.ceil((1 - tail) * len(ordered))) - 1]
            ends = [_label_count(ordered[position], budgets) for position in positions]
        worths.append(Worth(int(budget), _label_count(needed[0], budgets), ends[0], ends[1]))
    return tuple(worths)


def _label_count(labels: float, budgets: NDArray[np.float64]) -> LabelCount:
    if np.isinf(labels):
        return LabelCount(float(budgets[-1]), "≥")
    if labels == 0:
        return LabelCount(float(budgets[0]), "≤")
    return LabelCount(float(labels), "")


def _resampled_means(tables: Sequence[Scores], resamples: int, seed: int) -> NDArray[np.float64]:
    """Crossed bootstrap means of all tables together, their covariance put right; (R, tables).

    Each resample's deviation is mapped so that their covariance becomes the unbiased one, and
    stretched by one draw of Student's tails, √(ν/χ²_ν).
    """
    drawn = crossed_means_of_many(tables, resamples, seed)
    squares = mean_squares(*tables)
    deviations = drawn - drawn.mean(axis=0)
    mapping = _root(_covariance(squares)) @ _root(np.cov(deviations.T), inverse=True)
    count = len(tables) // 2
    gap = np.zeros(len(tables))
    gap[0], gap[count] = 1.0, -1.0
    degrees = squares.estimate(gap).degrees
    random = generator(seed, "label worth")
    stretch = np.sqrt(degrees / random.chisquare(degrees, (resamples, 1)))
    means: NDArray[np.float64] = squares.means + (deviations @ mapping.T) * stretch
    return means


def _covariance(squares: MeanSquares) -> NDArray[np.float64]:
    """The unbiased covariance of the means, its pictures' part without negative directions."""
    size = squares.n_seeds * squares.picture_gaps.shape[1]
    values, vectors = np.linalg.eigh(squares.pictures - squares.both)
    pictures = (vectors * np.maximum(values, 0.0)) @ vectors.T
    covariance: NDArray[np.float64] = (squares.seeds + pictures) / size
    return covariance


def _root(matrix: NDArray[np.float64], *, inverse: bool = False) -> NDArray[np.float64]:
    """The symmetric square root, or its inverse where there is anything to invert."""
    values, vectors = np.linalg.eigh(matrix)
    least = max(float(values.max()), 0.0) * 1e-10
    roots = np.sqrt(np.maximum(values, 0.0))
    if inverse:
        roots = np.where(values > least, 1 / np.where(values > least, roots, 1.0), 0.0)
    root: NDArray[np.float64] = (vectors * roots) @ vectors.T
    return root


def _merge_rows(table: Scores, draws: ArrayLike | None) -> Scores:
    """Rows that share a subset draw as one row each."""
    return table if draws is None else merge_groups(table.T, draws).T


def _checked_tables(
    budgets: Sequence[int], transfer: Sequence[ArrayLike], scratch: Sequence[ArrayLike]
) -> list[Scores]:
    """The tables of transfer, then of scratch, all of one shape."""
    problems = []
    if len(budgets) < 2 or any(b <= a for a, b in pairwise(budgets)):
        problems.append(f"budgets must be at least two, and rise; found {list(budgets)}")
    if budgets and min(budgets) < 1:
        problems.append(f"budgets must be at least 1 label, found {min(budgets)}")
    for name, arm in (("transfer", transfer), ("scratch", scratch)):
        if len(arm) != len(budgets):
            problems.append(f"{name} has scores for {len(arm)} of {len(budgets)} budgets")
    if problems:
        raise RecordsError(*problems)
    tables = [
        checked_scores(table, f"{name} at {budget} labels")
        for name, arm in (("transfer", transfer), ("scratch", scratch))
        for budget, table in zip(budgets, arm, strict=True)
    ]
    shapes = {table.shape for table in tables}
    if len(shapes) > 1:
        raise RecordsError(
            "both arms need the same seeds and test pictures at every budget, found shapes "
            f"{', '.join(map(str, sorted(shapes)))}; leave out seeds that are not everywhere"
        )
    return tables
