"""What each way to transfer is worth in labels, from a study's records."""

from dataclasses import asdict
from typing import Any

from headstart.data.tasks import Budget
from headstart.errors import StudyError
from headstart.statistics.label_value import LabelWorth, worth_in_labels
from headstart.study.results import Answers, StudyRecords


def label_worths(records: StudyRecords) -> dict[str, LabelWorth]:
    """The worth in labels of every strategy that transfers, by its name.

    The same seeds in both arms and at all budgets; seeds with a missing trial are left out.

    Raises:
        StudyError: If the study has fewer than two label budgets, or no `scratch` to measure by.
    """
    study = records.study
    scratch = [name for name, s in study.strategy.items() if not s.needs_source]
    budgets = _budgets(records)
    problems = []
    if len(budgets) < 2:
        problems.append(
            "worth in labels needs at least two label budgets: for example "
            'study.labels = [50, 200, "all"], or --labels 50,200,all'
        )
    if not scratch:
        problems.append("worth in labels is measured by training from scratch: add that strategy")
    if problems:
        raise StudyError(*problems)
    found = {}
    for name, strategy in study.strategy.items():
        if strategy.needs_source:
            worth = _worth(records, name, scratch[0], budgets)
            if worth is not None:
                found[name] = worth
    return found


def worths_summary(records: StudyRecords) -> list[dict[str, Any]]:
    """The worths for the summary; empty where the study has no two budgets, or no `scratch`.

    Returns:
        Each ``a`` (transfers), ``b`` (from scratch), ``at`` (labels), ``accuracy`` (of the curve
        that never falls), ``needed, low, high`` (each ``{labels, beyond}``, the last two None
        below 6 pairs), ``sentence``.
    """
    try:
        found = label_worths(records)
    except StudyError:
        return []
    scratch = next(name for name, s in records.study.strategy.items() if not s.needs_source)
    return [
        {
            "a": name,
            "b": scratch,
            "at": entry.at,
            "accuracy": accuracy,
            "needed": asdict(entry.needed),
            "low": entry.low and asdict(entry.low),
            "high": entry.high and asdict(entry.high),
            "sentence": entry.sentence(),
        }
        for name, worth in found.items()
        for entry, accuracy in zip(worth.worths, worth.transfer.monotone, strict=True)
    ]


def _worth(
    records: StudyRecords, name: str, scratch: str, budgets: dict[int, Budget]
) -> LabelWorth | None:
    arms = [
        [records.answers.get((arm, labels)) for labels in budgets.values()]
        for arm in (name, scratch)
    ]
    there = [answers for arm in arms for answers in arm if answers is not None]
    if len(there) < 2 * len(budgets):
        return None
    shared = sorted(set.intersection(*(set(answers.seeds) for answers in there)))
    if not shared:
        return None

    def tables(arm: list[Answers | None]) -> list[Answers]:
        return [answers.at(shared) for answers in arm if answers is not None]

    return worth_in_labels(
        list(budgets),
        [answers.correct for answers in tables(arms[0])],
        [answers.correct for answers in tables(arms[1])],
        confidence=records.confidence,
        groups=records.test_groups,
    )


def _budgets(records: StudyRecords) -> dict[int, Budget]:
    """The label budgets by their number of labels, rising; ``"all"`` counted for the first seed."""
    everything = sum(
        row[3] for row in records.class_counts if row[0] == "target" and row[1] == "train"
    )
    numbered = {
        everything if labels == "all" else labels: labels for labels in records.study.study.labels
    }
    return dict(sorted(numbered.items()))
