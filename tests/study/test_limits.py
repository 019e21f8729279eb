"""Limits of memory, disk and threads: kept to, or refused with what is needed."""

import mmap
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart.data.image_set import ImageSet
from headstart.engine import limits as limits_module
from headstart.engine.limits import MachineLimits
from headstart.errors import StudyError
from headstart.study import planner
from headstart.study.compare import within
from headstart.study.planner import staff
from headstart.study.records import TrialKey
from headstart.study.search import SearchPlace
from headstart.study.spec import Study
from headstart.study.workplace import Workplace

Make = Callable[..., Study]
GB = 10**9


@pytest.fixture
def placed(
    digits: ImageSet, small_study: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Workplace]:
    """A workplace within limits, on eight processors, in a process of 0.5 GB."""
    monkeypatch.setattr(planner, "resident_bytes", lambda: GB // 2)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)

    def place(limits: MachineLimits, **changes: Any) -> Workplace:
        study = small_study(**{"study": {"seeds": 1}, **changes})
        return Workplace(study, lambda: digits, tmp_path / "study", limits=limits)

    return place


@pytest.mark.parametrize(
    ("limits", "jobs", "workers"),
    [
        (MachineLimits(), None, 8),
        (MachineLimits(), 20, 20),
        (MachineLimits(threads=3), None, 3),
        (MachineLimits(threads=3), 20, 3),
        (MachineLimits(threads=3), 2, 2),
        (MachineLimits(threads=20), None, 8),
        (MachineLimits(memory=3 * GB), None, 4),  # and the leading process
        (MachineLimits(memory=GB), None, 1),
        (MachineLimits(memory=3 * GB, threads=2), None, 2),
    ],
)
def test_no_more_trials_at_a_time_than_the_limits_allow(
    placed: Callable[..., Workplace], limits: MachineLimits, jobs: int | None, workers: int
) -> None:
    found = staff(placed(limits), 100, jobs)
    assert found.workers == workers
    if limits.memory is None:
        assert found.memory is None
    else:
        assert found.memory is not None
        assert 0 <= found.memory <= limits.memory


def test_threads_of_a_trial_count(placed: Callable[..., Workplace]) -> None:
    study = {"seeds": 1, "threads": 3}
    assert staff(placed(MachineLimits(threads=7), study=study), 100).workers == 2
    with pytest.raises(StudyError, match=r"every trial of this study takes 3 .*: allow 3, or"):
        staff(placed(MachineLimits(threads=2), study=study), 100)


def test_too_little_memory_is_refused_with_what_is_needed(
    placed: Callable[..., Workplace],
) -> None:
    with pytest.raises(StudyError, match=r"--memory 100 MB is too small: .* about 70\d MB, of wh"):
        staff(placed(MachineLimits(memory=100_000_000)), 1)


def test_all_problems_of_limits_are_told_at_once() -> None:
    with pytest.raises(StudyError) as told:
        MachineLimits.parsed("lots", "20 XB", 0)
    assert len(told.value.problems) == 3


@pytest.fixture
def source_file(placed: Callable[..., Workplace], tmp_path: Path) -> Path:
    """A source that is the same for all seeds."""
    trainer = placed(MachineLimits())
    trainer.train_source(0)
    (file,) = (tmp_path / "study").rglob("*.safetensors")
    return file


KEY = TrialKey("frozen", 0, 60)


def test_features_that_do_not_fit_on_disk_are_not_kept_and_that_is_said_once(
    placed: Callable[..., Workplace],
    source_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "kept"))
    source = {"file": str(source_file)}
    roomy = placed(MachineLimits(disk=GB), source=source)
    tight = placed(MachineLimits(disk=100), source=source)
    with pytest.warns(UserWarning, match=r"features of .* are not kept: they do not fit into"):
        alone = tight.fit_trial(KEY)
    tight.fit_trial(KEY)  # a further warning would be an error
    assert not (tmp_path / "kept" / "features").exists()
    shared = roomy.fit_trial(KEY)
    kept = sum(file.stat().st_size for file in (tmp_path / "kept").rglob("features/*/*/features"))
    assert 100 < kept <= GB
    np.testing.assert_allclose(alone.val_probabilities, shared.val_probabilities, atol=2e-4)


def test_little_memory_gives_the_same_answers(
    placed: Callable[..., Workplace],
    source_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = []
    for memory in (None, 0):  # no byte more than it takes
        monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / f"kept {memory}"))
        place = placed(MachineLimits(memory=memory), source={"file": str(source_file)})
        answers.append(place.fit_trial(KEY))
    plenty, little = (each.val_probabilities for each in answers)
    np.testing.assert_array_equal(plenty, little)


def test_a_worker_is_told_its_limits(placed: Callable[..., Workplace]) -> None:
    limits = MachineLimits(memory=5, disk=6, threads=7)
    assert placed(limits).__getstate__()["limits"] == limits


def test_searches_and_workers_keep_to_the_disk_share_of_the_whole_study(
    placed: Callable[..., Workplace],
) -> None:
    leader = placed(MachineLimits(disk=GB), study={"seeds": 3})  # each with a source of its own
    one = TrialKey("frozen #0", 0, 60)
    search = SearchPlace.beside(leader, {one.strategy: leader.study.strategy["frozen"]}, 0, 60)
    share = leader.keeper.disk
    assert share is not None
    assert search.keeper.disk == share
    sent = within(search, 5)
    alone = Workplace(sent.study, leader.load, leader.directory, limits=sent.limits)
    assert alone.keeper.disk == share
    assert (alone.limits.memory, alone.limits.disk) == (5, GB)


def test_a_process_knows_what_it_takes() -> None:
    before = limits_module.resident_bytes()
    block = mmap.mmap(-1, 100_000_000)  # never memory that was freed, and is resident, before
    np.frombuffer(block, dtype=np.uint8)[:] = 1
    assert 80_000_000 < limits_module.resident_bytes() - before < 150_000_000
    assert limits_module.peak_bytes() >= before + len(block) * 0.8
