"""``freeze_depth = "auto"`` in a study: chosen on validation, and the luck of that told."""

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart.console import print_results
from headstart.data.image_set import ImageSet
from headstart.report.choosing import chosen_in_trials
from headstart.report.from_records import report_content
from headstart.report.page import render
from headstart.report.results import Results
from headstart.statistics.selection import best_of
from headstart.study.records import TrialKey
from headstart.study.results import StudyRecords
from headstart.study.spec import Study
from headstart.study.workplace import Workplace
from headstart.training.choice import Choice

Make = Callable[..., Study]
Compare = Callable[..., Results]


@pytest.fixture(scope="module")
def results(
    small_study: Make, compare: Compare, digits: ImageSet, tmp_path_factory: Any
) -> Results:
    study = small_study(
        strategy={
            "frozen": {},
            "deep": {"kind": "fine_tune", "freeze_depth": "auto"},
            "none": {"kind": "fine_tune", "freeze_depth": 0},
        },
        study={"seeds": 3, "labels": [60], "baseline": "frozen"},
    )
    return compare(study, tmp_path_factory.mktemp("depth") / "answers", images=digits)


def test_what_was_kept_is_the_trial(results: Results) -> None:
    """Its parameters, its accuracy and its predictions are those of the depth that was kept."""
    records = results.records
    rows = {(row["strategy"], row["seed"]): row for row in records.rows}
    inputs, first, second = 64, 16, 8
    head = 3 * second + 3
    learning = [head, head + first * second + second]
    learning.append(learning[-1] + inputs * first + first)
    assert set(records.choices) == {TrialKey("deep", seed, 60) for seed in range(3)}
    for key, choice in records.choices.items():
        row = rows["deep", key.seed]
        assert choice.candidates == tuple(f"{n} of 2 groups frozen" for n in (2, 1, 0))
        assert row["trainable_parameters"] == learning[choice.chosen]
        assert row["val_accuracy"] == pytest.approx(choice.correct.mean(axis=1).max())
        place = records.validation[60]
        of_seed = len(place.pictures) // 3
        correct = place.correct[place.strategies.index("deep")]
        part = slice(key.seed * of_seed, (key.seed + 1) * of_seed)
        assert np.array_equal(correct[part], choice.correct[choice.chosen])
    assert rows["none", 0]["trainable_parameters"] == learning[-1]


def given(images: ImageSet) -> ImageSet:
    return images


def test_features_are_shared_without_changing_what_is_kept(
    small_study: Make, digits: ImageSet, tmp_path: Path
) -> None:
    study = small_study(strategy={"deep": {"kind": "fine_tune", "freeze_depth": "auto"}})
    planned = Workplace(study, partial(given, digits), tmp_path)
    planned.train_source(0)
    key = TrialKey("deep", 0, 60)
    ours, alone = planned.fit_trial(key), dataclasses.replace(planned, naive=True).fit_trial(key)
    assert ours.choice is not None
    assert alone.choice is not None
    assert ours.choice.name == alone.choice.name
    np.testing.assert_allclose(ours.test_probabilities, alone.test_probabilities, atol=1e-4)


def test_the_luck_of_the_choice_is_taken_off_each_seeds_estimate(results: Results) -> None:
    (told,) = results.summary["choices"]
    choices = list(results.records.choices.values())
    corrected = [best_of(choice.correct).estimate for choice in choices]
    assert told["estimate"] == pytest.approx(np.mean(corrected))
    assert told["deviation"] == pytest.approx(np.std(corrected, ddof=1))
    assert told["uncorrected"] > told["estimate"]
    assert sum(told["kept"].values()) == told["seeds"] == 3
    assert told["sentence"].startswith("deep kept, by validation accuracy: ")
    assert "once the luck of the choice is taken off" in told["sentence"]
    (best,) = results.summary["best"]  # of strategies, one of which had chosen before
    assert best["sentence"].endswith("kept by these very pictures is still in it")


def test_it_is_shown(results: Results, capsys: pytest.CaptureFixture[str]) -> None:
    print_results(results)
    (told,) = results.summary["choices"]
    assert told["sentence"].split(":")[0] in capsys.readouterr().out
    page = render(report_content(results.records, results.summary))
    assert f"With 60 labels, {told['sentence']}." in page


def test_with_fewer_than_ten_pictures_nothing_is_corrected(
    made_records: Callable[..., StudyRecords],
) -> None:
    correct = np.ones((2, 20), dtype=bool)
    few = Choice(("1 of 1 groups frozen", "0 of 1 groups frozen"), 0, correct[:, :9])
    records = made_records(
        {("scratch", 50): correct, ("deep", 50): correct},
        changes={"choices": {TrialKey("deep", 0, 50): few}},
    )
    (told,) = chosen_in_trials(records)
    assert told["estimate"] is None
    assert told["deviation"] is None
    assert told["sentence"].endswith("1 of 1 groups frozen in 1 seed")
