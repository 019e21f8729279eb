"""From a study's records to what its report shows."""

import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from headstart.report.content import (
    COUNT_COLUMNS,
    CURVE_COLUMNS,
    SOURCE_COLUMNS,
    Confusion,
    Example,
    Mistake,
    ReportContent,
)
from headstart.study.results import Answers, StudyRecords

# A source that tells its classes apart less well than this far from chance to perfect has hardly
# learned: what is transferred from it is mostly its random start.
_LEARNED_SHARE = 0.6


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
        generated=time.strftime("%Y-%m-%d %H:%M"),
        warnings=tuple(_warnings(records)),
        summary=summary,
        trials=records.trials,
        curves=pd.DataFrame(records.curves, columns=list(CURVE_COLUMNS)),
        confusions=[_confusion(records, answers) for answers in records.answers.values()],
        mistakes=_mistakes(records),
        examples=[Example(png, name) for _, png, name in records.examples],
        class_counts=pd.DataFrame(records.class_counts, columns=list(COUNT_COLUMNS)),
        sources=pd.DataFrame(list(records.sources.values()), columns=list(SOURCE_COLUMNS)),
        provenance={**records.provenance, "split": _split_words(records)},
        margin=study.study.margin,
        baseline=study.study.baseline,
    )


def _warnings(records: StudyRecords) -> Iterator[str]:
    """What a reader must know before anything else."""
    source_classes = {row[2] for row in records.class_counts if row[0] == "source"}
    reached = [row["val_accuracy"] for row in records.sources.values()]
    if source_classes and reached:
        counts = [row[3] for row in records.class_counts if row[:2] == ("source", "valid")]
        chance = max(counts) / max(1, sum(counts))
        worst = min(reached)
        if worst - chance < _LEARNED_SHARE * (1 - chance):
            yield (
                f"The source knows little of its own task: its validation accuracy is "
                f"{100 * worst:.1f}% in its worst seed, where always naming the commonest class "
                f"gives {100 * chance:.1f}%. What is transferred is in good part its random start: "
                "train it longer, or with a higher rate."
            )
    waiting = [row for row in records.rows if row["state"] in ("waiting", "running")]
    if waiting:
        yield (
            f"The study was interrupted: {len(waiting)} of {len(records.rows)} trials have not "
            "been trained yet. Compare it again, and it goes on where it stopped."
        )
    failed = [row for row in records.rows if row["state"] == "failed"]
    if failed:
        yield (
            f"{len(failed)} of {len(records.rows)} trials failed and are missing from the "
            "comparisons; their reasons are below."
        )


def _confusion(records: StudyRecords, answers: Answers) -> Confusion:
    assert records.test_labels is not None
    classes = len(records.class_names)
    predicted = answers.probabilities.argmax(axis=2)
    cells = records.test_labels[np.newaxis, :] * classes + predicted
    counts = np.bincount(cells.ravel(), minlength=classes * classes).reshape(classes, classes)
    matrix = counts / len(answers.seeds)
    return Confusion(answers.strategy, answers.labels, records.class_names, matrix)


def _mistakes(records: StudyRecords) -> list[Mistake]:
    everything = list(records.answers.values())
    if not everything or records.test_labels is None:
        return []
    predicted = np.concatenate([answers.probabilities.argmax(axis=2) for answers in everything])
    found = []
    for place, png, truth in records.mistakes:
        wrong = predicted[:, place][predicted[:, place] != records.test_labels[place]]
        if wrong.size:
            said = Counter(wrong.tolist()).most_common(1)[0][0]
            share = wrong.size / len(predicted)
            found.append(Mistake(png, truth, records.class_names[said], share, len(predicted)))
    return found


def _split_words(records: StudyRecords) -> str:
    if records.study.split.order == "stored":
        return "cut at stored row numbers, the same for every seed (splits.csv)"
    return "stratified; train and valid drawn anew for every seed, one test split (splits.csv)"
