"""Words shared by everything that finds pictures: entries, what is left out, and limits."""

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

Split = Literal["train", "valid", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)

SPLIT_NAMES: Mapping[str, Split] = {
    "train": "train",
    "val": "valid",
    "valid": "valid",
    "validation": "valid",
    "test": "test",
}
"""What folders and manifests may call a split, in lower case."""

PICTURE_SUFFIXES = frozenset(
    {
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".png",
        ".apng",
        ".webp",
        ".tif",
        ".tiff",
        ".bmp",
        ".dib",
        ".gif",
        ".ppm",
        ".pgm",
        ".pbm",
        ".pnm",
    }
)
UNREAD_PICTURE_SUFFIXES = frozenset(
    {
        ".svg",
        ".svgz",
        ".heic",
        ".heif",
        ".avif",
        ".jp2",
        ".j2k",
        ".jxl",
        ".psd",
        ".xcf",
        ".ai",
        ".eps",
        ".pdf",
        ".ico",
        ".tga",
        ".dng",
        ".cr2",
        ".cr3",
        ".nef",
        ".arw",
        ".orf",
        ".rw2",
        ".raf",
        ".raw",
    }
)
"""Pictures to a human, but of kinds that are not read; counted, and said in a warning."""

_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*")
_CLUTTER = frozenset(
    {"thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "@eadir", "$recycle.bin"}
)


@dataclass(frozen=True)
class Limits:
    """How much of untrusted files is taken in.

    Attributes:
        picture_pixels: Width × height of one picture, before and after resizing; the default is
            Pillow's own (some 89 million), which a camera of 80 megapixels stays under.
        file_bytes: Length of one picture file.
        members: Files in one archive, or rows in one manifest.
        unpacked_bytes: Length of all files of one archive together, unpacked.
        unpacked_ratio: How many times its own length an archive may unpack to, where that is
            above one gigabyte.
    """

    picture_pixels: int = 89_478_485
    file_bytes: int = 2**30
    members: int = 5_000_000
    unpacked_bytes: int = 2**40
    unpacked_ratio: int = 200


USUAL_LIMITS = Limits()


@dataclass(frozen=True)
class Entry:
    r"""One picture that was found, not yet opened.

    Attributes:
        name: Where it lies below the root, with ``/`` between the parts, fit for printing: bytes
            of a file name that are not UTF-8 are written as ``\xff``.
        path: The file, or the archive or ``.npz`` file that holds it.
        label: The name of its class; None when it has none.
        split: The split that the folder or manifest puts it in; None when it does not say.
        group: What must not be torn apart by a split (a patient, a burst); None when not given.
        member: Its name inside the archive, or the array's inside the ``.npz`` file.
        row: Its row in that array.
    """

    name: str
    path: Path
    label: str | None = None
    split: Split | None = None
    group: str | None = None
    member: str | None = None
    row: int | None = None


@dataclass(frozen=True)
class LeftOut:
    """A file that is not used, and why.

    Attributes:
        name: As in `Entry`.
        reason: In words.
        label: The class it would have belonged to, if known.
        split: The split it would have belonged to, if known.
    """

    name: str
    reason: str
    label: str | None = None
    split: Split | None = None

    @classmethod
    def of(cls, entry: Entry, reason: str) -> "LeftOut":
        """The entry, left out for a reason."""
        return cls(entry.name, reason, entry.label, entry.split)


@dataclass(frozen=True)
class Found:
    """What lies under a root, before any picture is opened.

    Attributes:
        root: The folder or file that was looked at.
        layout: How labels were told: ``"class folders"``, ``"split folders"``,
            ``"unlabelled pictures"``, ``"manifest"`` or ``"arrays"``.
        entries: The pictures, labelled or not. In a folder in the order of their names, in an
            archive or manifest in the order given there.
        left_out: What cannot be used, with the reason.
        others: How many other files there are, by suffix, most frequent first.
        warnings: What a user should know, in sentences.
        class_order: Class names in label order where the source states them.
    """

    root: Path
    layout: str
    entries: tuple[Entry, ...]
    left_out: tuple[LeftOut, ...] = ()
    others: Mapping[str, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    class_order: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Candidate:
    """A file, link or member met on the way, before the layout is known.

    Attributes:
        parts: Its name below the root, part by part, fit for printing.
        path: As in `Entry`.
        member: As in `Entry`.
        reason: Why it cannot be used; None for what can.
    """

    parts: tuple[str, ...]
    path: Path
    member: str | None = None
    reason: str | None = None

    @property
    def name(self) -> str:
        """As in `Entry`."""
        return "/".join(self.parts)


@dataclass
class Listing:
    """Everything met under a root; filled while walking.

    Attributes:
        candidates: Pictures, and what would be pictures but cannot be used.
        folders: All folders, by their parts.
        others: Files that are not pictures, by suffix.
    """

    candidates: list[Candidate] = field(default_factory=list)
    folders: set[tuple[str, ...]] = field(default_factory=set)
    others: dict[str, int] = field(default_factory=dict)

    def count_other(self, name: str) -> None:
        """Count a file that is not a picture."""
        suffix = suffix_of(name)
        kind = suffix if 1 < len(suffix) <= 10 else "(no suffix)"
        self.others[kind] = self.others.get(kind, 0) + 1


def is_clutter(part: str) -> bool:
    """Whether a file or folder is never meant as data: hidden, checkpoints, thumbnails."""
    return part.startswith(".") or part.casefold() in _CLUTTER


def has_picture_suffix(name: str) -> bool:
    """Whether a file name says that it is a picture of a kind that is read."""
    return suffix_of(name) in PICTURE_SUFFIXES


def suffix_of(name: str) -> str:
    """The suffix of a file name in lower case with its dot, empty if there is none."""
    stem, dot, ending = name.rpartition(".")
    return f".{ending.lower()}" if dot and stem and "/" not in ending else ""


def starts_like_picture(head: bytes) -> bool:
    """Whether a file's first 16 bytes are those of a picture, for files without a suffix."""
    return head.startswith(_SIGNATURES) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")


def printable(name: str) -> str:
    """A file name fit for printing and for UTF-8 files, whatever its bytes are."""
    return name if name.isprintable() else "".join(map(_printable_sign, name))


def _printable_sign(sign: str) -> str:
    if "\udc80" <= sign <= "\udcff":  # a byte that is no UTF-8, as os.fsdecode carries it
        return f"\\x{ord(sign) - 0xDC00:02x}"
    unfit = unicodedata.category(sign) in ("Cc", "Cs", "Zl", "Zp")
    return sign.encode("unicode_escape").decode("ascii") if unfit else sign


def as_label(text: str) -> str:
    """A class name in Unicode's composed form, so that é and e + ´ are one class."""
    return unicodedata.normalize("NFC", text)


def shortened(items: Iterable[str], most: int = 10) -> str:
    """A list for a message: the first ones, and how many more there are."""
    listed = list(items)
    rest = len(listed) - most
    return ", ".join(listed[:most]) + (f" and {rest:,} more" if rest > 0 else "")
