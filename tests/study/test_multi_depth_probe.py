"""The probe of all depths in whole studies: records, one pass of features, estimates, refusals."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart.data.image_set import ImageSet
from headstart.data.picture_cache import PictureCache
from headstart.engine.keeper import Keeper
from headstart.errors import StudyError
from headstart.networks.heads import HeadSettings
from headstart.networks.taps import TappedBody
from headstart.report.results import Results
from headstart.strategies import MultiDepthProbe
from headstart.study.explain import explain
from headstart.study.layout import layout
from headstart.study.planner import fit_bytes
from headstart.study.records import Records, TrialKey
from headstart.study.spec import Study
from headstart.study.workplace import Workplace

Make = Callable[..., Study]
FEW: dict[str, Any] = {
    "kind": "multi_depth_probe",
    "numbers": 8,  # so that keeping features saves something, small as the network is
    "fractions": [0.2, 1.0],
    "group_penalties": [0.1],
    "penalties": [0.01, 1.0],
}
CNN = {
    "kind": "cnn",
    "layers": [{"conv": 6}, {"conv": 8}, {"pool": 2}, {"dense": 8}],
}


def place(study: Study, images: ImageSet, folder: Path, *, naive: bool = False) -> Workplace:
    found = Workplace(study, lambda: images, folder, naive)
    vars(found)["keeper"] = Keeper(images, PictureCache(folder / "kept"))
    found.train_source(0)
    return found


@pytest.fixture
def study(small_study: Make) -> Study:
    return small_study(
        network=CNN,
        strategy={"scratch": {}, "probe": {"penalties": [0.1]}, "deep": FEW},
        study={"seeds": 1, "labels": [30, 60]},
    )


def test_a_study_records_it_as_any_other(
    compare: Callable[..., Results], study: Study, folder: Path, digits: ImageSet, fingerprint: Any
) -> None:
    compare(study, folder, images=digits)
    with closing(Records.open(folder, create=False)) as records:
        rows = [row for row in records.trials() if row["strategy"] == "deep"]
    assert [row["state"] for row in rows] == ["complete"] * 2
    assert all((row["epochs"], row["steps"]) == (1, 0) for row in rows)
    assert min(row["test_accuracy"] for row in rows) > 0.6
    numbers = 3 * (6 + 6 + 8 + 8 + 8 + 8 + 8) + 3
    assert {row["trainable_parameters"] for row in rows} == {numbers}
    again = folder.with_name("again")
    compare(study, again, images=digits)
    assert fingerprint(again) == fingerprint(folder)


def test_all_depths_take_one_pass_that_budgets_share(
    study: Study, folder: Path, digits: ImageSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = place(study, digits, folder)
    before = opened.fit_trial(TrialKey("deep", 0, 30))
    assert list(opened.spent_on_features()) == ["cat"]
    assert not opened.spent_on_features()

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the features are there")

    monkeypatch.setattr("headstart.engine.keeper.extract", refuse)
    opened.fit_trial(TrialKey("deep", 0, 60))
    again = opened.fit_trial(TrialKey("deep", 0, 30))
    assert again.weights_hash == before.weights_hash
    with pytest.raises(AssertionError, match="are there"):
        opened.fit_trial(TrialKey("probe", 0, 30))  # that of the plain network are others


def test_kept_features_give_what_pictures_give(
    study: Study, folder: Path, digits: ImageSet
) -> None:
    kept, naive = (
        place(study, digits, folder / str(naive), naive=naive).fit_trial(TrialKey("deep", 0, 60))
        for naive in (False, True)
    )
    np.testing.assert_allclose(kept.test_probabilities, naive.test_probabilities, atol=1e-3)


def test_two_ways_of_tapping_stand_beside_each_other(
    small_study: Make, folder: Path, digits: ImageSet
) -> None:
    both = small_study(
        network=CNN,
        strategy={"fine": {**FEW, "numbers": 512}, "coarse": FEW},
        study={"baseline": "fine", "seeds": 1, "labels": [60]},
    )
    opened = place(both, digits, folder)
    widths = []
    for name in both.strategy:
        network = opened.trained(TrialKey(name, 0, 60))
        assert isinstance(network.body, TappedBody)
        widths.append([tap.numbers for tap in network.body.taps])
    fine, coarse = widths
    assert coarse == [6, 6, 8, 8, 8, 8, 8]
    assert fine == [6 * 36, 6 * 36, 8 * 16, 8 * 16, 8 * 4, 8, 8]


def test_estimates_and_layouts_know_the_tapped_network(
    study: Study, folder: Path, digits: ImageSet
) -> None:
    opened = place(study, digits, folder)
    found = explain(opened, jobs=1)
    assert 0 < found.seconds < 1000
    assert 0 < found.naive_seconds < 1000
    passes = [job for job in found.jobs if "numbers each" in job.what]
    assert any("up to cat (52 numbers each)" in job.what for job in passes)
    (deep,) = (row for row in layout(opened).phases if row.strategy == "deep")
    assert deep.trainable == 3 * 52 + 3


def test_memory_is_reckoned_with_all_its_features(
    small_study: Make, folder: Path, digits: ImageSet
) -> None:
    needed = []
    for settings in ({"kind": "probe"}, {**FEW, "numbers": 512}):
        study = small_study(network=CNN, strategy={"scratch": {}, "solved": settings})
        opened = Workplace(study, lambda: digits, folder)
        needed.append(fit_bytes(opened))
        task = opened.task(0)
    pictures = len(task.train_rows) + len(task.valid_rows)
    assert needed[1] - needed[0] > 4 * pictures * (2 * 6 * 36 + 2 * 8 * 16)


def test_a_limit_of_disk_counts_its_features(
    study: Study, folder: Path, digits: ImageSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    from headstart.engine.limits import MachineLimits

    monkeypatch.setenv("HEADSTART_CACHE", str(folder / "cache"))
    few = Workplace(study, lambda: digits, folder, limits=MachineLimits(disk=10_000))
    few.train_source(0)
    keeper = few.tapped.keeper(few.plan("deep", few.making).taps)
    assert keeper.disk is not None
    assert keeper.disk == few.keeper.disk
    with pytest.warns(UserWarning, match="are not kept"):
        outcome = few.fit_trial(TrialKey("deep", 0, 30))
    assert outcome.val_accuracy > 0.5


def test_what_cannot_be_tapped_is_refused_before_anything_trains(
    compare: Callable[..., Results],
    small_study: Make,
    folder: Path,
    digits: ImageSet,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def nothing(*_: Any) -> str:
        raise ValueError("it goes its own way")

    hidden = small_study(head={"hidden": [5]}, strategy={"scratch": {}, "deep": FEW})
    with pytest.raises(StudyError, match=r"strategy\.deep: .*takes a head of one linear layer"):
        compare(hidden, folder, images=digits)
    monkeypatch.setattr("headstart.engine.cuts.trace", nothing)
    untraced = small_study(strategy={"scratch": {}, "deep": FEW})
    with pytest.raises(StudyError) as caught:
        compare(untraced, folder, images=digits)
    (problem,) = caught.value.problems
    assert problem.startswith("strategy.deep: the network could not be followed step by step")
    assert "it goes its own way" in problem
    assert problem.endswith("use `probe`, which sees the same")
    assert not list(folder.glob("sources/*"))


def test_settings_are_checked() -> None:
    refused: list[dict[str, Any]] = [
        {"fractions": [0.0]},
        {"fractions": []},
        {"group_penalties": [1.0]},
        {"lr": 1},
    ]
    for wrong in refused:
        with pytest.raises(ValueError, match=next(iter(wrong))):
            MultiDepthProbe.model_validate(wrong)
    assert HeadSettings().hidden == ()
    plan = MultiDepthProbe(numbers=9).plan(("stem", "head"))
    assert plan.taps is not None
    assert plan.taps.numbers == 9
    assert [phase.rates for phase in plan.phases] == [{"stem": None, "head": 1.0}]


def test_places_do_not_depend_on_which_seeds_a_study_has(
    small_study: Make, digits: ImageSet, tmp_path: Path
) -> None:
    """A trial is the same trial whatever seeds stand beside it."""
    found = []
    for seeds in ([0, 2], [2, 0]):
        study = small_study(
            network={"kind": "cnn", "layers": [{"conv": 4}, {"pool": 2}, {"dense": 4}]},
            strategy={"deep": FEW},
            study={"seeds": seeds, "labels": [60], "baseline": "deep"},
        )
        own = place(study, digits, tmp_path / str(seeds[0]))
        found.append(own.fit_trial(TrialKey("deep", 0, 60)).weights_hash)
    assert found[0] == found[1]


def test_how_many_numbers_a_place_gives_can_be_searched(
    small_study: Make, compare: Callable[..., Results], digits: ImageSet, folder: Path
) -> None:
    study = small_study(
        network=CNN,
        strategy={"scratch": {}, "deep": FEW},
        study={"seeds": 1, "labels": [60]},
        search={"trials": 2, "deep": {"numbers": [4, 64]}},
    )
    results = compare(study, folder, images=digits)
    assert set(results.trials["state"]) == {"complete"}
