"""The file formats that the catalogued data sets come in, read without trusting them.

Every reader checks sizes before it believes a header, so that a truncated or foreign file is a
`DataError` that names it, never a strange array.
"""

import gzip
import json
import math
import tarfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from headstart.errors import DataError

Rows = tuple[NDArray[np.uint8], NDArray[np.uint8]]
"""Pictures (N, height, width, channels) and their labels (N,)."""

GZIP_MAGIC = b"\x1f\x8b"
IDX_UINT8 = 0x08
CIFAR_SHAPE = (3, 32, 32)
CIFAR_ROW_BYTES = 1 + math.prod(CIFAR_SHAPE)
CIFAR_PARTS = {
    "train": tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
    "test": ("test_batch.bin",),
}
IDX_PARTS = {"train": "train", "test": "t10k"}


def read_idx(path: Path) -> NDArray[np.uint8]:
    """The array of an idx file, the format of MNIST and its relatives.

    Two zero bytes, the kind of number (0x08: uint8), the number of axes, each axis as a big-endian
    uint32, then the numbers in C order (LeCun, Cortes & Burges, "The MNIST database").

    Returns:
        uint8, of the shape the header tells.

    Raises:
        DataError: If it is not an idx file of uint8, or is longer or shorter than its header says.
    """
    with path.open("rb") as stream:
        magic = stream.read(4)
        if len(magic) < 4 or magic[:2] != b"\0\0":
            raise DataError(f"{path.name} is not an idx file: it begins with {magic.hex() or '-'}")
        if magic[2] != IDX_UINT8:
            raise DataError(
                f"{path.name} holds numbers of kind 0x{magic[2]:02x}, expected 0x08 (uint8)"
            )
        axes = magic[3]
        sizes = stream.read(4 * axes)
        if axes == 0 or len(sizes) < 4 * axes:
            raise DataError(f"{path.name} is not an idx file: its header ends early")
        shape = tuple(int.from_bytes(sizes[i : i + 4], "big") for i in range(0, len(sizes), 4))
        start = stream.tell()
    found, told = path.stat().st_size - start, math.prod(shape)
    if found != told:
        raise DataError(
            f"{path.name} holds {found:,} numbers, but its header tells {told:,} for shape {shape}"
        )
    return np.fromfile(path, np.uint8, offset=start).reshape(shape)


def idx_rows(folder: Path, part: str) -> Iterator[Rows]:
    """The pictures and labels of one part of an MNIST-like set.

    Args:
        folder: Holds the four idx files under their usual names.
        part: ``"train"`` or ``"test"``.

    Raises:
        DataError: If a file is not an idx file, or pictures and labels do not go together.
    """
    pictures = read_idx(folder / f"{IDX_PARTS[part]}-images-idx3-ubyte")
    labels = read_idx(folder / f"{IDX_PARTS[part]}-labels-idx1-ubyte")
    if pictures.ndim != 3 or labels.ndim != 1 or len(pictures) != len(labels):
        raise DataError(
            f"the {part} part has pictures of shape {pictures.shape} and labels of shape "
            f"{labels.shape}, expected (N, height, width) and (N,)"
        )
    yield pictures[..., np.newaxis], labels


def cifar_rows(folder: Path, part: str) -> Iterator[Rows]:
    """The pictures and labels of one part of CIFAR-10 in its binary version, batch by batch.

    A row is a label byte and then the red, the green and the blue plane, each 32 × 32, top row
    first (Krizhevsky, "Learning multiple layers of features from tiny images", 2009).

    Args:
        folder: Holds the six ``.bin`` files.
        part: ``"train"`` or ``"test"``.

    Raises:
        DataError: If a file is not a whole number of rows.
    """
    for name in CIFAR_PARTS[part]:
        numbers = np.fromfile(folder / name, np.uint8)
        if len(numbers) % CIFAR_ROW_BYTES:
            raise DataError(
                f"{name} holds {len(numbers):,} bytes, expected a multiple of {CIFAR_ROW_BYTES}"
            )
        rows = numbers.reshape(-1, CIFAR_ROW_BYTES)
        planes = rows[:, 1:].reshape(-1, *CIFAR_SHAPE)
        yield planes.transpose(0, 2, 3, 1), rows[:, 0]


READERS: Mapping[str, Callable[[Path, str], Iterator[Rows]]] = {
    "idx": idx_rows,
    "cifar-binary": cifar_rows,
}
"""How to read a set's files, by the catalogue's word for their format."""


def cifar_binary_from_png(folder: Path) -> None:
    """Rebuild CIFAR-10's binary files from pictures that hold one picture a row.

    The folder holds six PNGs of 1024 × 10,000 RGB pixels and the labels as two JSON lists, whose
    names are misspelt at their source. The files that come out are those of the original archive,
    byte for byte, so their SHA-256 can be checked.

    Args:
        folder: Where the PNGs and JSON files lie, and where the ``.bin`` files are written.

    Raises:
        DataError: If a PNG or a list is missing or not of the expected shape.
    """
    for part, names in CIFAR_PARTS.items():
        labels = _label_list(folder / f"{part}_lables.json")
        if len(labels) % len(names):
            raise DataError(f"{part}_lables.json holds {len(labels)} labels for {len(names)} files")
        for name, marks in zip(names, np.split(labels, len(names)), strict=True):
            pixels = _png_rows((folder / name).with_suffix(".png"), len(marks))
            planes = pixels.transpose(0, 2, 1).reshape(len(marks), -1)
            np.concatenate([marks[:, np.newaxis], planes], axis=1).tofile(folder / name)


def _label_list(path: Path) -> NDArray[np.uint8]:
    try:
        labels = json.loads(path.read_bytes())
        if not isinstance(labels, list):
            raise TypeError("not a list")
        return np.array(labels, dtype=np.uint8)
    except (OSError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise DataError(f"{path.name} is not a JSON list of labels: {error}") from error


def _png_rows(path: Path, count: int) -> NDArray[np.uint8]:
    """Shape (count, 1024, 3)."""
    from PIL import Image

    try:
        # Sizes are looked at before decoding, so a small file cannot ask for a huge picture.
        with Image.open(path, formats=["PNG"]) as picture:
            if picture.size != (1024, count) or picture.mode != "RGB":
                raise DataError(
                    f"{path.name} is {picture.mode} of {picture.size}, expected RGB of "
                    f"(1024, {count})"
                )
            return np.asarray(picture)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{path.name} cannot be read as PNG: {error}") from error


def unpacked(folder: Path, name: str, max_bytes: int, archives: Sequence[str] = ()) -> bytes | None:
    """The content of a file that may lie there as it is, gzipped, or in an archive.

    Args:
        folder: Where to look.
        name: The file's own name.
        max_bytes: Reading stops one byte after this, so a crafted file cannot fill the memory.
        archives: Names of tar archives in `folder` that may hold it.

    Returns:
        None if it is nowhere there.

    Raises:
        DataError: If it is there but cannot be unpacked.
    """
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return _maybe_gunzipped(path, max_bytes)
    for archive in archives:
        if (folder / archive).is_file():
            return _member(folder / archive, name, max_bytes)
    return None


def _maybe_gunzipped(path: Path, max_bytes: int) -> bytes:
    try:
        # The first bytes decide, not the name: a web server may unpack a .gz on the way.
        with path.open("rb") as stream:
            if stream.read(2) != GZIP_MAGIC:
                stream.seek(0)
                return stream.read(max_bytes + 1)
        with gzip.open(path) as content:
            return content.read(max_bytes + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path.name} cannot be unpacked: {error}") from error


def _member(archive: Path, name: str, max_bytes: int) -> bytes | None:
    """A member by its base name; folders inside the archive do not matter."""
    try:
        with tarfile.open(archive) as members:
            for member in members:
                if member.isfile() and Path(member.name).name == name:
                    content = members.extractfile(member)
                    return content.read(max_bytes + 1) if content else None
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise DataError(f"{archive.name} cannot be unpacked: {error}") from error
    return None
