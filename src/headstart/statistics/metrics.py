"""Other metrics under the same paired statistics.

Every metric is written as the mean of one number a picture. For accuracy and log loss those are
the scores themselves. Metrics that are ratios or ranks are made linear around their value: a
picture's number is the metric plus the picture's influence on it (the infinitesimal jackknife; for
AUC these are DeLong's placements, 1988). The mean is the metric exactly, and its spread over
seeds and pictures is that of the metric under the crossed bootstrap, to first order.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headstart.errors import RecordsError, StudyError, nearest
from headstart.statistics.paired import LOWER_IS_BETTER, Comparison, compare_pairs
from headstart.statistics.scores import Scores

Labels = NDArray[np.int64]

ECE_BINS = 15
MARGINS = {"log_loss": 0.01}
"""Margins where half a point makes no sense; all others default to 0.005."""


def compare_metric(
    metric: str,
    probabilities_a: ArrayLike,
    probabilities_b: ArrayLike,
    labels: ArrayLike,
    *,
    margin: float | None = None,
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
    groups: ArrayLike | None = None,
) -> Comparison:
    """Compare two strategies by another metric, from their predicted probabilities.

    Null hypothesis, pairing, assumptions and multiplicity: as `compare_pairs`; beside those, that
    there are enough pictures (of each class) for the metric to be nearly linear in them. `ece`
    is biased upwards for few pictures, alike in both arms.

    Args:
        metric: ``accuracy``, ``balanced_accuracy``, ``f1_macro``, ``roc_auc``, ``log_loss``,
            ``ece``.
        probabilities_a: Shape (seeds S, pictures n, classes C), rows summing to one.
        probabilities_b: The same for the baseline.
        labels: The true classes, shape (n,), in 0 … C − 1.
        margin: Differences up to this do not matter; 0.005, or 0.01 for the log loss.
        confidence: Of the two-sided interval.
        resamples: Of the crossed bootstrap.
        seed: Of the resamples.
        groups: As for `compare_pairs`.

    Returns:
        As `compare_pairs`; `difference` is metric of a less metric of b, and `verdict` knows
        that a smaller log loss or calibration error is better.

    Raises:
        StudyError: If there is no such metric.
        RecordsError: If probabilities or labels are not usable.
    """
    a = contributions(metric, probabilities_a, labels)
    b = contributions(metric, probabilities_b, labels)
    comparison = compare_pairs(
        a,
        b,
        margin=MARGINS.get(metric, 0.005) if margin is None else margin,
        confidence=confidence,
        resamples=resamples,
        seed=seed,
        groups=groups,
    )
    verdict = comparison.verdict
    if metric in LOWER_IS_BETTER and verdict in ("better", "worse"):
        verdict = "worse" if verdict == "better" else "better"
    absent = _absent_classes(probabilities_a, labels)
    notes = [comparison.note] if comparison.note else []
    if absent and metric in ("balanced_accuracy", "roc_auc", "f1_macro"):
        notes.append(f"no test picture of class {', '.join(map(str, absent))}: left out")
    return replace(comparison, metric=metric, verdict=verdict, note="; ".join(notes))


def contributions(metric: str, probabilities: ArrayLike, labels: ArrayLike) -> Scores:
    """One number a seed and picture, whose mean over a row is that seed's metric.

    Args:
        metric: A name of `METRICS`.
        probabilities: Shape (S, n, C), rows summing to one.
        labels: Shape (n,), in 0 … C − 1.

    Returns:
        Shape (S, n).

    Raises:
        StudyError: If there is no such metric.
        RecordsError: If probabilities or labels are not usable.
    """
    if metric not in METRICS:
        raise StudyError(f"there is no metric {metric!r}: {nearest(metric, METRICS)}")
    p, y = _checked(probabilities, labels)
    if metric == "roc_auc" and len(np.unique(y)) < 2:
        raise RecordsError("roc_auc needs test pictures of at least two classes, found one")
    return METRICS[metric](p, y)


def _accuracy(p: Scores, y: Labels) -> Scores:
    return np.asarray(p.argmax(axis=2) == y, dtype=np.float64)


def _balanced_accuracy(p: Scores, y: Labels) -> Scores:
    """Mean over the classes that are there of the share found."""
    correct = _accuracy(p, y)
    classes, counts = np.unique(y, return_counts=True)
    influence = np.zeros_like(correct)
    metric = np.zeros((len(p), 1))
    for label, count in zip(classes, counts, strict=True):
        there = y == label
        recall = correct[:, there].mean(axis=1, keepdims=True)
        metric += recall / len(classes)
        influence[:, there] = (correct[:, there] - recall) * (len(y) / (len(classes) * count))
    return metric + influence


def _f1_macro(p: Scores, y: Labels) -> Scores:
    """Mean over the classes that are true or predicted of 2·hits / (predicted + true)."""
    predicted = p.argmax(axis=2)
    result = np.zeros(predicted.shape)
    for row, guess in enumerate(predicted):
        classes = np.union1d(y, guess)
        for label in classes:
            there, said = y == label, guess == label
            either = (there.astype(float) + said) / 2
            f1 = float((there & said).mean() / either.mean())
            result[row] += (f1 + ((there & said) - f1 * either) / either.mean()) / len(classes)
    return result


def _roc_auc(p: Scores, y: Labels) -> Scores:
    """Area under the ROC curve; for more than two classes the mean of one against the rest."""
    classes = np.unique(y)
    ranked = classes[-1:] if p.shape[2] == 2 else classes
    result = np.zeros(p.shape[:2])
    for label in ranked:
        there = y == label
        scores = p[:, :, label]
        n_in, n_out = int(there.sum()), int((~there).sum())
        ranks = _ranks(scores)
        placements = np.empty_like(scores)
        within = _ranks(scores[:, there])
        placements[:, there] = (ranks[:, there] - within) / n_out
        within = _ranks(scores[:, ~there])
        placements[:, ~there] = 1 - (ranks[:, ~there] - within) / n_in
        auc = placements[:, there].mean(axis=1, keepdims=True)
        weight = np.where(there, len(y) / n_in, len(y) / n_out)
        result += (auc + weight * (placements - auc)) / len(ranked)
    return result


def _ranks(scores: Scores) -> Scores:
    """Places in rising order, from 1 and row by row; equal scores share the mean of theirs.

    `scipy.stats.rankdata`, whose package takes half a second to load.
    """
    order = scores.argsort(axis=1, kind="stable")
    sorted_ = np.take_along_axis(scores, order, axis=1)
    result = np.empty(scores.shape)
    for row, places in enumerate(order):
        starts = np.flatnonzero(np.diff(sorted_[row], prepend=np.nan) != 0)
        ends = np.append(starts[1:], len(places))
        result[row, places] = np.repeat((starts + 1 + ends) / 2, ends - starts)
    return result


def _log_loss(p: Scores, y: Labels) -> Scores:
    """Minus the logarithm of the true class's probability, clipped as scikit-learn does."""
    true = p[:, np.arange(len(y)), y]
    loss: Scores = -np.log(np.clip(true, np.finfo(np.float64).eps, 1.0))
    return loss


def _ece(p: Scores, y: Labels) -> Scores:
    """Expected calibration error over 15 equal bins of the highest probability."""
    confidence = p.max(axis=2)
    gap = confidence - _accuracy(p, y)
    bins = np.minimum((confidence * ECE_BINS).astype(np.int64), ECE_BINS - 1)
    result: Scores = np.empty_like(gap)
    for row in range(len(p)):
        total = np.bincount(bins[row], weights=gap[row], minlength=ECE_BINS)
        result[row] = np.sign(total)[bins[row]] * gap[row]
    return result


METRICS: Mapping[str, Callable[[Scores, Labels], Scores]] = {
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced_accuracy,
    "ece": _ece,
    "f1_macro": _f1_macro,
    "log_loss": _log_loss,
    "roc_auc": _roc_auc,
}


def _checked(probabilities: ArrayLike, labels: ArrayLike) -> tuple[Scores, Labels]:
    p, y = np.asarray(probabilities, dtype=np.float64), np.asarray(labels)
    if p.ndim != 3 or p.shape[0] < 1 or p.shape[1] < 2 or p.shape[2] < 2:
        raise RecordsError(
            f"probabilities must have shape (seeds, pictures, classes ≥ 2), not {p.shape}"
        )
    problems = []
    if y.shape != p.shape[1:2] or not np.issubdtype(y.dtype, np.integer):
        problems.append(
            f"labels must be whole numbers, one for each of the {p.shape[1]} pictures, "
            f"not {y.dtype} of shape {y.shape}"
        )
    elif y.min() < 0 or y.max() >= p.shape[2]:
        problems.append(
            f"labels must be in 0 … {p.shape[2] - 1}, found {int(y.min())} … {int(y.max())}"
        )
    if not np.isfinite(p).all():
        rows = np.flatnonzero(~np.isfinite(p).all(axis=(1, 2)))
        problems.append(
            f"probabilities are not numbers (NaN or infinite) in {len(rows)} of {len(p)} seeds: "
            "leave failed trials out, in both arms"
        )
    elif p.min() < 0 or np.abs(p.sum(axis=2) - 1).max() > 1e-3:
        problems.append("probabilities must be at least 0 and sum to 1 over the classes")
    if problems:
        raise RecordsError(*problems)
    return p, y.astype(np.int64)


def _absent_classes(probabilities: ArrayLike, labels: ArrayLike) -> list[int]:
    there = set(np.unique(np.asarray(labels)).tolist())
    return [label for label in range(np.shape(probabilities)[2]) if label not in there]
