"""What a cross-validated study allows to be said: intervals over folds, corrected for sharing."""

from collections.abc import Mapping

import numpy as np

from headstart.errors import RecordsError
from headstart.report import words
from headstart.statistics.intervals import Interval
from headstart.statistics.metrics import MARGINS, METRICS, contributions
from headstart.statistics.paired import Comparison
from headstart.statistics.resampled import Resampling, compare_folds, mean_of_folds
from headstart.study.folds import FoldAnswers, FoldPairing
from headstart.study.results import StudyRecords


def compare(records: StudyRecords, pairing: FoldPairing, confidence: float) -> Comparison:
    """Two strategies over the folds that both have."""
    return compare_folds(
        pairing.a.accuracies,
        pairing.b.accuracies,
        _resampling(records),
        margin=records.study.study.margin,
        confidence=confidence,
    )


def mean(records: StudyRecords, answers: FoldAnswers, confidence: float) -> Interval:
    """A strategy's accuracy over its folds; no interval for a single fold."""
    if len(answers.seeds) < 2:
        return Interval(float(answers.accuracies.mean()), None, None)
    return mean_of_folds(answers.accuracies, _resampling(records), confidence=confidence)


def spread(answers: FoldAnswers) -> dict[str, float] | None:
    """The folds' standard deviation, beside what so few pictures a fold alone would give.

    If every fold had the same true accuracy p, the accuracy of a fold of n pictures would still
    move by √(p(1 − p)/n).
    """
    if len(answers.seeds) < 2:
        return None
    sizes = np.array([len(own) for own in answers.truths])
    share = float(np.average(answers.accuracies, weights=sizes))
    alone = float(np.sqrt(share * (1 - share) * np.mean(1 / sizes)))
    return {"observed": float(answers.accuracies.std(ddof=1)), "finite_test_set": alone}


def metrics(
    records: StudyRecords, pairing: FoldPairing, confidence: float
) -> dict[str, Mapping[str, float | None]]:
    """The difference in every other metric; one that a fold does not have is left out."""
    found: dict[str, Mapping[str, float | None]] = {}
    for metric in METRICS:
        if metric == "accuracy":
            continue
        try:
            a, b = (_by_fold(metric, own) for own in (pairing.a, pairing.b))
        except RecordsError:  # for example an area under the curve where a fold has one class
            continue
        result = compare_folds(
            a,
            b,
            _resampling(records),
            margin=MARGINS.get(metric, records.study.study.margin),
            confidence=confidence,
            metric=metric,
        )
        found[metric] = {
            "difference": result.difference,
            "low": result.low,
            "high": result.high,
        }
    return found


def described(records: StudyRecords) -> dict[str, int] | None:
    """The folds for the summary; None where there is one test split."""
    split = records.study.split
    if split.folds is None:
        return None
    return {"folds": split.folds, "repeats": split.repeats}


def split_words(folds: int, repeats: int) -> str:
    """How the pictures were dealt out, in words."""
    times = "" if repeats == 1 else f", dealt out {words.times(repeats)}"
    return (
        f"cross-validation over {folds} folds{times}: every picture is tested on once each time, "
        "by trials that were trained on the other folds; stratified, groups whole (splits.csv)"
    )


def _by_fold(metric: str, answers: FoldAnswers) -> list[float]:
    """A metric of each fold."""
    found = []
    for said, truth in zip(answers.probabilities, answers.truths, strict=True):
        exact = said.astype(np.float64)
        exact /= exact.sum(axis=1, keepdims=True)
        found.append(float(contributions(metric, exact[np.newaxis], truth).mean()))
    return found


def _resampling(records: StudyRecords) -> Resampling:
    assert records.resampling is not None  # there are no answers without it
    return records.resampling
