"""Content hashes of mapped pictures: remembered for the same file only."""

import hashlib
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from headstart.data.image_set import ImageSet
from headstart.data.marks import is_settled
from headstart.data.pixel_hashes import note_origin

Pictures = NDArray[np.uint8]
Made = Callable[[Pictures], ImageSet]
SHAPE = (40, 300, 256, 3)  # 9 MB: smaller sets are not worth remembering


@pytest.fixture
def in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if files that were just written had been there for a minute."""
    monkeypatch.setattr("headstart.data.marks._SETTLED_AFTER_NS", -(60 * 10**9))


@pytest.fixture
def pixels() -> Pictures:
    return np.random.default_rng(0).integers(0, 256, SHAPE, dtype=np.uint8)


@pytest.fixture
def mapped(in_place: None, tmp_path: Path) -> Made:
    """An image set whose pictures are mapped from a file with such content."""

    def make(pixels: Pictures) -> ImageSet:
        np.save(tmp_path / "pixels.npy", pixels)
        return opened(tmp_path / "pixels.npy")

    return make


def opened(file: Path) -> ImageSet:
    pictures = np.load(file, mmap_mode="r")
    with file.open("rb") as stream:
        note_origin(pictures, stream)
    labels = np.arange(len(pictures), dtype=np.int64) % 2
    return ImageSet(pictures, labels, ("even", "odd"))


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows with each hash of a picture that is taken."""
    each: list[int] = []
    blake2b = hashlib.blake2b

    def counted(data: bytes, *, digest_size: int, key: bytes) -> "hashlib.blake2b":
        each.append(1)
        return blake2b(data, digest_size=digest_size, key=key)

    monkeypatch.setattr("headstart.data.image_set.hashlib.blake2b", counted)
    return each


def in_memory(pixels: Pictures) -> NDArray[np.bytes_]:
    return ImageSet(pixels, np.arange(len(pixels)) % 2, ("even", "odd")).hashes


def test_hashes_of_a_file_that_did_not_change_are_taken_once(
    mapped: Made, pixels: Pictures, tmp_path: Path, taken: list[int]
) -> None:
    first = mapped(pixels).hashes
    assert len(taken) == len(pixels)
    second = opened(tmp_path / "pixels.npy")
    np.testing.assert_array_equal(second.hashes_of(np.array([3, 5])), first[[3, 5]])
    np.testing.assert_array_equal(second.hashes, first)
    assert len(taken) == len(pixels) + 16  # some are compared
    np.testing.assert_array_equal(first, in_memory(pixels))


def test_hashes_of_another_file_or_of_a_part_of_one_are_never_those_that_were_kept(
    mapped: Made, pixels: Pictures, tmp_path: Path
) -> None:
    kept = mapped(pixels).hashes
    part = ImageSet(opened(tmp_path / "pixels.npy").pictures[1:], np.arange(39) % 2, ("a", "b"))
    np.testing.assert_array_equal(part.hashes, kept[1:])

    file = tmp_path / "pixels.npy"
    before = file.stat()
    changed = pixels.copy()
    changed[8, 0, 0, 0] ^= 1  # one bit of a picture that is not compared, under the old date
    with file.open("r+b") as stream:
        stream.seek(-changed.nbytes, os.SEEK_END)
        stream.write(changed.tobytes())
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))

    found = opened(file).hashes
    assert np.flatnonzero(found != kept).tolist() == [8]


def test_a_file_that_took_the_place_of_the_mapped_one_has_hashes_of_its_own(
    mapped: Made, pixels: Pictures, tmp_path: Path
) -> None:
    old = mapped(pixels)
    changed = pixels.copy()
    changed[8, 0, 0, 0] ^= 1
    np.save(tmp_path / "new.npy", changed)
    (tmp_path / "new.npy").replace(tmp_path / "pixels.npy")
    kept = old.hashes  # of the file that is no longer there

    found = opened(tmp_path / "pixels.npy").hashes
    assert np.flatnonzero(found != kept).tolist() == [8]


@pytest.mark.parametrize("mode", ["c", "r", "r+"])
def test_maps_that_others_made_are_hashed_each_time(
    mapped: Made, pixels: Pictures, tmp_path: Path, mode: Literal["c", "r", "r+"], taken: list[int]
) -> None:
    kept = mapped(pixels).hashes
    taken.clear()
    own = np.load(tmp_path / "pixels.npy", mmap_mode=mode)
    if mode != "r":
        own[8, 0, 0, 0] ^= 1
    found = ImageSet(own, np.arange(len(own)) % 2, ("even", "odd")).hashes
    assert np.flatnonzero(found != kept).tolist() == ([] if mode == "r" else [8])
    assert len(taken) == len(own)


def test_pictures_are_sent_once(mapped: Made, pixels: Pictures) -> None:
    images = mapped(pixels)
    before = len(pickle.dumps(images))
    assert images.hashes.shape == (len(pixels),)
    assert len(pickle.dumps(images)) < 1.1 * before


def test_a_file_that_was_just_written_is_not_remembered(
    mapped: Made, pixels: Pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    taken: list[int],
) -> None:  # fmt: skip
    for name in ("_SETTLED_AFTER_NS", "_FINE_SETTLED_AFTER_NS"):
        monkeypatch.setattr(f"headstart.data.marks.{name}", 60 * 10**9)
    first = mapped(pixels).hashes
    np.testing.assert_array_equal(opened(tmp_path / "pixels.npy").hashes, first)
    assert len(taken) == 2 * len(pixels)


@pytest.mark.parametrize(
    ("modified", "ago", "settled"),
    [
        (10**18 + 123_456_789, 0.2, True),
        (10**18 + 123_456_789, 0.05, False),
        (10**18 + 120_000_000, 1.9, False),  # perhaps a clock that goes by hundredths
        (10**18, 1.9, False),
        (10**18, 2.1, True),
    ],
)
def test_how_long_a_file_must_have_been_there_depends_on_its_clock(
    modified: int, ago: float, settled: bool
) -> None:
    now = modified + int(ago * 1e9)
    assert is_settled([9, 9, modified, modified], now) is settled
    assert is_settled([9, 9, 10**17 + 1, modified], now) is settled
    assert not is_settled([], now)


@pytest.mark.parametrize("damage", ["gone", "no folder", "not ours", "of fewer"])
def test_a_memory_that_is_damaged_or_cannot_be_written_is_no_harm(
    mapped: Made, pixels: Pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    cache = tmp_path / "cache"
    monkeypatch.setenv("HEADSTART_CACHE", str(cache))
    if damage == "no folder":
        cache.write_text("a file where the folder should be")
    first = mapped(pixels).hashes
    for note in cache.glob("hashes/*"):
        if damage == "gone":
            note.unlink()
        else:
            note.write_text(note.read_text()[: 5 if damage == "not ours" else -200])
    np.testing.assert_array_equal(opened(tmp_path / "pixels.npy").hashes, first)
