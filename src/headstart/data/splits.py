"""Splits: train, valid and test, disjoint by content, stratified, seeded.

The test split is the same for every seed, so that all trials answer the same questions. The line
between train and valid is drawn anew for every seed (unless the order is ``"stored"``), so that its
luck is part of the spread that a comparison reports.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from headstart.data.image_set import ImageSet
from headstart.errors import DataError
from headstart.seeding import generator
from headstart.settings import Settings

Rows = NDArray[np.int64]
Amount = float | int
Range = tuple[int, int]


class SplitSettings(Settings):
    """How an image set is split.

    Attributes:
        order: ``"shuffled"``: stratified and drawn from the seed. ``"stored"``: cut at the given
            row numbers, in the order in which the set is stored, the same for every seed.
        valid: How much of the training pictures to keep for validation: a share below 1 or a
            number of pictures. With ``"stored"``: ``[from, to]`` rows of the training part.
        test: The same for the test split, drawn from the set's own test part where it has one;
            by default all of that part, else a fifth of the pictures. With ``"stored"``: ``[from, to]`` rows of the test part.
        train: Only with ``"stored"``: ``[from, to]`` rows of the training part.
        seed: Draws the test split where the set has none of its own.
    """

    order: Literal["shuffled", "stored"] = "shuffled"
    train: Range | None = None
    valid: Amount | Range = 0.1
    test: Amount | Range | None = None
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _fits_its_order(self) -> Self:
        stored = self.order == "stored"
        for key in ("train", "valid", "test"):
            value = getattr(self, key)
            if isinstance(value, tuple):
                if not stored:
                    raise ValueError(
                        f'{key} = [from, to] needs order = "stored"; with "shuffled" give a share '
                        "below 1 or a number of pictures"
                    )
                if not 0 <= value[0] < value[1]:
                    raise ValueError(f"{key} = {list(value)} is not a range [from, to] of rows")
            elif value is not None and stored and key in self.model_fields_set:
                raise ValueError(f'order = "stored" needs {key} = [from, to] (row numbers)')
            elif value is not None and value <= 0:
                raise ValueError(f"{key} = {value} leaves no picture: give more than 0")
        if stored and not (self.train and isinstance(self.valid, tuple)):
            raise ValueError('order = "stored" needs train = [from, to] and valid = [from, to]')
        return self


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
    training = images.parts.get("train", np.arange(len(images)))
    testing = images.parts.get("test", np.arange(0) if images.parts else training)
    if settings.order == "stored":
        split = _stored(settings, training, testing, bool(images.parts))
    else:
        split = _shuffled(images, settings, seed, training)
    return _without_repeats(images, split)


def _stored(settings: SplitSettings, training: Rows, testing: Rows, has_parts: bool) -> Split:
    wanted = {"train": settings.train, "valid": settings.valid, "test": settings.test}
    rows, problems = {}, []
    for key, span in wanted.items():
        pool = testing if key == "test" else training
        if span is None and key == "test" and has_parts:
            span = (0, len(pool))
        if not isinstance(span, tuple):
            problems.append(f'split.{key}: order = "stored" needs [from, to] (row numbers)')
            continue
        if span[1] > len(pool):
            problems.append(
                f"split.{key} = {list(span)} goes beyond the {len(pool)} stored pictures"
            )
        rows[key] = pool[span[0] : span[1]]
    if not problems:
        problems = [
            f"split.{a} and split.{b} overlap: make the ranges disjoint"
            for a, b in (("train", "valid"), ("train", "test"), ("valid", "test"))
            if np.intersect1d(rows[a], rows[b]).size
        ]
    if problems:
        raise DataError(*problems)
    return Split(rows["train"], rows["valid"], rows["test"])


def _shuffled(images: ImageSet, settings: SplitSettings, seed: int, training: Rows) -> Split:
    amount = settings.test if isinstance(settings.test, int | float) else None
    if "test" not in images.parts:
        test, training = _draw(images, training, amount or 0.2, settings.seed, "test")
    elif amount is None:
        test = images.parts["test"]
    else:
        test, _ = _draw(images, images.parts["test"], amount, settings.seed, "test")
    if "valid" in images.parts:
        return Split(training, images.parts["valid"], test)
    share = settings.valid if isinstance(settings.valid, int | float) else 0.1
    valid, train = _draw(images, training, share, seed, "valid")
    return Split(train, valid, test)


def _draw(
    images: ImageSet, rows: Rows, amount: Amount, seed: int, purpose: str
) -> tuple[Rows, Rows]:
    """Draw a stratified part of the rows; identical pictures stay on one side."""
    wanted = round(amount * len(rows)) if amount < 1 else int(amount)
    if not 0 < wanted < len(rows):
        raise DataError(
            f"split.{purpose} = {amount} of {len(rows)} pictures leaves one side empty: give "
            "another share or number"
        )
    rng = generator(seed, "split", purpose)
    _, first, group = np.unique(images.hashes[rows], return_index=True, return_inverse=True)
    labels = images.labels[rows][first]
    order = stratified_order(labels, rng)
    sizes = np.bincount(group)
    enough = int(np.searchsorted(np.cumsum(sizes[order]), wanted)) + 1
    drawn = np.isin(group, order[:enough])
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
