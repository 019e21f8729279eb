"""Simulations of cross-validation: two rules of equal worth, compared over shared pictures."""

from functools import partial

import numpy as np
from numpy.typing import NDArray

from headstart.statistics.resampled import Resampling, compare_folds
from headstart.statistics.simulations.tallies import Cell, Outcome
from headstart.statistics.variance import t_quantile


def fold_cells(rounds: tuple[tuple[int, int], ...], pictures: tuple[int, ...]) -> list[Cell]:
    """False claims and coverage over folds.

    Args:
        rounds: Pairs (folds, repeats).
        pictures: Sizes of the whole set.
    """
    return [
        Cell(
            {"folds": folds, "repeats": repeats, "pictures": n},
            partial(_compare, folds, repeats, n),
        )
        for folds, repeats in rounds
        for n in pictures
    ]


def _compare(folds: int, repeats: int, pictures: int, random: np.random.Generator) -> Outcome:
    """Each rule reads the sign of one of two equally telling features, from a learned threshold."""
    labels = random.choice([-1.0, 1.0], pictures)
    features = 0.5 * labels[:, None] + random.standard_normal((pictures, 2))
    scores = np.array(
        [
            _accuracies(labels, features, place == fold)
            for place in (random.permutation(pictures) % folds for _ in range(repeats))
            for fold in range(folds)
        ]
    )
    size = pictures / folds
    resampling = Resampling(train=round(pictures - size), test=size, pictures=pictures)
    result = compare_folds(scores[:, 0], scores[:, 1], resampling)
    gaps = scores[:, 0] - scores[:, 1]
    reach = t_quantile(0.05, len(gaps) - 1) * float(gaps.std(ddof=1)) / np.sqrt(len(gaps))
    assert result.low is not None
    assert result.high is not None
    return {
        "false claims": result.verdict in ("better", "worse"),
        "covered": result.low <= 0 <= result.high,
        "false claims, plain t over folds": abs(float(gaps.mean())) > reach,
    }


def _accuracies(
    labels: NDArray[np.float64], features: NDArray[np.float64], tested: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Both rules' accuracy on the pictures tested, learned from the others."""
    bars = features[~tested].mean(axis=0)
    told = np.sign(features[tested] - bars)
    return np.asarray((told == labels[tested, None]).mean(axis=0))
