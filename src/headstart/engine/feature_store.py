"""The feature store: what a part of a network made of pictures, kept on disk.

An entry is found by what it was made by (weights, steps, preprocessing, versions) and of which
pictures, by content. So it is never used for other weights, another crop or other pictures. Entries
of the same making share a folder; a new one takes over what older ones have of its pictures.

An entry is a folder with two files: ``features`` (float32, one row a picture) and a sealed note
with a checksum of every row. It is filled under another name and renamed when it is whole, so half
an entry is never met. Of two processes that want the same entry one makes it, the other waits.
"""

import os
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import IO

import filelock
import numpy as np
from numpy.typing import NDArray

from headstart.data.picture_cache import (
    NEW,
    NOTE,
    PictureCache,
    discard,
    inside,
    read_sealed,
    touch,
    write_sealed,
)
from headstart.errors import TrainingError

Features = NDArray[np.float32]
Fill = Callable[[NDArray[np.int64]], Iterator[Features]]
"""Gives the features of the pictures of some numbers, in order, in blocks of any size."""

_VERSION = 1
_NUMBERS = "features"


@dataclass(frozen=True)
class Wanted:
    """What features are wanted.

    Attributes:
        made_by: All that they depend on beside the pictures, as text.
        hashes: The content hash of each picture, shape (N,).
        shape: Of one picture's features.
    """

    made_by: str
    hashes: NDArray[np.bytes_]
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """How much room they take."""
        return 4 * len(self.hashes) * int(np.prod(self.shape, dtype=np.int64))


@dataclass(frozen=True)
class Kept:
    """Features at hand.

    Attributes:
        values: float32, shape (N, *shape), read-only and mapped into memory.
        computed: How many pictures had to go through the network for it.
        warning: What a user should know, in a sentence; empty if there is nothing.
    """

    values: Features
    computed: int
    warning: str = ""


def keep_features(wanted: Wanted, fill: Fill, cache: PictureCache) -> Kept:
    """Features from the store; those that are not there are computed and kept.

    Where the store cannot be written, or is too small, they go into a nameless temporary file
    instead, and a warning says so.

    Args:
        wanted: What to find.
        fill: Computes the features of some of the pictures.
        cache: Where they are kept.

    Raises:
        TrainingError: If there is no room for them anywhere.
    """
    place = _place(wanted, cache)
    found = _opened(place, wanted)
    if found is not None:
        return Kept(found, 0)
    problem = f"the cache is limited to {cache.limit_bytes / 1e9:.3g} GB"
    if wanted.bytes <= cache.limit_bytes:
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            with filelock.FileLock(place.with_name(f".{place.name}.lock")):
                found = _opened(place, wanted)  # by another process, while this one waited
                if found is not None:
                    return Kept(found, 0)
                computed = _make(place, wanted, fill)
            cache.make_room(keep=place)
            found = _opened(place, wanted)
            if found is not None:
                return Kept(found, computed)
            problem = "another process removed them from the cache"
        except OSError as error:
            problem = f"{cache.folder}: {error.strerror or error}"
    warning = f"features ({wanted.bytes / 1e9:.3g} GB) are not kept for the next time: {problem}"
    return Kept(*_in_temporary_file(wanted, fill), warning)


def _place(wanted: Wanted, cache: PictureCache) -> Path:
    made_by, pictures = (
        sha256(text).hexdigest()[:32]
        for text in (
            f"{wanted.made_by}\n{wanted.shape}".encode(),
            wanted.hashes.astype("S16").tobytes(),
        )
    )
    return cache.features / made_by / pictures


def _make(place: Path, wanted: Wanted, fill: Fill) -> int:
    """Fill an entry and put it in its place; how many pictures were computed.

    Raises:
        OSError: If it cannot be written.
    """
    draft = Path(tempfile.mkdtemp(prefix=NEW, dir=place.parent))
    try:
        with (draft / _NUMBERS).open("wb") as file:
            sums, computed = _write(file, wanted, fill, _older(place, wanted))
        note = {
            "version": _VERSION,
            "shape": list(wanted.shape),
            "hashes": wanted.hashes.astype(str).tolist(),
            "sums": sums,
        }
        write_sealed(draft / NOTE, note)
        if place.exists():  # what lies there is no longer whole
            discard(place)
        draft.rename(place)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return computed


def _write(
    file: IO[bytes], wanted: Wanted, fill: Fill, known: dict[bytes, Features]
) -> tuple[list[int], int]:
    """Write every picture's features; the rows' checksums, and how many were computed."""
    missing = np.array(
        [n for n, each in enumerate(wanted.hashes.tolist()) if each not in known], dtype=np.int64
    )
    fresh = _rows(fill(missing)) if len(missing) else iter(())
    sums = []
    for each in wanted.hashes.tolist():
        row = known[each] if each in known else next(fresh)
        data = np.ascontiguousarray(row, dtype=np.float32)
        if data.shape != wanted.shape or not np.isfinite(data).all():
            raise TrainingError(
                f"features of shape {data.shape} came, expected {wanted.shape}"
                if data.shape != wanted.shape
                else "the source makes features of these pictures that are not finite numbers: "
                "look at its weights and at how the pictures are scaled"
            )
        sums.append(zlib.crc32(data.data))
        file.write(data.data)
    return sums, len(missing)


def _rows(blocks: Iterator[Features]) -> Iterator[Features]:
    for block in blocks:
        yield from block


def _older(place: Path, wanted: Wanted) -> dict[bytes, Features]:
    """What other entries of the same making have of the pictures, by content hash."""
    known: dict[bytes, Features] = {}
    needed = set(wanted.hashes.tolist())
    for other in inside(place.parent):
        if other == place or other.name.startswith("."):
            continue
        entry = _entry(other, wanted.shape)
        if entry is None:
            continue
        hashes, sums, values = entry
        for row, each in enumerate(hashes):
            if each in needed and each not in known and zlib.crc32(values[row]) == sums[row]:
                known[each] = values[row]
    return known


def _opened(place: Path, wanted: Wanted) -> Features | None:
    """The entry at a place; None if there is none, or it is not what was written."""
    entry = _entry(place, wanted.shape)
    if entry is None:
        return None
    hashes, sums, values = entry
    if hashes != wanted.hashes.tolist():
        return None
    if any(zlib.crc32(row) != sum_ for row, sum_ in zip(values, sums, strict=True)):
        return None
    touch(place / NOTE)
    return values


def _entry(place: Path, shape: tuple[int, ...]) -> tuple[list[bytes], list[int], Features] | None:
    """Hashes, checksums and features of an entry; None if it is not one of this shape."""
    note = read_sealed(place / NOTE)
    if note is None or note.get("version") != _VERSION or note.get("shape") != list(shape):
        return None
    try:
        hashes = [str(each).encode() for each in note["hashes"]]
        with (place / _NUMBERS).open("rb") as file:
            return hashes, list(note["sums"]), _mapped(file, (len(hashes), *shape))
    except (OSError, ValueError, KeyError):
        return None


def _mapped(file: IO[bytes], shape: tuple[int, ...]) -> Features:
    """A file of float32 as a read-only array.

    Raises:
        ValueError: If the file has not exactly the length that the shape needs.
    """
    needed = 4 * int(np.prod(shape, dtype=np.int64))
    if os.fstat(file.fileno()).st_size != needed:
        raise ValueError(f"expected {needed} bytes")
    if not needed:  # nothing cannot be mapped
        return np.empty(shape, dtype=np.float32)
    return np.memmap(file, dtype=np.float32, mode="r", shape=shape)


def _in_temporary_file(wanted: Wanted, fill: Fill) -> tuple[Features, int]:
    """The features in a file that vanishes with the array.

    Raises:
        TrainingError: If that cannot be written either.
    """
    try:
        with tempfile.TemporaryFile(prefix="headstart-") as file:
            _, computed = _write(file, wanted, fill, {})
            file.flush()
            return _mapped(file, (len(wanted.hashes), *wanted.shape)), computed
    except OSError as error:
        raise TrainingError(
            f"no room for the features of {len(wanted.hashes):,} pictures in "
            f"{tempfile.gettempdir()}: {error.strerror or error}. Free "
            f"{wanted.bytes / 1e9:.3g} GB, or name another folder in TMPDIR or HEADSTART_CACHE"
        ) from error
