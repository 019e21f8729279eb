"""Worth in labels from a study's records."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from headstart.errors import StudyError
from headstart.report.label_worth import label_worths, worths_summary
from headstart.study.results import StudyRecords

MakeRecords = Callable[..., StudyRecords]

ACCURACY = {
    ("scratch", 50): 0.6,
    ("scratch", 100): 0.7,
    ("scratch", "all"): 0.8,
    ("frozen", 50): 0.7,
    ("frozen", 100): 0.75,
    ("frozen", "all"): 0.76,
}


def answers(
    accuracy: Mapping[tuple[str, Any], float], seeds: int = 6
) -> dict[tuple[str, Any], NDArray[np.bool_]]:
    """Answers with exactly these accuracies in every seed."""
    hardness = (np.arange(400) + 0.5) / 400
    return {key: np.tile(hardness < own, (seeds, 1)) for key, own in accuracy.items()}


def test_the_worth_is_where_scratch_reaches_the_same(made_records: MakeRecords) -> None:
    worths = label_worths(made_records(answers(ACCURACY), training=200))

    (worth,) = worths.values()
    assert worth.budgets == (50, 100, 200)
    assert worth.worths[0].needed.labels == pytest.approx(100)
    assert worth.worths[0].multiplier == pytest.approx(2)
    assert worth.worths[1].needed.labels == pytest.approx(100 * 2**0.5, rel=0.06)
    assert worth.worths[2].saving < 0
    assert "transfer costs" in worth.worths[2].sentence()


def test_what_lies_beyond_the_budgets_is_a_bound(made_records: MakeRecords) -> None:
    strong = ACCURACY | {("frozen", 50): 0.9, ("frozen", 100): 0.92, ("frozen", "all"): 0.95}
    (worth,) = label_worths(made_records(answers(strong))).values()
    assert [entry.needed.beyond for entry in worth.worths] == ["≥"] * 3
    assert "at least 200 from scratch: ≥ ×4" in worth.worths[0].sentence()


def test_a_seed_that_is_not_everywhere_is_left_out(made_records: MakeRecords) -> None:
    arms = answers(ACCURACY, seeds=8)
    arms["frozen", 100] = arms["frozen", 100][:7]
    records = made_records(arms, seeds={("frozen", 100): [0, 1, 2, 4, 5, 6, 7]})
    (worth,) = label_worths(records).values()
    assert worth.pairs == 7


def test_one_budget_and_no_scratch_are_both_told(made_records: MakeRecords) -> None:
    arms = answers({("frozen", 50): 0.7, ("other", 50): 0.6})
    records = made_records(arms, baseline="other")
    with pytest.raises(StudyError) as caught:
        label_worths(records)
    text = str(caught.value)
    assert "at least two label budgets" in text
    assert "--labels 50,200,all" in text
    assert "measured by training from scratch" in text
    assert worths_summary(records) == []


def test_budgets_that_mean_one_number_of_labels_are_one(made_records: MakeRecords) -> None:
    arms = answers({key: own for key, own in ACCURACY.items() if key[1] != 50})
    with pytest.raises(StudyError, match="at least two label budgets"):
        label_worths(made_records(arms, training=100))


def test_the_summary_holds_the_same_numbers(made_records: MakeRecords) -> None:
    records = made_records(answers(ACCURACY))
    (worth,) = label_worths(records).values()
    entries = worths_summary(records)
    assert [(entry["a"], entry["b"], entry["at"]) for entry in entries] == [
        ("frozen", "scratch", at) for at in (50, 100, 200)
    ]
    for entry, own in zip(entries, worth.worths, strict=True):
        assert entry["needed"] == {"labels": own.needed.labels, "beyond": own.needed.beyond}
        assert entry["sentence"] == own.sentence()
    assert [entry["accuracy"] for entry in entries] == pytest.approx([0.7, 0.75, 0.76])
