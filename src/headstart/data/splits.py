"""Splits: train, valid and test, disjoint by content, stratified, seeded.

The test split is the same for every seed, so that all trials answer the same questions. The line
between train and valid is drawn anew for every seed (unless the order is ``"stored"``), so that its
luck is part of the spread that a comparison reports.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

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
    """

    order: Literal["shuffled", "stored"] = "shuffled"
    train: Range | None = None
    valid: Amount | Range | None = None
    test: Amount | Range | None = None
    seed: Annotated[Whole, Field(ge=0)] = 0

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
        if self.seed:
            problems.append((("seed",), 'nothing is drawn with order = "stored": leave it out'))
        return problems

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
        return problems


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
        seed: Draws the line between train and valid.

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
    test, training = _part(images, training, settings.test, settings.seed, "test", _TEST_SHARE)
    valid, train = _part(images, training, settings.valid, seed, "valid", _VALID_SHARE)
    return Split(train, valid, test)


def _part(
    images: ImageSet,
    training: Rows,
    amount: float | Range | None,
    seed: int,
    name: str,
    share: float,
) -> tuple[Rows, Rows]:
    """The rows of a split, from the set's own part of that name or else from the training rows.

    Returns:
        The split's rows, and the training rows that are left.
    """
    assert not isinstance(amount, tuple)  # refused by the settings
    own = images.parts.get(name)
    if own is None:
        return _draw(images, training, share if amount is None else amount, seed, name)
    if amount is None:
        return own, training
    return _draw(images, own, amount, seed, name, leave=0)[0], training


def _draw(
    images: ImageSet, rows: Rows, amount: float, seed: int, purpose: str, leave: int = 1
) -> tuple[Rows, Rows]:
    """Draw a stratified part of the rows; identical pictures stay on one side."""
    wanted = round(amount * len(rows)) if amount < 1 else int(amount)
    if not 0 < wanted <= len(rows) - leave:
        raise DataError(
            f"split.{purpose} = {amount} of {len(rows)} pictures makes {wanted}: expected 1 to "
            f"{len(rows) - leave}"
        )
    rng = generator(seed, "split", purpose)
    _, first, group = np.unique(images.hashes[rows], return_index=True, return_inverse=True)
    labels = images.labels[rows][first]
    order = stratified_order(labels, rng)
    sizes = np.bincount(group)
    enough = int(np.searchsorted(np.cumsum(sizes[order]), wanted)) + 1
    drawn = np.isin(group, order[:enough])
    if leave and drawn.all():
        raise DataError(
            f"split.{purpose} takes {wanted} of {len(rows)} pictures, and with them their copies, "
            "which are all the others: leave copies out"
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
    """Leave out of train and valid what is, pixel by pixel, also in a later split."""
    hashes = images.hashes
    valid = split.valid[~np.isin(hashes[split.valid], hashes[split.test])]
    later = np.concatenate([hashes[split.test], hashes[valid]])
    train = split.train[~np.isin(hashes[split.train], later)]
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
