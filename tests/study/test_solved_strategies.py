"""Solved heads in whole studies: records, features shared, budgets, and what is refused."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from headstart.data.image_set import ImageSet
from headstart.errors import StudyError
from headstart.report.results import Results
from headstart.study.records import Records, TrialKey
from headstart.study.spec import Study, parse_study, study_from
from headstart.study.workplace import Workplace

SOLVED: dict[str, dict[str, Any]] = {
    "probe": {"penalties": [0.01, 0.1, 1.0]},
    "ridge": {},
    "lda": {},
    "nearest_mean": {},
    "knn": {},
}
Make = Callable[..., Study]


def test_a_study_of_solved_heads_is_recorded_as_any_other(
    compare: Callable[..., Results],
    small_study: Make,
    folder: Path,
    digits: ImageSet,
    fingerprint: Any,
) -> None:
    study = small_study(
        strategy={"scratch": {}, **SOLVED, "lp_ft": {"penalties": [0.1], "epochs": 1}},
        study={"seeds": 1, "labels": [60]},
    )
    compare(study, folder, images=digits)
    with closing(Records.open(folder, create=False)) as records:
        rows = records.trials()
    assert {row["state"] for row in rows} == {"complete"}
    trained = {row["strategy"]: row["trainable_parameters"] for row in rows}
    assert trained["knn"] == 0
    assert all(trained[name] == 8 * 3 + 3 for name in SOLVED if name != "knn")
    solved = [row for row in rows if row["strategy"] in SOLVED]
    assert {(row["epochs"], row["steps"]) for row in solved} == {(1, 0)}
    assert min(row["test_accuracy"] for row in solved) > 0.6
    again = folder.with_name("again")
    compare(study, again, images=digits)
    assert fingerprint(again) == fingerprint(folder)


def test_kept_features_give_what_pictures_give(
    small_study: Make, folder: Path, digits: ImageSet
) -> None:
    study = small_study(strategy={"scratch": {}, **SOLVED})
    said: dict[bool, list[Any]] = {}
    for naive in (False, True):
        workplace = Workplace(study, lambda: digits, folder / str(naive), naive)
        workplace.train_source(0)
        keys = [TrialKey(name, 0, 60) for name in SOLVED]
        said[naive] = [workplace.fit_trial(key).test_probabilities for key in keys]
    for kept, whole in zip(said[False], said[True], strict=True):
        np.testing.assert_allclose(kept, whole, atol=1e-3)


def test_only_the_budgets_pictures_are_remembered(
    small_study: Make, folder: Path, digits: ImageSet
) -> None:
    """Neighbours say what scikit-learn's say that know the budget's pictures alone."""
    study = small_study(
        strategy={"knn": {"neighbours": [1]}}, study={"baseline": "knn", "labels": [12]}
    )
    workplace = Workplace(study, lambda: digits, folder)
    workplace.train_source(0)
    outcome = workplace.fit_trial(TrialKey("knn", 0, 12))
    task = workplace.task(0)
    network = workplace.start(task, 0, workplace.plan("knn", workplace.making))
    rows = task.budget_rows(12, 0)
    assert len(rows) == 12

    def features(part: Any) -> Any:
        batches = workplace._batches(part, 0, network)
        return np.concatenate(
            [network.body(inputs).detach().numpy() for inputs, _ in batches.in_order()]
        )

    examples = task.examples(rows)
    reference = KNeighborsClassifier(1).fit(features(examples), examples.labels)
    right = reference.predict(features(task.valid))
    assert outcome.val_probabilities.argmax(axis=1).tolist() == right.tolist()


def test_hidden_layers_are_refused_before_anything_trains(
    compare: Callable[..., Results], small_study: Make, folder: Path, digits: ImageSet
) -> None:
    study = small_study(
        head={"hidden": [5]}, strategy={"scratch": {}, "probe": {}, "near": {"kind": "knn"}}
    )
    with pytest.raises(StudyError) as caught:
        compare(study, folder, images=digits)
    assert [problem.split(":")[0] for problem in caught.value.problems] == [
        "strategy.probe",
        "strategy.near",
    ]
    assert "takes a head of one linear layer" in caught.value.problems[0]


TEXT = """
[source]
[network]
kind = "mlp"
hidden = [4]
[training]
lr = 0.5
epochs = 3
augment = "light"
[strategy.scratch]
[strategy.probe]
penalties = [0.1, 1]
[strategy.mine]
kind = "lda"
"""


def test_training_defaults_do_not_reach_what_is_solved() -> None:
    study = parse_study(TEXT)
    assert study.strategy["scratch"].lr == 0.5
    assert study.strategy["probe"].lr == study.strategy["mine"].lr == 0.001
    assert study_from(study.model_dump(mode="json")) == study


def test_a_training_key_in_its_own_table_is_refused() -> None:
    with pytest.raises(StudyError) as caught:
        parse_study(TEXT.replace("penalties = [0.1, 1]", "lr = 0.2"), "study.toml")
    assert caught.value.problems == (
        "study.toml:11: strategy.probe: lr has no effect in probe, whose head is solved and not "
        "trained: leave it out",
    )
