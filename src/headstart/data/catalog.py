"""Data sets known by name: fetched once from the first mirror that answers, then kept.

What a set consists of stands in ``catalog.toml``. Every file is checked by size and SHA-256, and so
is what is kept, when a process first opens it. Once a set is here, nothing needs the network.
"""

import hashlib
import importlib.util
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files as package_files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from headstart.data.cache import (
    LABELS,
    PICTURES,
    DamagedError,
    cache_folder,
    is_kept,
    open_kept,
    unusable,
    write_kept,
)
from headstart.data.facts import LABEL_TYPE, SetFacts, read_facts
from headstart.data.formats import READERS, Rows
from headstart.data.gather import gather
from headstart.data.image_set import ImageSet
from headstart.errors import DataError, nearest

Arrays = tuple[NDArray[np.uint8], NDArray[np.int64]]

LOCK_TIMEOUT_S = 3600.0
BUNDLED = "scikit-learn"
"""The format of a set that comes with a library, so that there is nothing to fetch or keep."""


@dataclass(frozen=True)
class CatalogEntry:
    """What there is to know about a data set before getting it.

    Attributes:
        name: What to ask for.
        title: Its proper name.
        about: What it shows, in a sentence.
        pictures: Their number, all parts together.
        class_names: In label order.
        picture_shape: Height, width, channels.
        licence: As stated at its home.
        home: Its public home page.
        here: Whether it is on this machine, so that no network is needed.
        bytes: What it takes on disk, once it is here.
    """

    name: str
    title: str
    about: str
    pictures: int
    class_names: tuple[str, ...]
    picture_shape: tuple[int, int, int]
    licence: str
    home: str
    here: bool
    bytes: int


class Catalog:
    """Data sets by name. The functions of this module ask headstart's own catalogue.

    Args:
        text: The catalogue in TOML, as in ``catalog.toml``.
    """

    def __init__(self, text: str) -> None:
        self._sets = read_facts(text)

    def names(self) -> tuple[str, ...]:
        """The names of all data sets, sorted."""
        return tuple(sorted(self._sets))

    def describe(self) -> list[CatalogEntry]:
        """What is known about each data set, in the order of `names`."""
        return [
            CatalogEntry(
                name=name,
                title=facts.title,
                about=facts.about,
                pictures=facts.prepared.pictures,
                class_names=facts.class_names,
                picture_shape=facts.prepared.picture_shape,
                licence=facts.licence,
                home=facts.home,
                here=self.where(name) is not None,
                bytes=facts.prepared.bytes,
            )
            for name, facts in sorted(self._sets.items())
        ]

    def where(self, name: str) -> Path | None:
        """The folder of a data set, or None if it is not on this machine; nothing is fetched.

        Raises:
            DataError: If the catalogue has no such name.
        """
        if self._facts(name).format == BUNDLED:
            return _bundled_folder()
        folder = cache_folder() / name
        return folder if is_kept(folder) else None

    def get(self, name: str) -> Path:
        """Fetch a data set unless it is here already.

        Returns:
            Its folder, with ``pictures.npy`` and ``labels.npy``, checked; for a set that comes
            with a library, that library's folder.

        Raises:
            DataError: If the catalogue has no such name, no mirror delivers it, or the data folder
                cannot be written.
        """
        facts = self._facts(name)
        if facts.format == BUNDLED:
            return _bundled_folder()
        _opened(facts)
        return cache_folder() / name

    def load(self, name: str) -> ImageSet:
        """A data set, fetched first if it is not here; its arrays are read-only memory maps.

        Raises:
            DataError: As in `get`.
        """
        facts = self._facts(name)
        pictures, labels = _digits(facts) if facts.format == BUNDLED else _opened(facts)
        parts, start = {}, 0
        for part, count in facts.parts.items():
            parts[part] = np.arange(start, start + count)
            start += count
        return ImageSet(
            pictures,
            labels,
            facts.class_names,
            name=name,
            parts=parts,
            origin=f"{facts.title}, {facts.home} (licence: {facts.licence})",
        )

    def _facts(self, name: str) -> SetFacts:
        if name not in self._sets:
            raise DataError(f"there is no data set {name!r}: {nearest(name, self._sets)}")
        return self._sets[name]


@cache
def _own() -> Catalog:
    resource = package_files("headstart.data").joinpath("catalog.toml")
    return Catalog(resource.read_text(encoding="utf-8"))


def names() -> tuple[str, ...]:
    """See `Catalog.names`."""
    return _own().names()


def describe() -> list[CatalogEntry]:
    """See `Catalog.describe`."""
    return _own().describe()


def where(name: str) -> Path | None:
    """See `Catalog.where`."""
    return _own().where(name)


def get(name: str) -> Path:
    """See `Catalog.get`."""
    return _own().get(name)


def load(name: str) -> ImageSet:
    """See `Catalog.load`."""
    return _own().load(name)


def _opened(facts: SetFacts) -> Arrays:
    """The checked arrays of a set, fetched and prepared first where needed."""
    folder = cache_folder() / facts.name
    damage = None
    if is_kept(folder):
        try:
            return open_kept(folder, facts.prepared)
        except DamagedError as error:
            damage = str(error)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return _built(folder, facts)
    except OSError as error:
        problem = unusable(cache_folder(), error, 3 * facts.prepared.bytes)
        if damage:
            problem = DataError(f"{facts.name} in {folder} is damaged: {damage}", *problem.problems)
        raise problem from error


def _built(folder: Path, facts: SetFacts) -> Arrays:
    """Fetch and prepare a set while no other process does; whoever waited finds it done."""
    import filelock

    damage = None
    try:
        with filelock.FileLock(folder / ".lock", timeout=LOCK_TIMEOUT_S):
            if is_kept(folder):
                try:
                    return open_kept(folder, facts.prepared)
                except DamagedError as error:
                    damage = str(error)
                    warnings.warn(
                        f"{facts.name} in {folder} is damaged and is fetched again: {damage}",
                        stacklevel=5,
                    )
            _build(folder, facts, damage)
            return open_kept(folder, facts.prepared)
    except filelock.Timeout:
        raise DataError(
            f"another process has been getting {facts.name!r} for {LOCK_TIMEOUT_S / 60:.0f} "
            f"minutes: end it, or remove {folder / '.lock'} if there is none"
        ) from None


def _build(folder: Path, facts: SetFacts, damage: str | None) -> None:
    """Fetch a set's files and put its arrays into the folder, each at one stroke."""
    for left in folder.glob(".new-*"):  # A process was killed here: we hold the lock, it is gone.
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".new-") as temporary:
        work = Path(temporary)
        gathered = gather(facts, folder, work, damage)
        write_kept(work, _rows(facts, gathered), facts.prepared)
        for name in (PICTURES, LABELS):
            (work / name).replace(folder / name)


def _rows(facts: SetFacts, folder: Path) -> Iterator[Rows]:
    for part in facts.parts:
        yield from READERS[facts.format](folder, part)


def _bundled_folder() -> Path:
    """Where scikit-learn keeps its data sets, found without importing it."""
    spec = importlib.util.find_spec("sklearn")
    if spec is None or not spec.submodule_search_locations:
        raise DataError("scikit-learn is not installed: pip install scikit-learn")
    return Path(spec.submodule_search_locations[0]) / "datasets" / "data"


def _digits(facts: SetFacts) -> Arrays:
    """scikit-learn's digits, their 0–16 stretched to 0–255 as pictures are expected to be."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    pictures = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[..., np.newaxis]
    labels = bunch.target.astype(LABEL_TYPE)
    found = [hashlib.sha256(array.tobytes()).hexdigest() for array in (pictures, labels)]
    if found != [facts.prepared.pictures_sha256, facts.prepared.labels_sha256]:
        raise DataError(
            "the installed scikit-learn carries other digits than the catalogue knows: install "
            "the version that constraints.txt names"
        )
    return pictures, labels
