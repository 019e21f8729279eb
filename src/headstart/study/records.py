"""Records: what every trial left behind, in one SQLite file in WAL mode.

Only the process that leads a study writes. A trial is a row with its state; nothing is deleted. A
killed process loses at most the trials in hand: they are still `running` and are taken up again.
"""

import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from headstart.data.tasks import Budget
from headstart.errors import RecordsError
from headstart.statistics.ledger import Entry, next_entry
from headstart.study.database import (
    FILE_NAME,
    damaged,
    explained,
    open_database,
    sense_made_of,
)
from headstart.study.identity import identify
from headstart.training.choice import Choice
from headstart.training.fit import Epoch

State = Literal["waiting", "running", "complete", "failed"]
Labelled = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Pictures as rows of the image set, and their labels."""


@dataclass(frozen=True)
class TrialKey:
    """What tells a trial from the others of its study."""

    strategy: str
    seed: int
    labels: Budget

    @property
    def labels_text(self) -> str:
        """The budget as it is written in files."""
        return str(self.labels)


@dataclass(frozen=True)
class TrialOutcome:
    """What a finished trial leaves behind; its test predictions have not been scored yet.

    Attributes:
        fit_seconds: Wall time of training and validation; of a stack's, the trial's share.
        val_probabilities: Shape (validation pictures, classes), float32.
        test_probabilities: Shape (test pictures, classes), float32.
        val_rows: The validation pictures' rows in the image set, the same for all of a seed.
        val_labels: Their labels, shape (validation pictures,).
        choice: What was kept of several, where the strategy chose on the validation pictures.
    """

    val_accuracy: float
    val_loss: float
    trainable_parameters: int
    total_parameters: int
    fit_seconds: float
    steps: int
    curve: tuple[Epoch, ...]
    weights_hash: str
    device: str
    val_probabilities: NDArray[np.float32]
    test_probabilities: NDArray[np.float32]
    val_rows: NDArray[np.int64]
    val_labels: NDArray[np.int64]
    choice: Choice | None = None


@dataclass(frozen=True)
class SourceOutcome:
    """What training a source leaves behind; its weights lie in `file`, below the study's folder."""

    file: str
    weights_hash: str
    val_accuracy: float | None
    val_loss: float | None
    epochs: int
    steps: int
    fit_seconds: float
    curve: tuple[Epoch, ...]


class Records:
    """One study's records."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._db = connection
        self.path = path

    @classmethod
    def open(cls, directory: Path, *, create: bool) -> Self:
        """Open a study folder's records.

        Args:
            directory: The study's folder.
            create: Make the file when there is none.

        Raises:
            RecordsError: If there are no records, they are damaged, or of another version.
        """
        path = directory / FILE_NAME
        if not create and not (path.exists() and path.stat().st_size):
            raise RecordsError(
                f"{directory} holds no records ({FILE_NAME}): name the folder of a study that was "
                "compared before"
            )
        return cls(open_database(path), path)

    @classmethod
    def at(cls, path: Path) -> Self:
        """Open or make a file of records by its path.

        Raises:
            RecordsError: If it is damaged, or cannot be used.
        """
        return cls(open_database(path), path)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with explained(self.path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):  # a full disk may have ended it already
                    self._db.execute("ROLLBACK")
                raise

    def meta(self, key: str) -> str | None:
        """A value written down about the whole study."""
        with explained(self.path):
            row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def described(self, key: str) -> dict[str, Any]:
        """A mapping written down about the whole study; empty where there is none.

        Raises:
            RecordsError: If it is damaged.
        """
        return self._decoded(self.meta(key) or "{}")

    def describe(self, key: str, value: Mapping[str, Any]) -> None:
        """Write down a mapping about the whole study."""
        self.set_meta(key, json.dumps(value))

    def set_meta(self, key: str, value: str) -> None:
        """Write down a value about the whole study."""
        with self._transaction():
            self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def plan_trials(self, trials: Mapping[TrialKey, Mapping[str, Any]]) -> None:
        """Add the trials that are not there yet, and set those a killed process left running.

        Args:
            trials: Each trial's full configuration; two may be the same under different names,
                as when a strategy is held against itself.
        """
        with self._transaction():
            self._db.execute("UPDATE trials SET state = 'waiting' WHERE state = 'running'")
            for key, configuration in trials.items():
                self._db.execute(
                    "INSERT OR IGNORE INTO trials (id, strategy, seed, labels, state, "
                    "configuration) VALUES (?, ?, ?, ?, 'waiting', ?)",
                    (
                        identify({**configuration, "name": key.strategy}),
                        key.strategy, key.seed, key.labels_text,
                        json.dumps(configuration, sort_keys=True),
                    ),
                )  # fmt: skip

    def states(self) -> dict[TrialKey, State]:
        """Every trial's state."""
        rows = self._select("SELECT strategy, seed, labels, state FROM trials")
        with sense_made_of(self.path):
            return {_key(row): row["state"] for row in rows}

    def configurations(self) -> dict[TrialKey, dict[str, Any]]:
        """Every trial's configuration."""
        rows = self._select("SELECT strategy, seed, labels, configuration FROM trials")
        with sense_made_of(self.path):
            return {_key(row): self._decoded(row["configuration"]) for row in rows}

    def start(self, key: TrialKey) -> None:
        """Write down that a trial is running."""
        self._update(key, state="running", started=time.time(), error=None)

    def wait_again(self, keys: Iterable[TrialKey]) -> None:
        """Set trials back to waiting, those that failed too."""
        for key in keys:
            self._update(key, state="waiting", error=None)

    def fail(self, key: TrialKey, reason: str) -> None:
        """Write down why a trial ended without a result."""
        self._update(key, state="failed", finished=time.time(), error=reason)

    def complete(self, key: TrialKey, outcome: TrialOutcome) -> None:
        """Write down a trial's outcome, all or nothing."""
        with self._transaction():
            self._set(
                key,
                state="complete",
                finished=time.time(),
                val_accuracy=outcome.val_accuracy,
                val_loss=outcome.val_loss,
                trainable_parameters=outcome.trainable_parameters,
                total_parameters=outcome.total_parameters,
                fit_seconds=outcome.fit_seconds,
                epochs=len(outcome.curve),
                steps=outcome.steps,
                weights_hash=outcome.weights_hash,
                device=outcome.device,
            )
            trial = self._id(key)
            for table in ("curves", "predictions", "choices"):
                self._db.execute(f"DELETE FROM {table} WHERE trial = ?", (trial,))
            self._db.executemany(
                "INSERT INTO curves VALUES (?, ?, ?, ?, ?, ?, ?)",
                [
                    (trial, e.phase, e.epoch, e.train_loss, e.val_loss, e.val_accuracy, e.seconds)
                    for e in outcome.curve
                ],
            )
            for split, values in (
                ("valid", outcome.val_probabilities),
                ("test", outcome.test_probabilities),
            ):
                self._db.execute(
                    "INSERT INTO predictions VALUES (?, ?, ?, ?, ?)",
                    (trial, split, *values.shape, values.astype("<f4").tobytes()),
                )
            if outcome.choice is not None:
                candidates = json.dumps(outcome.choice.candidates)
                correct = outcome.choice.correct.astype(np.uint8).tobytes()
                self._db.execute(
                    "INSERT INTO choices VALUES (?, ?, ?, ?)",
                    (trial, candidates, outcome.choice.chosen, correct),
                )
            self._db.execute(
                "INSERT OR REPLACE INTO valid_labels VALUES (?, ?, ?)",
                (key.seed, *(_packed(own) for own in (outcome.val_rows, outcome.val_labels))),
            )

    def score(self, scores: Mapping[TrialKey, tuple[float, float]]) -> None:
        """Write down test accuracy and log loss of trials, all or nothing."""
        with self._transaction():
            for key, (accuracy, log_loss) in scores.items():
                self._set(key, test_accuracy=accuracy, test_log_loss=log_loss)

    def probabilities(self, key: TrialKey, split: Literal["valid", "test"]) -> NDArray[np.float32]:
        """A complete trial's class probabilities, shape (pictures, classes)."""
        rows = self._select(
            "SELECT pictures, classes, probabilities FROM predictions "
            "JOIN trials ON trials.id = trial WHERE strategy = ? AND seed = ? AND labels = ? "
            "AND split = ?",
            (key.strategy, key.seed, key.labels_text, split),
        )
        if not rows:
            raise damaged(self.path, f"there are no {split} predictions of {key}")
        row = rows[0]
        shape = row["pictures"], row["classes"]
        if len(row["probabilities"]) != 4 * shape[0] * shape[1]:
            raise damaged(self.path, f"the {split} predictions of {key} are not of shape {shape}")
        flat = np.frombuffer(row["probabilities"], dtype="<f4").astype(np.float32)
        return flat.reshape(shape)

    def choices(self) -> dict[TrialKey, Choice]:
        """What trials kept of several, those whose strategies chose."""
        rows = self._select(
            "SELECT strategy, seed, labels, candidates, chosen, correct "
            "FROM choices JOIN trials ON trials.id = trial WHERE state = 'complete'"
        )
        with sense_made_of(self.path):
            return {_key(row): _choice(row) for row in rows}

    def valid_labels(self) -> dict[int, Labelled]:
        """By seed: the validation pictures' rows in the image set, and their labels."""
        return self._labelled("valid_labels", "the validation labels of seed")

    def fold_labels(self) -> dict[int, Labelled]:
        """By the number of the fold: the test pictures' rows and labels that were read."""
        return self._labelled("fold_labels", "the test labels of fold")

    def _labelled(self, table: str, what: str) -> dict[int, Labelled]:
        found = {}
        for row in self._select(f"SELECT * FROM {table} ORDER BY seed"):
            pictures, labels = (_unpacked(row[name]) for name in ("pictures", "labels"))
            if len(pictures) != len(labels):
                raise damaged(self.path, f"{what} {row['seed']} are not whole")
            found[row["seed"]] = pictures, labels
        return found

    def keep_fold_labels(self, folds: Mapping[int, Labelled]) -> None:
        """Keep the test labels of folds that were read, by the folds' numbers."""
        with self._transaction():
            self._db.executemany(
                "INSERT OR REPLACE INTO fold_labels VALUES (?, ?, ?)",
                [(fold, *map(_packed, labelled)) for fold, labelled in folds.items()],
            )

    def trials(self) -> list[dict[str, Any]]:
        """Every trial with its metrics, in the order planned."""
        return [dict(row) for row in self._select("SELECT * FROM trials ORDER BY rowid")]

    def curves(self) -> list[dict[str, Any]]:
        """Every epoch of every trial, with the trial's strategy, seed and labels."""
        return [
            dict(row)
            for row in self._select(
                "SELECT strategy, labels, seed, phase, curves.epoch AS epoch, train_loss, "
                "curves.val_loss AS val_loss, curves.val_accuracy AS val_accuracy "
                "FROM curves JOIN trials ON trials.id = trial ORDER BY trials.rowid, curves.epoch"
            )
        ]

    def add_source(self, seed: int, outcome: SourceOutcome) -> None:
        """Write down a source that was trained here."""
        curve = json.dumps([vars(epoch) for epoch in outcome.curve])
        with self._transaction():
            self._db.execute(
                "INSERT OR REPLACE INTO sources VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    seed, outcome.file, outcome.weights_hash, outcome.val_accuracy,
                    outcome.val_loss, outcome.epochs, outcome.steps, outcome.fit_seconds, curve,
                ),
            )  # fmt: skip

    def sources(self) -> dict[int, dict[str, Any]]:
        """The sources that were trained here, by seed."""
        rows = self._select("SELECT * FROM sources ORDER BY seed")
        return {row["seed"]: dict(row) for row in rows}

    def note_test_read(self, split: str, reader: str, purpose: str) -> None:
        """Write down that the test labels are about to be read, as the next link of the ledger.

        Raises:
            RecordsError: If the ledger was tampered with.
        """
        entry = next_entry(
            self.test_reads(),
            when=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            split=split,
            reader=reader,
            purpose=purpose,
        )
        with self._transaction():
            self._db.execute(
                "INSERT INTO test_reads VALUES (?, ?, ?, ?, ?, ?, ?, ?)", astuple(entry)
            )

    def carry_test_reads(self, entries: Iterable[Entry]) -> None:
        """Begin the ledger with what was read before, on another test split."""
        with self._transaction():
            self._db.executemany(
                "INSERT INTO test_reads VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [astuple(entry) for entry in entries],
            )

    def test_reads(self) -> list[Entry]:
        """Every reading of the test labels, in order."""
        rows = self._select("SELECT * FROM test_reads ORDER BY number")
        return [Entry(**dict(row)) for row in rows]

    def keep_test_labels(self, labels: NDArray[np.int64], content_hash: str) -> None:
        """Keep the test labels that were read, so that a report can be drawn without the data."""
        with self._transaction():
            self._db.execute(
                "INSERT OR REPLACE INTO test_labels VALUES (0, ?, ?)",
                (_packed(labels), content_hash),
            )

    def test_labels(self) -> NDArray[np.int64] | None:
        """The test labels that were read before, shape (N,), or None."""
        rows = self._select("SELECT labels FROM test_labels")
        return _unpacked(rows[0]["labels"]) if rows else None

    def keep_pictures(self, kind: str, pictures: Sequence[tuple[int, bytes, str]]) -> None:
        """Keep pictures for the report in place of those of the same kind.

        Args:
            kind: What they are for.
            pictures: (row in the image set, PNG, class name) each.
        """
        with self._transaction():
            self._db.execute("DELETE FROM pictures WHERE kind = ?", (kind,))
            self._db.executemany(
                "INSERT INTO pictures VALUES (?, ?, ?, ?, ?)",
                [(kind, number, *picture) for number, picture in enumerate(pictures)],
            )

    def pictures(self, kind: str) -> list[tuple[int, bytes, str]]:
        """The pictures kept for a purpose: (row in the image set, PNG, class name)."""
        rows = self._select("SELECT * FROM pictures WHERE kind = ? ORDER BY number", (kind,))
        return [(row["row"], row["png"], row["class_name"]) for row in rows]

    def _select(self, query: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        with explained(self.path):
            return self._db.execute(query, values).fetchall()

    def _decoded(self, text: str) -> dict[str, Any]:
        with sense_made_of(self.path):
            value = json.loads(text)
            if not isinstance(value, dict):
                raise TypeError(f"{text!r} is no mapping")
            return value

    def _update(self, key: TrialKey, **values: Any) -> None:
        with self._transaction():
            self._set(key, **values)

    def _set(self, key: TrialKey, **values: Any) -> None:
        columns = ", ".join(f"{name} = ?" for name in values)
        changed = self._db.execute(
            f"UPDATE trials SET {columns} WHERE strategy = ? AND seed = ? AND labels = ?",
            (*values.values(), key.strategy, key.seed, key.labels_text),
        )
        if changed.rowcount != 1:
            raise RecordsError(f"{self.path}: no trial {key}")

    def _id(self, key: TrialKey) -> str:
        rows = self._select(
            "SELECT id FROM trials WHERE strategy = ? AND seed = ? AND labels = ?",
            (key.strategy, key.seed, key.labels_text),
        )
        return str(rows[0]["id"])


def _packed(numbers: NDArray[np.int64]) -> bytes:
    return numbers.astype("<i8").tobytes()


def _unpacked(data: bytes) -> NDArray[np.int64]:
    return np.frombuffer(data, dtype="<i8").astype(np.int64)


def _choice(row: sqlite3.Row) -> Choice:
    candidates = tuple(json.loads(row["candidates"]))
    correct = np.frombuffer(row["correct"], dtype=np.uint8).astype(np.bool_)
    return Choice(candidates, row["chosen"], correct.reshape(len(candidates), -1))


def _key(row: sqlite3.Row) -> TrialKey:
    labels: Budget = "all" if row["labels"] == "all" else int(row["labels"])
    return TrialKey(row["strategy"], row["seed"], labels)
