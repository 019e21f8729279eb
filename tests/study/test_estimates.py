"""Estimates: remembered, corrected by what jobs took, and told before and after training."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from headstart.data.image_set import ImageSet
from headstart.data.picture_cache import PictureCache
from headstart.engine import fastest as fastest_module
from headstart.engine import measured as measured_module
from headstart.engine.costs import calibrated, learning_bytes, solving_flops, working_bytes
from headstart.engine.measured import Measured, machine
from headstart.networks.groups import HEAD, Network
from headstart.report.results import Results
from headstart.strategies.head_solver import HeadSolver
from headstart.strategies.plan import Optimizer
from headstart.strategies.recipe import Recipe
from headstart.study import compare as compare_module
from headstart.study import explain as explaining
from headstart.study import timing as timing_module
from headstart.study.explain import Explanation, explain, learn_from
from headstart.study.pace import Took
from headstart.study.progress import Progress
from headstart.study.records import TrialKey
from headstart.study.spec import Study
from headstart.study.timing import Clockwork
from headstart.study.workplace import Workplace
from headstart.testing.ground import SHAPE, small_network
from headstart.training.fit import fit

Make = Callable[..., Study]
Place = Callable[..., Workplace]


@pytest.fixture
def placed(
    digits: ImageSet, small_study: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Place:
    """A workplace with an empty cache of its own."""
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "kept"))

    def place(**changes: object) -> Workplace:
        return Workplace(small_study(**changes), lambda: digits, tmp_path / "study")

    return place


def seconds(found: Explanation) -> dict[object, float]:
    return {job.kind: job.seconds for job in found.jobs if isinstance(job.kind, tuple)}


def test_what_was_timed_is_not_timed_again(placed: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    first = explain(placed(), 1)
    timings: list[int] = []
    whole = Clockwork._fitted

    def noted(self: Clockwork, *asked: Any) -> float:
        timings.append(1)
        return whole(self, *asked)

    monkeypatch.setattr(Clockwork, "_fitted", noted)
    assert seconds(explain(placed(), 1)) == seconds(first)
    assert not timings
    explain(placed(), 1, anew=True)
    assert timings


def test_more_work_costs_more(placed: Place) -> None:
    few = explain(placed(study={"seeds": 2}, training={"epochs": 2}), 1)
    many = explain(placed(study={"seeds": 4}, training={"epochs": 20}), 1)
    assert many.seconds > 2 * few.seconds
    for kind, one in seconds(few).items():
        assert seconds(many)[kind] > one


def test_jobs_that_took_longer_correct_the_next_estimate(placed: Place) -> None:
    place = placed()
    before = explain(place, 1)
    took: Took = {("scratch", "all"): [5.0, 6.0, 70.0]}
    learn_from(place, before, took)
    after = seconds(explain(placed(), 1))
    # Once may have been chance, or a busy machine; others are corrected by less.
    timed = seconds(before)["scratch", "all"]
    assert after["scratch", "all"] == pytest.approx(timed * (6.0 / timed) ** (1 / 1.5))
    factor = (6.0 / timed) ** 0.5
    assert after["scratch", 60] == pytest.approx(factor * seconds(before)["scratch", 60])
    fresh = seconds(explain(placed(), 1, anew=True))
    assert fresh["scratch", "all"] < after["scratch", "all"] / 2


def test_only_the_last_jobs_correct_an_estimate(placed: Place) -> None:
    """A load that has gone leaves no trace after three studies, and jobs confirm each other."""
    timed = seconds(explain(placed(), 1))["scratch", "all"]
    for slower in (50.0, 2.0, 2.0, 2.0):
        took: Took = {("scratch", "all"): [slower * timed]}
        learn_from(placed(), explain(placed(), 1), took)
    after = seconds(explain(placed(), 1))["scratch", "all"]
    assert after == pytest.approx(timed * 2.0 ** (3 / 3.5))


OWN: dict[str, Any] = {
    "strategy": {
        "scratch": {},
        "B1B": {"kind": "own_lower_groups", "copied": 1},
        "B1B+": {"kind": "own_lower_groups", "copied": 1, "thaw": True},
    },
    "study": {"seeds": 2, "labels": [60], "baseline": "scratch"},
}


def test_an_own_source_is_counted_once_a_seed_and_budget(placed: Place) -> None:
    found = explain(placed(**OWN), 1)
    counts = {job.what: job.count for job in found.jobs}
    assert counts["train the own source, 60 labels"] == 2
    assert not any(name.startswith("train the source") for name in counts)
    lines = {job.kind: job for job in found.jobs if job.kind is not None}
    # What one of the arms trained for both says nothing of other jobs.
    learn_from(placed(**OWN), found, {("B1B", 60): [1000 * lines["B1B", 60].seconds]})
    assert seconds(explain(placed(**OWN), 1)) == seconds(found)


def test_candidates_of_a_search_are_of_one_kind(placed: Place) -> None:
    place = placed(study={"seeds": 1})
    plan = place.plan("scratch", place.making)
    (phase,) = plan.phases
    clockwork = Clockwork(place)
    first = clockwork.step(plan, phase, None)
    others = [
        replace(
            phase,
            optimizer=Optimizer(name="sgd", momentum=momentum, weight_decay=decay),
            recipe=Recipe(label_smoothing=smoothing),
        )
        for momentum, decay, smoothing in ((0.9, 1e-4, 0.1), (0.5, 1e-2, 0.3), (0.9, 0.0, 0.1))
    ]
    alike, also, without = [clockwork.step(plan, each, None) for each in others]
    assert alike == also
    assert len({first, alike, without}) == 3


def test_what_could_not_be_tried_is_tried_the_next_time(
    placed: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> float:
        raise RuntimeError("the machine was out of memory")

    with monkeypatch.context() as broken:
        broken.setattr(Clockwork, "_fitted", fail)
        counted = seconds(explain(placed(), 1))
    assert seconds(explain(placed(), 1)) != counted


def test_an_estimate_that_fails_stops_no_study(
    small_study: Make,
    folder: Path,
    digits: ImageSet,
    compare: Callable[..., Results],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object, **__: object) -> Explanation:
        raise KeyError("nothing")

    monkeypatch.setattr(compare_module, "explain", fail)
    with pytest.warns(UserWarning, match=r"how long it will take is not known \(KeyError"):
        results = compare(small_study(study={"seeds": 1}), folder, images=digits)
    assert set(results.trials["state"]) == {"complete"}


@pytest.fixture
def own_file(placed: Place, tmp_path: Path) -> str:
    """A source that is the same for all seeds."""
    placed().train_source(0)
    (file,) = (tmp_path / "study").rglob("*.safetensors")
    return str(file)


def test_a_source_that_no_strategy_takes_is_no_hindrance(placed: Place, own_file: str) -> None:
    found = explain(placed(**OWN, source={"file": own_file}), 1)
    (one,) = (job for job in found.jobs if job.bytes)
    assert one.what.startswith("look once at")
    assert one.count == 2


def test_a_pass_that_was_not_measured_is_no_pass_from_the_cache(
    placed: Place, own_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As without ONNX Runtime, when nothing is to be chosen."""
    monkeypatch.setattr(fastest_module, "has_onnx", lambda: False)
    asked: dict[str, Any] = {"source": {"file": own_file}, "study": {"seeds": 1}}
    place = placed(**asked)
    before = [job for job in explain(place, 1).jobs if job.bytes]
    assert before
    assert all(job.what.startswith("look once at") and job.seconds > 0 for job in before)
    place.fit_trial(TrialKey("frozen", 0, 60))
    after = [job.what for job in explain(placed(**asked), 1).jobs if job.bytes]
    assert any(what.startswith("take from the cache") for what in after)


def test_what_is_not_trained_is_not_copied_to_be_timed(
    placed: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = placed(study={"seeds": 1})
    plan = place.plan("frozen", place.making)
    clockwork = Clockwork(place)
    before = {name: value.clone() for name, value in clockwork.network.state_dict().items()}
    trained: list[Network] = []
    whole = fit

    def noted(network: Network, *asked: Any, **named: Any) -> Any:
        trained.append(network)
        return whole(network, *asked, **named)

    monkeypatch.setattr(timing_module, "fit", noted)
    clockwork.step(plan, plan.phases[0], None)
    own = dict(clockwork.network.named_parameters())
    for name, parameter in trained[0].named_parameters():
        assert (parameter is own[name]) == (trained[0].group_of(name) != HEAD)
    after = clockwork.network.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_only_trials_that_wait_are_counted(placed: Place) -> None:
    found = explain(placed(), 1, keys=[TrialKey("scratch", 0, 60)])
    assert [(job.kind, job.count) for job in found.jobs] == [(("scratch", 60), 1)]
    assert found.trials == 1


def test_the_estimate_is_told_before_training_and_compared_with_it_after(
    small_study: Make, folder: Path, digits: ImageSet, compare: Callable[..., Results]
) -> None:
    told: list[Progress] = []
    compare(small_study(), folder, images=digits, listener=told.append)
    lines = [each.said for each in told if each.said and not each.total]
    assert len(lines) == 2
    assert lines[0].startswith("8 trials, 1 at a time: about ")
    assert lines[1].startswith("training took ")
    assert "against an estimate of" in lines[1]


def test_a_solved_head_costs_something(placed: Place) -> None:
    strategies: dict[str, dict[str, Any]] = {"probe": {}, "knn": {}}
    found = explain(placed(strategy=strategies, study={"seeds": 1, "baseline": "probe"}), 1)
    assert min(seconds(found).values()) > 0
    whole = "\n".join(line for job in found.jobs for line in job.below)
    assert "solved at once" in whole


@pytest.mark.parametrize("method", ["probe", "ridge", "lda", "nearest_mean", "knn"])
def test_more_pictures_take_more_operations(method: str) -> None:
    solver = HeadSolver(method, (1.0, 2.0))  # type: ignore[arg-type]
    flops = [solving_flops(solver, pictures, 64, 3) for pictures in (100, 200, 4000)]
    assert 0 < flops[0] < flops[1] < flops[2]


def test_rates_are_measured_once_for_a_machine(tmp_path: Path) -> None:
    cache = PictureCache(tmp_path / "kept")
    first = calibrated(cache)
    assert min(first.flops, first.copied) > 1e6
    assert calibrated(cache) == first
    assert calibrated(cache, anew=True) != first


def test_memory_is_counted_by_what_a_network_gives() -> None:
    """Two convolutions of 5 and 6 channels on 8 × 8 pictures, and what is around them."""
    network = small_network()
    largest = 4 * 5 * 8 * 8
    assert largest <= working_bytes(network, SHAPE) <= 10 * largest
    assert learning_bytes(network, SHAPE) > working_bytes(network, SHAPE)


def test_a_memory_keeps_the_newest_of_each_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measured_module, "_MOST", 3)
    memory = Measured(tmp_path)
    memory.remember("ours", "way", "prefix")
    for number in [0, 1, 2, 0, 3]:
        memory.remember(number, "seconds", number)
    known = [memory.recall("seconds", number) for number in range(4)]
    assert known == [0, None, 2, 3]
    assert memory.recall("way", "prefix") == "ours"


def test_a_memory_that_is_not_whole_is_not_trusted(tmp_path: Path) -> None:
    memory = Measured(tmp_path)
    assert memory.remember(3.5, "seconds", "step")
    assert Measured(tmp_path).recall("seconds", "step") == 3.5
    assert Measured(tmp_path).recall("seconds", "another") is None
    (file,) = tmp_path.glob("*.json")
    file.write_bytes(file.read_bytes().replace(b"3.5", b"9.5"))
    assert memory.recall("seconds", "step") is None
    assert machine()


def test_a_study_without_steps_is_timed_all_the_same(placed: Place) -> None:
    """What cannot be trained on trial is counted: here BatchNorm would learn from one picture."""
    place = placed(training={"batch_size": 1, "epochs": 1})
    assert Clockwork(place).rates.flops > 0
    assert min(seconds(explain(place, 1)).values()) > 0


def test_trials_are_parted_where_that_saves_more_than_starting_workers_takes(
    placed: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By default; who asks for a number of jobs gets it."""
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    study = placed(study={"seeds": 4})
    monkeypatch.setitem(explaining._OPENING_S, False, 0.0)
    assert explain(study, prepared=True).workers == 4
    monkeypatch.setattr(explaining, "_LOADING_S", 1e6)
    assert explain(study, prepared=True).workers == 4
    assert explain(study, prepared=False).workers == 1
    monkeypatch.setitem(explaining._OPENING_S, False, 1e6)
    assert explain(study, prepared=True).workers == 1
    assert explain(study, 3, prepared=True).workers == 3
