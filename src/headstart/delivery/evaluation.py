"""How good a model is on labelled pictures: metrics with intervals, and a table of the classes."""

import csv
import io
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.data.classes import check_classes
from headstart.data.decode import Decoded, UnreadableError
from headstart.data.entries import Entry, LeftOut
from headstart.data.fingerprints import content_hashes
from headstart.data.folders import Topics, find_pictures
from headstart.data.picture_cache import PictureCache
from headstart.data.reading import Progress, decode_pictures
from headstart.delivery.engines import Engine, Probabilities
from headstart.delivery.model import BATCH_SIZE, Model
from headstart.errors import DataError
from headstart.statistics.intervals import Interval
from headstart.statistics.one_network import all_intervals, score_interval

Labels = NDArray[np.int64]


@dataclass(frozen=True)
class ClassRow:
    """What became of one class.

    Attributes:
        name: Of the class.
        pictures: How many there were.
        predicted: How many were called so.
        recall: The share of its pictures that were found; None without any.
        precision: The share of those called so that were; None if none was.
        mistaken_for: The class that its pictures were most often taken for; "" where none was.
    """

    name: str
    pictures: int
    predicted: int
    recall: Interval | None
    precision: Interval | None
    mistaken_for: str


@dataclass(frozen=True)
class Evaluation:
    """How good a model is on some pictures.

    Attributes:
        pictures: How many were predicted.
        confidence: Of the intervals, which are over pictures of the same kind.
        metrics: By scikit-learn's names.
        classes: A row a class, in the model's order.
        confusion: Counts, true class × predicted class.
        left_out: Files that were not used, and why.
        warnings: What a user should know, in sentences.
    """

    pictures: int
    confidence: float
    metrics: Mapping[str, Interval]
    classes: tuple[ClassRow, ...]
    confusion: NDArray[np.int64]
    left_out: tuple[LeftOut, ...]
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON can hold it."""
        return {
            "pictures": self.pictures,
            "confidence": self.confidence,
            "metrics": {name: vars(value) for name, value in self.metrics.items()},
            "classes": [
                {key: vars(v) if isinstance(v, Interval) else v for key, v in vars(row).items()}
                for row in self.classes
            ],
            "confusion": self.confusion.tolist(),
            "left_out": [vars(each) for each in self.left_out],
            "warnings": list(self.warnings),
        }


def evaluate(
    model: Model,
    pictures: Path | str,
    *,
    batch_size: int = BATCH_SIZE,
    confidence: float = 0.95,
    topics: Topics = "first",
    progress: Progress | None = None,
) -> Evaluation:
    """Evaluate a model on labelled pictures, in constant memory but for the answers.

    Where the pictures come in splits, only those of the test split are used, or else those of the
    validation split: what a model was trained on says nothing of how good it is. Pictures that it
    was made from are known by their content, wherever they lie, and told in a warning.

    Args:
        model: From `headstart.load`.
        pictures: What `find_pictures` takes, with labels.
        batch_size: Pictures at a time.
        confidence: Of the intervals, two-sided.
        topics: Which of nested folders is the class.
        progress: Told after each picture; a bar on the terminal when omitted.

    Raises:
        DataError: If there are no labels, a label is none of the model's classes, or fewer than
            two pictures can be read.
    """
    found = find_pictures(pictures, topics=topics)
    labelled = [entry for entry in found.entries if entry.label is not None]
    used, note = _of_the_best_split(labelled)
    if not used:
        raise DataError(
            f"no picture in {found.root.name} has a label: expected class folders (such as "
            "cats/1.jpg) or a manifest with the columns filename and label"
        )
    names = model.bundle.class_names
    check = check_classes(used, model=names)
    if check.problems:
        raise DataError(*check.problems)
    probabilities, labels, unreadable = _answers(model, used, batch_size, progress)
    left_out = [each for each in found.left_out if each.split in (used[0].split, None)]
    unlabelled = len(found.entries) - len(labelled)
    warnings = [*found.warnings, *note, *check.warnings, *_known_already(model, found.root, used)]
    if unlabelled:
        warnings.append(f"{unlabelled:,} picture(s) without a label were passed over")
    if len(labels) < 2:
        raise DataError(
            f"{len(labels)} of {len(used)} pictures can be used, and at least 2 are needed",
            *(f"{each.name}: {each.reason}" for each in unreadable[:10]),
        )
    return evaluation_of(
        probabilities,
        labels,
        names,
        confidence=confidence,
        left_out=(*left_out, *unreadable),
        warnings=tuple(warnings),
    )


def evaluation_of(
    probabilities: Probabilities,
    labels: Labels,
    names: tuple[str, ...],
    *,
    confidence: float = 0.95,
    left_out: tuple[LeftOut, ...] = (),
    warnings: tuple[str, ...] = (),
) -> Evaluation:
    """What given answers are worth.

    Args:
        probabilities: Shape (pictures, classes).
        labels: Shape (pictures,).
        names: The classes.
        confidence: Of the intervals.
        left_out: Passed on.
        warnings: Passed on.
    """
    exact = probabilities.astype(np.float64)
    exact /= exact.sum(axis=1, keepdims=True)
    count = len(names)
    said = exact.argmax(axis=1)
    confusion = np.bincount(labels * count + said, minlength=count**2).reshape(count, count)
    rows = [_class_row(number, names, confusion, confidence) for number in range(count)]
    metrics = all_intervals(exact, labels, confidence=confidence)
    said_too = (*warnings, *_no_better_than_guessing(metrics["balanced_accuracy"], count))
    return Evaluation(len(labels), confidence, metrics, tuple(rows), confusion, left_out, said_too)


def _no_better_than_guessing(balanced: Interval, classes: int) -> list[str]:
    """A sentence, if the answers cannot be told from guesses.

    Guessing has a balanced accuracy of one over the number of classes, however rare some are.
    """
    if balanced.low is None or balanced.high is None or balanced.low > 1 / classes:
        return []
    return [
        f"it cannot be told from guessing: guessing gives a balanced accuracy of "
        f"{100 / classes:.3g}%, and the interval, {100 * balanced.low:.3g} to "
        f"{100 * balanced.high:.3g}%, reaches down to it; check the labels, or get more pictures"
    ]


def _of_the_best_split(entries: list[Entry]) -> tuple[list[Entry], list[str]]:
    """The entries to evaluate on, and a sentence on what was passed over."""
    for split in ("test", "valid"):
        chosen = [entry for entry in entries if entry.split == split]
        if chosen:
            rest = len(entries) - len(chosen)
            note = [f"only the {split} split is used; {rest:,} other picture(s) are passed over"]
            return chosen, note if rest else []
    if any(entry.split == "train" for entry in entries):
        return entries, ["these are training pictures: the numbers are too good to be true"]
    return entries, []


def _known_already(model: Model, root: Path, entries: list[Entry]) -> list[str]:
    """A sentence, if the model was made from some of these very pictures."""
    rows = csv.DictReader(io.StringIO(model.bundle.splits))
    learned = {row["content_hash"] for row in rows if row["split"] in ("train", "valid")}
    if not learned:
        return []
    hashes = content_hashes(
        root, entries, PictureCache.usual(), progress=lambda _doing, _done, _total: None
    )
    known = sum(each in learned for each in hashes)
    told = (
        f"{known:,} of these {len(entries):,} files are pictures that the model learned from, or "
        "was chosen by: the numbers are too good to be true (splits.csv in its folder names them)"
    )
    return [told] if known else []


def _answers(
    model: Model, entries: list[Entry], batch_size: int, progress: Progress | None
) -> tuple[Probabilities, Labels, list[LeftOut]]:
    """Probabilities and labels of what can be read, and what cannot."""
    position = {name: number for number, name in enumerate(model.bundle.class_names)}
    parts: list[Probabilities] = []
    batch: list[NDArray[np.uint8]] = []
    labels: list[int] = []
    unreadable: list[LeftOut] = []
    engine: Engine | None = None

    def answer() -> None:
        nonlocal engine
        pixels = np.stack(batch)
        engine = engine or model.engine(pixels, len(entries))
        parts.append(engine(pixels))
        batch.clear()

    with closing(decode_pictures(entries, model.preprocessing, progress=progress)) as decoded:
        for entry, result in zip(entries, decoded, strict=True):
            if isinstance(result, UnreadableError):
                unreadable.append(LeftOut.of(entry, str(result)))
                continue
            assert isinstance(result, Decoded)
            batch.append(result.pixels)
            labels.append(position[str(entry.label)])
            if len(batch) == batch_size:
                answer()
    if batch:
        answer()
    empty = np.empty((0, len(position)), dtype=np.float32)
    return np.concatenate([empty, *parts]), np.array(labels, dtype=np.int64), unreadable


def _class_row(
    number: int, names: tuple[str, ...], confusion: NDArray[np.int64], confidence: float
) -> ClassRow:
    right = int(confusion[number, number])
    pictures, predicted = int(confusion[number].sum()), int(confusion[:, number].sum())
    wrong = confusion[number].copy()
    wrong[number] = 0
    return ClassRow(
        names[number],
        pictures,
        predicted,
        _share(right, pictures, confidence),
        _share(right, predicted, confidence),
        names[int(wrong.argmax())] if wrong.any() else "",
    )


def _share(part: int, whole: int, confidence: float) -> Interval | None:
    """A share with its interval; none for a single picture, which has no spread."""
    if whole < 2:
        return Interval(float(part), None, None) if whole else None
    return score_interval(np.arange(whole) < part, confidence=confidence)
