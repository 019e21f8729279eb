"""From a study's records to what its report shows."""

import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from headstart.report import cross_validation, words
from headstart.report.content import (
    COUNT_COLUMNS,
    CURVE_COLUMNS,
    SOURCE_COLUMNS,
    Confusion,
    Example,
    Mistake,
    ReportContent,
)
from headstart.study.results import StudyRecords


def report_content(records: StudyRecords, summary: dict[str, Any]) -> ReportContent:
    """Everything that the report of a study shows.

    Args:
        records: The study's records.
        summary: What `headstart.report.summary.summarise` made of them.
    """
    study = records.study
    return ReportContent(
        title=records.directory.name.replace("_", " ").replace("-", " "),
        question=study.question,
        generated=words.moment(time.time()),
        warnings=tuple(summary["warnings"]),
        summary=summary,
        trials=records.trials,
        curves=pd.DataFrame(records.curves, columns=list(CURVE_COLUMNS)),
        confusions=list(_confusions(records)),
        mistakes=_mistakes(records),
        examples=[Example(png, name) for _, png, name in records.examples],
        class_counts=pd.DataFrame(records.class_counts, columns=list(COUNT_COLUMNS)),
        sources=pd.DataFrame(list(records.sources.values()), columns=list(SOURCE_COLUMNS)),
        provenance={**records.provenance, "split": _split_words(records)},
        margin=study.study.margin,
        baseline=study.study.baseline,
    )


def _confusions(records: StudyRecords) -> Iterator[Confusion]:
    """How often each class was taken for each, a mean over seeds or over repeats."""
    for answers in records.answers.values():
        assert records.test_labels is not None
        told = answers.probabilities.argmax(axis=2)
        truths = np.broadcast_to(records.test_labels, told.shape)
        matrix = _counts(records, truths.ravel(), told.ravel()) / len(answers.seeds)
        yield Confusion(answers.strategy, answers.labels, records.class_names, matrix)
    for own in records.fold_answers.values():
        told = np.concatenate([said.argmax(axis=1) for said in own.probabilities])
        matrix = _counts(records, np.concatenate(own.truths), told) / records.study.split.repeats
        yield Confusion(own.strategy, own.labels, records.class_names, matrix)


def _counts(
    records: StudyRecords, truths: NDArray[np.int64], told: NDArray[np.int64]
) -> NDArray[np.int64]:
    """A row for each true class, a column for each that was told."""
    classes = len(records.class_names)
    cells = np.bincount(truths * classes + told, minlength=classes * classes)
    return cells.reshape(classes, classes).astype(np.int64)


def _mistakes(records: StudyRecords) -> list[Mistake]:
    found = []
    for place, png, truth in records.mistakes:
        told, true = _told_of(records, place)
        wrong = told[told != true]
        if wrong.size:
            said = Counter(wrong.tolist()).most_common(1)[0][0]
            share = wrong.size / len(told)
            found.append(Mistake(png, truth, records.class_names[said], share, len(told)))
    return found


def _told_of(records: StudyRecords, place: int) -> tuple[NDArray[np.int64], int]:
    """What every trial said of a test picture that was kept, and what it is.

    Args:
        records: The study's records.
        place: Its place in the test split; its row in the image set where folds are tested on.
    """
    told: list[int] = []
    truth = -1
    for answers in records.answers.values():
        assert records.test_labels is not None
        truth = int(records.test_labels[place])
        told += answers.probabilities[:, place].argmax(axis=1).tolist()
    for own in records.fold_answers.values():
        for rows, truths, said in zip(own.pictures, own.truths, own.probabilities, strict=True):
            for n in np.flatnonzero(rows == place):
                truth = int(truths[n])
                told.append(int(said[n].argmax()))
    return np.array(told, dtype=np.int64), truth


def _split_words(records: StudyRecords) -> str:
    split = records.study.split
    if split.folds is not None:
        return cross_validation.split_words(split.folds, split.repeats)
    if split.order == "stored":
        return "cut at stored row numbers, the same for every seed (splits.csv)"
    return "stratified; train and valid drawn anew for every seed, one test split (splits.csv)"
