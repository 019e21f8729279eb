"""Unpacking what package clients fetch: no root, no scripts, nothing outside the folder."""

import io
import lzma
import shutil
import subprocess
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from headstart.errors import DataError

AR_MAGIC = b"!<arch>\n"
AR_HEADER_BYTES = 60
DAMAGE = (
    *(tarfile.TarError, lzma.LZMAError, zlib.error, EOFError, ValueError),
    # Members that stand in each other's way, or links in a circle; a full disk is no damage.
    *(FileExistsError, IsADirectoryError, NotADirectoryError, RuntimeError),
)


def unpack_debian(archive: Path, into: Path) -> None:
    """Unpack the files of a ``.deb`` into a folder, with dpkg-deb where there is one.

    Args:
        archive: The ``.deb``: an ar archive that holds ``data.tar`` in some compression.
        into: The folder that becomes the package's root.

    Raises:
        DataError: If it is no Debian archive, or damaged, or compressed in a way that only
            dpkg-deb can undo and there is none.
    """
    client = shutil.which("dpkg-deb")
    if client is not None:
        done = subprocess.run(
            [client, "--extract", str(archive), str(into)], capture_output=True, check=False
        )
        if done.returncode:
            words = done.stderr.decode(errors="replace").strip()
            raise DataError(f"{archive.name} cannot be unpacked: {words}")
        return
    for name, content in _ar_members(archive):
        if name.startswith("data.tar"):
            unpack_tar(io.BytesIO(content), into, f"{name} in {archive.name}")
            return
    raise DataError(f"{archive.name} cannot be unpacked: it holds no data.tar")


def unpack_tar(archive: IO[bytes], into: Path, name: str) -> None:
    """Unpack the folders, files and links of a tar archive; devices are left out.

    Python 3.11.2, Debian 12's, has no extraction filters yet, hence the checks are made here.

    Args:
        archive: The content, plain or compressed by gzip, bzip2 or xz.
        into: Where to unpack; nothing is written outside.
        name: What to call the archive in messages.

    Raises:
        DataError: If it is damaged or no tar archive, or a member would land outside.
    """
    root = into.resolve()
    try:
        with tarfile.open(fileobj=archive) as members:
            for member in members:
                _place(members, member, root)
    except DAMAGE as error:
        raise DataError(f"{name} cannot be unpacked: {error}") from error


def _place(members: tarfile.TarFile, member: tarfile.TarInfo, root: Path) -> None:
    target = root / member.name.lstrip("/")
    # Links unpacked earlier are followed here, so that none can lead a later member outside.
    if not target.parent.resolve().is_relative_to(root) and target != root:
        raise ValueError(f"{member.name!r} would land outside")
    if member.isdir():
        target.mkdir(parents=True, exist_ok=True)
        return
    if not (member.isfile() or member.issym() or member.islnk()):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    if member.issym():
        target.symlink_to(member.linkname)
    elif member.islnk():
        original = (root / member.linkname.lstrip("/")).resolve()
        if not original.is_relative_to(root):
            raise ValueError(f"{member.linkname!r} lies outside")
        target.hardlink_to(original)
    elif (content := members.extractfile(member)) is not None:
        with target.open("wb") as stream:
            shutil.copyfileobj(content, stream)
        target.chmod(0o644 | member.mode & 0o111)


def _ar_members(archive: Path) -> Iterator[tuple[str, bytes]]:
    """Names and contents of an ar archive: headers of 60 bytes, members at even places."""
    with archive.open("rb") as stream:
        if stream.read(len(AR_MAGIC)) != AR_MAGIC:
            raise DataError(f"{archive.name} cannot be unpacked: it is no Debian archive")
        while header := stream.read(AR_HEADER_BYTES):
            size_text = header[48:58].strip()
            if len(header) < AR_HEADER_BYTES or header[58:] != b"`\n" or not size_text.isdigit():
                raise DataError(f"{archive.name} cannot be unpacked: a header in it is damaged")
            size = int(size_text)
            content = stream.read(size)
            if len(content) < size:
                raise DataError(f"{archive.name} cannot be unpacked: it ends early")
            stream.read(size % 2)
            yield header[:16].decode("ascii", "replace").strip().rstrip("/"), content
