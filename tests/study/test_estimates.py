"""Estimates: remembered, corrected by what jobs took, and told before and after training."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headstart.data.image_set import ImageSet
from headstart.data.picture_cache import PictureCache
from headstart.engine.costs import calibrated, learning_bytes, solving_flops, working_bytes
from headstart.engine.measured import Measured, machine
from headstart.report.results import Results
from headstart.strategies.head_solver import HeadSolver
from headstart.study.explain import Explanation, explain, learn_from
from headstart.study.pace import Kind
from headstart.study.progress import Progress
from headstart.study.records import TrialKey
from headstart.study.spec import Study
from headstart.study.timing import Clockwork
from headstart.study.workplace import Workplace
from headstart.testing.ground import SHAPE, small_network

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
    return {job.kind: job.seconds for job in found.jobs if job.kind is not None}


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
    took: dict[Kind, list[float]] = {("scratch", "all"): [5.0, 6.0, 70.0]}
    learn_from(place, before, took)
    after = seconds(explain(placed(), 1))
    assert after["scratch", "all"] == pytest.approx(6.0)
    # Others are corrected by less, as they may be right.
    factor = (6.0 / seconds(before)["scratch", "all"]) ** 0.5
    assert after["scratch", 60] == pytest.approx(factor * seconds(before)["scratch", 60])
    fresh = seconds(explain(placed(), 1, anew=True))
    assert fresh["scratch", "all"] < 5.0


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
    assert min(first.flops, first.copied, first.written) > 1e6
    assert calibrated(cache) == first
    assert calibrated(cache, anew=True) != first


def test_memory_is_counted_by_what_a_network_gives() -> None:
    """Two convolutions of 5 and 6 channels on 8 × 8 pictures, and what is around them."""
    network = small_network()
    largest = 4 * 5 * 8 * 8
    assert largest <= working_bytes(network, SHAPE) <= 10 * largest
    assert learning_bytes(network, SHAPE) > working_bytes(network, SHAPE)


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
