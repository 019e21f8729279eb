"""The summary: what a study's records allow to be said, as the plain data of `summary.json`."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from headstart.data.tasks import Budget
from headstart.statistics.intervals import mean_interval
from headstart.statistics.paired import Comparison, compare_pairs
from headstart.study.results import Answers, StudyRecords


def summarise(records: StudyRecords) -> dict[str, Any]:
    """The summary of a study.

    Returns:
        ``question``; ``strategies``, each ``name, labels, trials, accuracy {mean, low, high},
        trainable_parameters, fit_seconds`` (trials that ended well; accuracy with its 95%
        interval over new seeds and new test pictures; seconds are the median);
        ``comparisons`` with the baseline, each ``a, b, labels, pairs, difference, low, high,
        p_value, relative_error_reduction, verdict, sentence, note``; ``test_reads``. Accuracies
        and differences are shares; numbers that cannot be had are None.
    """
    study = records.study
    return {
        "question": study.question,
        "strategies": [
            _strategy(records, name, labels)
            for labels in study.study.labels
            for name in study.strategy
        ],
        "comparisons": [_comparison(*pair) for pair in comparisons(records)],
        "test_reads": len(records.test_reads),
    }


def comparisons(records: StudyRecords) -> Iterator[tuple[Answers, Answers, Comparison]]:
    """Every strategy paired with the baseline at every label budget, over the seeds both have."""
    settings = records.study.study
    for labels in settings.labels:
        baseline = records.answers.get((settings.baseline, labels))
        for name in records.study.strategy:
            other = records.answers.get((name, labels))
            if name == settings.baseline or baseline is None or other is None:
                continue
            shared = sorted(set(baseline.seeds) & set(other.seeds))
            if shared:
                result = compare_pairs(
                    other.correct[_places(other, shared)],
                    baseline.correct[_places(baseline, shared)],
                    margin=settings.margin,
                )
                yield other, baseline, result


def _places(answers: Answers, seeds: list[int]) -> list[int]:
    return [answers.seeds.index(seed) for seed in seeds]


def _strategy(records: StudyRecords, name: str, labels: Budget) -> dict[str, Any]:
    answers = records.answers.get((name, labels))
    rows = [
        row
        for row in records.rows
        if (row["strategy"], row["labels"], row["state"]) == (name, str(labels), "complete")
    ]
    interval = mean_interval(answers.correct) if answers is not None else None
    return {
        "name": name,
        "labels": labels,
        "trials": len(rows),
        "accuracy": {
            "mean": interval and interval.mean,
            "low": interval and interval.low,
            "high": interval and interval.high,
        },
        "trainable_parameters": rows[0]["trainable_parameters"] if rows else None,
        "fit_seconds": float(np.median([row["fit_seconds"] for row in rows])) if rows else None,
    }


def _comparison(a: Answers, b: Answers, result: Comparison) -> dict[str, Any]:
    reduction = result.relative_error_reduction
    told = None
    if reduction.value is not None:
        told = {"value": reduction.value, "low": reduction.low, "high": reduction.high}
    return {
        "a": a.strategy,
        "b": b.strategy,
        "labels": a.labels,
        "pairs": result.pairs,
        "difference": result.difference,
        "low": result.low,
        "high": result.high,
        "p_value": result.p_value,
        "relative_error_reduction": told,
        "verdict": result.verdict,
        "sentence": result.sentence(a.strategy, b.strategy),
        "note": result.note,
    }
