"""Choosing the best of several and still telling the truth about it.

The best of K equal configurations looks better than it is: the largest of K lucky draws. The
bootstrap can replay the choice: choose on the rows that were drawn, score the winner on the rows
that were not (BBC-CV: Tsamardinos, Greasidou and Borboudakis 2018).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headstart.errors import RecordsError
from headstart.seeding import generator
from headstart.statistics.scores import Scores, checked_settings

CHUNK_CELLS = 4_000_000

BAG = 2
"""Rows drawn for each replay of the choice, in multiples of the rows there are.

An ordinary bag (1) holds 63% of the rows, so the replayed choice is worse than the real one and the
estimate up to 0.3 standard errors too low where configurations differ by about their own error. A
bag of twice the size holds 86%; then it is at most 0.2 (docs/statistics.md).
"""


@dataclass(frozen=True)
class Selection:
    """The winner, and how good it is once its luck is taken off.

    Attributes:
        winner: Row of the configuration with the best mean.
        estimate: Its score, corrected for having been chosen.
        standard_error: Of a mean over these rows, from the winner's scores.
        low: Lower end of the interval: the percentiles of the replayed choices' scores, which
            are rather too wide, since each is scored on 37% of the rows.
        high: Upper end.
        uncorrected: Its mean as it stands, which is too good.
        configurations: K, how many there were to choose from.
        share_won: How often each configuration won a resample, shape (K,); near 1/K for all
            means that the choice was mostly luck.
    """

    winner: int
    estimate: float
    standard_error: float
    low: float
    high: float
    uncorrected: float
    configurations: int
    share_won: tuple[float, ...]

    @property
    def luck(self) -> float:
        """How much too good the uncorrected score is."""
        return self.uncorrected - self.estimate


def best_of(
    scores: ArrayLike,
    *,
    confidence: float = 0.95,
    resamples: int = 2_000,
    seed: int = 0,
    groups: ArrayLike | None = None,
) -> Selection:
    """The best of K configurations and its corrected score (BBC-CV).

    No null hypothesis: an estimate with its interval. Pairing: all configurations on the same
    rows. Assumptions: rows (or the groups that `groups` names) are independent, and each score is
    out of sample: the configuration did not learn from that row (validation pictures, or
    out-of-fold predictions). Multiplicity: the choice among the K is what is corrected; choices
    made before, on the same rows, are not. Never hand in scores of the test split.

    Beyond the paper, the estimate's replays draw twice as many rows as there are, see `BAG`; the
    interval is the paper's, the percentiles of ordinary replays.

    Args:
        scores: 1 where right, 0 where wrong, or any score of which more is better; shape
            (configurations K, rows N).
        confidence: Two-sided, of the interval.
        resamples: Bootstrap samples of rows.
        seed: Of the resamples.
        groups: The group of each row, shape (N,); a group is drawn as a whole.

    Raises:
        RecordsError: If scores are not a table of finite numbers, or rows are too few.
        StudyError: If a setting makes no sense.
    """
    checked_settings(confidence=confidence, resamples=resamples)
    table = np.asarray(scores, dtype=np.float64)
    if table.ndim != 2 or min(table.shape) < 1 or not np.isfinite(table).all():
        raise RecordsError(
            "scores must be finite numbers of shape (configurations, out-of-sample rows), "
            f"found shape {table.shape}"
        )
    sums, sizes = _units(table, groups)
    if len(sizes) < 10:
        raise RecordsError(f"{len(sizes)} independent rows are too few to choose on; at least 10")
    means = table.mean(axis=1)
    won, hits, rows = _replay(sums, sizes, resamples, BAG, generator(seed, "best of"))
    _, ordinary, left_out = _replay(sums, sizes, resamples, 1, generator(seed, "its interval"))
    tail = (1 - confidence) / 2
    low, high = np.quantile(ordinary / left_out, [tail, 1 - tail])
    winner = int(means.argmax())
    gaps = sums[:, winner] - means[winner] * sizes
    # a winner without a single error is no certainty: see `variance.MeanSquares.estimate`
    error = float(np.sqrt(gaps @ gaps)) / table.shape[1] or float(np.sqrt(2)) / len(sizes)
    return Selection(
        winner=winner,
        estimate=float(hits.sum() / rows.sum()),
        standard_error=error,
        low=float(low),
        high=float(high),
        uncorrected=float(means[winner]),
        configurations=len(table),
        share_won=tuple((np.bincount(won, minlength=len(table)) / resamples).tolist()),
    )


def _units(table: Scores, groups: ArrayLike | None) -> tuple[Scores, NDArray[np.float64]]:
    """Sums of scores for each independent unit, shape (units, K), and the units' sizes."""
    if groups is None:
        return np.ascontiguousarray(table.T), np.ones(table.shape[1])
    if np.shape(groups) != table.shape[1:]:
        raise RecordsError(
            f"groups must name a group for each of the {table.shape[1]} rows, "
            f"found shape {np.shape(groups)}"
        )
    names, index = np.unique(np.asarray(groups), return_inverse=True)
    sums, sizes = np.zeros((len(names), len(table))), np.zeros(len(names))
    np.add.at(sums, index, table.T)
    np.add.at(sizes, index, 1.0)
    return sums, sizes


def _replay(
    sums: Scores,
    sizes: NDArray[np.float64],
    resamples: int,
    bag: int,
    random: np.random.Generator,
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Who won each resample, and the winner's summed score and rows among what was left out."""
    units = len(sizes)
    won = np.empty(resamples, dtype=np.int64)
    outside, rows = np.empty(resamples), np.empty(resamples)
    chunk = max(1, CHUNK_CELLS // (units * bag))
    for start in range(0, resamples, chunk):
        size = min(chunk, resamples - start)
        drawn = random.integers(0, units, (size, bag * units)) + np.arange(size)[:, None] * units
        times = np.bincount(drawn.ravel(), minlength=size * units).reshape(size, units)
        inside = (times @ sums) / (times @ sizes)[:, None]
        best = inside.argmax(axis=1)
        left_out = (times == 0).astype(np.float64)
        won[start : start + size] = best
        outside[start : start + size] = (left_out @ sums)[np.arange(size), best]
        # nothing at all is left out about once in a thousand bags of ten units
        rows[start : start + size] = np.maximum(left_out @ sizes, 1e-12)
    return won, outside, rows
