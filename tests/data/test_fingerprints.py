"""Content hashes: right, remembered, and noticed to be outdated."""

import hashlib
import os
import time
from pathlib import Path

import numpy as np
import pytest

from headstart.data.decode import UnreadableError
from headstart.data.entries import Entry
from headstart.data.fingerprints import content_hash, content_hashes
from headstart.data.picture_cache import PictureCache


class Folder:
    """Files, and which of them were read."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.cache = PictureCache(root.parent / "cache")

    def write(self, name: str, content: bytes) -> None:
        (self.root / name).write_bytes(content)

    def hashes(self) -> tuple[dict[str, str], int]:
        """The hash of each file, and how many files were read for it."""
        read: list[int] = []
        entries = [Entry(path.name, path) for path in sorted(self.root.iterdir())]
        found = content_hashes(
            self.root, entries, self.cache, progress=lambda _doing, done, _total: read.append(done)
        )
        named = zip(entries, found, strict=True)
        return {entry.name: str(each) for entry, each in named}, len(read)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    (tmp_path / "pets").mkdir()
    return Folder(tmp_path / "pets")


@pytest.fixture
def _later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashing happens a minute from now, when today's changes have settled."""
    now = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: now() + 60 * 10**9)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.mark.usefixtures("_later")
def test_files_that_did_not_change_are_not_read_again(folder: Folder) -> None:
    folder.write("a", b"one")
    folder.write("b", b"two")
    expected = {"a": sha256(b"one"), "b": sha256(b"two")}
    assert folder.hashes() == (expected, 2)
    assert folder.hashes() == (expected, 0)
    folder.write("c", b"three")
    assert folder.hashes() == (expected | {"c": sha256(b"three")}, 1)
    (folder.root / "a").unlink()
    (folder.root / "b").rename(folder.root / "a")
    changed, read = folder.hashes()
    assert (changed, read) == ({"a": sha256(b"two"), "c": sha256(b"three")}, 1)


@pytest.mark.usefixtures("_later")
def test_a_file_with_other_content_but_old_length_and_date_is_noticed(folder: Folder) -> None:
    folder.write("a", b"one")
    folder.hashes()
    before = (folder.root / "a").stat()
    time.sleep(0.02)
    with (folder.root / "a").open("r+b") as file:
        file.write(b"two")
    os.utime(folder.root / "a", ns=(before.st_atime_ns, before.st_mtime_ns))
    after = (folder.root / "a").stat()
    assert (after.st_size, after.st_mtime_ns, after.st_ino) == (
        3,
        before.st_mtime_ns,
        before.st_ino,
    )
    assert folder.hashes() == ({"a": sha256(b"two")}, 1)


def test_files_that_have_just_changed_are_read_again(folder: Folder) -> None:
    folder.write("a", b"one")
    assert folder.hashes()[1] == 1
    assert folder.hashes()[1] == 1


@pytest.mark.usefixtures("_later")
def test_damaged_memory_is_forgotten(folder: Folder) -> None:
    folder.write("a", b"one")
    folder.hashes()
    (note,) = folder.cache.hashes.iterdir()
    note.write_bytes(note.read_bytes().replace(sha256(b"one").encode(), sha256(b"two").encode()))
    assert folder.hashes() == ({"a": sha256(b"one")}, 1)
    note.write_bytes(note.read_bytes()[:50])
    assert folder.hashes() == ({"a": sha256(b"one")}, 1)


@pytest.mark.usefixtures("_later")
def test_a_cache_that_cannot_be_written_is_no_error(folder: Folder) -> None:
    folder.cache.folder.write_text("a file where the folder should be")
    folder.write("a", b"one")
    assert folder.hashes() == ({"a": sha256(b"one")}, 1)


def test_files_that_cannot_be_read_are_told(folder: Folder) -> None:
    entry = Entry("gone", folder.root / "gone")
    (result,) = content_hashes(folder.root, [entry], folder.cache)
    assert isinstance(result, UnreadableError)
    assert str(result) == "cannot be read: No such file or directory"


def test_arrays_are_hashed_with_their_shape() -> None:
    pixels = np.arange(24, dtype=np.uint8)
    assert content_hash(pixels.reshape(2, 4, 3)) == content_hash(pixels.reshape(2, 4, 3).copy())
    assert content_hash(pixels.reshape(2, 4, 3)) != content_hash(pixels.reshape(4, 2, 3))
