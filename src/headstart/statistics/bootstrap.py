"""The crossed bootstrap: seeds and test pictures drawn anew, independently of each other.

One resample draws S seeds and n pictures with replacement; a cell's weight is the product of how
often its seed and its picture came. As weights on a table (S, n) that is two matrix products.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from headstart.seeding import generator
from headstart.statistics.scores import Scores
from headstart.statistics.special import ndtri
from headstart.statistics.variance import Estimate

CHUNK_CELLS = 4_000_000
"""How many picture weights are held at once (float32, so 16 MB)."""


def seed_weights(resamples: int, count: int, random: np.random.Generator) -> NDArray[np.float64]:
    """How often each of `count` units came, divided by `count`; shape (resamples, count)."""
    drawn = random.multinomial(count, np.full(count, 1 / count), size=resamples)
    weights: NDArray[np.float64] = drawn / count
    return weights


def picture_weights(resamples: int, count: int, random: np.random.Generator) -> NDArray[np.float32]:
    """The same for many units; counting drawn numbers is faster there than a multinomial."""
    drawn = random.integers(0, count, (resamples, count), dtype=np.int32)
    drawn += (np.arange(resamples, dtype=np.int32) * count)[:, None]
    times = np.bincount(drawn.ravel(), minlength=resamples * count)
    return times.reshape(resamples, count).astype(np.float32) / np.float32(count)


def crossed_means(scores: Scores, resamples: int, seed: int) -> NDArray[np.float64]:
    """The means of `resamples` crossed bootstrap samples of a table (S, n); shape (resamples,).

    As they stand these are *not* a sampling distribution: their variance is about
    σ²_seeds/S + σ²_pictures/n + 3σ²_both/(S·n) times (1 − 1/S) in its first part, too wide where
    "both" rules and too narrow for few seeds (Owen 2007). `calibrated_interval` mends that.
    """
    return crossed_means_of_many([scores], resamples, seed)[:, 0]


def crossed_means_of_many(
    tables: Sequence[Scores], resamples: int, seed: int
) -> NDArray[np.float64]:
    """The same for several tables (S, n) that share seeds and pictures; (resamples, tables).

    Every resample draws the same seeds and pictures for all tables, so they stay paired.
    """
    s, n = tables[0].shape
    random = generator(seed, "crossed bootstrap")
    by_seed = seed_weights(resamples, s, random)
    centres = np.array([table.mean() for table in tables])
    stacked = np.concatenate(
        [table - centre for table, centre in zip(tables, centres, strict=True)]
    )
    columns = np.ascontiguousarray(stacked.T, dtype=np.float32)
    means = np.empty((resamples, len(tables)))
    chunk = max(1, CHUNK_CELLS // n)
    for start in range(0, resamples, chunk):
        rows = slice(start, min(start + chunk, resamples))
        by_picture = picture_weights(rows.stop - rows.start, n, random) @ columns
        cells = by_picture.reshape(-1, len(tables), s)
        means[rows] = np.einsum("rs,rts->rt", by_seed[rows], cells)
    means += centres
    return means


def calibrated_interval(
    estimate: Estimate, resampled: NDArray[np.float64], confidence: float
) -> tuple[float, float]:
    """The bootstrap's interval with its shape kept and its width put right.

    The percentile interval's two arms are stretched by one factor: (unbiased standard error ÷
    bootstrap's standard deviation) × (t quantile ÷ normal quantile). The shape is taken at 95% or
    less; further out there are too few resamples to see one.
    """
    tail = max((1 - confidence) / 2, 0.025)
    spread = float(resampled.std())
    if spread <= 1e-12:
        half = estimate.half_width(confidence)
        return estimate.mean - half, estimate.mean + half
    low, high = np.quantile(resampled, [tail, 1 - tail]) - estimate.mean
    stretch = estimate.half_width(confidence) / (spread * -float(ndtri(tail)))
    return estimate.mean + stretch * float(low), estimate.mean + stretch * float(high)
