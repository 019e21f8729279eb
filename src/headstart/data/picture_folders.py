"""Data sets that are folders of pictures as their makers left them, kept as they came.

Sounds, texts and drawings beside the pictures stay where they are: `find_pictures` passes them
over. What is checked is what it finds, by name and content, so nothing else can be learnt from.
"""

import hashlib
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from headstart.data.cache import DamagedError
from headstart.data.facts import FolderFacts, SetFacts
from headstart.data.mirrors import FolderMirror, Mirror
from headstart.data.progress import Meter
from headstart.data.transfer import MirrorError
from headstart.errors import DataError

FOLDER = "pictures"
"""The folder of pictures, inside the set's own folder in the cache."""


@dataclass(frozen=True)
class PictureFolder:
    """A set of the catalogue that is a folder of pictures; see `headstart.data.keeping.Keepable`.

    Attributes:
        facts: What the catalogue says.
        expected: What the folder must hold.
    """

    facts: SetFacts
    expected: FolderFacts

    @property
    def name(self) -> str:
        """The set's."""
        return self.facts.name

    @property
    def needed_bytes(self) -> int:
        """Three times itself: fetched, unpacked, and what was there before."""
        return 3 * self.expected.bytes

    def is_kept(self, folder: Path, /) -> bool:
        """See `Keepable.is_kept`."""
        return (folder / FOLDER).is_dir()

    def open(self, folder: Path, /) -> Path:
        """The folder of pictures, checked; see `Keepable.open`."""
        check_folder(folder / FOLDER, self.expected)
        return folder / FOLDER

    def build(self, folder: Path, work: Path, damage: str | None, /) -> None:
        """See `Keepable.build`. A folder that was changed is kept under another name."""
        fetched = self._fetched(folder, work, damage)
        if self.is_kept(folder):
            (folder / FOLDER).rename(folder / f"{FOLDER}.{time.strftime('%Y%m%d-%H%M%S')}")
        fetched.rename(folder / FOLDER)

    def _fetched(self, folder: Path, work: Path, damage: str | None) -> Path:
        """The folder from the first mirror that has it as the catalogue says."""
        reasons = [f"what was kept in {folder}: {damage}"] if damage else []
        with Meter(self.facts.title) as meter:
            for number, mirror in enumerate(self.facts.mirrors):
                into = work / f"mirror-{number}"
                into.mkdir()
                meter.begin(mirror.title)
                try:
                    return self._delivered(mirror, into, meter)
                except (MirrorError, DamagedError, DataError) as error:
                    reasons.append(f"{mirror.title}: {error}")
                shutil.rmtree(into)
        raise DataError(
            f"no mirror delivers the data set {self.name!r}:",
            *(f"  {reason}" for reason in reasons),
            f"to put it there by hand, place the folder of its {self.expected.pictures:,} pictures "
            f"at {folder / FOLDER} and ask again (home: {self.facts.home})",
        )

    def _delivered(self, mirror: Mirror, into: Path, meter: Meter) -> Path:
        found = mirror.deliver((), into, meter)
        if not found.is_dir():
            raise MirrorError(f"it holds no {found.relative_to(into).as_posix()}")
        check_folder(found, self.expected)
        if isinstance(mirror, FolderMirror):
            return Path(shutil.copytree(found, into / FOLDER, symlinks=True))
        return found


def check_folder(folder: Path, expected: FolderFacts) -> None:
    """Make sure that a folder holds the pictures expected, and no others.

    Raises:
        DamagedError: If it does not.
    """
    # Imported here: asking what the catalogue holds needs none of it.
    from headstart.data.folders import find_pictures

    try:
        entries = sorted(find_pictures(folder).entries, key=lambda entry: entry.name)
        digest = hashlib.sha256()
        for entry in entries:
            content = hashlib.sha256(entry.path.read_bytes()).hexdigest()
            digest.update(f"{content}  {entry.name}\n".encode())
    except DataError as error:
        raise DamagedError(str(error)) from error
    except OSError as error:
        raise DamagedError(f"{error.filename} cannot be read: {error.strerror}") from error
    if len(entries) != expected.pictures:
        raise DamagedError(
            f"it holds {len(entries):,} pictures, expected {expected.pictures:,} (another release, "
            "or a folder that was changed)"
        )
    if digest.hexdigest() != expected.sha256:
        raise DamagedError(
            "its pictures or their names are not those that the catalogue knows (another release, "
            "or a folder that was changed)"
        )
