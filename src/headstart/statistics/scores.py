"""Scores as the statistics take them: one row a seed, one column a test picture.

Everything that can be wrong with them is told here, once, before anything is computed.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headstart.errors import RecordsError, StudyError

Scores = NDArray[np.float64]


def checked_scores(scores: ArrayLike, name: str = "scores") -> Scores:
    """The scores as float64, shape (seeds S ≥ 1, pictures n ≥ 2).

    Raises:
        RecordsError: If they are not a table of finite numbers of that shape.
    """
    problems = _score_problems(scores, name)
    if problems:
        raise RecordsError(*problems)
    return np.asarray(scores, dtype=np.float64)


def checked_pair(a: ArrayLike, b: ArrayLike) -> tuple[Scores, Scores]:
    """Two tables of scores that are paired by row (seed) and column (test picture).

    Raises:
        RecordsError: If one is unusable, or their shapes differ, so that they cannot be pairs.
    """
    problems = [*_score_problems(a, "a"), *_score_problems(b, "b")]
    if not problems and np.shape(a) != np.shape(b):
        problems.append(
            f"a has shape {np.shape(a)} and b has shape {np.shape(b)} (seeds, pictures): a paired "
            "comparison needs the same seeds on the same test pictures; drop the seeds that only "
            "one of them has"
        )
    if problems:
        raise RecordsError(*problems)
    return np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)


def checked_settings(
    *, confidence: float | None = None, margin: float | None = None, resamples: int | None = None
) -> None:
    """Refuse settings that no statistic can be computed with.

    Raises:
        StudyError: With one line for each.
    """
    problems = []
    if confidence is not None and not 0.5 <= confidence < 1:
        problems.append(f"confidence must be in [0.5, 1), for example 0.95, not {confidence}")
    if margin is not None and not (margin >= 0 and np.isfinite(margin)):
        problems.append(
            f"margin must be 0 or more, as a fraction (0.005 is half a point), not {margin}"
        )
    if resamples is not None and resamples < 100:
        problems.append(f"resamples must be at least 100, for example 10000, not {resamples}")
    if problems:
        raise StudyError(*problems)


def merge_groups(scores: Scores, groups: ArrayLike | None) -> Scores:
    """Pictures that belong together (one patient, one scene, near duplicates) as one column each.

    A column of the result is the mean plus the group's summed deviations from it, so the mean of
    the table is unchanged and its spread over columns is that of the mean under resampling whole
    groups, also when their sizes differ (the linearised ratio estimator, Cochran 1977, §11).

    Args:
        scores: Shape (S, n).
        groups: The group of each picture, shape (n,); None when each stands alone.

    Returns:
        Shape (S, number of groups).

    Raises:
        RecordsError: If `groups` has another length, or names fewer than two groups.
    """
    if groups is None:
        return scores
    names, index = np.unique(np.asarray(groups), return_inverse=True)
    if np.shape(groups) != scores.shape[1:] or len(names) < 2:
        raise RecordsError(
            f"groups must name a group for each of the {scores.shape[1]} pictures, and at least "
            f"two different ones; it has shape {np.shape(groups)} and {len(names)} different names"
        )
    mean = scores.mean()
    deviations = np.stack(
        [np.bincount(index, weights=row - mean, minlength=len(names)) for row in scores]
    )
    merged: Scores = mean + deviations * (len(names) / scores.shape[1])
    return merged


def _score_problems(scores: ArrayLike, name: str) -> list[str]:
    try:
        table = np.asarray(scores, dtype=np.float64)
    except (TypeError, ValueError):
        return [f"{name} must be a table of numbers, shape (seeds, pictures)"]
    if table.ndim != 2 or table.shape[0] < 1 or table.shape[1] < 2:
        return [
            f"{name} must have shape (seeds, pictures) with at least 1 seed and 2 pictures, "
            f"not {table.shape}"
        ]
    broken = np.flatnonzero(~np.isfinite(table).all(axis=1))
    if len(broken):
        return [
            f"{name} holds scores that are not numbers (NaN or infinite) in "
            f"{len(broken)} of {len(table)} seeds (rows {', '.join(map(str, broken[:5]))}"
            f"{', …' if len(broken) > 5 else ''}): leave failed trials out, in both arms"
        ]
    return []
