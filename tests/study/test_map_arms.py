"""The arms of a map: what they copy, from whom, and what they share."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from headstart.data.image_set import ImageSet
from headstart.errors import StudyError
from headstart.report.results import Results
from headstart.study.records import TrialKey
from headstart.study.spec import Study
from headstart.study.workplace import Workplace

Make = Callable[..., Study]
ARMS: dict[str, dict[str, Any]] = {
    "scratch": {},
    "again": {"kind": "scratch_again"},
    "A1B": {"kind": "lower_groups", "copied": 1},
    "B1B": {"kind": "own_lower_groups", "copied": 1},
    "B2B+": {"kind": "own_lower_groups", "copied": 2, "thaw": True},
}


def given(images: ImageSet) -> ImageSet:
    return images


@pytest.fixture
def place(small_study: Make, digits: ImageSet, folder: Path) -> Workplace:
    study = small_study(strategy=ARMS, training={"epochs": 1}, study={"labels": [60, "all"]})
    return Workplace(study, partial(given, digits), folder)


def own_files(place: Workplace) -> list[Path]:
    return sorted((place.directory / "sources").glob("own-*.safetensors"))


def start(place: Workplace, arm: str, labels: int | str = 60) -> dict[str, torch.Tensor]:
    network = place.start(place.task(0), 0, place.plan(arm, place.making), labels)  # type: ignore[arg-type]
    return network.state_dict()


def test_the_own_source_is_the_null_arms_network(place: Workplace) -> None:
    place.fit_trial(TrialKey("B1B", 0, 60))
    (file,) = own_files(place)
    own, scratch = load_file(file), place.trained(TrialKey("scratch", 0, 60)).state_dict()
    for name, value in place.trained(TrialKey("again", 0, 60)).state_dict().items():
        torch.testing.assert_close(own[name], value, rtol=1e-3, atol=1e-5)
        assert not torch.allclose(own[name], scratch[name], rtol=1e-2, atol=1e-3)


def test_what_is_copied_is_the_sources_and_all_else_starts_as_from_scratch(
    place: Workplace,
) -> None:
    place.train_source(0)
    scratch, source = (
        start(place, "scratch"),
        load_file(place.directory / "sources/seed-0.safetensors"),
    )
    copied = start(place, "A1B")
    own_copied = {name: start(place, name) for name in ("B1B", "B2B+")}
    own = load_file(own_files(place)[0])
    for key, fresh in scratch.items():
        assert torch.equal(copied[key], (source if "dense_1" in key else scratch)[key]), key
        assert torch.equal(own_copied["B1B"][key], own[key] if "dense_1" in key else fresh), key
        assert torch.equal(own_copied["B2B+"][key], fresh if "head" in key else own[key]), key
    assert not torch.equal(own["body.dense_1.weight"], scratch["body.dense_1.weight"])


def test_an_own_source_is_trained_once_for_its_budget_and_mended(place: Workplace) -> None:
    place.fit_trial(TrialKey("B1B", 0, 60))
    (file,) = own_files(place)
    before, when = file.read_bytes(), file.stat().st_mtime_ns
    place.fit_trial(TrialKey("B2B+", 0, 60))
    assert file.stat().st_mtime_ns == when
    file.write_bytes(before[:-4] + b"\0\0\0\0")
    hurt = place.fit_trial(TrialKey("B2B+", 0, 60))
    assert file.read_bytes() == before
    place.fit_trial(TrialKey("B1B", 0, "all"))
    assert len(own_files(place)) == 2
    assert hurt.weights_hash == place.fit_trial(TrialKey("B2B+", 0, 60)).weights_hash


def test_own_arms_need_no_source_and_too_many_groups_are_refused(
    compare: Callable[..., Results], small_study: Make, digits: ImageSet, folder: Path
) -> None:
    arms = {"scratch": {}, "B1B": ARMS["B1B"]}
    study = small_study(source=None, strategy=arms, training={"epochs": 1}, study={"seeds": 1})
    assert not compare(study, folder, images=digits).failed
    deep = {"scratch": {}, "B3B": {"kind": "own_lower_groups", "copied": 3}}
    with pytest.raises(StudyError, match=r"copied = 3, but the body has 2 layer groups: lower it"):
        compare(small_study(source=None, strategy=deep), folder / "2", images=digits)


def test_an_own_source_weighs_its_classes_by_name_too(
    compare: Callable[..., Results], small_study: Make, digits: ImageSet, folder: Path
) -> None:
    arms = {"scratch": {}, "B1B": ARMS["B1B"]}
    training = {"epochs": 1, "class_weights": {"1": 2.0}}
    study = small_study(source=None, strategy=arms, training=training, study={"seeds": 1})
    assert not compare(study, folder, images=digits).failed


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"copied_lr": 0.1}, "copied_lr has no effect while the copied groups are frozen"),
        ({"batch_norm": "frozen"}, "would leave the fresh groups with statistics of nothing"),
    ],
)
def test_settings_without_effect_or_sense_are_refused(
    settings: dict[str, object], message: str, small_study: Make
) -> None:
    with pytest.raises(StudyError, match=message):
        small_study(strategy={"scratch": {}, "A1B": {**ARMS["A1B"], **settings}})
