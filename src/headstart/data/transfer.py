"""One transfer, by HTTPS or by a package client, with a time limit and its progress shown."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from headstart.data.progress import Meter

CONNECT_TIMEOUT_S = 4.0
STALL_TIMEOUT_S = 20.0
CHUNK_BYTES = 1 << 16
TELLING = re.compile(r"E: |npm (error|ERR!) (?!code|errno|syscall|A complete log)\S")
"""What begins a line in which apt-get or npm says what is wrong."""


class MirrorError(Exception):
    """A mirror gave nothing; the message is the reason, in one sentence."""


class Clock:
    """How long the transfers of one mirror may take together, and where they are shown.

    Attributes:
        timeout_s: The time limit, from now.
        deadline: When it is over, by `time.monotonic`.
        meter: Where progress is shown, if anywhere.
    """

    def __init__(self, timeout_s: float, meter: Meter | None = None) -> None:
        self.timeout_s = timeout_s
        self.deadline = time.monotonic() + timeout_s
        self.meter = meter

    def show(self, done_bytes: int, total_bytes: int | None = None) -> None:
        """Show how far a transfer has come.

        Raises:
            MirrorError: If the time is over.
        """
        if time.monotonic() > self.deadline:
            raise MirrorError(f"took longer than {self.timeout_s:g} s")
        if self.meter is not None:
            self.meter.show(done_bytes, total_bytes)


def download(url: str, target: Path, max_bytes: int, clock: Clock) -> None:
    """Fetch one address into a file, once, without a second try.

    Args:
        url: The address.
        target: The file to write; half-written if the transfer fails.
        max_bytes: More than this is not read.
        clock: Its time limit counts; a server that is silent for `STALL_TIMEOUT_S` fails earlier.

    Raises:
        MirrorError: If the file does not come, or not in time.
    """
    # Imported here: `headstart --help` needs neither pooch nor requests.
    import pooch
    import requests

    fetch = pooch.HTTPDownloader(
        progressbar=_Bytes(max_bytes, clock),
        chunk_size=CHUNK_BYTES,
        timeout=(
            min(CONNECT_TIMEOUT_S, clock.timeout_s),
            min(STALL_TIMEOUT_S, clock.timeout_s),
        ),
    )
    name = url.rsplit("/", 1)[-1]
    try:
        fetch(url, str(target), None)
    except requests.HTTPError as error:
        status = error.response.status_code if error.response is not None else "unknown"
        raise MirrorError(f"{name}: HTTP status {status}") from error
    except requests.Timeout as error:
        raise MirrorError(f"{name}: {urlsplit(url).hostname} did not answer in time") from error
    except requests.RequestException as error:
        host = urlsplit(url).hostname
        raise MirrorError(
            f"{name}: {host} cannot be reached or broke off ({type(error).__name__})"
        ) from error


class _Bytes:
    """What pooch takes for a progress bar: counts the bytes, and stops what takes too much."""

    def __init__(self, max_bytes: int, clock: Clock) -> None:
        self.total = 0
        self._max_bytes, self._clock, self._done = max_bytes, clock, 0

    def update(self, count: int) -> None:
        self._done += count
        total = self.total or None
        self._clock.show(min(self._done, total or self._done), total)
        if self._done > self._max_bytes + CHUNK_BYTES:
            raise MirrorError(f"sends more than the {self._max_bytes:,} bytes expected")

    def reset(self) -> None:
        self._done = 0

    def close(self) -> None:
        """The meter stays open: it belongs to the caller."""


def find_client(name: str) -> str:
    """The path of a program such as ``npm``.

    Raises:
        MirrorError: If it is not there.
    """
    path = shutil.which(name)
    if path is None:
        raise MirrorError(f"there is no {name} on this machine")
    return path


def finish(command: Sequence[str], folder: Path, clock: Clock) -> None:
    """Start a client in a folder and wait for it, showing how the folder grows.

    Raises:
        MirrorError: If it fails, with its last words, or is not done in time.
    """
    name = Path(command[0]).name
    # A file takes the output: a pipe that nobody reads would fill and stop the client.
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "LC_ALL": "C"},
                start_new_session=True,
            )
        except OSError as error:
            raise MirrorError(f"{name} cannot be started: {error.strerror}") from error
        try:
            _wait(process, folder, clock)
        except MirrorError as error:
            raise MirrorError(f"{name} {error}") from error
        finally:
            _end(process)
        if process.returncode:
            output.seek(0)
            words = _last_words(output.read().decode(errors="replace"))
            raise MirrorError(f"{name} failed: {words}")


def _wait(process: subprocess.Popen[bytes], folder: Path, clock: Clock) -> None:
    while True:
        try:
            process.wait(timeout=0.1)
        except subprocess.TimeoutExpired:
            clock.show(_bytes_in(folder))
        else:
            return


def _end(process: subprocess.Popen[bytes]) -> None:
    """Stop what still runs of a client: it has a session, thus a process group, of its own."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _bytes_in(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size
        except OSError:  # The client moves its files while we look.
            continue
    return total


def _last_words(text: str) -> str:
    """The lines of a client's output that say what is wrong, at most two."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if TELLING.match(line)]
    return "; ".join((telling or lines)[:2]) or "it said nothing"
