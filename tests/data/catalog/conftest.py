"""A tiny data set in MNIST's format, and mirrors of our own to fetch it from."""

import contextlib
import gzip
import hashlib
import io
import lzma
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from headstart.data.catalog import Catalog


@dataclass(frozen=True)
class TinySet:
    """30 + 10 pictures of 5 × 4, and the four idx files that hold them."""

    pictures: NDArray[np.uint8]
    labels: NDArray[np.int64]
    files: Mapping[str, bytes]

    def text(self, *mirrors: str) -> str:
        """A catalogue with this set as ``tiny``; each mirror is an inline table."""
        files = ", ".join(
            f'{{ name = "{name}", bytes = {len(content)}, sha256 = "{sha256(content)}" }}'
            for name, content in self.files.items()
        )
        return f"""
            [tiny]
            title = "Tiny"
            about = "noise"
            licence = "CC0"
            home = "https://tiny.example"
            format = "idx"
            pictures = 40
            picture_shape = [5, 4, 1]
            parts = {{ train = 30, test = 10 }}
            class_names = ["zero", "one", "two"]
            pictures_sha256 = "{sha256(self.pictures.tobytes())}"
            labels_sha256 = "{sha256(self.labels.astype("<i8").tobytes())}"
            archives = ["tiny.tar.gz"]
            files = [{files}]
            mirrors = [{", ".join(mirrors)}]
        """

    def catalog(self, *mirrors: str) -> Catalog:
        return Catalog(self.text(*mirrors))


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def idx(array: NDArray[np.uint8]) -> bytes:
    header = bytes([0, 0, 8, array.ndim])
    return header + b"".join(size.to_bytes(4, "big") for size in array.shape) + array.tobytes()


@pytest.fixture(scope="session")
def tiny() -> TinySet:
    random = np.random.default_rng(0)
    pictures = random.integers(0, 256, (40, 5, 4, 1)).astype(np.uint8)
    labels = random.integers(0, 3, 40)
    files = {}
    for part, rows in (("train", slice(0, 30)), ("t10k", slice(30, 40))):
        files[f"{part}-images-idx3-ubyte"] = idx(pictures[rows, ..., 0])
        files[f"{part}-labels-idx1-ubyte"] = idx(labels[rows].astype(np.uint8))
    return TinySet(pictures, labels, files)


@pytest.fixture
def data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "data"
    monkeypatch.setenv("HEADSTART_DATA", str(folder))
    return folder


Answer = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class Web:
    """A web server of our own: what it holds, how it misbehaves, and what it was asked."""

    address: str
    files: dict[str, bytes] = field(default_factory=dict)
    answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)

    def mirror(self, more: str = 'suffix = ".gz"') -> str:
        return f'{{ kind = "https", base = "{self.address}/", {more} }}'

    def hold(self, tiny: TinySet) -> None:
        for name, content in tiny.files.items():
            self.files[f"/{name}.gz"] = gzip.compress(content)

    def cut_short(self, path: str) -> None:
        """Send half of what is told."""
        body = self.files[path]
        self.answers[path] = lambda handler: _send(handler, body[: len(body) // 2], len(body))

    def hold_back(self, path: str) -> None:
        """Take the question, and answer only when released."""

        def wait(handler: BaseHTTPRequestHandler) -> None:
            self.released.wait(30)
            with contextlib.suppress(OSError):  # whoever asked may have gone
                _send(handler, self.files[path])

        self.answers[path] = wait

    def unpack_on_the_way(self, path: str) -> None:
        """Tell that the gzip is the transfer's, so that the client undoes it."""
        body = self.files[path]
        self.answers[path] = lambda handler: _send(handler, body, encoding="gzip")


@pytest.fixture
def web() -> Iterator[Web]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            held.asked.append(self.path)
            if self.path in held.answers:
                held.answers[self.path](self)
            elif self.path in held.files:
                _send(self, held.files[self.path])
            else:
                self.send_error(404)

        def log_message(self, format: str, *args: object) -> None:
            """The test's own list of what was asked is enough."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    held = Web(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield held
    held.released.set()
    server.shutdown()
    server.server_close()
    thread.join()


def _send(
    handler: BaseHTTPRequestHandler, body: bytes, told: int | None = None, encoding: str = ""
) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(body) if told is None else told))
    if encoding:
        handler.send_header("Content-Encoding", encoding)
    handler.end_headers()
    handler.wfile.write(body)


FakeClient = Callable[[str, str], None]


@pytest.fixture
def fake_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeClient:
    """Makes ``PATH`` hold nothing but the Python programs given by name and body."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def make(name: str, body: str) -> None:
        program = folder / name
        head = "import os, pathlib, shutil, sys, time\nCWD = pathlib.Path.cwd()\n"
        # -S -E: these programs need the standard library only, and start thrice as fast so.
        program.write_text(f"#!{sys.executable} -SE\n{head}{body}", encoding="utf-8")
        program.chmod(0o755)

    return make


class Pack:
    """Containers made by hand, by their specifications."""

    @staticmethod
    def tar(files: Mapping[str, bytes]) -> bytes:
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w") as archive:
            for name, content in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
        return stream.getvalue()

    def tgz(self, files: Mapping[str, bytes]) -> bytes:
        return gzip.compress(self.tar(files))

    def deb(self, files: Mapping[str, bytes]) -> bytes:
        """An ar archive (see deb(5)) of the version, the control files and the data."""
        members = {
            "debian-binary": b"2.0\n",
            "_odd": b"padded to an even place",
            "control.tar.xz": lzma.compress(self.tar({"./control": b"Package: tiny\n"})),
            "data.tar.xz": lzma.compress(self.tar(files)),
        }
        archive = b"!<arch>\n"
        for name, content in members.items():
            head = f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n"
            archive += head.encode() + content + b"\n" * (len(content) % 2)
        return archive


@pytest.fixture(scope="session")
def pack() -> Pack:
    return Pack()
