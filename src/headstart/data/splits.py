"""Splits: train, valid and test, disjoint by content, stratified, seeded.

The test split is the same for every seed, so that all trials answer the same questions. The line
between train and valid is drawn anew for every seed (unless the order is ``"stored"``), so that its
luck is part of the spread that a comparison reports. With cross-validation each fold of each repeat
stands in the place of a seed, and is the test split of its trials.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from headstart.data.folds import fold_numbers, units
from headstart.data.image_set import ImageSet
from headstart.errors import DataError
from headstart.seeding import generator
from headstart.settings import ManyProblemsError, Number, Settings, Whole

Rows = NDArray[np.int64]
Amount = Number | Whole
Range = tuple[Whole, Whole]

_VALID_SHARE, _TEST_SHARE = 0.1, 0.2


class SplitSettings(Settings):
    """How an image set is split.

    Attributes:
        order: ``"shuffled"``: stratified and drawn from the seed. ``"stored"``: cut at the given
            row numbers, in the order in which the set is stored, the same for every seed.
        valid: How much to choose with: a share below 1 or a number of pictures, drawn from the
            set's own validation part where it has one, else from its training pictures. By
            default all of that part, else a tenth of the training pictures. With ``"stored"``:
            ``[from, to]`` rows of the training part.
        test: The same for the test split, from the set's own test part where it has one. By
            default all of that part, else a fifth of the pictures. With ``"stored"``:
            ``[from, to]`` rows of the test part (of the whole set where it has none).
        train: Only with ``"stored"``: ``[from, to]`` rows of the training part.
        seed: Draws the test split; without effect where that is a part of the set as it is.
        number: Which test split: 1 is the first, 2 one of fresh pictures that were not in the
            first, and so on; for when a test split was read as often as it may be.
        folds: Cross-validation instead of one test split: every picture is tested on once a
            repeat, by trials that were trained on the other folds.
        repeats: How often the folds are drawn anew.
    """

    order: Literal["shuffled", "stored"] = "shuffled"
    train: Range | None = None
    valid: Amount | Range | None = None
    test: Amount | Range | None = None
    seed: Annotated[Whole, Field(ge=0)] = 0
    number: Annotated[Whole, Field(ge=1)] = 1
    folds: Annotated[Whole, Field(ge=2)] | None = None
    repeats: Annotated[Whole, Field(ge=1)] = 1

    @property
    def rounds(self) -> int:
        """How many (repeat, fold) there are; 0 without cross-validation."""
        return 0 if self.folds is None else self.folds * self.repeats

    @model_validator(mode="after")
    def _fits_its_order(self) -> Self:
        problems = self._stored_problems() if self.order == "stored" else self._drawn_problems()
        if problems:
            raise ManyProblemsError(problems)
        return self

    def _stored_problems(self) -> list[tuple[tuple[str, ...], str]]:
        problems: list[tuple[tuple[str, ...], str]] = []
        for key in ("train", "valid", "test"):
            value = getattr(self, key)
            if isinstance(value, tuple):
                if not 0 <= value[0] < value[1]:
                    problems.append(((key,), f"{list(value)} is not a range [from, to] of rows"))
            elif value is not None or key != "test":
                problems.append(((key,), 'order = "stored" needs [from, to] (row numbers)'))
        drawn = {"seed": self.seed, "folds": self.folds, "number": self.number > 1}
        problems += [
            ((key,), 'nothing is drawn with order = "stored": leave it out')
            for key, value in drawn.items()
            if value
        ]
        return problems + self._repeat_problems()

    def _repeat_problems(self) -> list[tuple[tuple[str, ...], str]]:
        if self.repeats > 1 and self.folds is None:
            return [(("repeats",), "it has no effect without folds: add folds, or leave it out")]
        return []

    def _drawn_problems(self) -> list[tuple[tuple[str, ...], str]]:
        problems: list[tuple[tuple[str, ...], str]] = []
        for key in ("train", "valid", "test"):
            value = getattr(self, key)
            if isinstance(value, tuple):
                hint = "leave it out" if key == "train" else _AMOUNT_HINT
                problems.append(((key,), f'[from, to] needs order = "stored"; else {hint}'))
            elif value is not None and value <= 0:
                problems.append(((key,), f"{value} leaves no picture: {_AMOUNT_HINT}"))
            elif isinstance(value, float) and value >= 1:
                problems.append(((key,), f"{value} is no share: {_AMOUNT_HINT}"))
        if self.folds is not None:
            if self.test is not None:
                problems.append((("test",), "each fold is tested on in its turn: leave it out"))
            if self.number > 1:
                problems.append(
                    (("number",), "folds leave no fresh pictures to test on: leave it out")
                )
        return problems + self._repeat_problems()


_AMOUNT_HINT = "give a share between 0 and 1, or a whole number of pictures"


@dataclass(frozen=True)
class Split:
    """Row numbers of an image set, disjoint, and disjoint by content.

    Attributes:
        train: Rows to learn from, in stored order.
        valid: Rows to choose with.
        test: Rows that only evaluation may look at.
        left_out: How many rows were left out of train or valid because the same picture is in a
            later split.
    """

    train: Rows
    valid: Rows
    test: Rows
    left_out: int = 0


def make_split(images: ImageSet, settings: SplitSettings, seed: int) -> Split:
    """Split an image set.

    Args:
        images: The set; its own parts are respected.
        settings: How to split.
        seed: Draws the line between train and valid; with folds, the number of the (repeat,
            fold), counted fold by fold.

    Raises:
        DataError: If there are not enough pictures for what is asked.
    """
    if settings.order == "stored":
        split = _stored(images, settings)
    else:
        split = _shuffled(images, settings, seed)
    return _without_repeats(images, split)


def _training_rows(images: ImageSet) -> Rows:
    """The set's training part, else what is in no other part of it."""
    if "train" in images.parts:
        return images.parts["train"]
    others = [np.empty(0, dtype=np.int64), *images.parts.values()]
    return np.setdiff1d(np.arange(len(images)), np.concatenate(others))


def _stored(images: ImageSet, settings: SplitSettings) -> Split:
    training = _training_rows(images)
    testing = images.parts.get("test", training)
    test = settings.test
    if test is None and "test" in images.parts:
        test = (0, len(testing))
    rows, problems = {}, []
    for key, span, pool in (
        ("train", settings.train, training),
        ("valid", settings.valid, training),
        ("test", test, testing),
    ):
        if not isinstance(span, tuple):
            problems.append(
                f'split.{key}: {images.name} has no test part, so order = "stored" needs '
                "[from, to] (row numbers)"
            )
        elif span[1] > len(pool):
            problems.append(
                f"split.{key} = {list(span)} goes beyond the {len(pool)} stored pictures"
            )
        else:
            rows[key] = pool[span[0] : span[1]]
    problems += [
        f"split.{a} and split.{b} overlap: make the ranges disjoint"
        for a, b in itertools.combinations(rows, 2)
        if np.intersect1d(rows[a], rows[b]).size
    ]
    if problems:
        raise DataError(*problems)
    return Split(rows["train"], rows["valid"], rows["test"])


def _shuffled(images: ImageSet, settings: SplitSettings, seed: int) -> Split:
    if settings.seed and settings.test is None and "test" in images.parts:
        raise DataError(
            f"split.seed has no effect, as {images.name} has a test part of its own: leave it out, "
            "or say with split.test how much of that part to draw"
        )
    training = _training_rows(images)
    if settings.folds is not None:
        test, training = _fold(images, training, settings, seed)
    else:
        test, training = _test_part(images, training, settings)
    valid, train = _valid_part(images, training, settings.valid, seed)
    return Split(train, valid, test)


def _fold(images: ImageSet, rows: Rows, settings: SplitSettings, number: int) -> tuple[Rows, Rows]:
    """The rows of a (repeat, fold), and those of the other folds."""
    assert settings.folds is not None
    if "test" in images.parts:
        raise DataError(
            f"split.folds: {images.name} has a test part of its own, which folds would leave "
            "unused: leave folds out, or give the pictures as one part"
        )
    repeat, fold = divmod(number, settings.folds)
    members = units(images, rows)
    if len(np.unique(members)) < settings.folds:
        raise DataError(
            f"split.folds = {settings.folds}, but there are only {len(np.unique(members))} "
            "pictures or groups that may be torn apart: ask for fewer folds"
        )
    random = generator(settings.seed, "folds", repeat)
    mine = fold_numbers(images.labels[rows], members, settings.folds, random) == fold
    return rows[mine], rows[~mine]


def _test_part(images: ImageSet, training: Rows, settings: SplitSettings) -> tuple[Rows, Rows]:
    """The rows of the test split, and the training rows that are left.

    The test split of a higher number is drawn from what was in none of a lower number, whose
    pictures become training pictures again.
    """
    own, amount, seed = images.parts.get("test"), settings.test, settings.seed
    assert not isinstance(amount, tuple)  # refused by the settings
    if own is not None and amount is None:
        if settings.number > 1:
            raise DataError(
                f"split.number = {settings.number}: {images.name} has a test part of its own, all "
                "of it the first test split, so there are no fresh pictures: say with split.test "
                "how much of it to draw, in another --output"
            )
        return own, training
    amount = _TEST_SHARE if amount is None else amount
    pool = training if own is None else own
    test, left = _draw(images, pool, amount, (seed, "test", 1), leave=int(own is None))
    size = len(test)
    for number in range(2, settings.number + 1):
        if len(left) < size:
            raise DataError(
                f"split.number = {settings.number}: only {len(left)} pictures were in none of the "
                f"{number - 1} test splits before it, and {size} are needed: collect new pictures"
            )
        test, left = _draw(images, left, size, (seed, "test", number), leave=0)
    return test, training if own is not None else np.setdiff1d(training, test)


def _valid_part(
    images: ImageSet, training: Rows, amount: float | Range | None, seed: int
) -> tuple[Rows, Rows]:
    """The rows to choose with, from the set's own part or else the training rows, and the rest."""
    assert not isinstance(amount, tuple)  # refused by the settings
    own = images.parts.get("valid")
    if own is None:
        amount = _VALID_SHARE if amount is None else amount
        return _draw(images, training, amount, (seed, "valid", 1))
    if amount is None:
        return own, training
    return _draw(images, own, amount, (seed, "valid", 1), leave=0)[0], training


def _draw(
    images: ImageSet, rows: Rows, amount: float, stream: tuple[int, str, int], leave: int = 1
) -> tuple[Rows, Rows]:
    """Draw a stratified part of the rows; what belongs together stays on one side.

    Args:
        images: The set.
        rows: The rows to draw from.
        amount: A share below 1 or a number of pictures.
        stream: The seed, what the part is for, and 1 for the first of its kind.
        leave: How many rows must be left.
    """
    seed, name, number = stream
    wanted = round(amount * len(rows)) if amount < 1 else int(amount)
    if not 0 < wanted <= len(rows) - leave:
        raise DataError(
            f"split.{name} = {amount} of {len(rows)} pictures makes {wanted}: expected 1 to "
            f"{len(rows) - leave}"
        )
    rng = generator(seed, "split", name, *([number] if number > 1 else []))
    _, first, group = np.unique(units(images, rows), return_index=True, return_inverse=True)
    labels = images.labels[rows][first]
    order = stratified_order(labels, rng)
    sizes = np.bincount(group)
    enough = int(np.searchsorted(np.cumsum(sizes[order]), wanted)) + 1
    drawn = np.isin(group, order[:enough])
    if leave and drawn.all():
        raise DataError(
            f"split.{name} takes {wanted} of {len(rows)} pictures, and with them their copies"
            f"{'' if images.groups is None else ' and groups'}, which are all the others: leave "
            "copies out"
        )
    return rows[drawn], rows[~drawn]


def stratified_order(labels: NDArray[np.int64], rng: np.random.Generator) -> Rows:
    """An order of positions whose every prefix holds the classes in proportion.

    One position of every class comes first, so that no class is missing from a short prefix; the
    rest follows by each position's rank within its class, divided by the class' size.

    Args:
        labels: Shape (N,), a class number a position.
        rng: Draws the order within the classes and breaks ties.

    Returns:
        A permutation of ``range(N)``; any two prefixes are nested by construction.
    """
    shuffled = rng.permutation(len(labels))
    place = np.empty(len(labels))
    for label in np.unique(labels):
        members = shuffled[labels[shuffled] == label]
        place[members] = (np.arange(len(members)) + 0.5) / len(members)
        place[members[0]] = -1.0
    return shuffled[np.argsort(place[shuffled], kind="stable")]


def _without_repeats(images: ImageSet, split: Split) -> Split:
    """Leave out of train and valid what belongs together with a picture of a later split.

    That is what is the same pixel by pixel, or of the same group.
    """
    member = units(images, np.arange(len(images)))
    valid = split.valid[~np.isin(member[split.valid], member[split.test])]
    later = np.concatenate([member[split.test], member[valid]])
    train = split.train[~np.isin(member[split.train], later)]
    left_out = len(split.train) + len(split.valid) - len(train) - len(valid)
    return Split(train, valid, split.test, left_out)


def check_classes(labels: Sequence[int] | Rows, class_names: Sequence[str], split: str) -> None:
    """Refuse a split in which a class has no picture.

    Raises:
        DataError: Naming every missing class.
    """
    counts = np.bincount(np.asarray(labels, dtype=np.int64), minlength=len(class_names))
    missing = [name for name, count in zip(class_names, counts, strict=True) if count == 0]
    if missing:
        raise DataError(
            f"the {split} split has no picture of {', '.join(map(repr, missing))}: enlarge the "
            "split, or leave the class out"
        )
