"""Kept pictures: decoded once, never trusted, bounded, and safe with several processes at once."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from headstart.data.decode import Decoded, UnreadableError
from headstart.data.picture_cache import PictureCache
from headstart.data.picture_store import KeptPictures, keep_pictures
from headstart.data.transforms import Preprocessing
from headstart.errors import DataError

SMALL = Preprocessing(4, 6)
ONE_SHEET_BYTES = 5 * 4 * 6 * 3


def a_hash(number: int) -> str:
    return f"{number:064x}"


def pixels(number: int) -> NDArray[np.uint8]:
    return np.random.default_rng(number).integers(0, 256, (4, 6, 3), dtype=np.uint8)


PROGRAM = """
import os, signal, sys, time
from pathlib import Path
import numpy as np
from headstart.data.decode import Decoded
from headstart.data.picture_cache import PictureCache
from headstart.data.picture_store import keep_pictures
from headstart.data.transforms import Preprocessing

cache = PictureCache(Path(sys.argv[1]), limit_bytes=int(sys.argv[2]))

def pixels(number):
    return np.random.default_rng(number).integers(0, 256, (4, 6, 3), dtype=np.uint8)

def keep(*numbers):
    def decode(rows):
        for number in (numbers[row] for row in rows):
            {before_each_picture}
            yield Decoded(pixels(number), "PNG")
    hashes = [f"{{number:064x}}" for number in numbers]
    kept = keep_pictures(hashes, Preprocessing(4, 6), decode, cache)
    assert (np.array(kept.pictures) == [pixels(number) for number in numbers]).all()
"""
"""The same in a process of its own."""


class Files:
    """Pictures by number. Those above 900 are damaged, 800 cannot be read.

    Notes what it was asked to decode.
    """

    def __init__(self, *numbers: int) -> None:
        self.numbers = numbers
        self.decoded: list[int] = []

    @property
    def hashes(self) -> list[str]:
        return [a_hash(number) for number in self.numbers]

    def decode(self, rows: Sequence[int]) -> Generator[Decoded | UnreadableError]:
        for row in rows:
            number = self.numbers[row]
            self.decoded.append(number)
            if number == 800:
                yield UnreadableError("no connection", lasting=False)
            elif number > 900:
                yield UnreadableError(f"damaged {number}")
            else:
                yield Decoded(pixels(number), "PNG" if number % 2 else "JPEG")


def keep(
    cache: PictureCache, *numbers: int, preprocessing: Preprocessing = SMALL
) -> tuple[KeptPictures, list[int]]:
    """The kept pictures, checked, and the numbers that had to be decoded."""
    files = Files(*numbers)
    kept = keep_pictures(files.hashes, preprocessing, files.decode, cache)
    good = [number for number in numbers if number <= 900]
    assert [numbers[row] for row in kept.numbers] == good
    assert kept.pictures.shape == (len(good), 4, 6, 3)
    for picture, number in zip(kept.pictures, good, strict=True):
        np.testing.assert_array_equal(picture, pixels(number))
    assert kept.formats == tuple("PNG" if number % 2 else "JPEG" for number in good)
    assert kept.reasons == {
        row: f"damaged {number}" for row, number in enumerate(numbers) if number > 900
    }
    return kept, files.decoded


@pytest.fixture
def cache(tmp_path: Path) -> PictureCache:
    return PictureCache(tmp_path / "cache")


def sheets(cache: PictureCache) -> list[Path]:
    return sorted(cache.pictures.glob("*/*"), key=lambda sheet: sheet.stat().st_mtime_ns)


def test_pictures_are_decoded_once_and_mapped_into_memory(cache: PictureCache) -> None:
    first, decoded = keep(cache, 1, 2, 3)
    assert decoded == [1, 2, 3]
    second, decoded = keep(cache, 1, 2, 3)
    assert decoded == []
    for kept in (first, second):
        assert isinstance(kept.pictures, np.memmap)
        assert not kept.pictures.flags.writeable
        assert not kept.warnings


def test_damaged_pictures_are_not_tried_again(cache: PictureCache) -> None:
    assert keep(cache, 1, 901, 2)[1] == [1, 901, 2]
    assert keep(cache, 1, 901, 2)[1] == []
    assert keep(cache, 901, 2, 3)[1] == [3]


def test_pictures_that_could_not_be_read_are_tried_again(cache: PictureCache) -> None:
    files = Files(1, 800, 2)
    for expected in ([1, 800, 2], [800], [800]):
        files.decoded.clear()
        kept = keep_pictures(files.hashes, SMALL, files.decode, cache)
        assert (kept.numbers, kept.reasons) == ((0, 2), {1: "no connection"})
        assert files.decoded == expected
    again = Files(1, 800, 2)
    again.decode = Files(1, 3, 2).decode  # type: ignore[method-assign]
    kept = keep_pictures(again.hashes, SMALL, again.decode, cache)
    np.testing.assert_array_equal(kept.pictures[1], pixels(3))
    assert keep_pictures(again.hashes, SMALL, files.decode, cache).reasons == {}


def test_a_changed_folder_decodes_only_what_is_new(cache: PictureCache) -> None:
    keep(cache, 1, 2, 3)
    assert keep(cache, 1, 2, 3, 4)[1] == [4]
    assert keep(cache, 4, 2)[1] == []
    assert keep(cache, 2, 2, 5, 5)[1] == [5, 5]
    assert keep(cache)[1] == []


def test_pictures_are_kept_for_each_transform(cache: PictureCache) -> None:
    keep(cache, 1, 2)
    other = Preprocessing(4, 6, crop_fraction=0.5)
    assert keep(cache, 1, 2, preprocessing=other)[1] == [1, 2]
    scaled = Preprocessing(4, 6, mean=(0.5,) * 3, std=(0.2,) * 3)
    assert keep(cache, 1, 2, preprocessing=scaled)[1] == [], "mean and std change no pixel"


def test_other_decoders_decode_again(cache: PictureCache, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(cache, 1)
    monkeypatch.setattr("headstart.data.picture_store.pillow_version", "99.0")
    assert keep(cache, 1)[1] == [1]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.integers(0, 7) | st.just(901), max_size=6), min_size=1, max_size=5))
def test_any_order_of_loads_gives_the_right_pictures(loads: list[list[int]]) -> None:
    folder = Path(os.environ["HEADSTART_CACHE"]) / "any-order"
    shutil.rmtree(folder, ignore_errors=True)
    seen: set[int] = set()
    for numbers in loads:
        _, decoded = keep(PictureCache(folder), *numbers)
        assert set(decoded) == set(numbers) - seen
        seen |= set(numbers)


def test_one_changed_byte_anywhere_is_noticed(cache: PictureCache) -> None:
    for offset in (0, 100, ONE_SHEET_BYTES - 1):
        keep(cache, 1, 2, 3, 4, 5)
        (sheet,) = sheets(cache)
        before = (sheet / "pixels").stat()
        data = bytearray((sheet / "pixels").read_bytes())
        data[offset] ^= 1
        (sheet / "pixels").write_bytes(data)
        os.utime(sheet / "pixels", ns=(before.st_atime_ns, before.st_mtime_ns))
        damaged = offset // (ONE_SHEET_BYTES // 5) + 1
        assert keep(cache, 1, 2, 3, 4, 5)[1] == [damaged]
        assert keep(cache, 1, 2, 3, 4, 5)[1] == []


@pytest.mark.parametrize("name", ["pixels", "index.json"])
@pytest.mark.parametrize("damage", ["shorter", "longer", "empty", "gone", "noise", "another"])
def test_damaged_sheets_are_made_again(cache: PictureCache, name: str, damage: str) -> None:
    keep(cache, 1, 2, 3)
    path = sheets(cache)[0] / name
    content = path.read_bytes()
    changed = {
        "shorter": content[:-1],
        "longer": content + b"x",
        "empty": b"",
        "noise": b"\xff\0" * 300,
        "another": content.replace(b"1", b"2", 1) if name == "index.json" else content[::-1],
    }
    path.unlink()
    if damage in changed:
        path.write_bytes(changed[damage])
    assert keep(cache, 1, 2, 3)[1] == [1, 2, 3]
    assert keep(cache, 1, 2, 3)[1] == []
    assert len(sheets(cache)) == 1


def test_a_sheet_that_was_never_finished_is_not_used(cache: PictureCache) -> None:
    die = "if number == 2: os.kill(os.getpid(), signal.SIGKILL)"
    program = PROGRAM.format(before_each_picture=die) + "keep(1, 2)"
    killed = subprocess.run(
        [sys.executable, "-c", program, str(cache.folder), "1000000"], check=False
    )
    assert killed.returncode == -signal.SIGKILL
    (leftover,) = sheets(cache)
    assert leftover.name.startswith(".new-")
    assert keep(cache, 1, 2)[1] == [1, 2]
    old = time.time() - 3 * 24 * 3600
    os.utime(leftover, (old, old))
    keep(cache, 3)
    assert leftover not in sheets(cache), "leftovers are removed after a day"


def test_what_was_used_longest_ago_is_removed_first(tmp_path: Path) -> None:
    cache = PictureCache(tmp_path / "cache", limit_bytes=10**6)
    for start in (0, 10, 20):
        keep(cache, *range(start, start + 5))
    for age, sheet in zip((3, 2, 1), sheets(cache), strict=True):
        used = time.time() - age * 1000
        os.utime(sheet / "index.json", (used, used))
    keep(cache, *range(5))  # used again, so no longer the oldest
    size = sum(file.stat().st_size for file in cache.folder.rglob("*") if file.is_file())
    keep(PictureCache(cache.folder, limit_bytes=size + 100), *range(30, 35))
    assert keep(cache, *range(5))[1] == []
    assert keep(cache, *range(20, 25))[1] == []
    assert keep(cache, *range(10, 15))[1] == [10, 11, 12, 13, 14]


def test_the_newest_pictures_stay_even_above_the_limit(tmp_path: Path) -> None:
    cache = PictureCache(tmp_path / "cache", limit_bytes=ONE_SHEET_BYTES + 1)
    for start in (0, 10):
        assert not keep(cache, *range(start, start + 5))[0].warnings
        assert len(sheets(cache)) == 1


def test_removed_pictures_stay_readable_for_those_who_have_them(tmp_path: Path) -> None:
    cache = PictureCache(tmp_path / "cache", limit_bytes=ONE_SHEET_BYTES + 1)
    kept, _ = keep(cache, 0, 1, 2, 3, 4)
    keep(cache, 5, 6, 7, 8, 9)
    np.testing.assert_array_equal(kept.pictures[4], pixels(4))


def test_pictures_above_the_limit_are_not_kept_but_given(tmp_path: Path) -> None:
    cache = PictureCache(tmp_path / "cache", limit_bytes=ONE_SHEET_BYTES - 1)
    for _ in range(2):
        kept, decoded = keep(cache, 1, 2, 3, 4, 901)
        assert decoded == [1, 2, 3, 4, 901]
        assert isinstance(kept.pictures, np.memmap), "still not in memory"
        assert "are not kept for the next time: the cache is limited to" in kept.warnings[0]
    assert not sheets(cache)


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    kept, _ = keep(PictureCache(tmp_path / "cache"), 1, 2)
    assert "are not kept for the next time" in kept.warnings[0]
    assert "Not a directory" in kept.warnings[0]


class _FullDisk:
    """A file on a disk that is full after some bytes."""

    def __init__(self, room: int) -> None:
        self.room = room

    def write(self, data: bytes) -> int:
        self.room -= len(bytes(data))
        if self.room < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return len(data)

    def close(self) -> None:
        return


def test_a_full_disk_leaves_nothing_half_written(
    cache: PictureCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    from headstart.data.sheets import SheetDraft

    def on_full_disk(self: SheetDraft, place: Path) -> None:
        really(self, place)
        self.file.close()
        self.file = _FullDisk(100)  # type: ignore[assignment]

    really = SheetDraft.__init__
    monkeypatch.setattr(SheetDraft, "__init__", on_full_disk)
    kept, _ = keep_twice(cache)
    assert "No space left on device" in kept.warnings[0]
    assert not sheets(cache)

    def no_room(**_options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", no_room)
    with pytest.raises(DataError, match="no room for 2 decoded pictures of 4 × 6 pixels"):
        keep(cache, 1, 2)


def keep_twice(cache: PictureCache) -> tuple[KeptPictures, list[int]]:
    """Pictures that are decoded for the cache, and once more when that fails."""
    files = Files(1, 2)
    kept = keep_pictures(files.hashes, SMALL, files.decode, cache)
    np.testing.assert_array_equal(kept.pictures, [pixels(1), pixels(2)])
    return kept, files.decoded


def test_several_processes_share_a_cache(tmp_path: Path) -> None:
    at_once = """
Path(sys.argv[3]).with_name(f"ready-{os.getpid()}").touch()
while not Path(sys.argv[3]).exists():
    time.sleep(0.001)
for turn in range(60):
    keep(*range(turn % 3, turn % 3 + 5))
"""
    program = PROGRAM.format(before_each_picture="time.sleep(0.0005)") + at_once
    limit_bytes = 3 * ONE_SHEET_BYTES  # so that they also remove what another is using
    arguments = [str(tmp_path / "cache"), str(limit_bytes), str(tmp_path / "go")]
    processes = [
        subprocess.Popen([sys.executable, "-c", program, *arguments], stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    while len(list(tmp_path.glob("ready-*"))) < len(processes):
        time.sleep(0.01)
    (tmp_path / "go").touch()
    errors = [process.communicate(timeout=120)[1] for process in processes]
    assert errors == [b"", b"", b""]
    left = sheets(PictureCache(tmp_path / "cache"))
    assert left
    assert not [sheet for sheet in left if sheet.name.startswith(".")]


def test_the_usual_cache_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", "~/there")
    monkeypatch.setenv("HEADSTART_CACHE_GB", "0.5")
    assert PictureCache.usual() == PictureCache(Path.home() / "there", 500_000_000)
    monkeypatch.delenv("HEADSTART_CACHE")
    monkeypatch.delenv("HEADSTART_CACHE_GB")
    usual = PictureCache.usual()
    assert usual.folder.name == "headstart"
    assert usual.limit_bytes == 20_000_000_000
    for wrong in ("much", "inf", "-1"):
        monkeypatch.setenv("HEADSTART_CACHE_GB", wrong)
        with pytest.raises(DataError, match=f"HEADSTART_CACHE_GB is '{wrong}', expected a number"):
            PictureCache.usual()
