"""A study small enough to be compared in a second."""

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from headstart.data.image_set import ImageSet
from headstart.report.results import Results
from headstart.study.compare import train_and_score
from headstart.study.folder import study_folder
from headstart.study.progress import Listener, silent
from headstart.study.spec import Study, study_from

SMALL: dict[str, Any] = {
    "question": "Do other digits help?",
    "split": {"valid": 0.2, "test": 0.3},
    "task": {"classes": ["0", "1", "2"]},
    "source": {},
    "network": {"kind": "mlp", "hidden": [16, 8]},
    "training": {"optimizer": "sgd", "lr": 0.1, "epochs": 2},
    "strategy": {"scratch": {}, "frozen": {}},
    "study": {"seeds": 2, "labels": [60, "all"]},
}


@pytest.fixture(scope="session")
def digits() -> ImageSet:
    bunch = load_digits()
    return ImageSet.from_arrays(np.rint(bunch.images * 15).astype(np.uint8), bunch.target)


@pytest.fixture(scope="session")
def small_study() -> Callable[..., Study]:
    """The small study with tables changed: ``small_study(training={"epochs": 1})``."""

    def make(**changes: Any) -> Study:
        values = {key: SMALL[key] for key in SMALL}
        for key, change in changes.items():
            merges = isinstance(change, dict) and key not in ("strategy", "network")
            values[key] = {**values.get(key, {}), **change} if merges else change
        return study_from({key: value for key, value in values.items() if value is not None})

    return make


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "answers"


@pytest.fixture(scope="session")
def compare() -> Callable[..., Results]:
    """`headstart.compare` in this process, without the files that it writes last."""
    return _compare


@pytest.fixture(scope="session")
def fingerprint() -> Callable[[Path], list[tuple[object, ...]]]:
    return _fingerprint


def _fingerprint(folder: Path) -> list[tuple[object, ...]]:
    """What must be the same whenever the same study was compared: weights, curves, scores."""
    with closing(sqlite3.connect(folder / "study.sqlite")) as db:
        trials = db.execute(
            "SELECT strategy, seed, labels, state, weights_hash, val_accuracy, val_loss, "
            "test_accuracy, test_log_loss, epochs, steps FROM trials "
            "ORDER BY strategy, seed, labels"
        ).fetchall()
        curves = db.execute(
            "SELECT strategy, seed, labels, phase, c.epoch, train_loss, c.val_loss FROM curves c "
            "JOIN trials t ON t.id = c.trial ORDER BY strategy, seed, labels, c.epoch"
        ).fetchall()
        predictions = db.execute(
            "SELECT strategy, seed, labels, split, probabilities FROM predictions "
            "JOIN trials t ON t.id = trial ORDER BY strategy, seed, labels, split"
        ).fetchall()
    return [*trials, *curves, *predictions]


def _compare(
    study: Study,
    folder: Path,
    *,
    images: ImageSet | None = None,
    fresh: bool = False,
    retry_failed: bool = False,
    jobs: int | None = 1,
    listener: Listener = silent,
) -> Results:
    with study_folder(folder, fresh=fresh):
        return Results(
            train_and_score(
                study,
                folder,
                images=images,
                retry_failed=retry_failed,
                jobs=jobs,
                listener=listener,
            )
        )


class Nursery:
    """A process that has imported everything once, and forks a child for each piece of code."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _NURSERY],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )

    def start(self, code: str, folder: Path) -> int:
        """Let a child do some code in a folder, in a process group of its own; gives its id."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([code, str(folder)]) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def wait(self) -> int:
        """The exit code of the child; minus the signal that killed it."""
        return self._answer()

    def _answer(self) -> int:
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())

    def close(self) -> None:
        self._process.communicate()


_NURSERY = """
import json, os, signal, sys, traceback
import headstart.api, headstart.cli
# Ctrl-C has to arrive even where the suite runs in the background, whose processes ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)
for line in sys.stdin:
    code, folder = json.loads(line)
    child = os.fork()
    if not child:
        os.setsid()
        os.chdir(folder)
        for stream, name in ((1, "stdout"), (2, "stderr")):
            os.dup2(os.open(name, os.O_CREAT | os.O_WRONLY | os.O_TRUNC), stream)
        status = 0
        try:
            exec(code, {"__name__": "__main__"})
        except SystemExit as end:
            status = end.code
        except BaseException:
            traceback.print_exc()
            status = 99
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.fixture(scope="session")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    made = Nursery()
    made.start("", tmp_path_factory.mktemp("nursery"))
    assert made.wait() == 0
    yield made
    made.close()
