"""What the report warns of before anything else."""

from collections.abc import Callable
from pathlib import Path

import pytest

from headstart.data.image_set import ImageSet
from headstart.report.from_records import report_content
from headstart.report.summary import summarise
from headstart.study.compare import train_and_score
from headstart.study.folder import study_folder
from headstart.study.spec import Study

Make = Callable[..., Study]


def warnings_of(study: Study, images: ImageSet, folder: Path) -> tuple[str, ...]:
    with study_folder(folder, fresh=False) as held:
        records = train_and_score(study, held, images=images, jobs=1)
    return report_content(records, summarise(records)).warnings


def test_a_source_that_learned_little_is_told_with_its_accuracy_beside_chance(
    small_study: Make, digits: ImageSet, folder: Path
) -> None:
    study = small_study(source={"training": {"lr": 1e-6}}, study={"seeds": 1, "labels": ["all"]})
    (warning,) = warnings_of(study, digits, folder)
    assert "The source knows little of its own task" in warning
    assert "always naming the commonest class" in warning


def test_a_source_that_learned_is_not_warned_of(
    small_study: Make, digits: ImageSet, folder: Path
) -> None:
    study = small_study(source={"training": {"epochs": 30}}, study={"seeds": 1, "labels": ["all"]})
    assert warnings_of(study, digits, folder) == ()


def test_what_was_warned_of_before_training_is_told_at_the_end_too(
    small_study: Make, digits: ImageSet, folder: Path
) -> None:
    layers = [{"conv": 2}, {"batch_norm": True}, {"dense": 4}]
    study = small_study(
        network={"kind": "cnn", "layers": layers},
        training={"epochs": 1, "batch_size": 60},
        strategy={"scratch": {}, "scratch_again": {}},
        source=None,
        study={"seeds": 1, "labels": [60]},
    )
    with pytest.warns(UserWarning, match="running statistics") as caught:
        said = warnings_of(study, digits, folder)
    assert said == (f"{caught[0].message}.",)


def test_failed_trials_are_counted(small_study: Make, digits: ImageSet, folder: Path) -> None:
    study = small_study(
        strategy={"scratch": {}, "frozen": {"lr": 1e38}},
        source={"training": {"epochs": 30}},
        study={"seeds": 1, "labels": ["all"]},
    )
    (warning,) = warnings_of(study, digits, folder)
    assert warning.startswith("1 of 2 trials failed")
