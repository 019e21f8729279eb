"""The folder where work on pictures is kept: how large it may grow, and how its notes are sealed.

Everything in it can be made again, so it may be deleted at any time, and nothing in it is trusted:
notes carry a checksum of their own, pixels one for each picture.
"""

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import platformdirs

from headstart.errors import DataError

FOLDER_VARIABLE = "HEADSTART_CACHE"
LIMIT_VARIABLE = "HEADSTART_CACHE_GB"
USUAL_LIMIT_GB = 20.0

NOTE = "index.json"
NEW, GONE = ".new-", ".gone-"
"""How the names of folders begin that are being written, or being removed."""

_STALE_AFTER_S = 24 * 3600


@dataclass(frozen=True)
class PictureCache:
    """Where decoded pictures are kept, and how much of them.

    Attributes:
        folder: Made when needed.
        limit_bytes: What was not used for the longest time is removed above it.
    """

    folder: Path
    limit_bytes: int = int(USUAL_LIMIT_GB * 1e9)

    @classmethod
    def usual(cls) -> Self:
        """The folder ``HEADSTART_CACHE``, else the user's cache folder.

        It is limited to 20 GB, or to what ``HEADSTART_CACHE_GB`` says.

        Raises:
            DataError: If ``HEADSTART_CACHE_GB`` is not a number from 0.
        """
        chosen = os.environ.get(FOLDER_VARIABLE)
        folder = (
            Path(chosen).expanduser()
            if chosen
            else platformdirs.user_cache_path("headstart", appauthor=False)
        )
        text = os.environ.get(LIMIT_VARIABLE) or str(USUAL_LIMIT_GB)
        try:
            limit_bytes = int(float(text) * 1e9)
        except (ValueError, OverflowError):
            limit_bytes = -1
        if limit_bytes < 0:
            raise DataError(
                f"{LIMIT_VARIABLE} is {text!r}, expected a number of gigabytes, such as 20"
            )
        return cls(folder.absolute(), limit_bytes)

    @property
    def pictures(self) -> Path:
        """Where decoded pictures are."""
        return self.folder / "pictures"

    @property
    def hashes(self) -> Path:
        """Where the content hashes of files are."""
        return self.folder / "hashes"

    @property
    def features(self) -> Path:
        """Where kept features are."""
        return self.folder / "features"

    @property
    def measured(self) -> Path:
        """Where it is remembered what was measured on this machine."""
        return self.folder / "measured"

    def make_room(self, keep: Path) -> None:
        """Remove what was used longest ago until the limit holds, but never `keep`."""
        items = sorted(self._items())
        total = sum(size for _, size, _ in items)
        for _, size, path in items:
            if total <= self.limit_bytes:
                break
            if path != keep:
                discard(path)
                total -= size
        for leftover in (path for room in self._rooms() for path in inside(room)):
            is_leftover = leftover.name.startswith((NEW, GONE))
            if is_leftover and time.time() - _last_use(leftover) > _STALE_AFTER_S:
                discard(leftover)

    def things(self) -> list["Thing"]:
        """All that is kept, what was used last first."""
        kinds = {
            self.features: "features",
            self.hashes: "hashes of files",
            self.measured: "measurements",
        }
        found = []
        for last_use, size, path in sorted(self._items(), reverse=True):
            place = path.parent if path.parent in kinds else path.parent.parent
            note = read_sealed(path / NOTE if path.is_dir() else path) or {}
            about = str(note.get("about", ""))
            found.append(Thing(kinds.get(place, "pictures"), size, last_use, path, about))
        return found

    def clear(self, older_than_s: float = 0.0) -> list["Thing"]:
        """Remove what was not used for some time, everything by default; what was removed."""
        old = [each for each in self.things() if time.time() - each.last_use >= older_than_s]
        for each in old:
            discard(each.path)
        return old

    def _rooms(self) -> list[Path]:
        """The folders that hold sheets, features, hashes or measurements."""
        return [*inside(self.pictures), *inside(self.features), self.hashes, self.measured]

    def _items(self) -> Iterator[tuple[float, int, Path]]:
        """When each thing kept was last used, its size in bytes, and where it is."""
        for path in (path for room in self._rooms() for path in inside(room)):
            if path.name.startswith("."):
                continue
            try:
                size = sum(file.stat().st_size for file in inside(path) or [path])
                yield _last_use(path / NOTE if path.is_dir() else path), size, path
            except OSError:  # another process has just removed it
                continue


@dataclass(frozen=True)
class Thing:
    """Something that is kept.

    Attributes:
        kind: ``"pictures"`` (decoded ones), ``"features"``, ``"hashes of files"`` or
            ``"measurements"``.
        bytes: What it takes on disk.
        last_use: Seconds since the epoch.
        path: Where it is.
        about: What it is of, in words; empty where that was not written down.
    """

    kind: str
    bytes: int
    last_use: float
    path: Path
    about: str = ""


def inside(folder: Path) -> list[Path]:
    """What lies in a folder; nothing if it is none, or another process has just removed it."""
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def touch(path: Path) -> None:
    """Note that something was used now."""
    try:
        os.utime(path)
    except OSError:  # a cache that may only be read still serves
        return


def discard(path: Path) -> None:
    """Remove a file or folder; a folder vanishes at once, even for those who look meanwhile."""
    if path.is_dir():
        gone = path.with_name(f"{GONE}{os.getpid()}-{time.monotonic_ns()}")
        try:
            path.rename(gone)
        except OSError:  # another process was quicker, or still has it open (Windows)
            return
        shutil.rmtree(gone, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def write_sealed(path: Path, body: dict[str, Any]) -> None:
    """Write JSON with a checksum, whole or not at all.

    Raises:
        OSError: If it cannot be written.
    """
    text = json.dumps(body, separators=(",", ":"))
    seal = hashlib.sha256(text.encode()).hexdigest()
    handle, draft = tempfile.mkstemp(prefix=NEW, dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(f"{seal}\n{text}")
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise


def read_sealed(path: Path) -> dict[str, Any] | None:
    """What `write_sealed` wrote; None if it is not there, or no longer whole."""
    try:
        seal, _, text = path.read_text(encoding="utf-8").partition("\n")
        if hashlib.sha256(text.encode()).hexdigest() != seal:
            return None
        body = json.loads(text)
    except (OSError, ValueError):
        return None
    return body if isinstance(body, dict) else None


def _last_use(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return time.time()
