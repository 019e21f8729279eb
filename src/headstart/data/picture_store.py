"""Decoded and resized pictures, kept on disk and mapped into memory.

Pictures are kept *before* any augmentation, as the pixel part of a `Preprocessing` makes them. All
pictures of one load lie in one sheet. It is found by its transform (with the versions of the
decoders) and by the content hashes of its pictures, in order. When a folder has changed, the new
sheet takes over from older ones what they have, and only what is new is decoded.

Every picture's checksum is looked at each time a sheet is opened (more than 1 GB/s); a picture that
fails is decoded again. Of two processes that make the same sheet the first to finish wins, and the
other uses it.
"""

import hashlib
import json
import tempfile
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import __version__ as pillow_version
from PIL import features

from headstart.data.decode import DECODER_VERSION, Decoded, UnreadableError
from headstart.data.entries import USUAL_LIMITS, Limits
from headstart.data.picture_cache import NOTE, PictureCache, inside, touch
from headstart.data.sheets import Sheet, SheetDraft, SheetNote, mapped, open_sheet
from headstart.data.sizes import size_words
from headstart.data.transforms import Preprocessing
from headstart.errors import DataError

_CODECS = ("jpg", "libjpeg_turbo", "zlib", "zlib_ng", "libtiff", "webp")

Decode = Callable[[Sequence[int]], Generator[Decoded | UnreadableError]]
"""Gives, in order, the pictures of the numbers that it is called with."""


@dataclass(frozen=True)
class KeptPictures:
    """Decoded pictures, and why others could not be decoded.

    Attributes:
        pictures: uint8, shape (N, height, width, channels), read-only and mapped into memory.
        numbers: For each of them its number among the hashes that were asked for, rising.
        formats: For each of them the format of its file's content, by Pillow's name.
        reasons: Number → why it cannot be used, for the others.
        warnings: What a user should know, in sentences.
    """

    pictures: NDArray[np.uint8]
    numbers: tuple[int, ...]
    formats: tuple[str, ...]
    reasons: dict[int, str]
    warnings: tuple[str, ...] = ()


def keep_pictures(
    hashes: Sequence[str],
    preprocessing: Preprocessing,
    decode: Decode,
    cache: PictureCache,
    limits: Limits = USUAL_LIMITS,
    *,
    about: str = "",
) -> KeptPictures:
    """Decoded pictures from the cache; those that are not there are decoded and kept.

    Where the cache cannot be written, or is too small, the pictures go into a nameless temporary
    file instead, and a warning says so.

    Args:
        hashes: The content hash of each picture, in order.
        preprocessing: What the pictures are decoded to.
        decode: Decodes some of them.
        cache: Where to keep them.
        limits: What `decode` refuses for its size.
        about: What the pictures are, in words, for whoever looks at what is kept.

    Raises:
        DataError: If there is no room for the pictures anywhere.
    """
    shape = (preprocessing.height, preprocessing.width, preprocessing.channels)
    needed_bytes = len(hashes) * shape[0] * shape[1] * shape[2]
    place = _place(hashes, preprocessing, cache, limits)
    sheet = open_sheet(place)
    if sheet is not None and sheet.is_final():
        touch(place / NOTE)
        return _kept(sheet.note, sheet.pictures)
    told: tuple[str, ...] = ()
    if place.exists() and (sheet is None or sheet.unsound()):
        told = (
            f"kept pictures{f' of {about}' if about else ''} are decoded again: they were damaged, "
            "or kept by another version",
        )
    older = _Older(place.parent, set(hashes))
    problem = f"the cache is limited to {size_words(cache.limit_bytes)}"
    if needed_bytes <= cache.limit_bytes:
        try:
            with SheetDraft(place) as draft:
                note = _fill(draft.file, hashes, shape, older, decode)
                note.about = f"{about or 'pictures'}, {' × '.join(map(str, shape))}"
                sheet = draft.finish(note)
            cache.make_room(keep=place)
            if sheet is not None:
                return replace(_kept(sheet.note, sheet.pictures), warnings=told)
            problem = "another process removed them from the cache"
        except OSError as error:
            problem = f"{cache.folder}: {error.strerror or error}"
    return replace(
        _in_temporary_file(hashes, shape, older, decode),
        warnings=(
            *told,
            f"decoded pictures ({size_words(needed_bytes)}) are not kept for the next time: "
            f"{problem}",
        ),
    )


class _Older:
    """What sheets of the same transform already have of the pictures that are wanted."""

    def __init__(self, folder: Path, wanted: set[str]) -> None:
        self.reasons: dict[str, str] = {}
        self._rows: dict[str, tuple[Sheet, int]] = {}
        for place in inside(folder):
            sheet = None if place.name.startswith(".") else open_sheet(place)
            if sheet is not None:
                self._take(sheet, wanted)

    def _take(self, sheet: Sheet, wanted: set[str]) -> None:
        hashes = sheet.note.hashes
        for number in sheet.note.reasons.keys() - set(sheet.note.retry):
            self.reasons[hashes[number]] = sheet.note.reasons[number]
        useful = [
            row
            for row, number in enumerate(sheet.note.numbers)
            if hashes[number] in wanted and hashes[number] not in self._rows
        ]
        for row in set(useful) - sheet.unsound(useful):
            self._rows[hashes[sheet.note.numbers[row]]] = sheet, row

    def get(self, content_hash: str) -> Decoded | UnreadableError | None:
        """The picture, or why it cannot be used; None if no sheet knows."""
        if content_hash in self._rows:
            sheet, row = self._rows[content_hash]
            return Decoded(sheet.pictures[row], sheet.note.formats[row])
        reason = self.reasons.get(content_hash)
        return None if reason is None else UnreadableError(reason)


def _fill(
    file: IO[bytes],
    hashes: Sequence[str],
    shape: tuple[int, int, int],
    older: _Older,
    decode: Decode,
) -> SheetNote:
    """Write all pictures, one after the other, and note what they are."""
    note = SheetNote(shape, list(hashes))
    held = [older.get(each) for each in hashes]
    missing = [number for number, picture in enumerate(held) if picture is None]
    with closing(decode(missing)) as fresh:
        for number, picture in enumerate(held):
            result = next(fresh) if picture is None else picture
            if isinstance(result, UnreadableError):
                note.leave_out(number, result)
            else:
                file.write(note.add(number, result).data)
    return note


def _in_temporary_file(
    hashes: Sequence[str], shape: tuple[int, int, int], older: _Older, decode: Decode
) -> KeptPictures:
    """The pictures in a file that vanishes with the array.

    Raises:
        DataError: If that cannot be written either.
    """
    try:
        with tempfile.TemporaryFile(prefix="headstart-") as file:
            note = _fill(file, hashes, shape, older, decode)
            file.flush()
            return _kept(note, mapped(file, (len(note.numbers), *shape)))
    except OSError as error:
        raise DataError(
            f"no room for {len(hashes):,} decoded pictures of {shape[0]} × {shape[1]} pixels in "
            f"{tempfile.gettempdir()}: {error.strerror or error}. Free "
            f"{size_words(len(hashes) * shape[0] * shape[1] * shape[2])}, or name another folder "
            "in TMPDIR or HEADSTART_CACHE"
        ) from error


def _kept(note: SheetNote, pictures: NDArray[np.uint8]) -> KeptPictures:
    return KeptPictures(pictures, tuple(note.numbers), tuple(note.formats), note.reasons)


def _place(
    hashes: Sequence[str], preprocessing: Preprocessing, cache: PictureCache, limits: Limits
) -> Path:
    """Where the sheet of these pictures is, if it is."""
    transform = {
        "pixels": preprocessing.pixel_part(),
        "picture_pixels": limits.picture_pixels,
        "decoder": DECODER_VERSION,
        "pillow": pillow_version,
        "codecs": {codec: features.version(codec) for codec in _CODECS},
    }
    keys = (json.dumps(transform, sort_keys=True), "\n".join(hashes))
    transform_key, pictures_key = (hashlib.sha256(key.encode()).hexdigest()[:32] for key in keys)
    return cache.pictures / transform_key / pictures_key
