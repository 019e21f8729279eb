"""What was measured on this machine, remembered in the cache folder.

Rates, step timings and choices between two ways of computing the same. They are looked up by what
they are of, by content, and belong to one machine: its processor and how many of it there are.
Like everything in the cache they can be measured again, and a file that is not whole is not
trusted.
"""

import os
import platform
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import filelock

from headstart.data.picture_cache import PictureCache, read_sealed, touch, write_sealed

_VERSION = 1
_MOST = 4000  # of one kind: what was remembered first goes first


@dataclass(frozen=True)
class Measured:
    """The memory of one machine.

    Attributes:
        folder: Where it lies; made when needed.
    """

    folder: Path

    @classmethod
    def of(cls, kept: PictureCache) -> "Measured":
        """That of this machine in a cache."""
        return cls(kept.measured)

    def recall(self, *key: object) -> Any:
        """What was measured; None if it was not."""
        return self._all().get(_name(key))

    def remember(self, value: Any, *key: object) -> bool:
        """Keep what was measured.

        Args:
            value: Plain data.
            key: What it is of.

        Returns:
            Whether it could be kept.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with self._writing():
                values = self._all()
                values.pop(_name(key), None)  # what is remembered again is as good as new
                self._write(_newest({**values, _name(key): value}))
        except OSError:
            return False
        return True

    def forget(self, kind: str) -> None:
        """Forget all that was remembered with a first key; what cannot be forgotten is kept."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with self._writing():
                values = self._all().items()
                kept = {name: value for name, value in values if name.split()[0] != kind}
                self._write(kept)
        except OSError:
            return

    @contextmanager
    def measuring(self) -> Iterator[bool]:
        """Measure while no other process does; tells whether what is measured can be kept."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = filelock.FileLock(self._file.with_name(f".{self._file.name}.measuring"))
            lock.acquire()
        except OSError:
            yield False
            return
        try:
            yield os.access(self.folder, os.W_OK)
        finally:
            lock.release()

    def _writing(self) -> filelock.BaseFileLock:
        return filelock.FileLock(self._file.with_name(f".{self._file.name}.lock"))

    def _write(self, values: dict[str, Any]) -> None:
        write_sealed(self._file, {"version": _VERSION, "about": machine(), "values": values})

    @property
    def _file(self) -> Path:
        return self.folder / f"{_name((machine(),))}.json"

    def _all(self) -> dict[str, Any]:
        note = read_sealed(self._file)
        if note is None or note.get("version") != _VERSION:
            return {}
        touch(self._file)
        values = note.get("values")
        return values if isinstance(values, dict) else {}


@cache
def machine() -> str:
    """This machine in words: its processor, and how many there are."""
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
        model = next(named, model)
    except OSError:  # there is no such file on other systems
        pass
    return f"{model}, {os.cpu_count() or 1} processors"


def work_clock(threads: int) -> Callable[[], float]:
    """The clock that estimates, and what jobs took, are told by.

    Where one thread does the work it is this process's processor time, so that other work on the
    machine is in neither of them; with more threads, or on a GPU, it can only be wall time.

    Args:
        threads: That do the work; 0 for a GPU.
    """
    return time.process_time if threads == 1 else time.perf_counter


def _newest(values: dict[str, Any]) -> dict[str, Any]:
    """The newest of each kind."""
    counts = Counter(name.split()[0] for name in values)
    kept = {}
    for name, value in values.items():
        kind = name.split()[0]
        if counts[kind] <= _MOST:
            kept[name] = value
        else:
            counts[kind] -= 1
    return kept


def _name(key: tuple[object, ...]) -> str:
    """A short name: what kind of thing was measured, and a hash of the rest."""
    digest = sha256("\x1f".join(map(str, key)).encode()).hexdigest()[:32]
    return f"{key[0]} {digest}" if len(key) > 1 else digest
