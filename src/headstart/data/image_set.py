"""Pictures with labels and class names."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headstart.errors import DataError


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
    """

    pictures: NDArray[np.uint8]
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    name: str = "pictures"
    parts: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)
    origin: str = ""

    def __post_init__(self) -> None:
        problems = _problems(self)
        if problems:
            raise DataError(*(f"image set {self.name!r}: {problem}" for problem in problems))

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def picture_shape(self) -> tuple[int, int, int]:
        """Height, width, channels of one picture."""
        height, width, channels = self.pictures.shape[1:]
        return height, width, channels

    @cached_property
    def hashes(self) -> NDArray[np.bytes_]:
        """A content hash a picture, shape (N,), dtype S16: equal pixels have equal hashes."""
        shape = repr(self.picture_shape).encode()
        digests = [
            hashlib.blake2b(picture.tobytes(), digest_size=8, key=shape).hexdigest()
            for picture in self.pictures
        ]
        return np.array(digests, dtype="S16")

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

        Raises:
            DataError: If shapes, values or labels do not fit, all problems at once.
        """
        if (test_pictures is None) != (test_labels is None):
            raise DataError(
                "test_pictures and test_labels go together: give both, or neither to have a test "
                "split made"
            )
        shown = _as_uint8(pictures, "pictures")
        marks = np.asarray(labels)
        parts: dict[str, NDArray[np.int64]] = {}
        if test_pictures is not None and test_labels is not None:
            test_shown = _as_uint8(test_pictures, "test_pictures")
            if test_shown.shape[1:] != shown.shape[1:]:
                raise DataError(
                    f"test_pictures have shape {test_shown.shape[1:]}, pictures "
                    f"{shown.shape[1:]}: resize one of them so that they agree"
                )
            parts = {
                "train": np.arange(len(shown)),
                "test": np.arange(len(shown), len(shown) + len(test_shown)),
            }
            shown = np.concatenate([shown, test_shown])
            marks = np.concatenate([marks, np.asarray(test_labels)])
        numbers, names = _as_class_numbers(marks, class_names)
        return cls(shown, numbers, names, name=name, parts=parts, origin="arrays from Python")


def _problems(images: ImageSet) -> list[str]:
    """What is wrong with an image set, in sentences."""
    found = []
    shape, count = images.pictures.shape, len(images.labels)
    if images.pictures.dtype != np.uint8:
        found.append(f"pictures are {images.pictures.dtype}, expected uint8")
    if len(shape) != 4 or shape[-1] not in (1, 3):
        found.append(
            f"pictures have shape {shape}, expected (N, height, width, channels) with 1 or 3 "
            "channels"
        )
    if shape[0] != count:
        found.append(f"{shape[0]} pictures but {count} labels")
    if len(set(images.class_names)) != len(images.class_names):
        found.append(f"class names repeat: {', '.join(images.class_names)}")
    if count and not (
        0 <= int(images.labels.min()) <= int(images.labels.max()) < len(images.class_names)
    ):
        found.append(
            f"labels run from {images.labels.min()} to {images.labels.max()}, but there are "
            f"{len(images.class_names)} class names"
        )
    return found


def _as_uint8(pictures: ArrayLike, what: str) -> NDArray[np.uint8]:
    """Pictures as uint8 (N, height, width, channels), refusing what would have to be guessed."""
    array = np.asarray(pictures)
    if array.ndim == 3:
        array = array[..., np.newaxis]
    if array.ndim != 4:
        raise DataError(
            f"{what} has shape {array.shape}, expected (N, height, width) or "
            "(N, height, width, channels)"
        )
    if array.dtype == np.uint8:
        pixels: NDArray[np.uint8] = array
        return pixels
    if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
        raise DataError(f"{what} holds {array.dtype} or values that are not finite")
    low, high = float(array.min(initial=0)), float(array.max(initial=0))
    if array.dtype.kind == "f" and low >= 0 and high <= 1:
        return np.rint(array * 255).astype(np.uint8)
    if low >= 0 and high <= 255 and (array.dtype.kind in "iu" or bool((array % 1 == 0).all())):
        return array.astype(np.uint8)
    raise DataError(
        f"{what} holds {array.dtype} from {low:g} to {high:g}, expected uint8 in 0–255 or floats "
        "in [0, 1]: undo any normalisation, headstart applies its own"
    )


def _as_class_numbers(
    labels: NDArray[np.generic], class_names: Sequence[str] | None
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Class numbers and names from labels that are numbers or names."""
    if labels.ndim != 1:
        raise DataError(f"labels have shape {labels.shape}, expected (N,)")
    if labels.dtype.kind in "iub" and class_names is not None:
        return labels.astype(np.int64), tuple(class_names)
    texts = labels.astype(str)
    names = sorted(set(texts.tolist()), key=_natural) if class_names is None else list(class_names)
    unknown = sorted(set(texts.tolist()) - set(names))
    if unknown:
        raise DataError(f"labels not among class_names: {', '.join(unknown)}")
    position = {name: number for number, name in enumerate(names)}
    return np.array([position[text] for text in texts.tolist()], dtype=np.int64), tuple(names)


def _natural(text: str) -> tuple[int, str]:
    """Sort key that puts whole numbers in their order, "10" after "9"."""
    return (int(text), text) if text.isdecimal() else (0, text)
