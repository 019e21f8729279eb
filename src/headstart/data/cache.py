"""The folder where catalogued data sets are kept ready for use, and how they are checked.

A set is kept as ``NAME/pictures.npy`` and ``NAME/labels.npy``, which are mapped into memory. They
are never trusted: their shape, length and SHA-256 must be those of the catalogue. Hashing runs at
about 1.5 GB/s where the processor has instructions for SHA (0.04 s for Fashion-MNIST, 0.13 s for
CIFAR-10), and each process does it once for a file that did not change.
"""

import hashlib
import io
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

import numpy as np
import platformdirs
from numpy.typing import NDArray

from headstart.data.facts import LABEL_TYPE, PreparedFacts
from headstart.data.pixel_hashes import note_origin
from headstart.errors import DataError

VARIABLE = "HEADSTART_DATA"
PICTURES, LABELS = "pictures.npy", "labels.npy"

Number = TypeVar("Number", bound=np.generic)

_checked: dict[Path, tuple[int, int, str]] = {}
"""Files whose hash this process has seen: inode, time of change in ns, hash."""


class DamagedError(Exception):
    """A kept file is not what the catalogue says; the message says what is wrong."""


def cache_folder() -> Path:
    """Where data sets are kept: ``HEADSTART_DATA``, else the user's cache folder."""
    chosen = os.environ.get(VARIABLE)
    if chosen:
        return Path(chosen).expanduser().absolute()
    return platformdirs.user_cache_path("headstart", appauthor=False) / "data"


def unusable(folder: Path, error: OSError, needed_bytes: int) -> DataError:
    """The error to raise when the cache cannot be written, saying how to mend it."""
    reason = error.strerror or str(error)
    return DataError(
        f"the data folder {folder} cannot be used: {reason}",
        f"expected a folder that can be written, with {needed_bytes / 1e6:.0f} MB of space: name "
        f"another one in the environment variable {VARIABLE}",
    )


def is_kept(folder: Path) -> bool:
    """Whether a prepared set lies in the folder; it is not checked."""
    return (folder / PICTURES).is_file() and (folder / LABELS).is_file()


def open_kept(folder: Path, facts: PreparedFacts) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Map a prepared set into memory, having checked it.

    Returns:
        Pictures (N, height, width, channels) as uint8 and labels (N,) as int64, read-only.

    Raises:
        DamagedError: If a file is not what it must be.
    """
    pictures: NDArray[np.uint8] = _mapped(
        folder / PICTURES, facts.shape, np.dtype(np.uint8), facts.pictures_sha256
    )
    labels: NDArray[np.int64] = _mapped(
        folder / LABELS, (facts.pictures,), LABEL_TYPE, facts.labels_sha256
    )
    return pictures, labels


def write_kept(
    folder: Path,
    rows: Iterable[tuple[NDArray[np.uint8], NDArray[np.uint8]]],
    facts: PreparedFacts,
) -> None:
    """Write a set's two files from its rows, a part at a time, so memory stays small.

    Raises:
        DataError: If there are more or fewer rows than expected, or of another shape.
    """
    done = 0
    # Plain writes, not a memory map: on a full disk they raise, where a map would kill the process.
    with (folder / PICTURES).open("wb") as pictures, (folder / LABELS).open("wb") as labels:
        pictures.write(_header(facts.shape, np.dtype(np.uint8)))
        labels.write(_header((facts.pictures,), LABEL_TYPE))
        for shown, marks in rows:
            done += len(marks)
            if done > facts.pictures or shown.shape[1:] != facts.picture_shape:
                raise DataError(f"pictures of shape {shown.shape} do not fit into {facts.shape}")
            pictures.write(np.ascontiguousarray(shown).data)
            labels.write(marks.astype(LABEL_TYPE).data)
    if done != facts.pictures:
        raise DataError(f"{done:,} pictures came, expected {facts.pictures:,}")


def _header(shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> bytes:
    """What a ``.npy`` file with such an array in C order begins with."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        stream, {"descr": dtype.str, "fortran_order": False, "shape": shape}
    )
    return stream.getvalue()


def _mapped(
    path: Path, shape: tuple[int, ...], dtype: np.dtype[Number], sha256: str
) -> NDArray[Number]:
    """A file of the cache as a read-only array, if it is what it must be."""
    # The header is compared, not parsed: only one is right, and a damaged one cannot mislead.
    header = _header(shape, dtype)
    expected_bytes = len(header) + math.prod(shape) * dtype.itemsize
    try:
        with path.open("rb") as stream:
            facts = os.fstat(stream.fileno())
            if facts.st_size != expected_bytes:
                raise DamagedError(
                    f"{path.name} holds {facts.st_size:,} bytes, expected {expected_bytes:,}"
                )
            if stream.read(len(header)) != header:
                raise DamagedError(f"{path.name} is not {dtype} of shape {shape}")
            array = np.memmap(stream, dtype, mode="r", offset=len(header), shape=shape)
            note_origin(array, stream)
    except OSError as error:
        raise DamagedError(f"{path.name} cannot be read: {error.strerror}") from error
    seen = (facts.st_ino, facts.st_mtime_ns, sha256)
    if _checked.get(path) != seen:
        if hashlib.sha256(array.data).hexdigest() != sha256:
            raise DamagedError(f"{path.name} has another SHA-256 than the catalogue")
        _checked[path] = seen
    return array
