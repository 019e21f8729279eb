"""Pictures with labels and class names."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headstart.data.pixel_hashes import PixelHashes
from headstart.errors import DataError, nearest

PARTS = ("train", "valid", "test")


@dataclass(frozen=True)
class ImageSet:
    """Pictures with labels and class names.

    Attributes:
        pictures: uint8, shape (N, height, width, channels) with 1 or 3 channels; may be a
            read-only memory map, so that processes share it.
        labels: int64, shape (N,), each an index into `class_names`.
        class_names: One name a class, in label order.
        name: What to call the set in messages and reports.
        parts: Where the set came in parts of its own ("train", "valid", "test"), the row numbers
            of each; empty when it came as one.
        origin: Where the pictures came from, in words for the report (never a user's path).
        groups: The group of each picture, int64, shape (N,), where some belong together (one
            patient, one burst) and no split may tear them apart; None where each stands alone.
    """

    pictures: NDArray[np.uint8]
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    name: str = "pictures"
    parts: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)
    origin: str = ""
    groups: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        problems = _problems(self)
        if problems:
            raise DataError(*(f"image set {self.name!r}: {problem}" for problem in problems))

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        """What it is in a line; the arrays themselves would fill the screen."""
        height, width, channels = self.picture_shape
        parts = ", ".join(f"{part} {len(rows):,}" for part, rows in self.parts.items())
        return (
            f"ImageSet({self.name!r}: {len(self):,} pictures of {height} × {width} × {channels}, "
            f"{len(self.class_names)} classes{'; ' + parts if parts else ''})"
        )

    @property
    def picture_shape(self) -> tuple[int, int, int]:
        """Height, width, channels of one picture."""
        height, width, channels = self.pictures.shape[1:]
        return height, width, channels

    @cached_property
    def hashes(self) -> NDArray[np.bytes_]:
        """A content hash a picture, shape (N,), dtype S16: equal pixels have equal hashes."""
        known = bool((self._hashed != b"").all())
        hashes = self.hashes_of(np.arange(len(self)))
        if not known:
            self._kept.keep(hashes, f"{len(self):,} pictures of {self.name}")
        return hashes

    def hashes_of(self, rows: NDArray[np.int64]) -> NDArray[np.bytes_]:
        """The content hashes of some pictures; none is taken twice.

        Args:
            rows: Row numbers, shape (N,).
        """
        for row in np.unique(rows[self._hashed[rows] == b""]).tolist():
            self._hashed[row] = self._hash(row)
        return self._hashed[rows]

    def _hash(self, row: int) -> bytes:
        """The content hash of a picture."""
        digest = hashlib.blake2b(self._plain[row].tobytes(), digest_size=8, key=self._shape)
        return digest.hexdigest().encode()

    @property
    def _plain(self) -> NDArray[np.uint8]:
        """The pictures; a memory map would make a map of every single one."""
        return np.asarray(self.pictures)

    @cached_property
    def _shape(self) -> bytes:
        return repr(self.picture_shape).encode()

    @cached_property
    def _kept(self) -> PixelHashes:
        """Where the hashes of all pictures may be kept."""
        return PixelHashes(self.pictures)

    @cached_property
    def _hashed(self) -> NDArray[np.bytes_]:
        """The content hashes that are known so far; empty for other pictures."""
        known = self._kept.known(self._hash)
        return np.zeros(len(self), dtype="S16") if known is None else known

    @classmethod
    def from_arrays(
        cls,
        pictures: ArrayLike,
        labels: ArrayLike,
        *,
        test_pictures: ArrayLike | None = None,
        test_labels: ArrayLike | None = None,
        class_names: Sequence[str] | None = None,
        name: str = "pictures",
        groups: ArrayLike | None = None,
    ) -> Self:
        """An image set from NumPy arrays.

        Args:
            pictures: Shape (N, height, width) or (N, height, width, channels), uint8 in 0–255.
                Float pictures in [0, 1] or whole numbers in 0–255 are converted; anything else is
                refused rather than guessed.
            labels: Shape (N,), class numbers (with `class_names`) or class names.
            test_pictures: Pictures of a test split that is given, same shape but for N.
            test_labels: Their labels.
            class_names: Names in label order; the sorted names found in `labels` when omitted.
            name: What to call the set.
            groups: A number or name for each picture (those of the test split last), the same
                for pictures that belong together; no split tears them apart.

        Raises:
            DataError: If shapes, values or labels do not fit, all problems at once.
        """
        if (test_pictures is None) != (test_labels is None):
            raise DataError(
                "test_pictures and test_labels go together: give both, or neither to have a test "
                "split made"
            )
        problems: list[str] = []
        shown = [_as_pictures(pictures, "pictures", problems)]
        marks = [_as_labels(labels, "labels", problems)]
        if test_pictures is not None and test_labels is not None:
            shown.append(_as_pictures(test_pictures, "test_pictures", problems))
            marks.append(_as_labels(test_labels, "test_labels", problems))
        if not problems:
            problems += _disagreements(shown, marks)
        if problems:
            raise DataError(*problems)
        numbers, names = _as_class_numbers(np.concatenate(marks), class_names)
        border = len(marks[0])
        parts = {"train": np.arange(border), "test": np.arange(border, len(numbers))}
        return cls(
            shown[0] if len(shown) == 1 else np.concatenate(shown),
            numbers,
            names,
            name=name,
            parts=parts if len(shown) == 2 else {},
            origin="arrays from Python",
            groups=None if groups is None else _as_groups(groups),
        )


def _problems(images: ImageSet) -> list[str]:
    """What is wrong with an image set, in sentences."""
    found = []
    shape, labels = images.pictures.shape, images.labels
    if images.pictures.dtype != np.uint8:
        found.append(f"pictures are {images.pictures.dtype}, expected uint8")
    if len(shape) != 4 or shape[-1] not in (1, 3):
        found.append(
            f"pictures have shape {shape}, expected (N, height, width, channels) with 1 or 3 "
            "channels"
        )
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        found.append(f"labels are {labels.dtype} of shape {labels.shape}, expected int64 (N,)")
        return found
    if images.groups is not None and images.groups.shape != labels.shape:
        found.append(f"groups have shape {images.groups.shape}, expected one a picture {shape[:1]}")
    if shape[:1] != labels.shape:
        found.append(f"{shape[0] if shape else 0} pictures but {len(labels)} labels")
    if len(set(images.class_names)) != len(images.class_names):
        found.append(f"class names repeat: {', '.join(images.class_names)}")
    if len(labels) and not 0 <= labels.min() <= labels.max() < len(images.class_names):
        found.append(
            f"labels run from {labels.min()} to {labels.max()}, but there are "
            f"{len(images.class_names)} class names"
        )
    return found + _part_problems(images)


def _part_problems(images: ImageSet) -> list[str]:
    """Parts that name no part, rows that are not there, or rows that are in two parts."""
    found = [
        f"there is no part {part!r}: {nearest(part, PARTS)}"
        for part in images.parts
        if part not in PARTS
    ]
    found += [
        f"part {part!r} names rows beyond the {len(images)} pictures"
        for part, rows in images.parts.items()
        if rows.size and not 0 <= rows.min() <= rows.max() < len(images)
    ]
    rows = np.concatenate([np.empty(0, dtype=np.int64), *images.parts.values()])
    if len(np.unique(rows)) != len(rows):
        found.append("some rows are in two parts, or twice in one: make the parts disjoint")
    return found


def _as_array(values: ArrayLike, what: str, problems: list[str]) -> NDArray[Any]:
    """Values as an array; rows of different shapes are a problem."""
    try:
        return np.asarray(values)
    except ValueError:
        problems.append(f"{what} differ in shape: make them all the same size")
        return np.empty(0)


def _as_pictures(pictures: ArrayLike, what: str, problems: list[str]) -> NDArray[np.uint8]:
    """Pictures as uint8 (N, height, width, channels); what would have to be guessed is refused."""
    known = len(problems)
    array = _as_array(pictures, what, problems)
    if array.ndim == 3:
        array = array[..., np.newaxis]
    if array.dtype == np.uint8 and array.ndim == 4:
        pixels: NDArray[np.uint8] = array
        return pixels
    if len(problems) > known:
        return np.empty(0, dtype=np.uint8)
    if array.ndim != 4:
        problems.append(
            f"{what} has shape {array.shape}, expected (N, height, width) or "
            "(N, height, width, channels)"
        )
    elif array.dtype.kind not in "fiu" or not np.isfinite(array).all():
        problems.append(f"{what} holds {array.dtype} or values that are not finite")
    else:
        low, high = float(array.min(initial=0)), float(array.max(initial=0))
        whole = array.dtype.kind in "iu" or bool((array % 1 == 0).all())
        if array.dtype.kind == "f" and low >= 0 and high <= 1:
            unit: NDArray[np.uint8] = np.rint(array * 255).astype(np.uint8)
            return unit
        if low >= 0 and high <= 255 and whole:
            return array.astype(np.uint8)
        problems.append(
            f"{what} holds {array.dtype} from {low:g} to {high:g}, expected uint8 in 0–255 or "
            "floats in [0, 1]: undo any normalisation, headstart applies its own"
        )
    return np.empty(0, dtype=np.uint8)


def _as_labels(labels: ArrayLike, what: str, problems: list[str]) -> NDArray[Any]:
    """Labels as int64 class numbers or as texts, shape (N,)."""
    known = len(problems)
    array = _as_array(labels, what, problems)
    if len(problems) == known:
        if array.ndim != 1:
            problems.append(f"{what} have shape {array.shape}, expected (N,): one label a picture")
        elif array.dtype.kind == "f" and not (array % 1 == 0).all():
            problems.append(f"{what} hold {array.dtype} that are not whole, expected class numbers")
        elif array.dtype.kind == "O" and any(mark is None or mark != mark for mark in array):
            problems.append(f"{what} hold missing values: leave those pictures out")
        elif array.dtype.kind in "iuf":
            return array.astype(np.int64)
    return array


def _as_groups(groups: ArrayLike) -> NDArray[np.int64]:
    """Groups as numbers, whatever they are called."""
    return np.unique(np.asarray(groups), return_inverse=True)[1].astype(np.int64)


def _disagreements(
    shown: Sequence[NDArray[np.uint8]], marks: Sequence[NDArray[Any]]
) -> Iterator[str]:
    """Where the pictures, their labels, and the test pictures do not go together."""
    for prefix, pictures, labels in zip(("", "test_"), shown, marks, strict=False):
        if len(pictures) != len(labels):
            yield f"{len(pictures)} {prefix}pictures but {len(labels)} {prefix}labels"
    if len({pictures.shape[1:] for pictures in shown}) > 1:
        yield (
            f"test_pictures have shape {shown[1].shape[1:]}, pictures {shown[0].shape[1:]}: resize "
            "one of them so that they agree"
        )


def _as_class_numbers(
    labels: NDArray[Any], class_names: Sequence[str] | None
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Class numbers and names from labels that are numbers or names."""
    if labels.dtype.kind in "ib" and class_names is not None:
        return labels.astype(np.int64), tuple(class_names)
    texts = labels.astype(str).tolist()
    names = sorted(set(texts), key=_natural) if class_names is None else list(class_names)
    unknown = sorted(set(texts) - set(names))
    if unknown:
        raise DataError(
            *(f"the label {text!r} is not among class_names: {nearest(text, names)}"
              for text in unknown)
        )  # fmt: skip
    position = {name: number for number, name in enumerate(names)}
    return np.array([position[text] for text in texts], dtype=np.int64), tuple(names)


def _natural(text: str) -> tuple[int, str]:
    """Sort key that puts whole numbers in their order, "10" after "9"."""
    return (int(text), text) if text.isdecimal() else (0, text)
