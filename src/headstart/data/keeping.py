"""Data sets in the cache: made by one process at a time, checked whenever they are opened.

What a set consists of is left to its kind: prepared arrays (`cache`), or a folder of pictures
(`picture_folders`).
"""

import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Protocol, TypeVar

from headstart.data.cache import DamagedError, cache_folder, unusable
from headstart.errors import DataError

LOCK_TIMEOUT_S = 3600.0

Content = TypeVar("Content", covariant=True)


class Keepable(Protocol[Content]):
    """A data set that can be fetched, kept in a folder of its own, and opened from there."""

    @property
    def name(self) -> str:
        """What to ask for, and the name of its folder in the cache."""

    @property
    def needed_bytes(self) -> int:
        """How much space fetching it takes."""

    def is_kept(self, folder: Path, /) -> bool:
        """Whether it lies in the folder; it is not checked."""

    def open(self, folder: Path, /) -> Content:
        """What is kept in the folder, checked.

        Raises:
            DamagedError: If it is not what it must be.
        """

    def build(self, folder: Path, work: Path, damage: str | None, /) -> None:
        """Fetch it, and put it into the folder at one stroke.

        Args:
            folder: Where it is kept.
            work: An empty folder on the same disk, to work in; it is removed afterwards.
            damage: Why it has to be fetched again, if it was here.

        Raises:
            DataError: If it cannot be had.
        """


def opened(wanted: Keepable[Content]) -> Content:
    """What is kept of a set, fetched and prepared first where needed.

    Raises:
        DataError: If it cannot be had, or the cache cannot be written.
    """
    folder = cache_folder() / wanted.name
    damage = None
    if wanted.is_kept(folder):
        try:
            return wanted.open(folder)
        except DamagedError as error:
            damage = str(error)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return _built(folder, wanted)
    except OSError as error:
        problem = unusable(cache_folder(), error, wanted.needed_bytes)
        if damage:
            told = f"{wanted.name} in {folder} is damaged: {damage}"
            problem = DataError(told, *problem.problems)
        raise problem from error


def _built(folder: Path, wanted: Keepable[Content]) -> Content:
    """Fetch and prepare a set while no other process does; whoever waited finds it done."""
    import filelock

    damage = None
    try:
        with filelock.FileLock(folder / ".lock", timeout=LOCK_TIMEOUT_S):
            if wanted.is_kept(folder):
                try:
                    return wanted.open(folder)
                except DamagedError as error:
                    damage = str(error)
                    warnings.warn(
                        f"{wanted.name} in {folder} is damaged and is fetched again: {damage}",
                        stacklevel=5,
                    )
            for left in folder.glob(".new-*"):  # A process was killed here: we hold the lock.
                shutil.rmtree(left, ignore_errors=True)
            with tempfile.TemporaryDirectory(dir=folder, prefix=".new-") as work:
                wanted.build(folder, Path(work), damage)
            return wanted.open(folder)
    except filelock.Timeout:
        raise DataError(
            f"another process has been getting {wanted.name!r} for {LOCK_TIMEOUT_S / 60:.0f} "
            f"minutes: end it, or remove {folder / '.lock'} if there is none"
        ) from None
