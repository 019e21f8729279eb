"""Gates before the test split: little is told, it holds, and nothing else leaks."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart.data.image_set import ImageSet
from headstart.errors import RecordsError, StudyError
from headstart.report.from_records import report_content
from headstart.report.page import render
from headstart.report.results import Results
from headstart.statistics.access import Ladder, transcript_alpha
from headstart.statistics.intervals import interval_at_level
from headstart.study.records import Records, TrialKey
from headstart.study.spec import Study

Make = Callable[..., Study]
Compare = Callable[..., Results]

STRATEGIES: dict[str, dict[str, Any]] = {
    "scratch": {"lr": 0.01, "epochs": 1},
    "hopeless": {"kind": "scratch", "lr": 1e-6, "epochs": 1},
    "longer": {"kind": "scratch", "lr": 0.3, "epochs": 3},
}


@pytest.fixture
def attempt(
    small_study: Make, digits: ImageSet, folder: Path, compare: Compare
) -> Callable[..., Results]:
    """Compare so many of the strategies; each further one is a reading beyond the budget."""

    def go(count: int, gate: str, seeds: int = 6) -> Results:
        study = small_study(
            split={"valid": 0.2, "test": 0.3},
            source=None,
            strategy=dict(list(STRATEGIES.items())[:count]),
            study={"seeds": seeds, "labels": ["all"], "test_read_gate": gate},
        )
        return compare(study, folder, images=digits)

    return go


def told(results: Results) -> set[str]:
    """The strategies of which any test accuracy is told."""
    scored = results.records.trials.dropna(subset=["test_accuracy"])
    return set(scored["strategy"])


def correct(folder: Path, strategy: str, seeds: int = 6) -> np.ndarray:
    records = Records.open(folder, create=False)
    try:
        truth = records.test_labels()
        return np.array(
            [
                records.probabilities(TrialKey(strategy, seed, "all"), "test").argmax(axis=1)
                == truth
                for seed in range(seeds)
            ]
        )
    finally:
        records.close()


def test_the_ladder_tells_only_what_is_clearly_better(
    attempt: Callable[..., Results], folder: Path
) -> None:
    attempt(1, "ladder")
    second = attempt(2, "ladder")
    assert told(second) == {"scratch"}
    (hopeless,) = second.summary["gate"]["tries"]
    assert (hopeless["answer"], hopeless["heard"]) == (None, False)
    assert hopeless["sentence"] == "hopeless, all labels: no better than the best so far"
    assert second.summary["gate"]["statements"] == []

    third = attempt(3, "ladder")

    assert told(third) == {"scratch"}
    assert [
        entry["name"] for entry in third.summary["strategies"] if entry["accuracy"]["mean"]
    ] == ["scratch"]
    assert third.summary["comparisons"] == []
    longer = third.summary["gate"]["tries"][1]
    tables = [correct(folder, name) for name in ("scratch", "longer")]
    reference = Ladder().climb(tables[0]).climb(tables[1])
    assert longer["answer"] == reference.told
    (statement,) = third.summary["gate"]["statements"]
    alpha = transcript_alpha(2, 1, max(1001, tables[0].shape[1] + 1))
    assert statement["alpha"] == pytest.approx(alpha)
    interval = interval_at_level(tables[1], alpha)
    assert (statement["low"], statement["high"]) == pytest.approx((interval.low, interval.high))
    assert statement["difference"] == pytest.approx(tables[1].mean() - tables[0].mean())
    assert (
        "which holds however it was found, after 2 tries through the ladder"
        in (statement["sentence"])
    )


def test_nothing_of_what_was_tried_is_anywhere_else(
    attempt: Callable[..., Results], folder: Path
) -> None:
    attempt(1, "ladder")
    results = attempt(3, "ladder")

    content = report_content(results.records, results.summary)
    assert {confusion.strategy for confusion in content.confusions} == {"scratch"}
    assert all(mistake.trials == 6 for mistake in content.mistakes)
    page = render(content)
    assert "What was tried after the budget was spent" in page
    assert "The test split was read 2 times, beyond its budget of 1: the tries beyond" in page
    assert results.summary["confidence"] == pytest.approx(0.95)
    hidden = f"{correct(folder, 'hopeless').mean():.6f}"
    assert hidden not in json.dumps(results.summary)


def test_what_was_tried_is_not_asked_again(attempt: Callable[..., Results]) -> None:
    attempt(1, "ladder")
    attempt(2, "ladder")
    again = attempt(2, "ladder")
    assert len(again.records.test_reads) == 2
    assert len(again.summary["gate"]["tries"]) == 1


def test_thresholdout_repeats_validation_and_counts_its_statements(
    attempt: Callable[..., Results],
) -> None:
    attempt(1, "thresholdout")
    results = attempt(3, "thresholdout")

    longer = results.summary["gate"]["tries"][1]
    validation = results.records.trials.query("strategy == 'longer'")["val_accuracy"].mean()
    assert longer["heard"] is False
    assert longer["answer"] == pytest.approx(validation, abs=1e-3)
    assert "which the test ones do not contradict" in longer["sentence"]
    (statement,) = results.summary["gate"]["statements"]
    assert statement["strategy"] == "longer"
    assert statement["low"] < validation < statement["high"]
    assert told(results) == {"scratch"}


def test_a_gate_cannot_be_changed_for_another(attempt: Callable[..., Results]) -> None:
    attempt(1, "ladder")
    attempt(2, "ladder")
    with pytest.raises(RecordsError, match="asked through the ladder before"):
        attempt(3, "thresholdout")
    with pytest.raises(RecordsError, match="asked through the ladder before"):
        attempt(3, "count")


def test_a_gate_and_folds_go_not_together(small_study: Make) -> None:
    with pytest.raises(StudyError, match="a gate needs one test split"):
        small_study(
            split={"folds": 3, "test": None, "valid": 0.2},
            study={"test_read_gate": "ladder", "labels": ["all"], "seeds": 3},
        )
