"""Streams, against the listing that keeps everything."""

import gc
import tracemalloc
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from headstart.data.folders import Topics, find_pictures
from headstart.data.streams import stream_pictures
from headstart.errors import DataError

Plant = Callable[[Mapping[str, bytes | None]], Path]

LAYOUTS: Mapping[str, Mapping[str, bytes | None]] = {
    "class folders": {"cats/1.png": None, "cats/deep/2.png": None, "dogs/1.png": None},
    "splits": {"train/a/1.png": None, "val/b/1.png": None, "test/1.png": None, "other/x.png": None},
    "loose": {"b.png": None, "a.PNG": None, "c d.jpg": b"x", "noted": b"\x89PNG\r\n\x1a\n"},
    "untidy": {
        "cats/1.png": None,
        "cats/1.svg": b"",
        ".hidden/1.png": None,
        "empty/notes.txt": b"",
    },
}


@pytest.mark.parametrize("topics", ["first", "path"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_it_is_what_the_listing_says(plant: Plant, layout: str, topics: Topics) -> None:
    root = plant(LAYOUTS[layout])
    (root / "link.png").symlink_to(root.parent)
    found, stream = find_pictures(root, topics=topics), stream_pictures(root, topics=topics)
    for _ in range(2):  # again and again
        assert tuple(stream.entries()) == found.entries
        assert tuple(stream.left_out()) == found.left_out
    assert stream.count == len(found.entries)
    assert set(stream.warnings) <= set(found.warnings)


def test_single_files_and_archives_are_streams_too(plant: Plant) -> None:
    root = plant({"a.png": None, "t.csv": b"filename,label\na.png,cat\n"})
    assert [entry.label for entry in stream_pictures(root / "t.csv").entries()] == ["cat"]
    assert stream_pictures(root / "a.png").count == 1


def test_many_pictures_take_no_more_memory(tmp_path: Path) -> None:
    peaks = []
    for number, count in enumerate((20, 6000)):
        root = tmp_path / str(number)
        for at in range(count):
            path = root / f"{at // 20:03}" / f"{at % 20:02}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        stream = stream_pictures(root)
        gc.collect()
        tracemalloc.start()
        assert sum(1 for _ in stream.entries()) == count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # A record of each picture takes nearly four megabytes; what grows is the list of folders.
    assert peaks[1] < peaks[0] + 1_000_000


def test_nothing_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no pictures in"):
        stream_pictures(tmp_path)
    with pytest.raises(DataError, match="there is no folder or file"):
        stream_pictures(tmp_path / "nowhere")
