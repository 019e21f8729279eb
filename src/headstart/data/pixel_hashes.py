"""Content hashes of pictures that are mapped from a file, remembered while the file stays as it is.

When that is, `headstart.data.marks` says; besides, some of the hashes are taken again each time and
compared.
"""

import hashlib
import mmap
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from headstart.data.marks import Mark, is_settled, mark_of
from headstart.data.picture_cache import PictureCache, read_sealed, touch, write_sealed
from headstart.errors import DataError

Hashes = NDArray[np.bytes_]

_VERSION = 1
_COMPARED = 16
_WORTH_REMEMBERING_BYTES = 2**23  # less is hashed in no time


class PixelHashes:
    """The place where the content hashes of some pictures are kept; nowhere for most arrays.

    Args:
        pictures: Shape (N, height, width, channels).
    """

    def __init__(self, pictures: NDArray[np.uint8]) -> None:
        self._count = len(pictures)
        file = _file_of(pictures)
        self._mark: Mark = [] if file is None else mark_of(file)
        self._place = None if file is None else _place(file)
        self._settled = is_settled(self._mark, time.time_ns())

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


def _file_of(pictures: NDArray[np.uint8]) -> Path | None:
    """The file that an array maps, all that lies behind a header; None for any other array."""
    if not isinstance(pictures, np.memmap) or not isinstance(pictures.base, mmap.mmap):
        return None  # a view of a part of a map names the file, too
    if pictures.nbytes < _WORTH_REMEMBERING_BYTES or pictures.filename is None:
        return None
    file = Path(pictures.filename)
    mark = mark_of(file)
    return file if mark and mark[0] == pictures.offset + pictures.nbytes else None


def _place(file: Path) -> Path | None:
    """Where the hashes of a file's pictures are kept; None where nothing is."""
    try:
        cache = PictureCache.usual()
    except DataError:  # told where it matters
        return None
    name = hashlib.sha256(str(file.resolve()).encode("utf-8", "surrogateescape")).hexdigest()
    return cache.hashes / f"pixels-{name}.json"
