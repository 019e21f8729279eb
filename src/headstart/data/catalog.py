"""Data sets known by name: fetched once from the first mirror that answers, then kept.

What a set consists of stands in ``catalog.toml``. Every file is checked by size and SHA-256, and so
is what is kept, when a process first opens it. Once a set is here, nothing needs the network.
"""

import hashlib
import importlib.util
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
    cache_folder,
    is_kept,
    open_kept,
    write_kept,
)
from headstart.data.facts import (
    FOLDER_OF_PICTURES,
    LABEL_TYPE,
    FolderFacts,
    PreparedFacts,
    SetFacts,
    read_facts,
)
from headstart.data.formats import READERS, Rows
from headstart.data.gather import gather
from headstart.data.image_set import ImageSet
from headstart.data.keeping import opened
from headstart.data.picture_folders import FOLDER, PictureFolder
from headstart.errors import DataError, nearest

Arrays = tuple[NDArray[np.uint8], NDArray[np.int64]]

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
        class_names: In label order; of a folder of pictures its topics, which are folders.
        picture_shape: Height, width, channels; None for a folder of pictures of any size.
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
    picture_shape: tuple[int, int, int] | None
    licence: str
    home: str
    here: bool
    bytes: int

    @property
    def origin(self) -> str:
        """Where the pictures come from, in words for a report."""
        return f"{self.title}, {self.home} (licence: {self.licence})"


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
        return [self.entry(name) for name in self.names()]

    def entry(self, name: str) -> CatalogEntry:
        """What is known about one data set.

        Raises:
            DataError: If the catalogue has no such name.
        """
        facts = self._facts(name)
        prepared = facts.prepared
        return CatalogEntry(
            name=name,
            title=facts.title,
            about=facts.about,
            pictures=prepared.pictures,
            class_names=facts.class_names,
            picture_shape=prepared.picture_shape if isinstance(prepared, PreparedFacts) else None,
            licence=facts.licence,
            home=facts.home,
            here=self.where(name) is not None,
            bytes=prepared.bytes,
        )

    def is_folder(self, name: str) -> bool:
        """Whether the catalogue has such a set and it is a folder of pictures, not arrays."""
        return name in self._sets and self._sets[name].format == FOLDER_OF_PICTURES

    def where(self, name: str) -> Path | None:
        """The folder of a data set, or None if it is not on this machine; nothing is fetched.

        Raises:
            DataError: If the catalogue has no such name.
        """
        facts = self._facts(name)
        if facts.format == BUNDLED:
            return _bundled_folder()
        folder = cache_folder() / name
        if not _kept_form(facts).is_kept(folder):
            return None
        return folder / FOLDER if self.is_folder(name) else folder

    def get(self, name: str) -> Path:
        """Fetch a data set unless it is here already.

        Returns:
            Its folder, with ``pictures.npy`` and ``labels.npy``, checked; for a set that comes
            with a library, that library's folder; for a folder of pictures the folder itself.

        Raises:
            DataError: If the catalogue has no such name, no mirror delivers it, or the data folder
                cannot be written.
        """
        facts = self._facts(name)
        if facts.format == BUNDLED:
            return _bundled_folder()
        kept = opened(_kept_form(facts))
        return kept if isinstance(kept, Path) else cache_folder() / name

    def load(self, name: str) -> ImageSet:
        """A data set, fetched first if it is not here; its arrays are read-only memory maps.

        Raises:
            DataError: As in `get`; for a folder of pictures, which has no arrays yet.
        """
        facts = self._facts(name)
        if isinstance(facts.prepared, FolderFacts):
            raise DataError(
                f"{name!r} is a folder of pictures of many sizes: give its folder, "
                f"catalog.get({name!r}), to headstart.data.loading.load_pictures with the size "
                "that they are to have"
            )
        arrays = PreparedArrays(facts, facts.prepared)
        pictures, labels = _digits(arrays) if facts.format == BUNDLED else opened(arrays)
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
            origin=self.entry(name).origin,
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


def entry(name: str) -> CatalogEntry:
    """See `Catalog.entry`."""
    return _own().entry(name)


def is_folder(name: str) -> bool:
    """See `Catalog.is_folder`."""
    return _own().is_folder(name)


def where(name: str) -> Path | None:
    """See `Catalog.where`."""
    return _own().where(name)


def get(name: str) -> Path:
    """See `Catalog.get`."""
    return _own().get(name)


def load(name: str) -> ImageSet:
    """See `Catalog.load`."""
    return _own().load(name)


@dataclass(frozen=True)
class PreparedArrays:
    """A set of the catalogue that is kept as two arrays; see `headstart.data.keeping.Keepable`.

    Attributes:
        facts: What the catalogue says.
        expected: What the arrays must be.
    """

    facts: SetFacts
    expected: PreparedFacts

    @property
    def name(self) -> str:
        """The set's."""
        return self.facts.name

    @property
    def needed_bytes(self) -> int:
        """Three times itself: fetched, unpacked and prepared."""
        return 3 * self.expected.bytes

    def is_kept(self, folder: Path, /) -> bool:
        """See `Keepable.is_kept`."""
        return is_kept(folder)

    def open(self, folder: Path, /) -> Arrays:
        """The arrays, checked; see `Keepable.open`."""
        return open_kept(folder, self.expected)

    def build(self, folder: Path, work: Path, damage: str | None, /) -> None:
        """See `Keepable.build`."""
        gathered = gather(self.facts, folder, work, damage)
        write_kept(work, _rows(self.facts, gathered), self.expected)
        for name in (PICTURES, LABELS):
            (work / name).replace(folder / name)


def _kept_form(facts: SetFacts) -> PreparedArrays | PictureFolder:
    """How a set is kept in the cache."""
    if isinstance(facts.prepared, FolderFacts):
        return PictureFolder(facts, facts.prepared)
    return PreparedArrays(facts, facts.prepared)


def _rows(facts: SetFacts, folder: Path) -> Iterator[Rows]:
    for part in facts.parts:
        yield from READERS[facts.format](folder, part)


def _bundled_folder() -> Path:
    """Where scikit-learn keeps its data sets, found without importing it."""
    spec = importlib.util.find_spec("sklearn")
    if spec is None or not spec.submodule_search_locations:
        raise DataError("scikit-learn is not installed: pip install scikit-learn")
    return Path(spec.submodule_search_locations[0]) / "datasets" / "data"


def _digits(digits: PreparedArrays) -> Arrays:
    """scikit-learn's digits, their 0–16 stretched to 0–255 as pictures are expected to be."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    pictures = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[..., np.newaxis]
    labels = bunch.target.astype(LABEL_TYPE)
    found = [hashlib.sha256(array.tobytes()).hexdigest() for array in (pictures, labels)]
    if found != [digits.expected.pictures_sha256, digits.expected.labels_sha256]:
        raise DataError(
            "the installed scikit-learn carries other digits than the catalogue knows: install "
            "the version that constraints.txt names"
        )
    return pictures, labels
