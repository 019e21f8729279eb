"""Where the spread of a mean over seeds × test pictures comes from.

The model is the crossed one: ``score[s, i] = mean + seed[s] + picture[i] + both[s, i]``. A mean
over S seeds and n pictures then has variance

    V = σ²_seeds / S + σ²_pictures / n + σ²_both / (S·n),

and the three mean squares of a two-way table estimate it without bias:
``V = (MS_seeds + MS_pictures − MS_both) / (S·n)``. Seeds are the trials' luck; pictures are the
luck of which pictures came into the test split, and more seeds do nothing about that part.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headstart.statistics.scores import Scores
from headstart.statistics.special import stdtr, stdtrit

TINY = 1e-24
"""A mean square below this is rounding, not variance."""


def t_quantile(alpha: float, degrees: float) -> float:
    """What |t| exceeds with a chance of α (``scipy.stats.t.isf(α/2, degrees)``, 400 times faster).

    Intervals found by search ask for it thousands of times.
    """
    return -float(stdtrit(degrees, alpha / 2))


@dataclass(frozen=True)
class VarianceSplit:
    """The three variances behind a mean over seeds × pictures.

    Attributes:
        seeds: σ²_seeds, how much one seed differs from another, on every picture alike.
        pictures: σ²_pictures, how much one picture differs from another, in every seed alike.
        both: σ²_both, what belongs to one seed on one picture.
        n_seeds: S, the seeds these were estimated from.
        n_pictures: n, the pictures (or groups of pictures).
    """

    seeds: float
    pictures: float
    both: float
    n_seeds: int
    n_pictures: int

    def variance(self, seeds: float | None = None, pictures: float | None = None) -> float:
        """The variance of a mean over so many seeds and pictures; without: those at hand."""
        s = self.n_seeds if seeds is None else seeds
        n = self.n_pictures if pictures is None else pictures
        return self.seeds / s + self.pictures / n + self.both / (s * n)

    @property
    def shares(self) -> dict[str, float]:
        """How much of the present variance is due to "seeds", "pictures", "both"; sums to 1.

        What more seeds can remove is "seeds" and "both", what more pictures can remove is
        "pictures" and "both". All are 0 when nothing varies at all.
        """
        s, n = self.n_seeds, self.n_pictures
        parts = {
            "seeds": self.seeds / s,
            "pictures": self.pictures / n,
            "both": self.both / (s * n),
        }
        total = sum(parts.values())
        return {name: part / total if total > 0 else 0.0 for name, part in parts.items()}


@dataclass(frozen=True)
class Estimate:
    """A mean with its standard error and the degrees of freedom of that.

    Attributes:
        mean: The mean over seeds and pictures.
        standard_error: The square root of its estimated variance.
        degrees: Satterthwaite's degrees of freedom of that variance.
    """

    mean: float
    standard_error: float
    degrees: float

    def half_width(self, confidence: float) -> float:
        """Half the length of the two-sided t interval."""
        return self.reach(1 - confidence)

    def reach(self, alpha: float) -> float:
        """The same by the chance α to miss, which may be far below what 1 − α can tell from 1."""
        return t_quantile(alpha, self.degrees) * self.standard_error

    def p_value(self, value: float = 0.0) -> float:
        """Two-sided p of the null hypothesis that the true mean is `value` (t test)."""
        gap = abs(self.mean - value)
        if self.standard_error == 0:
            return 1.0 if gap == 0 else 0.0
        return float(2 * stdtr(self.degrees, -gap / self.standard_error))

    def p_equivalence(self, margin: float) -> float:
        """The larger p of two one-sided t tests (TOST, Schuirmann 1987).

        Null hypothesis: the true mean is at least `margin` away from zero.
        """
        room = margin - abs(self.mean)
        if self.standard_error == 0:
            return 0.0 if room > 0 else 1.0
        return float(stdtr(self.degrees, -room / self.standard_error))


@dataclass(frozen=True)
class MeanSquares:
    """The mean squares of tables (S, n), or their cross products for several tables at once.

    Each is a matrix (k, k) for k tables: ``w @ seeds @ w`` is the mean square of the table
    ``Σ w[j]·table[j]``, so contrasts and ratios need no second pass over the data.

    Attributes:
        seeds: Between seeds, S − 1 degrees of freedom.
        pictures: Between pictures, n − 1 degrees of freedom.
        both: The rest, (S − 1)(n − 1) degrees of freedom.
        picture_gaps: Each picture's mean over seeds, less the mean; shape (k, n).
        means: Shape (k,).
        n_seeds: S.
    """

    seeds: NDArray[np.float64]
    pictures: NDArray[np.float64]
    both: NDArray[np.float64]
    picture_gaps: NDArray[np.float64]
    means: NDArray[np.float64]
    n_seeds: int

    def estimate(self, weights: NDArray[np.float64]) -> Estimate:
        """The mean of ``Σ weights[j]·table[j]``, its standard error and degrees of freedom.

        Four choices beyond the textbook, each made because simulations with known truth asked
        for it (docs/statistics.md):

        - a negative estimate of σ²_pictures counts as none, so V never falls below the paired
          t test's over seeds;
        - the degrees of freedom use max(MS_seeds, MS_both), which have the same expectation when
          seeds do not differ: a MS_seeds that is small by luck must not pass for certainty;
        - where few pictures carry the difference, their variance is itself a guess. Its part is
          raised by 1 + 2/m, with m = (Σg²)²/Σg⁴ the effective number of pictures that carry it
          (g the pictures' gaps): as if two more such pictures had been seen, one for each side
          (for S = 1 and 0/1 scores nearly the interval of Bonett and Price 2012);
        - where nothing varies at all, those two pictures are all the variance there is, 2/n²;
          nor is it less where seeds agree to the picture in how many they gain, not in which.
        """
        s, n = self.n_seeds, self.picture_gaps.shape[1]
        ms_seeds, ms_pictures, ms_both = (
            max(float(weights @ square @ weights), 0.0)
            for square in (self.seeds, self.pictures, self.both)
        )
        mean = float(weights @ self.means)
        if max(ms_seeds, ms_pictures, ms_both) < TINY:
            return Estimate(mean, float(np.sqrt(2)) / n, float(n - 1))
        squares = (weights @ self.picture_gaps) ** 2
        raised = 1 + 2 * float(squares @ squares) / max(float(squares.sum()) ** 2, TINY)
        between_pictures = max(ms_pictures - ms_both, 0.0)
        variance = (ms_seeds + between_pictures * raised) / (s * n)
        if ms_seeds < TINY:
            variance = max(variance, 2 / n**2)
        steady = max(ms_seeds, ms_both)
        rest = (s - 1) * (n - 1)
        spread = steady**2 / (s - 1) + ms_pictures**2 / (n - 1) + ms_both**2 / rest
        degrees = (steady + between_pictures) ** 2 / spread
        return Estimate(mean, float(np.sqrt(variance)), degrees)


def mean_squares(*tables: Scores) -> MeanSquares:
    """Mean squares and cross products of tables (S, n) with S ≥ 2 and n ≥ 2."""
    s, n = tables[0].shape
    means = np.array([table.mean() for table in tables])
    rows = np.stack([table.mean(axis=1) for table in tables])
    columns = np.stack([table.mean(axis=0) for table in tables])
    row_gaps = rows - means[:, None]
    column_gaps = columns - means[:, None]
    ss_seeds = n * row_gaps @ row_gaps.T
    ss_pictures = s * column_gaps @ column_gaps.T
    flat = [(table - mean).ravel() for table, mean in zip(tables, means, strict=True)]
    total = np.array([[x @ y for y in flat] for x in flat])
    return MeanSquares(
        seeds=ss_seeds / (s - 1),
        pictures=ss_pictures / (n - 1),
        both=(total - ss_seeds - ss_pictures) / ((s - 1) * (n - 1)),
        picture_gaps=column_gaps,
        means=means,
        n_seeds=s,
    )


def variance_split(scores: Scores) -> VarianceSplit:
    """The variances due to seeds, pictures and both, from a table (S, n) with S ≥ 2.

    Estimates below zero, which chance makes where there is nothing, are told as zero.
    """
    squares = mean_squares(scores)
    s, n = scores.shape
    ms_seeds, ms_pictures, ms_both = (
        float(square[0, 0]) for square in (squares.seeds, squares.pictures, squares.both)
    )
    return VarianceSplit(
        seeds=max(ms_seeds - ms_both, 0.0) / n,
        pictures=max(ms_pictures - ms_both, 0.0) / s,
        both=max(ms_both, 0.0),
        n_seeds=s,
        n_pictures=n,
    )


def estimate_mean(scores: Scores) -> Estimate:
    """The mean of a table (S, n) with S ≥ 2, its standard error and degrees of freedom."""
    return mean_squares(scores).estimate(np.ones(1))
