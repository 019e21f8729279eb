"""Studies that are killed, interrupted, out of disk or not alone: nothing is lost."""

import os
import random
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Protocol

import pytest

from headstart.data.image_set import ImageSet
from headstart.errors import RecordsError
from headstart.report.results import Results
from headstart.study.folder import resolved_toml, study_folder
from headstart.study.spec import Study

Make = Callable[..., Study]
Compare = Callable[..., Results]
Fingerprint = Callable[[Path], list[tuple[object, ...]]]

COMPARE = """
from pathlib import Path
from headstart.study.compare import train_and_score
from headstart.study.folder import study_folder
from headstart.study.spec import load_study
def note_workers(progress):
    import multiprocessing
    ids = [str(worker.pid) for worker in multiprocessing.active_children()]
    if len(ids) == 2 and not Path("workers").exists():
        Path("workers").write_text(" ".join(ids))
with study_folder(Path("answers")) as folder:
    train_and_score(load_study("study.toml"), folder, jobs={jobs}, listener=note_workers)
"""
COMMAND = """
import sys
from headstart.cli import main
sys.argv = ["headstart", "compare", "study.toml", "--output", "answers", "--jobs", "{jobs}"]
main()
"""
SMALL_DISK = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
"""


class Nursery(Protocol):
    def start(self, code: str, folder: Path) -> int: ...

    def wait(self) -> int: ...


@pytest.fixture(scope="module")
def study_text(small_study: Make) -> str:
    """A study file that takes about a second."""
    study = small_study(
        data={"name": "digits"}, training={"epochs": 12}, study={"seeds": 3, "labels": ["all"]}
    )
    return resolved_toml(study, {})


@pytest.fixture
def place(study_text: str, tmp_path: Path) -> Path:
    """A folder with the study file."""
    (tmp_path / "study.toml").write_text(study_text)
    return tmp_path


@pytest.fixture(scope="module")
def undisturbed(
    nursery: Nursery,
    study_text: str,
    fingerprint: Fingerprint,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[list[tuple[object, ...]], float]:
    """What the study leaves when nothing happens to it, and how long it takes."""
    place = tmp_path_factory.mktemp("undisturbed")
    (place / "study.toml").write_text(study_text)
    start = time.monotonic()
    finish(nursery, place)
    return fingerprint(place / "answers"), time.monotonic() - start


def complete(folder: Path) -> dict[tuple[object, ...], tuple[object, ...]]:
    """The trials that are complete, with when they were finished and with what weights."""
    path = folder / "study.sqlite"
    if not path.exists():
        return {}
    with closing(sqlite3.connect(path)) as db:
        try:
            rows = db.execute(
                "SELECT strategy, seed, labels, finished, weights_hash FROM trials "
                "WHERE state = 'complete'"
            ).fetchall()
        except sqlite3.OperationalError:  # killed before there were tables
            return {}
    return {row[:3]: row[3:] for row in rows}


def eventually(happens: Callable[[], object], within_s: float = 120) -> None:
    deadline = time.monotonic() + within_s
    while not happens():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{process}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return not Path("/proc/self/stat").exists()


def finish(nursery: Nursery, place: Path) -> None:
    nursery.start(COMPARE.format(jobs=1), place)
    assert nursery.wait() == 0, (place / "stderr").read_text()


def test_kills_at_random_moments_lose_at_most_the_trial_in_hand(
    nursery: Nursery,
    place: Path,
    undisturbed: tuple[list[tuple[object, ...]], float],
    fingerprint: Fingerprint,
) -> None:
    records, seconds = undisturbed
    chance = random.Random(20)
    for _ in range(8):
        before = complete(place / "answers")
        child = nursery.start(COMPARE.format(jobs=1), place)
        time.sleep(chance.uniform(0, seconds / 2))
        with suppress(ProcessLookupError):  # it was done before
            os.kill(child, signal.SIGKILL)
        nursery.wait()
        after = complete(place / "answers")
        assert {key: after.get(key) for key in before} == before

    finish(nursery, place)

    assert fingerprint(place / "answers") == records
    left = [path.name for path in place.rglob(".*") if path.name != ".lock"]
    assert left == []


def test_workers_do_not_outlive_a_killed_leader(
    nursery: Nursery,
    place: Path,
    undisturbed: tuple[list[tuple[object, ...]], float],
    fingerprint: Fingerprint,
) -> None:
    leader = nursery.start(COMPARE.format(jobs=2), place)
    eventually(lambda: complete(place / "answers"))
    os.kill(leader, signal.SIGKILL)
    nursery.wait()
    workers = [int(number) for number in (place / "workers").read_text().split()]

    assert len(workers) == 2
    eventually(lambda: not any(map(is_alive, workers)))
    finish(nursery, place)
    assert fingerprint(place / "answers") == undisturbed[0]


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_interrupted_study_ends_with_130_and_goes_on(
    nursery: Nursery,
    place: Path,
    undisturbed: tuple[list[tuple[object, ...]], float],
    fingerprint: Fingerprint,
    jobs: int,
) -> None:
    started = place / "answers" / "study.sqlite"
    leader = nursery.start(COMMAND.format(jobs=jobs), place)
    # With two jobs, Ctrl-C comes while the workers are still starting.
    eventually(lambda: complete(place / "answers") if jobs == 1 else started.exists())
    os.killpg(leader, signal.SIGINT)

    assert nursery.wait() == 130
    told = (place / "stderr").read_text()
    assert told.endswith("interrupted; the same command goes on where it stopped\n")
    assert "Traceback" not in told
    assert (place / "stdout").read_text() == ""
    finish(nursery, place)
    assert fingerprint(place / "answers") == undisturbed[0]


@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_a_full_disk_ends_the_study_with_2_and_loses_nothing(
    nursery: Nursery,
    place: Path,
    undisturbed: tuple[list[tuple[object, ...]], float],
    fingerprint: Fingerprint,
    share: float,
) -> None:
    # The records' log grows beyond the limit at some trial, as it would on a full disk.
    limit = int(share * 400_000)
    nursery.start(SMALL_DISK.format(limit=limit) + COMMAND.format(jobs=1), place)

    assert nursery.wait() == 2
    told = (place / "stderr").read_text()
    assert told.count("error: ") == 1
    assert "Traceback" not in told
    assert "disk" in told
    finish(nursery, place)
    assert fingerprint(place / "answers") == undisturbed[0]


def test_two_processes_in_one_folder_are_refused(
    small_study: Make, digits: ImageSet, folder: Path, compare: Compare
) -> None:
    with study_folder(folder), pytest.raises(RecordsError, match="another process is comparing in"):
        compare(small_study(), folder, images=digits)


@pytest.fixture
def untouched(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    assert sorted(path.name for path in tmp_path.iterdir()) == ["thesis.txt"]


def test_a_folder_below_a_file_is_refused(
    small_study: Make, digits: ImageSet, untouched: Path, compare: Compare
) -> None:
    (untouched / "thesis.txt").write_text("years of work")

    with pytest.raises(RecordsError, match=r"cannot be written .* give another --output"):
        compare(small_study(), untouched / "thesis.txt" / "answers", images=digits)
    with pytest.raises(RecordsError, match=r"cannot be written .* give another --output"):
        compare(small_study(), untouched / "thesis.txt", images=digits)
