"""Worker processes: the same bits as one process, and nothing lost or hung when one dies."""

import contextlib
import multiprocessing
import multiprocessing.forkserver
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from headstart.data.image_set import ImageSet
from headstart.errors import RecordsError
from headstart.report.results import Results
from headstart.study.compare import train_and_score
from headstart.study.folder import resolved_toml, study_folder
from headstart.study.jobs import Failure, Job, Stack
from headstart.study.progress import Progress
from headstart.study.records import TrialKey
from headstart.study.runner import InlineRunner, ProcessRunner
from headstart.study.spec import Study
from headstart.study.worker import prepare_workers, start_worker, workers_are_prepared
from headstart.study.workplace import Workplace

Make = Callable[..., Study]
Compare = Callable[..., Results]
Fingerprint = Callable[[Path], list[tuple[object, ...]]]


def no_workers() -> bool:
    return not multiprocessing.active_children()


def test_a_killed_worker_fails_its_trial_and_no_other(
    small_study: Make,
    digits: ImageSet,
    tmp_path: Path,
    compare: Compare,
    fingerprint: Fingerprint,
) -> None:
    # Fits on several threads are not stacked.
    long = small_study(
        strategy={"scratch": {"epochs": 60}}, study={"labels": ["all"], "seeds": 5, "threads": 2}
    )
    compare(long, tmp_path / "undisturbed", images=digits, jobs=1)
    killed: list[int] = []

    def kill_one(progress: Progress) -> None:
        """Kill a worker in the midst of the third trial, when the first two are done."""
        if progress.complete == 2 and len(progress.running) == 2 and not killed:
            workers = multiprocessing.active_children()
            killed.append(len(workers))
            assert workers[0].pid is not None
            os.kill(workers[0].pid, signal.SIGKILL)

    results = compare(long, tmp_path / "killed", images=digits, jobs=2, listener=kill_one)

    failed = results.trials.query("state == 'failed'")
    assert killed == [2]
    assert len(failed) == 1
    assert failed["error"].iloc[0] == (
        "its process was killed by SIGKILL; the machine may be short of memory: try "
        "--retry-failed --jobs 1"
    )
    assert no_workers()
    compare(long, tmp_path / "killed", images=digits, jobs=1, retry_failed=True)
    assert fingerprint(tmp_path / "killed") == fingerprint(tmp_path / "undisturbed")


def test_a_killed_worker_fails_the_trials_of_its_stack_and_no_other(
    small_study: Make,
    digits: ImageSet,
    tmp_path: Path,
    compare: Compare,
    fingerprint: Fingerprint,
) -> None:
    study = small_study(
        strategy={"quick": {"kind": "scratch"}, "slow": {"kind": "scratch", "epochs": 900}},
        study={"labels": [60], "seeds": 4, "baseline": "quick"},
    )
    compare(study, tmp_path / "undisturbed", images=digits, jobs=1)
    running: list[tuple[str, ...]] = []

    def kill_one(progress: Progress) -> None:
        """Kill the worker that did the quick trials when it has the second stack of slow ones."""
        if progress.complete == 4 and len(progress.running) == 2 and not running:
            running.append(progress.running)
            first = min(each.pid or 0 for each in multiprocessing.active_children())
            os.kill(first, signal.SIGKILL)

    results = compare(study, tmp_path / "killed", images=digits, jobs=2, listener=kill_one)

    failed = results.trials.query("state == 'failed'")
    assert all(each.endswith("stacked with 1 more") for each in running[0])
    assert set(failed["strategy"]) == {"slow"}
    assert set(failed["seed"]) == {2, 3}
    compare(study, tmp_path / "killed", images=digits, jobs=1, retry_failed=True)
    assert fingerprint(tmp_path / "killed") == fingerprint(tmp_path / "undisturbed")


@pytest.mark.parametrize(
    ("loader", "reason"),
    [
        (partial(os._exit, 3), "its process ended by itself (exit code 3)"),
        (partial(int, "pictures"), "a worker process could not start: ValueError: invalid literal"),
    ],
    ids=["it dies", "it says why"],
)
def test_workers_that_cannot_start_fail_every_trial_in_bounded_time(
    small_study: Make, digits: ImageSet, tmp_path: Path, loader: partial[ImageSet], reason: str
) -> None:
    workplace = Workplace(small_study(), loader, tmp_path)
    vars(workplace)["images"] = digits  # what the leader holds; its workers have to load
    runner = ProcessRunner(workplace, 2)
    stacks = [Stack((Job(seed, TrialKey("scratch", seed, "all")),)) for seed in range(20)]
    waiting, results, in_hand = list(stacks), {}, 0
    while waiting or in_hand:
        while waiting and in_hand < runner.slots:
            runner.submit(waiting.pop())
            in_hand += 1
        for stack, ended in runner.finished():
            (results[stack],) = ended.results
            in_hand -= 1
    runner.close()

    assert set(results) == set(stacks)
    for result in results.values():
        assert isinstance(result, Failure)
        assert result.reason.startswith(reason)
    assert no_workers()


def test_a_warning_in_a_worker_is_the_leaders(
    small_study: Make, digits: ImageSet, tmp_path: Path
) -> None:
    loader: Any = partial(warnings.warn, "the disk is slow")
    workplace = Workplace(small_study(), loader, tmp_path)
    vars(workplace)["images"] = digits
    runner = ProcessRunner(workplace, 1)
    runner.submit(Stack((Job(0, TrialKey("scratch", 0, "all")),)))

    with pytest.warns(UserWarning, match="the disk is slow"):
        list(runner.finished())
    runner.close()


def test_a_mistake_nobody_foresaw_fails_its_trial_and_says_where(
    small_study: Make, digits: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Workplace, keys: list[TrialKey]) -> None:
        raise KeyError("conv_9")

    monkeypatch.setattr(Workplace, "fit_trials", broken)
    runner = InlineRunner(Workplace(small_study(), lambda: digits, tmp_path))
    runner.submit(Stack((Job(0, TrialKey("scratch", 0, "all")),)))

    ((_, ended),) = runner.finished()

    (result,) = ended.results
    assert isinstance(result, Failure)
    assert result.reason.startswith("KeyError: 'conv_9' (test_workers.py, line ")


def test_a_source_that_cannot_be_written_stops_the_study_and_fails_no_trial(
    small_study: Make, digits: ImageSet, folder: Path, compare: Compare, fingerprint: Fingerprint
) -> None:
    compare(small_study(), folder.with_name("undisturbed"), images=digits)
    folder.mkdir()
    (folder / "sources").write_text("a file where the folder of sources should be")

    with pytest.raises(RecordsError, match=r"seed-0\.safetensors cannot be written .*File exists"):
        compare(small_study(), folder, images=digits)

    (folder / "sources").unlink()
    compare(small_study(), folder, images=digits)
    assert fingerprint(folder) == fingerprint(folder.with_name("undisturbed"))


def test_a_script_without_a_guard_starts_its_study_once(
    small_study: Make, tmp_path: Path, fingerprint: Fingerprint
) -> None:
    study = small_study(data={"name": "digits"}, study={"seeds": 1})
    (tmp_path / "study.toml").write_text(resolved_toml(study, {}))
    script = tmp_path / "ask.py"
    script.write_text(
        "from pathlib import Path\n"
        "import headstart\n"
        "from headstart.study.compare import train_and_score\n"
        "print('asked')\n"
        "records = train_and_score(headstart.load_study('study.toml'), Path(), jobs=2)\n"
        "print(*records.trials['state'].unique())\n"
    )

    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["asked", "complete"]


def test_the_time_that_is_left_is_told(
    small_study: Make, digits: ImageSet, folder: Path, compare: Compare
) -> None:
    heard: list[Progress] = []
    start = time.monotonic()
    compare(small_study(study={"seeds": 4}), folder, images=digits, listener=heard.append)
    took = time.monotonic() - start

    told = [progress.seconds_left for progress in heard if progress.doing == "training"]
    assert told[0] is None
    assert told[-1] == 0
    known = [seconds for seconds in told if seconds is not None]
    assert all(0 <= seconds < 10 * took for seconds in known)


def test_ctrl_c_that_a_call_swallows_is_no_failure_of_a_trial(
    small_study: Make, digits: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a library in C does that tells every exception within it as its own."""

    def swallows(place: Workplace, keys: object) -> None:
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        raise ValueError("could not determine the shape")

    monkeypatch.setattr(Workplace, "fit_trials", swallows)
    monkeypatch.setattr(Workplace, "train_sources", swallows)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with study_folder(tmp_path / "answers") as folder, pytest.raises(KeyboardInterrupt):
            train_and_score(small_study(), folder, images=digits, jobs=1)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def warned_of(runner: ProcessRunner) -> list[str]:
    """What its workers warn of until the first stack ends."""
    runner.submit(Stack((Job(0, TrialKey("scratch", 0, "all")),)))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        list(runner.finished())
    runner.close()
    return [str(each.message) for each in caught]


def test_a_worker_has_the_environment_that_its_leader_has_now(
    small_study: Make, digits: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = "__import__('warnings').warn(repr(__import__('os').environ.get('HEADSTART_TESTED')))"
    workplace = Workplace(small_study(), partial(eval, told), tmp_path)
    vars(workplace)["images"] = digits
    found = []
    for value in ("one", "two", None):
        if value is None:
            monkeypatch.delenv("HEADSTART_TESTED")
        else:
            monkeypatch.setenv("HEADSTART_TESTED", value)
        found += warned_of(ProcessRunner(workplace, 1))

    assert found == ["'one'", "'two'", "None"]


@pytest.mark.skipif(sys.platform != "linux", reason="workers are forked off on Linux only")
def test_workers_share_what_was_imported_and_start_from_nothing_where_that_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def kind() -> str:
        process, connection = start_worker()
        connection.close()
        process.join(60)
        assert process.exitcode == 0
        return type(process).__name__

    def gone(fds: list[int]) -> None:
        raise EOFError("unexpected EOF")

    before = dict(os.environ)
    prepare_workers()
    assert workers_are_prepared()
    assert dict(os.environ) == before
    assert kind() == "ForkServerProcess"
    monkeypatch.setattr(multiprocessing.forkserver, "connect_to_new_process", gone)
    assert kind() == "SpawnProcess"


def in_fresh_python(folder: Path, *steps: str) -> list[str]:
    """How a worker comes to be, and ends, in a program of its own that stands in a folder."""
    program = [
        "from headstart.study.worker import prepare_workers, start_worker, workers_are_prepared",
        *steps,
        "process, connection = start_worker()",
        "connection.close()",
        "process.join()",
        "print(type(process).__name__, workers_are_prepared(), process.exitcode)",
    ]
    done = subprocess.run(
        [sys.executable, "-P", "-c", "\n".join(program)],
        capture_output=True, text=True, check=True, cwd=folder,
    )  # fmt: skip
    assert "Error" not in done.stderr
    return done.stdout.split()


def test_a_users_fork_server_is_left_alone(tmp_path: Path) -> None:
    """Python has one for everybody: only the command line takes it."""
    assert in_fresh_python(tmp_path) == ["SpawnProcess", "False", "0"]


@pytest.mark.skipif(sys.platform != "linux", reason="workers are forked off on Linux only")
def test_workers_import_nothing_from_the_current_folder(tmp_path: Path) -> None:
    (tmp_path / "filelock").mkdir()
    (tmp_path / "filelock" / "__init__.py").write_text("raise RuntimeError('of this folder')")
    found = in_fresh_python(tmp_path, "prepare_workers()")
    assert found == ["ForkServerProcess", "True", "0"]
