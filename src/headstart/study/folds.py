"""Cross-validation in a study: what trials said of the folds that they were tested on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from headstart.data.tasks import Budget
from headstart.statistics.resampled import Resampling
from headstart.study.records import Labelled, Records, TrialKey
from headstart.study.spec import Study


@dataclass(frozen=True)
class FoldAnswers:
    """What the trials of one strategy and budget said of the folds they were tested on.

    Attributes:
        strategy: The strategy's name.
        labels: The label budget.
        seeds: The numbers of the folds with a scored trial, ascending: those of the first repeat,
            then those of the next.
        pictures: For each of them the test pictures as rows of the image set, shape (pictures,).
        truths: Their labels.
        probabilities: What was said of them, each of shape (pictures, classes), float32.
    """

    strategy: str
    labels: Budget
    seeds: tuple[int, ...]
    pictures: tuple[NDArray[np.int64], ...]
    truths: tuple[NDArray[np.int64], ...]
    probabilities: tuple[NDArray[np.float32], ...]

    def at(self, seeds: Sequence[int]) -> Self:
        """The answers for some of the folds, in the order given."""
        places = [self.seeds.index(seed) for seed in seeds]
        return replace(
            self,
            seeds=tuple(seeds),
            pictures=tuple(self.pictures[place] for place in places),
            truths=tuple(self.truths[place] for place in places),
            probabilities=tuple(self.probabilities[place] for place in places),
        )

    @property
    def correct(self) -> tuple[NDArray[np.bool_], ...]:
        """For each fold whether the most probable class was right."""
        return tuple(
            said.argmax(axis=1) == truth
            for said, truth in zip(self.probabilities, self.truths, strict=True)
        )

    @property
    def accuracies(self) -> NDArray[np.float64]:
        """The accuracy of each fold, shape (folds,)."""
        return np.array([own.mean() for own in self.correct])


@dataclass(frozen=True)
class FoldPairing:
    """One strategy beside another at one label budget, over the folds that both have.

    Attributes:
        a: The answers of one.
        b: The answers of the other (as a rule the baseline), for the same folds.
        missing: How many folds only one of them has.
    """

    a: FoldAnswers
    b: FoldAnswers
    missing: int


def resampling(folds: Mapping[int, Labelled]) -> Resampling | None:
    """The sizes of a cross-validation's folds, as they were read; None before that."""
    if not folds:
        return None
    rows = [pictures for pictures, _ in folds.values()]
    pictures = len(np.unique(np.concatenate(rows)))
    size = float(np.mean([len(own) for own in rows]))
    return Resampling(train=max(1, round(pictures - size)), test=size, pictures=pictures)


def fold_answers(
    records: Records, study: Study, trials: Sequence[Mapping[str, Any]]
) -> dict[tuple[str, Budget], FoldAnswers]:
    """The answers of a cross-validated study, by strategy and label budget.

    Args:
        records: Where predictions and labels lie.
        study: What was asked.
        trials: The trials that were scored.
    """
    kept = records.fold_labels()
    found = {}
    for labels in study.study.labels:
        for name in study.strategy:
            seeds = sorted(row["seed"] for row in trials if _is(row, name, labels))
            if seeds:
                found[name, labels] = FoldAnswers(
                    strategy=name,
                    labels=labels,
                    seeds=tuple(seeds),
                    pictures=tuple(kept[seed][0] for seed in seeds),
                    truths=tuple(kept[seed][1] for seed in seeds),
                    probabilities=tuple(
                        records.probabilities(TrialKey(name, seed, labels), "test")
                        for seed in seeds
                    ),
                )
    return found


def _is(row: Mapping[str, Any], strategy: str, labels: Budget) -> bool:
    return (row["strategy"], row["labels"]) == (strategy, str(labels))
