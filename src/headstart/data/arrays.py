"""Pictures from NumPy's ``.npz`` files, read without unpickling anything.

The pictures are called ``pictures``, ``X``, ``x`` or ``images``, the labels ``labels`` or ``y``;
``_train``, ``_valid`` (or ``_val``) and ``_test`` after the name make splits, as in Keras' files.
``class_names`` (or ``classes``) may give the names in label order.
"""

import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from headstart.data.entries import USUAL_LIMITS, Entry, Found, Limits, Split, as_label
from headstart.data.image_set import ImageSet
from headstart.errors import DataError, nearest

_PICTURES = ("pictures", "images", "X", "x")
_LABELS = ("labels", "y")
_NAMES = ("class_names", "classes")
_ENDINGS: Mapping[str, Split | None] = {
    "": None,
    "_train": "train",
    "_valid": "valid",
    "_val": "valid",
    "_test": "test",
}

_DAMAGED = (
    *(OSError, EOFError, ValueError, KeyError, MemoryError),
    *(zipfile.BadZipFile, zlib.error, RuntimeError),  # RuntimeError: an encrypted zip file
    *(SyntaxError, TypeError, tokenize.TokenError),  # NumPy parses headers as Python literals
)


def is_arrays(path: Path) -> bool:
    """Whether a file is an ``.npz`` file by its name."""
    return path.suffix.lower() == ".npz"


def find_in_arrays(path: Path, limits: Limits = USUAL_LIMITS) -> Found:
    """The pictures of an ``.npz`` file.

    Raises:
        DataError: If the file, its arrays or its labels cannot be used.
    """
    held = _load(path, limits, [*_wanted(_PICTURES), *_wanted(_LABELS), *_NAMES])
    pictures = [key for key in held if key in _wanted(_PICTURES)]
    if not pictures:
        raise DataError(
            f"{path.name} holds no pictures: expected an array called "
            f"{', '.join(_PICTURES)}. {nearest('pictures', _keys(path))}"
        )
    names = next((held[key] for key in _NAMES if key in held), None)
    order = None if names is None else tuple(as_label(str(name)) for name in names.ravel().tolist())
    entries: list[Entry] = []
    warnings: list[str] = []
    for key in pictures:
        entries += _entries(path, key, held, order)
        if _partner(key, held) is None:
            warnings.append(f"{path.name}: {key} has no labels beside it")
    order = order or _numbers_in_order(entries)
    return Found(path, "arrays", tuple(entries), warnings=tuple(warnings), class_order=order)


def read_rows(path: Path, entries: Sequence[Entry]) -> Iterator[NDArray[np.uint8]]:
    """The pictures of entries that `find_in_arrays` made, one (height, width, channels) each.

    Raises:
        DataError: If the file changed since, or its pictures are not uint8 and cannot be made so.
    """
    shown: dict[str, NDArray[np.uint8]] = {}
    for entry in entries:
        key = str(entry.member)
        if key not in shown:
            array = _load(path, USUAL_LIMITS, [key])[key]
            shown[key] = ImageSet.from_arrays(array, np.zeros(len(array), dtype=int)).pictures
        yield shown[key][entry.row or 0]


def _entries(
    path: Path, key: str, held: Mapping[str, NDArray[np.generic]], order: tuple[str, ...] | None
) -> list[Entry]:
    """One entry a row of one array of pictures."""
    array, partner = held[key], _partner(key, held)
    if array.ndim not in (3, 4):
        raise DataError(
            f"{path.name}: {key} has shape {array.shape}, expected (N, height, width) or "
            "(N, height, width, channels)"
        )
    split = _ENDINGS[_ending(key)]
    if partner is None:
        labels: list[str | None] = [None] * len(array)
    else:
        labels = list(_label_names(path, partner, held[partner], order))
    if len(labels) != len(array):
        raise DataError(f"{path.name}: {len(array)} {key} but {len(labels)} {partner}")
    return [
        Entry(f"{key}[{row}]", path, label, split, member=key, row=row)
        for row, label in enumerate(labels)
    ]


def _label_names(
    path: Path, key: str, labels: NDArray[np.generic], order: tuple[str, ...] | None
) -> list[str]:
    """Class names from class numbers or names, shape (N,) or (N, 1)."""
    flat = labels.ravel() if labels.ndim and labels.size == len(labels) else labels
    if flat.ndim != 1 or flat.dtype.kind not in "iubUS":
        raise DataError(
            f"{path.name}: {key} is {labels.dtype} of shape {labels.shape}, expected (N,) whole "
            "numbers or names"
        )
    if order is None or flat.dtype.kind in "US":
        return [as_label(str(mark)) for mark in flat.astype(str).tolist()]
    numbers = flat.astype(np.int64)
    if numbers.size and not 0 <= int(numbers.min()) <= int(numbers.max()) < len(order):
        raise DataError(
            f"{path.name}: {key} runs from {numbers.min()} to {numbers.max()}, but there are "
            f"{len(order)} class names"
        )
    return [order[number] for number in numbers.tolist()]


def _numbers_in_order(entries: Sequence[Entry]) -> tuple[str, ...] | None:
    """Class numbers in their order, "10" after "9"; None where labels are names."""
    marks = {entry.label for entry in entries if entry.label is not None}
    return tuple(sorted(marks, key=int)) if all(mark.isdecimal() for mark in marks) else None


def _load(path: Path, limits: Limits, keys: Sequence[str]) -> dict[str, NDArray[np.generic]]:
    """Some arrays of the file, those that are there."""
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > limits.unpacked_bytes:
            raise DataError(f"{path.name} unpacks to {size / 1e9:.0f} GB, above the limit")
        with np.load(path, allow_pickle=False) as file:
            return {key: np.asarray(file[key]) for key in keys if key in file.files}
    except _DAMAGED as error:
        raise DataError(
            f"{path.name} cannot be read ({error}): expected a file written by numpy.savez, with "
            "plain arrays (no Python objects)"
        ) from error


def _keys(path: Path) -> list[str]:
    with np.load(path, allow_pickle=False) as file:
        return list(file.files)


def _wanted(names: Sequence[str]) -> list[str]:
    return [name + ending for name in names for ending in _ENDINGS]


def _ending(key: str) -> str:
    return next((ending for ending in _ENDINGS if ending and key.endswith(ending)), "")


def _partner(key: str, held: Mapping[str, NDArray[np.generic]]) -> str | None:
    """The name of the labels that go with an array of pictures."""
    ending = _ending(key)
    return next((name + ending for name in _LABELS if name + ending in held), None)
