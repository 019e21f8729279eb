"""`headstart audit`: what of a folder would be used, what is left out and why, and what is odd.

Every picture is opened at its own size. Nothing is changed, nothing is kept.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from statistics import median
from typing import Any

from headstart.data.classes import check_classes
from headstart.data.decode import Payload, UnreadableError, open_picture
from headstart.data.entries import USUAL_LIMITS, Entry, Found, LeftOut, Limits
from headstart.data.fingerprints import content_hash
from headstart.data.folders import Topics, find_pictures
from headstart.data.loading import mislabelled_files
from headstart.data.reading import Progress, over_pictures

FEWEST_A_CLASS = 10
"""Below this a class can hardly be split into train, valid and test, or measured."""


@dataclass(frozen=True)
class ClassRow:
    """One line of the table: a class and how many of its pictures would be used.

    Attributes:
        name: Of the class; None for pictures without a label.
        train: In the training split.
        valid: In the validation split.
        test: In the test split.
        unsplit: In no split, because the source has none.
        left_out: Not used.
    """

    name: str | None
    train: int
    valid: int
    test: int
    unsplit: int
    left_out: int

    @property
    def used(self) -> int:
        """All that would be used."""
        return self.train + self.valid + self.test + self.unsplit


@dataclass(frozen=True)
class Duplicates:
    """Pictures with the same pixels, once upright and opaque.

    Attributes:
        names: Their files.
        labels: Their classes, each once.
        splits: Their splits, each once.
        same_bytes: Whether the files are the same byte for byte.
    """

    names: tuple[str, ...]
    labels: tuple[str | None, ...]
    splits: tuple[str | None, ...]
    same_bytes: bool

    @property
    def across_splits(self) -> bool:
        """Whether one split's picture is also in another: what is tested was learnt."""
        return len(self.splits) > 1

    @property
    def contradictory(self) -> bool:
        """Whether the same picture has different labels."""
        return len(self.labels) > 1


@dataclass(frozen=True)
class Sizes:
    """How large the pictures are, in pixels, upright.

    Attributes:
        distinct: How many different sizes there are.
        smallest: Width and height of the picture with the fewest pixels.
        typical: Median width and median height.
        largest: Width and height of the picture with the most pixels.
    """

    distinct: int
    smallest: tuple[int, int]
    typical: tuple[int, int]
    largest: tuple[int, int]


@dataclass(frozen=True)
class Audit:
    """What was found, in a form for a table and for JSON.

    Attributes:
        layout: How labels are told, as in `Found`.
        classes: One row a class in label order, then one for pictures without a label.
        formats: How many pictures there are of each format of content.
        modes: How many there are of each mode, such as ``RGB``, ``CMYK``, ``P`` or ``I;16``.
        sizes: How large they are; None when none can be used.
        animated: How many have several frames, of which the first is taken.
        left_out: What is not used, and why.
        others: How many other files there are, by suffix.
        duplicates: Pictures that are there more than once.
        mislabelled: Files whose suffix promises another format, with the one that they have.
        blank: Files that are of one colour all over, as white drawings are on a white background.
        small_classes: Classes with fewer than `FEWEST_A_CLASS` pictures to learn from, with how
            many they have.
        problems: What would end `load_pictures` with an error, in sentences.
        warnings: What a user should know besides, in sentences.
    """

    layout: str
    classes: tuple[ClassRow, ...]
    formats: Mapping[str, int]
    modes: Mapping[str, int]
    sizes: Sizes | None
    animated: int
    left_out: tuple[LeftOut, ...]
    others: Mapping[str, int]
    duplicates: tuple[Duplicates, ...]
    mislabelled: tuple[str, ...]
    blank: tuple[str, ...]
    small_classes: Mapping[str, int]
    problems: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def usable(self) -> bool:
        """Whether `load_pictures` would take it."""
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON can hold it."""
        return asdict(self) | {"usable": self.usable}


@dataclass(frozen=True)
class _Look:
    """What is noted of one picture."""

    format: str
    mode: str
    size: tuple[int, int]
    animated: bool
    blank: bool
    pixels_hash: str
    content_hash: str


def audit(
    path: str | os.PathLike[str],
    *,
    topics: Topics = "first",
    limits: Limits = USUAL_LIMITS,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Audit:
    """Look at every picture under a path.

    Args:
        path: What `find_pictures` takes.
        topics: Which of nested folders is the class: the ``"first"`` one, or the whole ``"path"``.
        limits: What is refused for its size.
        workers: Threads; one more than there are processors when omitted.
        progress: Called after each picture; a bar on the terminal when omitted.

    Raises:
        DataError: If there are no pictures at all; all else is told in the result.
    """
    found = find_pictures(path, topics=topics, limits=limits)
    looks = over_pictures(
        found.entries,
        partial(_look, limits=limits),
        "checking",
        limits=limits,
        workers=workers,
        progress=progress,
    )
    used: list[tuple[Entry, _Look]] = []
    left_out = list(found.left_out)
    for entry, look in zip(found.entries, looks, strict=True):
        if isinstance(look, UnreadableError):
            left_out.append(LeftOut.of(entry, str(look)))
        else:
            used.append((entry, look))
    return _told(found, used, left_out)


def _told(found: Found, used: Sequence[tuple[Entry, _Look]], left_out: Sequence[LeftOut]) -> Audit:
    """Everything that the looks tell."""
    entries, looks = [entry for entry, _ in used], [look for _, look in used]
    check = check_classes(entries, left_out, stated=found.class_order)
    problems = list(check.problems)
    if not any(entry.label is not None for entry in entries) and not problems:
        problems.append("no picture has a label: they can be predicted, not learnt from")
    rows = _class_rows(entries, left_out, check.names)
    return Audit(
        layout=found.layout,
        classes=rows,
        formats=_counted(look.format for look in looks),
        modes=_counted(look.mode for look in looks),
        sizes=_sizes([look.size for look in looks]),
        animated=sum(look.animated for look in looks),
        left_out=tuple(left_out),
        others=found.others,
        duplicates=_duplicates(used),
        mislabelled=tuple(mislabelled_files(entries, [look.format for look in looks])),
        blank=tuple(entry.name for entry, look in used if look.blank),
        small_classes=_small_classes(rows),
        problems=tuple(problems),
        warnings=(*found.warnings, *check.warnings),
    )


def _small_classes(rows: Sequence[ClassRow]) -> dict[str, int]:
    taught = {row.name: row.train + row.unsplit for row in rows if row.name is not None}
    return {name: count for name, count in taught.items() if count < FEWEST_A_CLASS}


def _look(payload: Payload, limits: Limits) -> _Look:
    opened = open_picture(payload, limits=limits)
    shown = opened.picture
    pixels = hashlib.blake2b(repr(shown.size).encode(), digest_size=16)
    pixels.update(shown.tobytes())
    return _Look(
        opened.format,
        opened.mode,
        shown.size,
        opened.animated,
        shown.getcolors(1) is not None,
        pixels.hexdigest(),
        content_hash(payload),
    )


def _class_rows(
    used: Sequence[Entry], left_out: Sequence[LeftOut], names: Sequence[str]
) -> tuple[ClassRow, ...]:
    counts = Counter((entry.label, entry.split) for entry in used)
    lost = Counter(each.label for each in left_out)
    met = {label for label, _ in counts} | set(lost)
    strange = sorted(str(label) for label in met - set(names) - {None})
    return tuple(
        ClassRow(
            label,
            counts[label, "train"],
            counts[label, "valid"],
            counts[label, "test"],
            counts[label, None],
            lost[label],
        )
        for label in [*names, *strange, None]
        if label in met
    )


def _sizes(sizes: Sequence[tuple[int, int]]) -> Sizes | None:
    if not sizes:
        return None
    widths, heights = zip(*sizes, strict=True)
    by_area = sorted(sizes, key=lambda size: (size[0] * size[1], size))
    typical = (round(median(widths)), round(median(heights)))
    return Sizes(len(set(sizes)), by_area[0], typical, by_area[-1])


def _duplicates(used: Sequence[tuple[Entry, _Look]]) -> tuple[Duplicates, ...]:
    """Groups of equal pictures, those across splits or classes first."""
    groups: dict[str, list[tuple[Entry, _Look]]] = {}
    for entry, look in used:
        groups.setdefault(look.pixels_hash, []).append((entry, look))
    found = [
        Duplicates(
            tuple(entry.name for entry, _ in group),
            tuple(dict.fromkeys(entry.label for entry, _ in group)),
            tuple(dict.fromkeys(entry.split for entry, _ in group)),
            len({look.content_hash for _, look in group}) == 1,
        )
        for group in groups.values()
        if len(group) > 1
    ]
    return tuple(sorted(found, key=lambda group: not (group.across_splits or group.contradictory)))


def _counted(items: Iterable[str]) -> dict[str, int]:
    """How often each item is there, most frequent first."""
    return dict(Counter(items).most_common())
