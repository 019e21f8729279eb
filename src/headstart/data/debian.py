"""Unpacking Debian archives without root and without their scripts."""

import io
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

from headstart.errors import DataError

AR_MAGIC = b"!<arch>\n"
AR_HEADER_BYTES = 60


def unpack_debian_archive(archive: Path, into: Path) -> None:
    """Unpack the files of a ``.deb`` into a folder.

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
            raise DataError(
                f"{archive.name} cannot be unpacked: {done.stderr.decode(errors='replace').strip()}"
            )
        return
    for name, content in _members(archive):
        if name.startswith("data.tar"):
            _extract(archive.name, name, content, into)
            return
    raise DataError(f"{archive.name} cannot be unpacked: it holds no data.tar")


def _members(archive: Path) -> Iterator[tuple[str, bytes]]:
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


def _extract(archive: str, name: str, content: bytes, into: Path) -> None:
    try:
        with tarfile.open(fileobj=io.BytesIO(content)) as files:
            # "tar" rather than "data": packages hold absolute links; it, too, writes nothing
            # outside the folder.
            files.extractall(into, filter="tar")
    except (tarfile.TarError, EOFError, OSError) as error:
        raise DataError(
            f"{archive} cannot be unpacked without dpkg-deb: {name}: {error}"
        ) from error
