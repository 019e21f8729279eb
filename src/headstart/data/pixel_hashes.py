"""Content hashes of pictures that are mapped from a file, remembered while the file stays as it is.

When that is, `headstart.data.marks` says; the mark is that of the very file that was mapped, taken
when it was. Besides, some of the hashes are taken again each time and compared.
"""

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from headstart.data.marks import Mark, is_settled, mark_from
from headstart.data.picture_cache import PictureCache, read_sealed, touch, write_sealed
from headstart.errors import DataError

Hashes = NDArray[np.bytes_]

_VERSION = 1
_COMPARED = 16
_WORTH_REMEMBERING_BYTES = 2**23  # less is hashed in no time
_ORIGIN = "headstart_origin"


def note_origin(mapped: NDArray[Any], file: IO[bytes]) -> None:
    """Note on a read-only map of a whole file which file it is; views of it do not inherit that."""
    if not isinstance(mapped, np.memmap):  # there was nothing to map
        return
    facts = os.fstat(file.fileno())
    setattr(mapped, _ORIGIN, (Path(file.name), mark_from(facts), time.time_ns()))


class PixelHashes:
    """The place where the content hashes of some pictures are kept.

    That is nowhere, but for maps whose origin was noted.

    Args:
        pictures: Shape (N, height, width, channels).
    """

    def __init__(self, pictures: NDArray[np.uint8]) -> None:
        self._count = len(pictures)
        self._place: Path | None = None
        self._mark: Mark = []
        self._settled = False
        origin = getattr(pictures, _ORIGIN, None)
        if origin is not None and pictures.nbytes >= _WORTH_REMEMBERING_BYTES:
            file, self._mark, mapped_ns = origin
            self._place, self._settled = _place(file), is_settled(self._mark, mapped_ns)

    def known(self, hashed: Callable[[int], bytes]) -> Hashes | None:
        """The hashes of all pictures, if they were kept and the file is the same.

        Args:
            hashed: Takes the hash of one of them.
        """
        body = None if self._place is None else read_sealed(self._place)
        if body is None or [body.get("version"), body.get("mark")] != [_VERSION, self._mark]:
            return None
        hashes: Hashes = np.array(body["hashes"], dtype="S16")
        rows = np.linspace(0, self._count - 1, _COMPARED).astype(int).tolist()
        if len(hashes) != self._count or any(hashes[row] != hashed(row) for row in rows):
            return None
        assert self._place is not None
        touch(self._place)
        return hashes

    def keep(self, hashes: Hashes, about: str) -> None:
        """Keep the hashes of all pictures, taken since this was made; a full cache is no harm.

        Args:
            hashes: One a picture.
            about: What the pictures are, in words.
        """
        if self._place is None or not self._settled:
            return
        body = {"version": _VERSION, "about": about, "mark": self._mark}
        try:
            self._place.parent.mkdir(parents=True, exist_ok=True)
            write_sealed(self._place, {**body, "hashes": hashes.astype(str).tolist()})
        except OSError:
            return


def _place(file: Path) -> Path | None:
    """Where the hashes of a file's pictures are kept; None where nothing is."""
    try:
        cache = PictureCache.usual()
    except DataError:  # told where it matters
        return None
    name = hashlib.sha256(str(file.resolve()).encode("utf-8", "surrogateescape")).hexdigest()
    return cache.hashes / f"pixels-{name}.json"
