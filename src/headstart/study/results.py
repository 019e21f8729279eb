"""Results: what a study's records say about the trials that were asked for."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from headstart.data.tasks import Budget
from headstart.errors import RecordsError
from headstart.study.records import Records, TrialKey
from headstart.study.spec import Study, load_study

if TYPE_CHECKING:
    import pandas as pd

TRIAL_COLUMNS = (
    "strategy", "seed", "labels", "state", "val_accuracy", "test_accuracy", "test_log_loss",
    "trainable_parameters", "total_parameters", "fit_seconds", "epochs", "error",
)  # fmt: skip


@dataclass(frozen=True)
class Answers:
    """What the trials of one strategy and budget said of the test pictures.

    Attributes:
        strategy: The strategy's name.
        labels: The label budget.
        seeds: The seeds with a scored trial, ascending.
        probabilities: Shape (seeds, pictures, classes), float32.
        correct: Shape (seeds, pictures), whether the most probable class was right.
    """

    strategy: str
    labels: Budget
    seeds: tuple[int, ...]
    probabilities: NDArray[np.float32]
    correct: NDArray[np.bool_]


@dataclass(frozen=True)
class StudyRecords:
    """The records of a study as plain data.

    Attributes:
        study: As it was asked last.
        directory: The study's folder.
        rows: One mapping a trial asked for, with `TRIAL_COLUMNS`.
        curves: One mapping an epoch.
        sources: By seed, one mapping a source trained here.
        test_labels: Shape (pictures,), None while nothing was scored.
        test_reads: One mapping a reading of the test labels.
        answers: By strategy and budget, those with at least one scored trial.
        class_names: The task's classes.
        examples: (row, PNG, class name) of training pictures.
        mistakes: (position in the test split, PNG, class name) of pictures often got wrong.
        class_counts: Rows of (task, split, class name, count).
        provenance: Versions and the like.
    """

    study: Study
    directory: Path
    rows: list[dict[str, Any]]
    curves: list[dict[str, Any]]
    sources: dict[int, dict[str, Any]]
    test_labels: NDArray[np.int64] | None
    test_reads: list[dict[str, Any]]
    answers: dict[tuple[str, Budget], Answers]
    class_names: tuple[str, ...]
    examples: list[tuple[int, bytes, str]]
    mistakes: list[tuple[int, bytes, str]]
    class_counts: list[tuple[str, str, str, int]]
    provenance: dict[str, str]

    @classmethod
    def read(cls, directory: Path) -> Self:
        """Read a study's folder.

        Raises:
            RecordsError: If it is not one, or cannot be read.
            StudyError: If its ``study.toml`` is not what headstart wrote.
        """
        records = Records.open(directory, create=False)
        try:
            study = load_study(directory / "study.toml")
            settings = study.study
            asked = {
                TrialKey(name, seed, labels)
                for name in study.strategy
                for seed in settings.seeds
                for labels in settings.labels
            }
            described = json.loads(records.meta("task") or "{}")
            if not described:
                raise RecordsError(f"{directory} holds no finished comparison: compare first")
            trials = [row for row in records.trials() if _key(row) in asked]
            labels = records.test_labels()
            return cls(
                study=study,
                directory=directory,
                rows=[{name: row[name] for name in TRIAL_COLUMNS} for row in trials],
                curves=[row for row in records.curves() if _key(row) in asked],
                sources=records.sources(),
                test_labels=labels,
                test_reads=records.test_reads(),
                answers=_answers(records, study, trials, labels),
                class_names=tuple(described["class_names"]),
                examples=records.pictures("example"),
                mistakes=records.pictures("mistake"),
                class_counts=[tuple(row) for row in described["class_counts"]],
                provenance=json.loads(records.meta("provenance") or "{}"),
            )
        finally:
            records.close()

    @cached_property
    def trials(self) -> "pd.DataFrame":
        """The trials in long form, one row each, as in ``trials.csv``."""
        import pandas as pd

        return pd.DataFrame(self.rows, columns=list(TRIAL_COLUMNS))


def _answers(
    records: Records,
    study: Study,
    trials: Sequence[dict[str, Any]],
    labels: NDArray[np.int64] | None,
) -> dict[tuple[str, Budget], Answers]:
    found: dict[tuple[str, Budget], Answers] = {}
    if labels is None:
        return found
    scored = [_key(row) for row in trials if row["test_accuracy"] is not None]
    for budget in study.study.labels:
        for name in study.strategy:
            keys = sorted(
                (key for key in scored if (key.strategy, key.labels) == (name, budget)),
                key=lambda key: key.seed,
            )
            if keys:
                values = np.stack([records.probabilities(key, "test") for key in keys])
                found[name, budget] = Answers(
                    strategy=name,
                    labels=budget,
                    seeds=tuple(key.seed for key in keys),
                    probabilities=values,
                    correct=values.argmax(axis=2) == labels,
                )
    return found


def _key(row: dict[str, Any]) -> TrialKey:
    labels: Budget = "all" if row["labels"] == "all" else int(row["labels"])
    return TrialKey(row["strategy"], row["seed"], labels)
