"""From a path to an image set: find, hash, decode once, check the classes."""

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from headstart.data.classes import check_classes
from headstart.data.decode import Decoded, Payload, UnreadableError, decode, mislabelled
from headstart.data.entries import (
    SPLITS,
    USUAL_LIMITS,
    Entry,
    Found,
    LeftOut,
    Limits,
    printable,
    shortened,
)
from headstart.data.fingerprints import content_hash, content_hashes
from headstart.data.folders import Topics, find_pictures
from headstart.data.image_set import ImageSet
from headstart.data.picture_cache import PictureCache
from headstart.data.picture_store import KeptPictures, keep_pictures
from headstart.data.reading import Progress, over_pictures
from headstart.data.transforms import Preprocessing
from headstart.errors import DataError


@dataclass(frozen=True)
class LoadedPictures:
    """An image set from files, and where each row came from.

    Attributes:
        images: The pictures; `ImageSet.parts` is filled when the source has splits.
        names: The file of each row, as in `Entry`.
        file_hashes: The SHA-256 of each row's file, in hex.
        groups: The group of each row; None when the source has none.
        left_out: Files that are not used, and why.
        warnings: What a user should know, in sentences.
    """

    images: ImageSet
    names: tuple[str, ...]
    file_hashes: tuple[str, ...]
    groups: tuple[str, ...] | None
    left_out: tuple[LeftOut, ...]
    warnings: tuple[str, ...]


def load_pictures(
    path: str | os.PathLike[str],
    preprocessing: Preprocessing,
    *,
    class_names: Sequence[str] | None = None,
    topics: Topics = "first",
    limits: Limits = USUAL_LIMITS,
    cache: PictureCache | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> LoadedPictures:
    """Labelled pictures as an image set, decoded once and kept.

    Files that cannot be used are left out and listed, never replaced.

    Args:
        path: What `find_pictures` takes.
        preprocessing: Its pixel part is applied; mean and standard deviation are not.
        class_names: A model's class names in label order, to map labels to; the sorted names of
            the training pictures when omitted.
        topics: Which of nested folders is the class: the ``"first"`` one, or the whole ``"path"``.
        limits: What is refused for its size.
        cache: Where decoded pictures are kept; `PictureCache.usual` when omitted.
        workers: Threads; one more than there are processors when omitted.
        progress: Called after each picture; a bar on the terminal when omitted.

    Raises:
        DataError: If no picture has a label, nothing is left of a class, or a split has a class
            that training does not know.
    """
    found = find_pictures(path, topics=topics, limits=limits)
    cache = cache or PictureCache.usual()
    labelled = [entry for entry in found.entries if entry.label is not None]
    unlabelled = without_labels(found)
    left_out = [*found.left_out, *unlabelled]
    # Before any decoding, which may take long, and again for what decoding leaves.
    _refuse(check_classes(labelled, left_out, stated=found.class_order, model=class_names).problems)
    if not labelled:
        raise DataError(_no_labels(found))
    hashes = content_hashes(
        found.root, labelled, cache, limits=limits, workers=workers, progress=progress
    )
    read = partial(over_pictures, limits=limits, workers=workers, progress=progress)
    about = f"{len(labelled):,} files of {printable(found.root.resolve().name)}"
    rows = _rows(labelled, hashes, cache, _Decoder(preprocessing, limits, read), about)
    left_out += rows.left_out
    check = check_classes(rows.used, left_out, stated=found.class_order, model=class_names)
    _refuse(check.problems)
    return LoadedPictures(
        _image_set(found, rows.kept.pictures, rows.used, check.names),
        tuple(entry.name for entry in rows.used),
        rows.hashes,
        _groups(rows.used),
        tuple(left_out),
        (*found.warnings, *check.warnings, *_notes(rows, len(unlabelled)), *rows.kept.warnings),
    )


@dataclass(frozen=True)
class _Decoder:
    """How pictures are decoded."""

    preprocessing: Preprocessing
    limits: Limits
    read: Callable[..., Generator[tuple[str, Decoded | UnreadableError] | UnreadableError]]

    def decoded(
        self, entries: Sequence[Entry], hashes: Sequence[str]
    ) -> Generator[Decoded | UnreadableError]:
        """Decode pictures, making sure that each is still the one that was hashed.

        Otherwise a file that is being written meanwhile would be remembered as what it is not.
        """
        with closing(self.read(entries, self._work, "decoding")) as results:
            for expected, result in zip(hashes, results, strict=True):
                if isinstance(result, UnreadableError):
                    yield result
                elif result[0] == expected:
                    yield result[1]
                else:
                    yield UnreadableError("changed while it was read", lasting=False)

    def _work(self, payload: Payload) -> tuple[str, Decoded | UnreadableError]:
        try:
            return content_hash(payload), decode(payload, self.preprocessing, self.limits)
        except UnreadableError as error:
            return content_hash(payload), error


@dataclass(frozen=True)
class _Rows:
    """Pictures that could be decoded, their files' hashes, and the others."""

    kept: KeptPictures
    used: tuple[Entry, ...]
    hashes: tuple[str, ...]
    left_out: tuple[LeftOut, ...]


def _rows(
    labelled: Sequence[Entry],
    hashes: Sequence[str | UnreadableError],
    cache: PictureCache,
    decoder: _Decoder,
    about: str,
) -> _Rows:
    """Decode pictures, or take them from the cache."""
    left_out: list[LeftOut] = []
    entries: list[Entry] = []
    known: list[str] = []
    for entry, each in zip(labelled, hashes, strict=True):
        if isinstance(each, UnreadableError):
            left_out.append(LeftOut.of(entry, str(each)))
        else:
            entries.append(entry)
            known.append(each)
    kept = keep_pictures(
        known,
        decoder.preprocessing,
        lambda numbers: decoder.decoded(
            [entries[number] for number in numbers], [known[number] for number in numbers]
        ),
        cache,
        decoder.limits,
        about=about,
    )
    left_out += [LeftOut.of(entries[number], reason) for number, reason in kept.reasons.items()]
    return _Rows(
        kept,
        tuple(entries[number] for number in kept.numbers),
        tuple(known[number] for number in kept.numbers),
        tuple(left_out),
    )


def _image_set(
    found: Found, pictures: NDArray[np.uint8], used: Sequence[Entry], names: Sequence[str]
) -> ImageSet:
    position = {name: number for number, name in enumerate(names)}
    labels = np.array([position[str(entry.label)] for entry in used], dtype=np.int64)
    parts: dict[str, NDArray[np.int64]] = {
        split: np.array(rows, dtype=np.int64)
        for split in SPLITS
        if (rows := [row for row, entry in enumerate(used) if entry.split == split])
    }
    name = printable(found.root.resolve().name)
    named = _groups(used)
    groups = None if named is None else np.unique(named, return_inverse=True)[1].astype(np.int64)
    return ImageSet(pictures, labels, tuple(names), name, parts, found.layout, groups)


def without_labels(found: Found) -> list[LeftOut]:
    """The pictures that can be predicted, but not learnt from, and why."""
    reasons = {
        "class folders": "beside the class folders, so without a label",
        "split folders": "outside the class folders, so without a label",
    }
    reason = reasons.get(found.layout, "without a label")
    return [LeftOut.of(entry, reason) for entry in found.entries if entry.label is None]


def mislabelled_files(used: Sequence[Entry], formats: Sequence[str]) -> list[str]:
    """Files whose suffix promises another format than their content has, with that format."""
    return [
        f"{entry.name} ({content})"
        for entry, content in zip(used, formats, strict=True)
        if mislabelled(entry.member or entry.name, content)
    ]


def _groups(used: Sequence[Entry]) -> tuple[str, ...] | None:
    groups = tuple(entry.group for entry in used if entry.group is not None)
    return groups or None  # a manifest has a group in every row, or in none


def _notes(rows: _Rows, unlabelled: int) -> Iterator[str]:
    wrong = mislabelled_files(rows.used, rows.kept.formats)
    if wrong:
        yield f"{len(wrong):,} file(s) are used, but their suffix is wrong: {shortened(wrong)}"
    if unlabelled:
        yield f"{unlabelled:,} picture(s) have no label: they can be predicted, not learnt from"


def _refuse(problems: Sequence[str]) -> None:
    if problems:
        raise DataError(*problems)


def _no_labels(found: Found) -> str:
    return (
        f"no picture in {printable(found.root.name)} has a label: expected class folders (such as "
        "cats/1.jpg) or a manifest with the columns filename and label; without labels pictures "
        "can only be predicted"
    )
