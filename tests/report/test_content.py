"""The report's content: read, ordered, refused when incomplete."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from headstart.errors import RecordsError
from headstart.report.content import ReportContent, budget, finite


def test_all_that_is_missing_is_told_at_once(content: ReportContent) -> None:
    with pytest.raises(RecordsError) as told:
        replace(
            content,
            trials=content.trials.drop(columns=["seed", "state"]),
            curves=content.curves.drop(columns="phase"),
            summary={"strategies": [], "comparisons": [{"verdict": "wonderful"}]},
        )
    assert told.value.problems == (
        "the report cannot be drawn: trials lacks the columns seed, state",
        "the report cannot be drawn: curves lacks the column phase",
        "the report cannot be drawn: the summary has no 'test_reads': write the study's summary "
        "again",
        "the report cannot be drawn: unknown verdict 'wonderful', expected one of better, worse, "
        "equivalent, undecided",
    )


def test_budgets_are_read_from_numbers_and_texts() -> None:
    assert [budget(value) for value in (50, "50", 50.0, np.int64(50), "all", " all ")] == [
        50,
        50,
        50,
        50,
        "all",
        "all",
    ]
    with pytest.raises(RecordsError, match="'many' is not a label budget, expected a whole number"):
        budget("many")


def test_strategies_and_budgets_have_one_order(content: ReportContent) -> None:
    turned = replace(content, baseline="fine_tune")
    assert turned.strategies == ("fine_tune", "scratch", "frozen")
    assert content.budgets == (50, "all")
    summary = dict(content.summary, strategies=content.summary["strategies"][::-1])
    ordered = [(r.labels, r.name) for r in replace(content, summary=summary).results]
    assert ordered == [
        (50, "scratch"),
        (50, "fine_tune"),
        (50, "frozen"),
        ("all", "scratch"),
        ("all", "fine_tune"),
        ("all", "frozen"),
    ]


def test_a_strategy_with_failed_trials_only_is_not_forgotten(content: ReportContent) -> None:
    extra = content.trials.iloc[[0]].assign(strategy="doomed", state="failed")
    trials = pd.concat([content.trials, extra], ignore_index=True)
    assert replace(content, trials=trials).strategies[-1] == "doomed"


def test_accuracies_are_by_seed_and_of_finished_trials(content: ReportContent) -> None:
    trials = content.trials.copy()
    trials["labels"] = trials["labels"].astype(str)
    trials.loc[0, "test_accuracy"] = np.nan
    own = replace(content, trials=trials).accuracies("scratch", 50)
    assert list(own.index) == list(range(1, 10))
    expected = content.trials.query("strategy == 'scratch' and labels == 50")["test_accuracy"]
    assert list(own) == list(expected)[1:]
    assert len(content.accuracies("scratch", 99)) == 0


def test_numbers_that_are_none() -> None:
    missing = (None, float("nan"), float("inf"), "x", pd.NA)
    assert [finite(value) for value in missing] == [None] * 5
    assert finite(np.float32(0.5)) == 0.5


def test_the_training_pictures_are_those_of_the_target(content: ReportContent) -> None:
    assert content.training_pictures == 1250
    assert replace(content, class_counts=content.class_counts.iloc[:0]).training_pictures is None
