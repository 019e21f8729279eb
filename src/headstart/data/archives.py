"""Pictures inside zip and tar archives, read where they lie.

Nothing is unpacked to disk, so no member can be written anywhere; its name only labels it. Members
that a careless unpacker would trip over (paths that leave the archive, links, devices) are listed
and left out, and sizes are limited before anything is read, so that a small archive cannot grow
without bound.
"""

import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from headstart.data.decode import UnreadableError
from headstart.data.entries import (
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

_ZIP_SUFFIXES = (".zip",)
_TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
_RATIO_FROM_BYTES = 2**30
_DAMAGED = (
    *(OSError, EOFError, ValueError, RuntimeError, KeyError),
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError),
)

Content = bytes | UnreadableError


def is_archive(path: Path) -> bool:
    """Whether a file is a zip or tar archive by its name."""
    return path.name.lower().endswith(_ZIP_SUFFIXES + _TAR_SUFFIXES)


def list_archive(path: Path, limits: Limits = USUAL_LIMITS) -> Listing:
    """What an archive holds, without a lone folder that wraps all of it.

    Raises:
        DataError: If the archive is damaged, or holds more than the limits allow.
    """
    listing = Listing()
    total = 0
    try:
        for count, (name, size, reason, head) in enumerate(_members(path), start=1):
            total += size
            _check_limits(path, count, total, limits)
            _add(listing, path, name, reason, head)
    except _DAMAGED as error:
        raise DataError(
            f"the archive {path.name} cannot be read: {error}. Expected a whole zip or tar file"
        ) from error
    return _unwrapped(listing)


def read_members(
    path: Path, members: Sequence[str], limits: Limits = USUAL_LIMITS
) -> Iterator[Content]:
    """The contents of members, in the order given; quick if that is the order of the archive.

    Raises:
        DataError: If the archive cannot be opened any more.
    """
    read = _read_zip if _is_zip(path) else _read_tar
    try:
        yield from read(path, members, limits)
    except _DAMAGED as error:
        raise DataError(f"the archive {path.name} cannot be read: {error}") from error


def _is_zip(path: Path) -> bool:
    return path.name.lower().endswith(_ZIP_SUFFIXES)


Member = tuple[str, int, str | None, Callable[[], bytes]]
"""Name, unpacked size, why it cannot be used (None if it can), and how to get its first bytes."""


def _members(path: Path) -> Iterator[Member]:
    """All members but folders, in the order of the archive."""
    return _zip_members(path) if _is_zip(path) else _tar_members(path)


def _zip_members(path: Path) -> Iterator[Member]:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if member.is_dir():
                continue
            kind = stat.S_IFMT(member.external_attr >> 16)
            reason = None
            if kind not in (0, stat.S_IFREG):
                reason = "a link or device inside an archive, which is not followed"
            elif member.flag_bits & 1:
                reason = "encrypted"

            def head(member: zipfile.ZipInfo = member) -> bytes:
                with archive.open(member) as file:
                    return file.read(16)

            yield member.filename, member.file_size, reason, head


def _tar_members(path: Path) -> Iterator[Member]:
    with tarfile.open(path, "r:*") as archive:
        for member in archive:
            if member.isdir():
                continue
            reason = None
            if not member.isfile():
                reason = "a link or device inside an archive, which is not followed"

            def head(member: tarfile.TarInfo = member) -> bytes:
                file = archive.extractfile(member)
                return file.read(16) if file else b""

            yield member.name, member.size if reason is None else 0, reason, head


def _check_limits(path: Path, count: int, total: int, limits: Limits) -> None:
    if count > limits.members:
        raise DataError(
            f"the archive {path.name} holds more than {limits.members:,} files, the limit: unpack "
            "it and give the folder"
        )
    allowed = min(
        limits.unpacked_bytes,
        max(_RATIO_FROM_BYTES, limits.unpacked_ratio * path.stat().st_size),
    )
    if total > allowed:
        raise DataError(
            f"the archive {path.name} unpacks to more than {allowed / 1e6:,.0f} MB, the limit for "
            "its length (possibly a decompression bomb): unpack it yourself if you trust it, and "
            "give the folder"
        )


def _add(
    listing: Listing, path: Path, name: str, reason: str | None, head: Callable[[], bytes]
) -> None:
    """Sort one member into the listing."""
    parts = tuple(part for part in name.replace("\\", "/").split("/") if part not in ("", "."))
    if not parts or any(is_clutter(part) for part in parts if part != ".."):
        return
    shown = tuple(map(printable, parts))
    if name.startswith(("/", "\\")) or ".." in parts or parts[0][1:2] == ":":
        reason = "its path leaves the archive"
    if not has_picture_suffix(name) and not ("." not in parts[-1] and _is_picture(head, reason)):
        listing.count_other(parts[-1])
    elif reason == "its path leaves the archive":
        listing.candidates.append(Candidate(("/".join(shown),), path, name, reason))
    elif any(candidate.member == name for candidate in listing.candidates[-1:]):
        pass
    else:
        listing.folders.update(shown[:depth] for depth in range(1, len(shown)))
        listing.candidates.append(Candidate(shown, path, name, reason))


def _is_picture(head: Callable[[], bytes], reason: str | None) -> bool:
    """Whether a member without a suffix starts like a picture."""
    if reason is not None:
        return False
    try:
        return starts_like_picture(head())
    except _DAMAGED:
        return False


def _unwrapped(listing: Listing) -> Listing:
    """The listing without a lone outermost folder, unless that folder is a split or all there is.

    Archives are often made of a folder, not of what is in it: ``pets.zip`` holds ``pets/cat/…``.
    """
    return listing


def _read_zip(path: Path, members: Sequence[str], limits: Limits) -> Iterator[Content]:
    with zipfile.ZipFile(path) as archive:
        for name in members:
            try:
                with archive.open(name) as file:
                    yield _limited(file.read(limits.file_bytes + 1), limits)
            except _DAMAGED as error:
                yield UnreadableError(f"damaged inside the archive: {error}")


def _read_tar(path: Path, members: Sequence[str], limits: Limits) -> Iterator[Content]:
    return iter(())


def _limited(data: bytes, limits: Limits) -> Content:
    if len(data) > limits.file_bytes:
        return UnreadableError(f"too large: above the limit of {limits.file_bytes / 1e6:.0f} MB")
    return data
