"""The feature store: what a part of a network made of pictures, kept on disk.

An entry is found by what it was made by (weights, steps, preprocessing, versions) and of which
pictures, by content. So it is never used for other weights, another crop or other pictures. Entries
of the same making share a folder; a new one takes over what older ones have of its pictures.

An entry is a folder with two files: ``features`` (float32, one row a picture) and a sealed note
with a checksum of every row. It is filled under another name and renamed when it is whole, so half
an entry is never met. Of two processes that want the same entry one makes it, the other waits.
"""

import mmap
import os
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

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
from headstart.data.sizes import size_words
from headstart.engine.limits import mapped_bytes
from headstart.errors import TrainingError

Features = NDArray[np.float32]
Fill = Callable[[NDArray[np.int64]], Iterator[Features]]
"""Gives the features of the pictures of some numbers, in order, in blocks of any size."""

_VERSION = 2
_NUMBERS = "features"
_BYTES_AT_ONCE = 2**24  # read to check a file
_AROUND = 2**16  # bytes that the system maps around one that is read


class NoRoomError(TrainingError):
    """There is no room for features anywhere."""


@dataclass(frozen=True)
class Wanted:
    """What features are wanted.

    Attributes:
        made_by: All that they depend on beside the pictures, as text.
        hashes: The content hash of each picture, shape (N,).
        shape: Of one picture's features.
        about: What they are, in words.
    """

    made_by: str
    hashes: NDArray[np.bytes_]
    shape: tuple[int, ...]
    about: str = ""

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
        warnings: What a user should know, in sentences.
    """

    values: Features
    computed: int
    warnings: tuple[str, ...] = ()


class MappedFeatures(np.memmap[tuple[int, ...], np.dtype[np.float32]]):
    """Features mapped into memory, which the pages that were read leave again beyond a limit.

    Attributes:
        most_bytes: What may stay in memory of rows taken; None where that is left to the system.
    """

    most_bytes: int | None = None
    _mmap: mmap.mmap | None
    _read: list[int]

    def __array_finalize__(self, obj: object) -> None:
        """Let views keep to the same limit, together."""
        super().__array_finalize__(obj)
        self.most_bytes = getattr(obj, "most_bytes", None)
        self._read = getattr(obj, "_read", [0])

    def take(self, indices: Any, axis: Any = None, out: Any = None, mode: Any = "raise") -> Any:
        """Some rows, copied."""
        if self.most_bytes is None:
            return np.asarray(self).take(indices, axis, out, mode)
        before = mapped_bytes()
        rows = np.asarray(self).take(indices, axis, out, mode)
        # A kernel may map two megabytes around each row, which only it knows.
        self._read[0] += max(rows.nbytes + _AROUND * len(rows), mapped_bytes() - before)
        if self._read[0] > self.most_bytes / 2:  # as much again may come with the next rows
            self.let_go()
        return rows

    def let_go(self) -> None:
        """Let the pages that were read leave memory; they stay in the file."""
        self._read[0] = 0
        if self._mmap is not None and hasattr(mmap, "MADV_DONTNEED"):
            self._mmap.madvise(mmap.MADV_DONTNEED)


def keep_features(
    wanted: Wanted, fill: Fill, cache: PictureCache, most_bytes: int | None = None
) -> Kept:
    """Features from the store; those that are not there are computed and kept.

    Where the store cannot be written, or is too small, they go into a nameless temporary file
    instead, and a warning says so.

    Args:
        wanted: What to find.
        fill: Computes the features of some of the pictures.
        cache: Where they are kept.
        most_bytes: What may stay in memory of those that are read.

    Raises:
        NoRoomError: If there is no room for them anywhere.
        TrainingError: If what was computed is no number.
    """
    place = _place(wanted, cache)
    told: tuple[str, ...] = ()
    found = _opened(place, wanted, most_bytes)
    if isinstance(found, str):
        about = wanted.about or f"{len(wanted.hashes):,} pictures"
        told = (f"kept features are made again, as they {found} ({about})",)
    elif found is not None:
        return Kept(found, 0)
    problem = f"the cache is limited to {size_words(cache.limit_bytes)}"
    if wanted.bytes <= cache.limit_bytes:
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            with filelock.FileLock(place.with_name(f".{place.name}.lock")):
                found = _opened(place, wanted, most_bytes)  # by another process meanwhile
                if isinstance(found, MappedFeatures):
                    return Kept(found, 0)
                computed = _make(place, wanted, fill)
            cache.make_room(keep=place)
            found = _opened(place, wanted, most_bytes)
            if isinstance(found, MappedFeatures):
                return Kept(found, computed, told)
            problem = "another process removed them from the cache"
        except OSError as error:
            problem = f"{cache.folder}: {error.strerror or error}"
    told += (f"features ({size_words(wanted.bytes)}) are not kept for the next time: {problem}",)
    return Kept(*_in_temporary_file(wanted, fill, most_bytes), told)


def kept_features(
    wanted: Wanted, cache: PictureCache, most_bytes: int | None = None
) -> Features | None:
    """Features from the store, if all of them are there."""
    found = _opened(_place(wanted, cache), wanted, most_bytes)
    return found if isinstance(found, MappedFeatures) else None


def rehearse(wanted: Wanted, fill: Fill) -> None:
    """Keep features in a place that is gone afterwards, to see how long that takes.

    Raises:
        OSError: If there is no room for them.
    """
    with tempfile.TemporaryDirectory(prefix="headstart-") as folder:
        place = Path(folder) / _NUMBERS
        _make(place, wanted, fill)
        _opened(place, wanted, None)


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
            "about": wanted.about,
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
    sums: list[int] = []
    numbers = int(np.prod(wanted.shape, dtype=np.int64))
    for block in _blocks(wanted, fill, known):
        data = np.ascontiguousarray(block, dtype=np.float32)
        if data.shape[1:] != wanted.shape or not np.isfinite(data).all():
            raise TrainingError(
                f"features of shape {data.shape[1:]} came, expected {wanted.shape}"
                if data.shape[1:] != wanted.shape
                else "the source makes features of these pictures that are not finite numbers: "
                "look at its weights and at how the pictures are scaled"
            )
        sums += [zlib.crc32(row.data) for row in data.reshape(len(data), numbers)]
        file.write(data.data)
    return sums, sum(each not in known for each in wanted.hashes.tolist())


def _blocks(wanted: Wanted, fill: Fill, known: dict[bytes, Features]) -> Iterator[Features]:
    """Every picture's features in order: what is known, and what is computed."""
    hashes = wanted.hashes.tolist()
    missing = np.array([n for n, each in enumerate(hashes) if each not in known], dtype=np.int64)
    computed = fill(missing) if len(missing) else iter(())
    if len(missing) == len(hashes):
        yield from computed
        return
    fresh = (row for block in computed for row in block)
    for each in hashes:
        yield (known[each] if each in known else next(fresh))[None]


def _older(place: Path, wanted: Wanted) -> dict[bytes, Features]:
    """What other entries of the same making have of the pictures, by content hash."""
    known: dict[bytes, Features] = {}
    needed = set(wanted.hashes.tolist())
    for other in inside(place.parent):
        if other == place or other.name.startswith("."):
            continue
        entry = _entry(other, wanted.shape)
        if entry is None or isinstance(entry, str):
            continue
        for row, each in enumerate(entry.hashes):
            fits = each in needed and each not in known
            if fits and zlib.crc32(entry.values[row]) == entry.sums[row]:
                known[each] = entry.values[row]
        entry.values.let_go()
    return known


@dataclass(frozen=True)
class _Entry:
    """What lies at a place: hashes and checksums of its rows, and the rows."""

    hashes: list[bytes]
    sums: list[int]
    values: MappedFeatures


def _opened(place: Path, wanted: Wanted, most_bytes: int | None) -> MappedFeatures | str | None:
    """The entry at a place; None if there is none, in words why not if it cannot be used."""
    entry = _entry(place, wanted.shape)
    if entry is None or isinstance(entry, str):
        return entry
    row_bytes = wanted.bytes // max(1, len(wanted.hashes))
    whole = entry.hashes == wanted.hashes.tolist() and len(entry.sums) == len(entry.hashes)
    if not whole or not _is_sound(place / _NUMBERS, entry.sums, row_bytes):
        return "were damaged"
    touch(place / NOTE)
    entry.values.most_bytes = most_bytes
    return entry.values


def _is_sound(path: Path, sums: list[int], row_bytes: int) -> bool:
    """Whether every row is what was written; read, not mapped, so that it stays out of memory."""
    rows = max(1, _BYTES_AT_ONCE // max(1, row_bytes))
    try:
        with path.open("rb", buffering=0) as file:
            for start in range(0, len(sums), rows):
                some = sums[start : start + rows]
                data = memoryview(file.read(row_bytes * len(some)))
                for number, sum_ in enumerate(some):
                    if zlib.crc32(data[row_bytes * number : row_bytes * (number + 1)]) != sum_:
                        return False
    except OSError:
        return False
    return True


def _entry(place: Path, shape: tuple[int, ...]) -> _Entry | str | None:
    """The entry at a place; None if there is none, in words why not if it cannot be used."""
    if not place.is_dir():
        return None
    note = read_sealed(place / NOTE)
    if note is None:
        return "were damaged"
    if note.get("version") != _VERSION:
        return "are of another version"
    try:
        if tuple(note["shape"]) != shape:
            return "were damaged"
        hashes = [str(each).encode() for each in note["hashes"]]
        with (place / _NUMBERS).open("rb") as file:
            return _Entry(hashes, list(note["sums"]), _mapped(file, (len(hashes), *shape)))
    except (OSError, ValueError, KeyError, TypeError):
        return "were damaged"


def _mapped(file: IO[bytes], shape: tuple[int, ...]) -> MappedFeatures:
    """A file of float32 as a read-only array.

    Raises:
        ValueError: If the file has not exactly the length that the shape needs.
    """
    needed = 4 * int(np.prod(shape, dtype=np.int64))
    if os.fstat(file.fileno()).st_size != needed:
        raise ValueError(f"expected {needed} bytes")
    if not needed:  # nothing cannot be mapped
        return np.empty(shape, dtype=np.float32).view(MappedFeatures)
    return MappedFeatures(file, dtype=np.float32, mode="r", shape=shape)


def _in_temporary_file(wanted: Wanted, fill: Fill, most_bytes: int | None) -> tuple[Features, int]:
    """The features in a file that vanishes with the array.

    Raises:
        NoRoomError: If that cannot be written either.
    """
    try:
        with tempfile.TemporaryFile(prefix="headstart-") as file:
            _, computed = _write(file, wanted, fill, {})
            file.flush()
            values = _mapped(file, (len(wanted.hashes), *wanted.shape))
    except OSError as error:
        raise NoRoomError(
            f"no room for the features of {len(wanted.hashes):,} pictures in "
            f"{tempfile.gettempdir()}: {error.strerror or error}. Free "
            f"{size_words(wanted.bytes)}, or name another folder in TMPDIR or HEADSTART_CACHE"
        ) from error
    values.most_bytes = most_bytes
    return values, computed
