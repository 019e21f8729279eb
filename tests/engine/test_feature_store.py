"""Kept features are what was computed, of the very pictures and weights that were asked for."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from headstart.data.picture_cache import PictureCache
from headstart.engine.feature_store import Features, Wanted, keep_features
from headstart.engine.limits import resident_bytes
from headstart.errors import TrainingError

SHAPE = (3, 2)


class Source:
    """Computes features, and notes of which pictures it had to."""

    def __init__(self, values: Features) -> None:
        self.values = values
        self.asked: list[list[int]] = []

    def __call__(self, numbers: NDArray[np.int64]) -> Iterator[Features]:
        self.asked.append(numbers.tolist())
        for start in range(0, len(numbers), 4):
            yield self.values[numbers[start : start + 4]]


def hashes(*names: int) -> NDArray[np.bytes_]:
    return np.array([f"{name:016x}" for name in names], dtype="S16")


def values(*names: int) -> Features:
    """Features that tell of which picture they are."""
    return np.array(names, dtype=np.float32)[:, None, None] + np.zeros(SHAPE, dtype=np.float32)


def keep(
    cache: PictureCache, *names: int, made_by: str = "weights"
) -> tuple[Features, list[list[int]]]:
    source = Source(values(*names))
    kept = keep_features(Wanted(made_by, hashes(*names), SHAPE), source, cache)
    return kept.values, source.asked


@pytest.fixture
def cache(tmp_path: Path) -> PictureCache:
    return PictureCache(tmp_path / "kept")


def entries(cache: PictureCache) -> list[Path]:
    return [path.parent for path in cache.folder.rglob("index.json")]


def test_features_are_computed_once(cache: PictureCache) -> None:
    first, asked = keep(cache, 1, 2, 3, 4, 5, 6)
    again, asked_again = keep(cache, 1, 2, 3, 4, 5, 6)
    np.testing.assert_array_equal(first, values(1, 2, 3, 4, 5, 6))
    np.testing.assert_array_equal(again, first)
    assert (asked, asked_again) == ([[0, 1, 2, 3, 4, 5]], [])


def test_new_pictures_take_over_what_older_entries_have(cache: PictureCache) -> None:
    keep(cache, 1, 2, 3)
    found, asked = keep(cache, 3, 7, 1, 8)
    np.testing.assert_array_equal(found, values(3, 7, 1, 8))
    assert asked == [[1, 3]]


def test_other_weights_take_over_nothing(cache: PictureCache) -> None:
    keep(cache, 1, 2, 3)
    _, asked = keep(cache, 1, 2, 3, made_by="other weights")
    assert asked == [[0, 1, 2]]


def test_the_order_of_pictures_is_kept(cache: PictureCache) -> None:
    keep(cache, 1, 2, 3)
    found, asked = keep(cache, 3, 1, 2)
    np.testing.assert_array_equal(found, values(3, 1, 2))
    assert asked == []


@pytest.mark.parametrize("file", ["features", "index.json"])
@pytest.mark.parametrize("harm", ["flip", "cut", "empty", "remove"])
def test_what_was_damaged_is_made_again(cache: PictureCache, file: str, harm: str) -> None:
    keep(cache, 1, 2, 3)
    path = entries(cache)[0] / file
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x41
    ways: dict[str, Callable[[], object]] = {
        "flip": lambda: path.write_bytes(bytes(data)),
        "cut": lambda: path.write_bytes(bytes(data[: len(data) // 2])),
        "empty": lambda: path.write_bytes(b""),
        "remove": path.unlink,
    }
    ways[harm]()
    found, asked = keep(cache, 1, 2, 3)
    np.testing.assert_array_equal(found, values(1, 2, 3))
    assert asked == [[0, 1, 2]]


def test_an_older_entry_that_was_damaged_gives_only_its_sound_rows(cache: PictureCache) -> None:
    keep(cache, 1, 2, 3)
    path = entries(cache)[0] / "features"
    data = bytearray(path.read_bytes())
    data[4 * 6] ^= 0x41  # in the second picture's row
    path.write_bytes(bytes(data))
    found, asked = keep(cache, 1, 2, 3, 4)
    np.testing.assert_array_equal(found, values(1, 2, 3, 4))
    assert asked == [[1, 3]]


@given(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=8), min_size=1, max_size=5))
def test_whatever_was_asked_before_the_answer_is_right(
    tmp_path_factory: pytest.TempPathFactory, asked: list[list[int]]
) -> None:
    cache = PictureCache(tmp_path_factory.mktemp("kept"))
    for names in asked:
        np.testing.assert_array_equal(keep(cache, *names)[0], values(*names))


def test_a_cache_that_cannot_be_written_still_gives_features(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    wanted = Wanted("weights", hashes(1, 2), SHAPE)
    kept = keep_features(wanted, Source(values(1, 2)), PictureCache(tmp_path / "file"))
    np.testing.assert_array_equal(kept.values, values(1, 2))
    assert "are not kept for the next time" in kept.warnings[0]


def test_a_cache_that_is_too_small_still_gives_features(cache: PictureCache) -> None:
    wanted = Wanted("weights", hashes(1, 2), SHAPE)
    kept = keep_features(wanted, Source(values(1, 2)), replace(cache, limit_bytes=10))
    np.testing.assert_array_equal(kept.values, values(1, 2))
    assert "limited to" in kept.warnings[0]
    assert entries(cache) == []


def test_what_was_not_used_for_the_longest_time_goes_first(cache: PictureCache) -> None:
    keep(cache, 1, 2, 3, made_by="first")
    keep(cache, 1, 2, 3, made_by="second")
    for age, place in zip((200, 100), sorted(entries(cache), key=os.path.getmtime), strict=True):
        os.utime(place / "index.json", (1e9 - age, 1e9 - age))
    size = sum(file.stat().st_size for place in entries(cache) for file in place.iterdir())
    keep(replace(cache, limit_bytes=size), 1, 2, 3, made_by="third")
    assert keep(cache, 1, 2, 3, made_by="second")[1] == []
    assert keep(cache, 1, 2, 3, made_by="first")[1] == [[0, 1, 2]]


@pytest.mark.parametrize(
    ("made", "match"),
    [(np.full((2, *SHAPE), np.nan, np.float32), "finite"), (np.zeros((2, 5), np.float32), "shape")],
)
def test_features_that_are_none_are_refused(
    cache: PictureCache, made: Features, match: str
) -> None:
    with pytest.raises(TrainingError, match=match):
        keep_features(Wanted("weights", hashes(1, 2), SHAPE), Source(made), cache)
    assert entries(cache) == []


def test_what_breaks_off_leaves_nothing_behind(cache: PictureCache) -> None:
    def breaking(numbers: NDArray[np.int64]) -> Iterator[Features]:
        yield values(1)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        keep_features(Wanted("weights", hashes(1, 2), SHAPE), breaking, cache)
    assert entries(cache) == []
    assert keep(cache, 1, 2)[1] == [[0, 1]]


_ASK = """
import sys, time
from pathlib import Path
import numpy as np
from headstart.data.picture_cache import PictureCache
from headstart.engine.feature_store import Wanted, keep_features
def slowly(numbers):
    print(len(numbers), flush=True)
    time.sleep(1)
    yield np.ones((len(numbers), 2), dtype=np.float32)
hashes = np.array([f"{n:016x}" for n in range(50)], dtype="S16")
kept = keep_features(Wanted("weights", hashes, (2,)), slowly, PictureCache(Path(sys.argv[1])))
assert kept.values.sum() == 100
"""


def test_of_several_processes_one_computes(tmp_path: Path) -> None:
    asking = [
        subprocess.Popen(
            [sys.executable, "-c", _ASK, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    told = [each.communicate(timeout=300)[0].split() for each in asking]
    assert [each.returncode for each in asking] == [0, 0, 0]
    assert sorted(told) == [[], [], ["50"]]


def test_rows_that_were_taken_leave_memory_again_but_not_the_file(tmp_path: Path) -> None:
    """Also those that were taken through a view, as stacks take them."""
    count, width = 4000, 4096  # 65 MB
    wanted = Wanted("weights", hashes(*range(count)), (width,))
    rows = np.arange(count, dtype=np.float32)[:, None] + np.zeros(width, dtype=np.float32)
    store = PictureCache(tmp_path / "kept")
    keep_features(wanted, Source(rows), store)
    kept = keep_features(wanted, Source(rows), store, most_bytes=2**20)
    before = resident_bytes()
    for view in (kept.values, kept.values.reshape(count, 2, -1)):
        for start in range(0, count, 50):
            taken = view.take(np.arange(start, start + 50), axis=0)
            np.testing.assert_array_equal(taken.reshape(50, width), rows[start : start + 50])
    assert resident_bytes() - before < 2**24
