"""Debian packages without root: fetched by apt-get into a folder of ours and unpacked there.

The system is only read: apt-get gets its own lists and cache, and nothing is installed. Only the
standard library is used, since this also serves before there is a virtual environment.
"""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

# A newer C library beside the running one would be loaded by the older loader, and crash.
NEVER_UNPACKED = ("libc6", "libc-bin", "libgcc-s1")
TIMEOUT_S = 600


class FetchError(Exception):
    """Something could not be fetched; the message says what and why."""


def call(*command: str, cwd: Path | None = None) -> str:
    """What a command prints.

    Raises:
        FetchError: It failed (then with its last words), took too long, or is not there.
    """
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise FetchError(f"{command[0]} did not end within {TIMEOUT_S} s") from error
    except OSError as error:
        raise FetchError(f"{command[0]}: {error.strerror}") from error
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise FetchError(f"{command[0]} failed: {said[-1] if said else 'it gave no reason'}")
    return done.stdout


def unpack(packages: Sequence[str], root: Path) -> None:
    """Unpack packages, and all that they need and this machine lacks, into a folder.

    Args:
        packages: Their names in Debian; these are unpacked even when they are installed.
        root: The folder that plays `/`; made when it is not there.

    Raises:
        FetchError: There is no apt-get, no network, or no such package.
    """
    if not shutil.which("dpkg-deb"):
        raise FetchError("dpkg-deb: not found, so this is no Debian system")
    with tempfile.TemporaryDirectory(prefix="headstart-debian-") as folder:
        work = Path(folder)
        for inside in ("lists/partial", "archives/partial", "fetched"):
            (work / inside).mkdir(parents=True)
        apt_get = (
            "apt-get",
            *("-o", f"Dir::State::lists={work / 'lists'}"),
            *("-o", f"Dir::Cache={work}"),
            *("-o", "Debug::NoLocking=1"),
            *("-o", "APT::Sandbox::User="),
        )
        call(*apt_get, "update")
        install = ("install", "--simulate", "--reinstall", "--no-install-recommends")
        plan = call(*apt_get, *install, *packages)
        wanted = [
            f"{name}={version}"
            for name, version in re.findall(r"^Inst (\S+) (?:\[\S+\] )?\((\S+)", plan, re.M)
            if name.partition(":")[0] not in NEVER_UNPACKED
        ]
        call(*apt_get, "download", *wanted, cwd=work / "fetched")
        root.mkdir(parents=True, exist_ok=True)
        for package in sorted((work / "fetched").glob("*.deb")):
            call("dpkg-deb", "--extract", str(package), str(root))
