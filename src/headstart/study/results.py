"""Results: what a study's records say about the trials that were asked for."""

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from headstart.data.tasks import Budget
from headstart.errors import RecordsError
from headstart.statistics.access import widened_alpha
from headstart.statistics.ledger import Entry
from headstart.statistics.resampled import Resampling
from headstart.study.database import sense_made_of
from headstart.study.folds import FoldAnswers, FoldPairing, fold_answers, resampling
from headstart.study.records import Records, TrialKey
from headstart.study.scoring import counted_reads, of_split
from headstart.study.spec import Study, load_study
from headstart.training.choice import Choice

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

    def at(self, seeds: Sequence[int]) -> Self:
        """The answers of some of the seeds, in the order given."""
        places = [self.seeds.index(seed) for seed in seeds]
        return replace(
            self,
            seeds=tuple(seeds),
            probabilities=self.probabilities[places],
            correct=self.correct[places],
        )

    @property
    def accuracies(self) -> NDArray[np.float64]:
        """The accuracy of each seed, shape (seeds,)."""
        return np.asarray(self.correct.mean(axis=1))

    @property
    def normalised(self) -> NDArray[np.float64]:
        """The probabilities as float64 with rows that sum to one beyond float32's rounding."""
        exact = self.probabilities.astype(np.float64)
        return np.asarray(exact / exact.sum(axis=2, keepdims=True))


@dataclass(frozen=True)
class Validation:
    """Who was right on the validation pictures at one label budget, to choose the best by.

    Attributes:
        strategies: K names, those with a finished trial.
        seeds: The seeds that all of them have.
        correct: Shape (K, rows), a row for each seed and validation picture.
        pictures: The picture of each row, shape (rows,): its row in the image set. One picture
            may stand for several seeds.
    """

    strategies: tuple[str, ...]
    seeds: tuple[int, ...]
    correct: NDArray[np.bool_]
    pictures: NDArray[np.int64]


@dataclass(frozen=True)
class Pairing:
    """One strategy beside another at one label budget, over the seeds that both have.

    Attributes:
        a: The answers of one, its rows the shared seeds.
        b: The answers of the other (as a rule the baseline), the same rows.
        missing: How many seeds only one of them has.
    """

    a: Answers
    b: Answers
    missing: int


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
        test_groups: The group of each test picture, where the set has groups; they are drawn
            together wherever pictures are resampled.
        test_reads: Every reading of the test labels, a chain that shows tampering.
        design: The looks that were declared, as plain data; None where none were.
        search: What was searched and found (`headstart.study.search`), as plain data; empty where
            nothing was.
        gate: What was tried through a gate (`headstart.study.gate`), as plain data; empty where
            nothing was.
        answers: By strategy and budget, those with at least one scored trial; empty where the
            study is cross-validated.
        fold_answers: The same where the study is cross-validated.
        resampling: The sizes of its folds; None where it is not, or nothing was scored.
        validation: By label budget, where at least two strategies can be chosen from.
        class_names: The task's classes.
        examples: (row, PNG, class name) of training pictures.
        mistakes: (position in the test split, PNG, class name) of pictures often got wrong.
        class_counts: Rows of (task, split, class name, count).
        provenance: Versions and the like.
        choices: What trials kept of several, where their strategies chose on validation pictures.
        warned_before: What was warned of before anything was trained, in sentences.
    """

    study: Study
    directory: Path
    rows: list[dict[str, Any]]
    curves: list[dict[str, Any]]
    sources: dict[int, dict[str, Any]]
    test_labels: NDArray[np.int64] | None
    test_groups: NDArray[np.int64] | None
    test_reads: list[Entry]
    design: dict[str, Any] | None
    search: dict[str, Any]
    gate: dict[str, Any]
    answers: dict[tuple[str, Budget], Answers]
    fold_answers: dict[tuple[str, Budget], FoldAnswers]
    resampling: Resampling | None
    validation: dict[Budget, Validation]
    class_names: tuple[str, ...]
    examples: list[tuple[int, bytes, str]]
    mistakes: list[tuple[int, bytes, str]]
    class_counts: list[tuple[str, str, str, int]]
    provenance: dict[str, str]
    choices: dict[TrialKey, Choice] = field(default_factory=dict)
    warned_before: tuple[str, ...] = ()

    @classmethod
    def read(cls, directory: Path) -> Self:
        """Read a study's folder.

        Raises:
            RecordsError: If it is not one, or cannot be read.
            StudyError: If its ``study.toml`` is not what headstart wrote.
        """
        opened = closing(Records.open(directory, create=False))
        with opened as records, sense_made_of(records.path):
            study = load_study(directory / "study.toml")
            settings = study.study
            asked = {
                TrialKey(name, seed, labels)
                for name in study.strategy
                for seed in settings.seeds
                for labels in settings.labels
            }
            described = records.described("task")
            if not described:
                raise RecordsError(f"{directory} holds no finished comparison: compare first")
            trials = [row for row in records.trials() if _key(row) in asked]
            labels = records.test_labels()
            scored = [row for row in trials if row["test_accuracy"] is not None]
            folds = study.split.folds is not None
            return cls(
                study=study,
                directory=directory,
                rows=[{name: row[name] for name in TRIAL_COLUMNS} for row in trials],
                curves=[row for row in records.curves() if _key(row) in asked],
                sources=records.sources(),
                test_labels=labels,
                test_groups=_groups(records, labels),
                test_reads=records.test_reads(),
                design=json.loads(records.meta("design") or "null"),
                search=records.described("search") if study.search is not None else {},
                gate=records.described("gate"),
                answers=_answers(records, study, scored, labels),
                fold_answers=fold_answers(records, study, scored) if folds else {},
                resampling=resampling(records.fold_labels()) if folds else None,
                validation=_validations(records, study, trials),
                class_names=tuple(described["class_names"]),
                examples=records.pictures("example"),
                mistakes=records.pictures("mistake"),
                class_counts=[tuple(row) for row in described["class_counts"]],
                provenance=records.described("provenance"),
                choices={key: own for key, own in records.choices().items() if key in asked},
                warned_before=tuple(records.described("warnings").get("before", ())),
            )

    def told(self, name: str, labels: Budget) -> Answers | FoldAnswers | None:
        """What a strategy's trials said of the test pictures, by seeds or by folds."""
        return self.answers.get((name, labels)) or self.fold_answers.get((name, labels))

    def pair(self, a: str, b: str, labels: Budget) -> Pairing | None:
        """The answers of two strategies over the seeds that both have, or None without any."""
        one, other = self.answers.get((a, labels)), self.answers.get((b, labels))
        if one is None or other is None:
            return None
        shared, missing = _shared(one.seeds, other.seeds)
        return Pairing(one.at(shared), other.at(shared), missing) if shared else None

    def pair_folds(self, a: str, b: str, labels: Budget) -> FoldPairing | None:
        """The answers of two strategies over the folds that both have, or None with fewer than two.

        A single fold says nothing of how the next would fall.
        """
        one, other = self.fold_answers.get((a, labels)), self.fold_answers.get((b, labels))
        if one is None or other is None:
            return None
        shared, missing = _shared(one.seeds, other.seeds)
        return FoldPairing(one.at(shared), other.at(shared), missing) if len(shared) > 1 else None

    def pairings(self) -> list[tuple[Budget, Pairing]]:
        """Every strategy beside the baseline at every label budget, by seeds."""
        found = ((one[2], self.pair(*one)) for one in self._against_baseline())
        return [(labels, pairing) for labels, pairing in found if pairing is not None]

    def fold_pairings(self) -> list[tuple[Budget, FoldPairing]]:
        """Every strategy beside the baseline at every label budget, by folds."""
        found = ((one[2], self.pair_folds(*one)) for one in self._against_baseline())
        return [(labels, pairing) for labels, pairing in found if pairing is not None]

    def _against_baseline(self) -> Iterator[tuple[str, str, Budget]]:
        settings = self.study.study
        for labels in settings.labels:
            for name in self.study.strategy:
                if name != settings.baseline:
                    yield name, settings.baseline, labels

    @property
    def split_reads(self) -> list[Entry]:
        """Every reading of the present test split; earlier ones had ledger entries, too."""
        return of_split(self.test_reads, self.study.split.number)

    @property
    def counted_reads(self) -> int:
        """How many readings of the present test split count against its budget."""
        return counted_reads(self.split_reads)

    @property
    def confidence(self) -> float:
        """The confidence of each interval: 95%, widened once the split was read too often.

        Beyond the budget nothing is told but by a gate, where the study has one.
        """
        settings = self.study.study
        reads = max(1, self.counted_reads)
        if settings.test_read_gate != "count":
            reads = min(reads, settings.test_read_budget)
        return 1 - widened_alpha(reads, settings.test_read_budget, settings.alpha)

    @cached_property
    def trials(self) -> "pd.DataFrame":
        """The trials in long form, one row each, as in ``trials.csv``."""
        import pandas as pd

        return pd.DataFrame(self.rows, columns=list(TRIAL_COLUMNS))


def _groups(records: Records, labels: NDArray[np.int64] | None) -> NDArray[np.int64] | None:
    """The group of each test picture, as it was written down when they were read."""
    found = records.described("test_groups").get("groups")
    if found is None or labels is None:
        return None
    if len(found) != len(labels):
        raise ValueError(f"{len(found)} groups for {len(labels)} test labels")
    return np.asarray(found, dtype=np.int64)


def _shared(one: Sequence[int], other: Sequence[int]) -> tuple[list[int], int]:
    """The seeds that both have, and how many only one has."""
    return sorted(set(one) & set(other)), len(set(one) ^ set(other))


def _answers(
    records: Records,
    study: Study,
    trials: Sequence[dict[str, Any]],
    labels: NDArray[np.int64] | None,
) -> dict[tuple[str, Budget], Answers]:
    found: dict[tuple[str, Budget], Answers] = {}
    if labels is None:
        return found
    scored = [_key(row) for row in trials]
    for budget in study.study.labels:
        for name in study.strategy:
            keys = sorted(
                (key for key in scored if (key.strategy, key.labels) == (name, budget)),
                key=lambda key: key.seed,
            )
            if keys:
                values = np.stack([records.probabilities(key, "test") for key in keys])
                if values.shape[1] != len(labels):
                    raise ValueError(f"{values.shape[1]} predictions for {len(labels)} labels")
                found[name, budget] = Answers(
                    strategy=name,
                    labels=budget,
                    seeds=tuple(key.seed for key in keys),
                    probabilities=values,
                    correct=values.argmax(axis=2) == labels,
                )
    return found


def _validations(
    records: Records, study: Study, trials: Sequence[dict[str, Any]]
) -> dict[Budget, Validation]:
    """Who was right on the validation pictures, over the seeds that all strategies have."""
    kept = records.valid_labels()
    complete = {_key(row) for row in trials if row["state"] == "complete"}
    found = {}
    for budget in study.study.labels:
        by_name = {
            name: {key.seed for key in complete if (key.strategy, key.labels) == (name, budget)}
            for name in study.strategy
        }
        names = tuple(name for name, own in by_name.items() if own)
        seeds = tuple(sorted(set(kept).intersection(*(by_name[name] for name in names))))
        if len(names) < 2 or not seeds:
            continue
        correct = [
            [
                records.probabilities(TrialKey(name, seed, budget), "valid").argmax(axis=1)
                == kept[seed][1]
                for seed in seeds
            ]
            for name in names
        ]
        found[budget] = Validation(
            strategies=names,
            seeds=seeds,
            correct=np.stack([np.concatenate(own) for own in correct]),
            pictures=np.concatenate([kept[seed][0] for seed in seeds]),
        )
    return found


def _key(row: dict[str, Any]) -> TrialKey:
    labels: Budget = "all" if row["labels"] == "all" else int(row["labels"])
    return TrialKey(row["strategy"], row["seed"], labels)
