"""Pictures inside zip and tar archives, read where they lie.

Nothing is unpacked to disk, so no member can be written anywhere; its name only labels it. Members
that a careless unpacker would trip over (paths that leave the archive, links, devices) are listed
and left out, and sizes are limited before anything is read, so that a small archive cannot grow
without bound.
"""

import bz2
import gzip
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, cast

from headstart.data.decode import UnreadableError
from headstart.data.entries import (
    SPLIT_NAMES,
    USUAL_LIMITS,
    Candidate,
    Limits,
    Listing,
    has_picture_suffix,
    is_clutter,
    printable,
    starts_like_picture,
)
from headstart.errors import DataError

_ZIP = (".zip",)
_PLAIN_TAR = (".tar",)
_PACKED_TAR: dict[tuple[str, ...], Callable[[Path], "_Unpacking"]] = {
    (".tar.gz", ".tgz"): gzip.GzipFile,
    (".tar.bz2", ".tbz2"): bz2.BZ2File,
    (".tar.xz", ".txz"): lzma.LZMAFile,
}
_ALL = (*_ZIP, *_PLAIN_TAR, *(suffix for group in _PACKED_TAR for suffix in group))

_RATIO_COUNTS_FROM_BYTES = 2**30
_MOST_AT_ONCE_BYTES = 2**30
_TAR_BLOCK_BYTES = 512

_DAMAGED = (
    *(OSError, EOFError, ValueError, KeyError),
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError),
    RuntimeError,  # zipfile's for encryption and for packing methods that it does not know
)

Content = bytes | UnreadableError
_Unpacking = gzip.GzipFile | bz2.BZ2File | lzma.LZMAFile | IO[bytes]


@dataclass(frozen=True)
class _Member:
    """A member that is no folder: its name as stored, and how to get at it."""

    name: str
    size: int
    reason: str | None
    read: Callable[[int], bytes]


def is_archive(path: Path) -> bool:
    """Whether a file is a zip or tar archive by its name."""
    return path.name.lower().endswith(_ALL)


def list_archive(path: Path, limits: Limits = USUAL_LIMITS) -> Listing:
    """What an archive holds, in its order.

    A lone folder around everything is taken off: archives are often made of a folder rather than
    of what is in it (``pets.zip`` holds ``pets/cat/…``).

    Raises:
        DataError: If the archive is damaged, or holds more than the limits allow.
    """
    listing, seen, total = Listing(), set[str](), 0
    with _told(path), _opened(path) as members:
        for count, member in enumerate(members, start=1):
            total += member.size
            _check_limits(path, count, total, limits)
            _add(listing, path, member, seen)
    return _unwrapped(listing)


def read_members(
    path: Path, names: Sequence[str], limits: Limits = USUAL_LIMITS
) -> Iterator[Content]:
    """The contents of members, in the order given; quick if that is the order of the archive.

    Raises:
        DataError: If the archive as a whole cannot be read any more.
    """
    wanted = deque(names)
    while wanted:
        before = len(wanted)
        with _told(path), _opened(path) as members:
            met: set[str] = set()
            for member in members:
                # Of several members with one name the first counts, as in `list_archive`.
                if wanted and member.name == wanted[0] and member.name not in met:
                    yield _content(member, limits)
                    wanted.popleft()
                met.add(member.name)
        if len(wanted) == before:
            yield UnreadableError("no longer in the archive", lasting=False)
            wanted.popleft()


def _content(member: _Member, limits: Limits) -> Content:
    """A member's bytes, or why there are none."""
    too_large = UnreadableError(f"too large: above the limit of {limits.file_bytes / 1e6:.0f} MB")
    if member.size > limits.file_bytes:
        return too_large
    try:
        data = member.read(limits.file_bytes + 1)
    except _DAMAGED as error:
        return UnreadableError(f"damaged inside the archive: {error}")
    return data if len(data) <= limits.file_bytes else too_large


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Say which archive it was when it cannot be read."""
    try:
        yield
    except _DAMAGED as error:
        reason = str(error) or type(error).__name__
        raise DataError(
            f"the archive {path.name} cannot be read: {reason}. Expected a whole file of one of "
            f"the kinds {', '.join(_ALL)}"
        ) from error


@contextmanager
def _opened(path: Path) -> Iterator[Iterator[_Member]]:
    """The members of an archive, one after the other."""
    if path.name.lower().endswith(_ZIP):
        with zipfile.ZipFile(path) as archive:
            yield _zip_members(archive)
        return
    openers = [opener for suffixes, opener in _PACKED_TAR.items() if _ends(path, suffixes)]
    with openers[0](path) if openers else path.open("rb") as file:
        careful = _CarefulFile(file)
        with tarfile.open(fileobj=cast("IO[bytes]", careful), mode="r:") as tar:
            yield _tar_members(tar, careful)


def _ends(path: Path, suffixes: tuple[str, ...]) -> bool:
    return path.name.lower().endswith(suffixes)


def _zip_members(archive: zipfile.ZipFile) -> Iterator[_Member]:
    for member in archive.infolist():
        if member.is_dir():
            continue

        def read(most: int, member: zipfile.ZipInfo = member) -> bytes:
            with archive.open(member) as file:
                return file.read(most)

        kind = stat.S_IFMT(member.external_attr >> 16)
        reason = "encrypted" if member.flag_bits & 1 else None
        if kind not in (0, stat.S_IFREG):
            reason = "a link or device inside an archive, which is not followed"
        yield _Member(member.filename, member.file_size, reason, read)


def _tar_members(archive: tarfile.TarFile, file: "_CarefulFile") -> Iterator[_Member]:
    for member in archive:
        if member.size < 0:
            raise tarfile.ReadError(f"{printable(member.name)} says it has {member.size} bytes")
        if member.isdir():
            continue

        def read(most: int, member: tarfile.TarInfo = member) -> bytes:
            content = archive.extractfile(member)
            return content.read(most) if content else b""

        reason = None
        if not member.isfile():
            reason = "a link or device inside an archive, which is not followed"
        yield _Member(member.name, member.size, reason, read)
    # tarfile takes a damaged header for the end; a true end is a block of zeros, or nothing.
    file.seek(archive.offset)
    if any(file.read(_TAR_BLOCK_BYTES)):
        raise tarfile.ReadError(f"damaged at byte {archive.offset:,} (unpacked)")


class _CarefulFile:
    """A file that refuses to read very much at once, which a forged tar header could ask for."""

    def __init__(self, file: _Unpacking) -> None:
        self._file = file

    def read(self, size: int) -> bytes:
        if not 0 <= size <= _MOST_AT_ONCE_BYTES:
            raise tarfile.ReadError(f"a header asks for {size} bytes")
        return self._file.read(size)

    def seek(self, position: int) -> int:
        return self._file.seek(position)

    def tell(self) -> int:
        return self._file.tell()


def _check_limits(path: Path, count: int, total: int, limits: Limits) -> None:
    if count > limits.members:
        raise DataError(
            f"the archive {path.name} holds more than {limits.members:,} files, the limit: unpack "
            "it and give the folder"
        )
    by_ratio = max(_RATIO_COUNTS_FROM_BYTES, limits.unpacked_ratio * path.stat().st_size)
    allowed = min(limits.unpacked_bytes, by_ratio)
    if total > allowed:
        raise DataError(
            f"the archive {path.name} unpacks to more than {allowed / 1e6:,.1f} MB, the limit for "
            "an archive of its length (possibly a decompression bomb): if you trust it, unpack it "
            "and give the folder"
        )


def _add(listing: Listing, path: Path, member: _Member, seen: set[str]) -> None:
    """Sort one member into the listing."""
    name = member.name.replace("\\", "/")
    parts = tuple(printable(part) for part in name.split("/") if part not in ("", "."))
    if not parts or any(is_clutter(part) for part in parts if part != ".."):
        return
    if not _is_picture(name, member):
        listing.count_other(parts[-1])
        return
    reason = member.reason
    if member.name in seen:
        reason = "a second member of the same name"
    if name.startswith("/") or ".." in parts or parts[0][1:2] == ":":
        # Its folders mean nothing here, so the whole name is one part.
        parts, reason = ("/".join(parts),), "its path leaves the archive"
    seen.add(member.name)
    listing.folders.update(parts[:depth] for depth in range(1, len(parts)))
    listing.candidates.append(Candidate(parts, path, member.name, reason))


def _is_picture(name: str, member: _Member) -> bool:
    """Whether a member is one by its suffix, or without a suffix by its first bytes."""
    if "." in name.rsplit("/", 1)[-1] or member.reason is not None:
        return has_picture_suffix(name)
    try:
        return starts_like_picture(member.read(16))
    except _DAMAGED:
        return False


def _unwrapped(listing: Listing) -> Listing:
    """The listing without a lone folder around all pictures, as often as there is one."""
    usable = [each for each in listing.candidates if each.reason is None]
    tops = {each.parts[0] for each in usable}
    wrapped = len(tops) == 1 and all(len(each.parts) > 2 for each in usable)
    if not wrapped or tops.pop().casefold() in SPLIT_NAMES:
        return listing
    inner = [
        replace(each, parts=each.parts[1:]) if len(each.parts) > 1 else each
        for each in listing.candidates
    ]
    folders = {folder[1:] for folder in listing.folders if len(folder) > 1}
    return _unwrapped(Listing(inner, folders, listing.others))
