"""Tasks: an image set narrowed to some classes, with its split and label budgets."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

from headstart.data.image_set import ImageSet
from headstart.data.splits import Rows, Split, check_classes, stratified_order
from headstart.errors import DataError, nearest
from headstart.seeding import generator
from headstart.settings import ManyProblemsError, Settings

Budget = int | Literal["all"]


class TaskSettings(Settings):
    """What is to be told apart.

    Attributes:
        classes: The classes by name; ``"all"`` for every class of the set.
        positive: Ask "is it this class or not?" over `classes` instead: two classes come out,
            ``"not NAME"`` and ``"NAME"``.
    """

    classes: tuple[str, ...] | Literal["all"] = "all"
    positive: str | None = None

    @model_validator(mode="after")
    def _is_a_question(self) -> Self:
        if self.classes == "all":
            return self
        problems: list[tuple[tuple[str, ...], str]] = []
        twice = sorted({name for name in self.classes if self.classes.count(name) > 1})
        if twice:
            problems.append((("classes",), f"{', '.join(map(repr, twice))} is named twice"))
        if len(set(self.classes)) < 2:
            problems.append((("classes",), "at least two classes are needed to tell apart"))
        if self.positive is not None and self.positive not in self.classes:
            hint = nearest(self.positive, self.classes)
            problems.append((("positive",), f"{self.positive!r} is not among classes; {hint}"))
        if problems:
            raise ManyProblemsError(problems)
        return self


@dataclass(frozen=True)
class Examples:
    """Pictures with their labels, ready to learn from.

    Attributes:
        whole: uint8, shape (M, height, width, channels): the pictures they are among, which may be
            many more than fit into memory.
        labels: int64, shape (N,), numbers within the task.
        rows: Which of the pictures they are, shape (N,); all of them when omitted.
    """

    whole: NDArray[np.uint8]
    labels: NDArray[np.int64]
    rows: Rows | None = None

    @property
    def pictures(self) -> NDArray[np.uint8]:
        """Their pictures, shape (N, height, width, channels), copied if they are some of many."""
        return self.whole if self.rows is None else self.whole[self.rows]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class SealedTest:
    """The test split: pictures for everyone, labels only through a door that counts.

    Attributes:
        rows: Row numbers in the image set, shape (N,).
        whole: All pictures of the image set, uint8, shape (M, height, width, channels).
    """

    rows: Rows
    whole: NDArray[np.uint8]
    _labels: NDArray[np.int64] = field(repr=False)

    @property
    def pictures(self) -> NDArray[np.uint8]:
        """A copy of the test pictures, shape (N, height, width, channels)."""
        return self.whole[self.rows]

    def open_labels(self, purpose: str, note: Callable[[str, int], None]) -> NDArray[np.int64]:
        """The test labels, after the reading was written down.

        Args:
            purpose: Why they are read; goes into the records.
            note: Writes (purpose, number of labels) down; what it raises keeps the door shut.
        """
        note(purpose, len(self._labels))
        return self._labels.copy()


@dataclass(frozen=True)
class Task:
    """An image set narrowed to some classes, with its split.

    Attributes:
        class_names: The task's classes in the order of its label numbers.
        train_rows: Rows of the image set to learn from.
        valid_rows: Rows to choose with.
        test: The sealed test split.
    """

    images: ImageSet
    class_names: tuple[str, ...]
    train_rows: Rows
    valid_rows: Rows
    test: SealedTest
    _number: NDArray[np.int64]

    @property
    def train(self) -> Examples:
        """All training examples."""
        return self.examples(self.train_rows)

    @property
    def valid(self) -> Examples:
        """The validation examples."""
        return self.examples(self.valid_rows)

    def numbers(self, rows: Rows) -> NDArray[np.int64]:
        """The task's class numbers of some rows, −1 for rows of other classes."""
        return self._number[self.images.labels[rows]]

    def examples(self, rows: Rows) -> Examples:
        """The examples at rows that are not in the test split.

        Raises:
            DataError: If a row belongs to the test split, or to none of the task's classes.
        """
        labels = self.numbers(rows)
        if np.isin(rows, self.test.rows).any():
            raise DataError("test pictures have no labels here: open the test split's door")
        if (labels < 0).any():
            raise DataError(
                f"some rows are of other classes than the task's ({', '.join(self.class_names)})"
            )
        return Examples(self.images.pictures, labels, rows)

    def budget_rows(self, budget: Budget, seed: int, *, stored: bool = False) -> Rows:
        """The training rows that a trial with this label budget may use.

        Budgets are nested: with one seed, a smaller budget is part of every larger one.

        Args:
            budget: A number of labels, or ``"all"``.
            seed: Draws them, stratified.
            stored: Take the first ones as stored instead, the same for every seed.

        Raises:
            DataError: If there are fewer training pictures, or fewer labels than classes.
        """
        if budget == "all":
            return self.train_rows
        if budget > len(self.train_rows):
            raise DataError(
                f"a label budget of {budget} is above the {len(self.train_rows)} training "
                'pictures of this task: lower it, or ask for "all"'
            )
        if budget < len(self.class_names):
            raise DataError(
                f"a label budget of {budget} cannot hold one label of each of the "
                f"{len(self.class_names)} classes: raise it"
            )
        labels = self.numbers(self.train_rows)
        if stored:
            check_classes(labels[:budget], self.class_names, f"training (first {budget} stored)")
            return self.train_rows[:budget]
        order = stratified_order(labels, generator(seed, "label budget"))
        return np.sort(self.train_rows[order[:budget]])


def make_task(images: ImageSet, settings: TaskSettings, split: Split) -> Task:
    """Narrow an image set and its split to a task's classes.

    Raises:
        DataError: If a class is unknown or missing from a split.
    """
    names = images.class_names if settings.classes == "all" else settings.classes
    shown = names if settings.positive is None else (f"not {settings.positive}", settings.positive)
    asked = [*names, *([settings.positive] if settings.positive is not None else [])]
    problems = [
        f"{images.name} has no class {name!r}: {nearest(name, images.class_names)}"
        for name in dict.fromkeys(asked)
        if name not in images.class_names
    ]
    if len(names) < 2:
        problems.append(f"{images.name} has fewer than two classes: there is nothing to tell apart")
    if problems:
        raise DataError(*problems)
    number = _numbering(images.class_names, names, settings.positive)
    parts = {}
    for part in ("train", "valid", "test"):
        rows = getattr(split, part)
        parts[part] = rows[number[images.labels[rows]] >= 0]
        try:
            check_classes(number[images.labels[parts[part]]], shown, part)
        except DataError as error:
            problems += error.problems
    if problems:
        raise DataError(*problems)
    rows = parts["test"]
    test = SealedTest(rows, images.pictures, number[images.labels[rows]])
    return Task(images, tuple(shown), parts["train"], parts["valid"], test, number)


def _numbering(
    known: Sequence[str], names: Sequence[str], positive: str | None
) -> NDArray[np.int64]:
    """For each class of the set its number in the task, −1 where it is not part of it."""
    if positive is None:
        position = {name: number for number, name in enumerate(names)}
    else:
        position = {name: int(name == positive) for name in names}
    return np.array([position.get(name, -1) for name in known], dtype=np.int64)
