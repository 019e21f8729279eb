"""A sheet: decoded pictures of one size in one file, with a note of their hashes and checksums.

A sheet is a folder with two files: ``pixels`` (uint8, one picture after the other) and a sealed
note. It is filled under another name and renamed when it is whole, so half a sheet is never met.
"""

import os
import shutil
import tempfile
import zlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from headstart.data.decode import Decoded, UnreadableError
from headstart.data.picture_cache import NEW, NOTE, discard, read_sealed, write_sealed
from headstart.data.pixel_hashes import note_origin
from headstart.data.reading import processors

_VERSION = 2
_PIXELS = "pixels"
_ROWS_AT_ONCE = 256

Shape = tuple[int, int, int]
"""Height, width, channels."""


@dataclass
class SheetNote:
    """What is known of the pictures of a sheet.

    Attributes:
        shape: Of each picture.
        hashes: The content hashes that were asked for, those of unusable pictures too.
        numbers: For each picture of the sheet its number among the hashes.
        formats: For each picture its file's format.
        sums: For each picture the CRC-32 of its pixels.
        reasons: Number among the hashes → why it cannot be used.
        retry: Numbers of those that may be usable another time, because they could not be read.
        about: What the pictures are, in words.
    """

    shape: Shape
    hashes: list[str]
    numbers: list[int] = field(default_factory=list)
    formats: list[str] = field(default_factory=list)
    sums: list[int] = field(default_factory=list)
    reasons: dict[int, str] = field(default_factory=dict)
    retry: list[int] = field(default_factory=list)
    about: str = ""

    def leave_out(self, number: int, error: UnreadableError) -> None:
        """Note why a picture cannot be used."""
        self.reasons[number] = str(error)
        if not error.lasting:
            self.retry.append(number)

    def add(self, number: int, picture: Decoded) -> NDArray[np.uint8]:
        """Note the next picture, and return its pixels as they must be written."""
        pixels = np.ascontiguousarray(picture.pixels)
        self.numbers.append(number)
        self.formats.append(picture.format)
        self.sums.append(zlib.crc32(pixels.data))
        return pixels


class Sheet:
    """Pictures mapped into memory; check them with `unsound` before use.

    Attributes:
        note: What is known of the pictures.
        pictures: uint8, shape (N, height, width, channels), read-only.
    """

    def __init__(self, note: SheetNote, file: IO[bytes]) -> None:
        self.note = note
        self.pictures = mapped(file, (len(note.numbers), *note.shape))
        note_origin(self.pictures, file)

    def is_final(self) -> bool:
        """Whether the pictures are what was written, and no others would come of another try."""
        return not self.note.retry and not self.unsound()

    def unsound(self, rows: Iterable[int] | None = None) -> set[int]:
        """Rows whose pixels are no longer what was written; all are checked when omitted."""
        checked = list(range(len(self.pictures)) if rows is None else rows)
        blocks = [
            checked[start : start + _ROWS_AT_ONCE]
            for start in range(0, len(checked), _ROWS_AT_ONCE)
        ]
        with ThreadPoolExecutor(processors()) as pool:
            return set().union(*pool.map(self._unsound_of, blocks))

    def _unsound_of(self, rows: list[int]) -> set[int]:
        sums = self.note.sums
        return {row for row in rows if zlib.crc32(self.pictures[row].data) != sums[row]}


def open_sheet(place: Path) -> Sheet | None:
    """The sheet at a place; None if there is none, or it is not whole."""
    body = read_sealed(place / NOTE)
    if body is None or body.pop("version", None) != _VERSION:
        return None
    try:
        with (place / _PIXELS).open("rb") as file:
            return Sheet(_note(body), file)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _note(body: dict[str, Any]) -> SheetNote:
    body["shape"] = tuple(body["shape"])
    body["reasons"] = {int(number): reason for number, reason in body["reasons"].items()}
    return SheetNote(**body)


class SheetDraft:
    """A sheet that is being written; it is there for others once it is `finish`ed.

    A context manager: what was not finished is removed.
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        place.parent.mkdir(parents=True, exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(prefix=NEW, dir=place.parent))
        self.file: IO[bytes] = (self.folder / _PIXELS).open("wb")

    def __enter__(self) -> "SheetDraft":
        return self

    def __exit__(self, *_error: object) -> None:
        self.file.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def finish(self, note: SheetNote) -> Sheet | None:
        """Put the sheet in its place.

        Returns:
            It, or the one that another process put there meanwhile; None if that has gone again.

        Raises:
            OSError: If it cannot be written.
        """
        self.file.close()
        write_sealed(self.folder / NOTE, {"version": _VERSION, **asdict(note)})
        for _attempt in range(2):
            try:
                self.folder.rename(self.place)
                break
            except OSError:
                # Another process was quicker, or what lies there has to be made again.
                other = open_sheet(self.place)
                if other is not None and other.is_final():
                    return other
                discard(self.place)
        return open_sheet(self.place)


def mapped(file: IO[bytes], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """A file of uint8 as a read-only array.

    Raises:
        ValueError: If the file has not exactly the length that the shape needs.
    """
    length, needed = os.fstat(file.fileno()).st_size, int(np.prod(shape, dtype=np.int64))
    if length != needed:
        raise ValueError(f"{length} bytes of pixels, expected {needed}")
    if not needed:  # nothing cannot be mapped
        return np.empty(shape, dtype=np.uint8)
    return np.memmap(file, dtype=np.uint8, mode="r", shape=shape)
