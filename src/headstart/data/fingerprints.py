"""Content hashes of pictures, remembered so that files that did not change are not read again.

When a file is taken to be unchanged, `headstart.data.marks` says; its name must be the same, too.
"""

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from headstart.data.decode import Payload, UnreadableError
from headstart.data.entries import USUAL_LIMITS, Entry, Limits, printable
from headstart.data.marks import Mark, is_settled, mark_of
from headstart.data.picture_cache import PictureCache, read_sealed, touch, write_sealed
from headstart.data.reading import Progress, over_pictures

_VERSION = 1


def content_hashes(
    root: Path,
    entries: Sequence[Entry],
    cache: PictureCache,
    *,
    limits: Limits = USUAL_LIMITS,
    workers: int | None = None,
    progress: Progress | None = None,
) -> list[str | UnreadableError]:
    """SHA-256 of each picture file's bytes in hex, or why it cannot be read.

    For pictures in arrays it is that of the shape and the pixels.

    Args:
        root: What the entries were found in.
        entries: The pictures.
        cache: Where hashes are remembered.
        limits: What is refused for its size.
        workers: Threads; one more than there are processors when omitted.
        progress: Called after each picture that is read; a bar on the terminal when omitted.
    """
    place = cache.hashes / f"{hashlib.sha256(str(root.resolve()).encode(*_BYTES)).hexdigest()}.json"
    known = _remembered(place)
    marks = _marks(entries)
    found: dict[int, str | UnreadableError] = {
        number: known[entry.name][1]
        for number, entry in enumerate(entries)
        if entry.name in known and known[entry.name][0] == marks[number]
    }
    unknown = [number for number in range(len(entries)) if number not in found]
    started = time.time_ns()
    hashed = over_pictures(
        [entries[number] for number in unknown],
        content_hash,
        "reading",
        limits=limits,
        workers=workers,
        progress=progress,
    )
    found.update(zip(unknown, hashed, strict=True))
    hashes = [found[number] for number in range(len(entries))]
    if unknown:
        _remember(place, entries, marks, hashes, about=printable(str(root)), now_ns=started)
    else:
        touch(place)
    return hashes


def content_hash(payload: Payload) -> str:
    """SHA-256 of a picture file's bytes in hex; of shape and pixels for an array."""
    if isinstance(payload, bytes):
        return hashlib.sha256(payload).hexdigest()
    digest = hashlib.sha256(repr(payload.shape).encode())
    digest.update(np.ascontiguousarray(payload).data)
    return digest.hexdigest()


_BYTES = ("utf-8", "surrogateescape")


def _marks(entries: Sequence[Entry]) -> list[Mark]:
    """What tells whether each entry's file changed."""
    by_path = {path: mark_of(path) for path in {entry.path for entry in entries}}
    return [by_path[entry.path] for entry in entries]


def _remembered(place: Path) -> dict[str, tuple[Mark, str]]:
    """Name → mark and hash, as far as they were kept whole."""
    body = read_sealed(place)
    if body is None or body.get("version") != _VERSION:
        return {}
    return {name: (mark, text) for name, (mark, text) in body["files"].items()}


def _remember(
    place: Path,
    entries: Sequence[Entry],
    marks: Sequence[Mark],
    hashes: Sequence[str | UnreadableError],
    *,
    about: str,
    now_ns: int,
) -> None:
    """Keep the hashes of files that had not changed for a while; a full cache is no harm."""
    files = {
        entry.name: (mark, text)
        for entry, mark, text in zip(entries, marks, hashes, strict=True)
        if isinstance(text, str) and is_settled(mark, now_ns)
    }
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        write_sealed(place, {"version": _VERSION, "about": about, "files": files})
    except OSError:
        return
