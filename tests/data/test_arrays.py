"""Pictures in .npz files."""

import io
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.data.arrays import read_rows
from headstart.data.entries import Limits
from headstart.data.folders import find_pictures
from headstart.errors import DataError

PICTURES = np.arange(5 * 4 * 3 * 3, dtype=np.uint8).reshape(5, 4, 3, 3)
LABELS = np.array([10, 9, 9, 2, 10])


def saved(folder: Path, **arrays: Any) -> Path:
    np.savez_compressed(folder / "data.npz", **arrays)
    return folder / "data.npz"


@pytest.mark.parametrize("pictures", ["pictures", "images", "X", "x"])
@pytest.mark.parametrize("labels", ["labels", "y"])
def test_pictures_and_labels_by_their_usual_names(
    tmp_path: Path, pictures: str, labels: str
) -> None:
    path = saved(tmp_path, **{pictures: PICTURES, labels: LABELS})
    found = find_pictures(path)
    assert found.layout == "arrays"
    assert [entry.label for entry in found.entries] == ["10", "9", "9", "2", "10"]
    assert found.entries[3].name == f"{pictures}[3]"
    assert found.class_order == ("2", "9", "10")
    np.testing.assert_array_equal(list(read_rows(path, found.entries)), PICTURES)
    np.testing.assert_array_equal(list(read_rows(path, found.entries[3:4])), PICTURES[3:4])


def test_splits_as_in_keras_files(tmp_path: Path) -> None:
    path = saved(
        tmp_path, x_train=PICTURES, y_train=LABELS[:, None], x_test=PICTURES[:2], y_test=LABELS[:2]
    )
    found = find_pictures(path)
    assert [entry.split for entry in found.entries] == ["train"] * 5 + ["test"] * 2
    assert found.entries[-1].label == "9"
    assert len(list(read_rows(path, found.entries))) == 7


def test_class_names_give_order_and_names(tmp_path: Path) -> None:
    names = np.array(["owl", "cat"])
    found = find_pictures(saved(tmp_path, X=PICTURES, y=[0, 1, 1, 0, 0], class_names=names))
    assert found.class_order == ("owl", "cat")
    assert [entry.label for entry in found.entries] == ["owl", "cat", "cat", "owl", "owl"]
    with pytest.raises(DataError, match="y runs from 2 to 10, but there are 2 class names"):
        find_pictures(saved(tmp_path, X=PICTURES, y=LABELS, class_names=names))


def test_names_as_labels_and_no_labels(tmp_path: Path) -> None:
    found = find_pictures(saved(tmp_path, X=PICTURES, y=list("babab")))
    assert [entry.label for entry in found.entries] == list("babab")
    assert found.class_order is None
    found = find_pictures(saved(tmp_path, X=PICTURES))
    assert {entry.label for entry in found.entries} == {None}
    assert "data.npz: X has no labels beside it" in found.warnings


def test_floats_and_grey_pictures_become_uint8(tmp_path: Path) -> None:
    path = saved(tmp_path, X=PICTURES[..., 0] / 255.0, y=LABELS)
    rows = list(read_rows(path, find_pictures(path).entries))
    np.testing.assert_array_equal(rows, PICTURES[..., :1])


@pytest.mark.parametrize(
    ("arrays", "part"),
    [
        ({"picture": PICTURES}, "holds no pictures: expected an array called pictures, images, X"),
        ({"X": PICTURES, "y": LABELS[:3]}, "5 X but 3 y"),
        ({"X": PICTURES.ravel(), "y": LABELS}, "expected (N, height, width)"),
        ({"X": PICTURES, "y": LABELS / 2}, "expected (N,) whole numbers or names"),
        ({"X": PICTURES, "y": np.array([{}] * 5)}, "with plain arrays (no Python objects)"),
    ],
)
def test_arrays_that_cannot_be_used(tmp_path: Path, arrays: dict[str, Any], part: str) -> None:
    with pytest.raises(DataError) as caught:
        find_pictures(saved(tmp_path, **arrays))
    assert part in str(caught.value)


def test_pickles_are_never_opened(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("X.npy", b"cos\nsystem\n(S'touch owned'\ntR.")
    with pytest.raises(DataError, match="expected"):
        find_pictures(path)
    with zipfile.ZipFile(saved(tmp_path, X=PICTURES), "a") as archive:
        archive.writestr("y.npy", b"cos\nsystem\n(S'touch owned'\ntR.")
    with pytest.raises(DataError, match="whole numbers or names"):
        find_pictures(path)


def test_more_than_the_limit_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, X=np.zeros((100, 30, 30), dtype=np.uint8))
    assert path.stat().st_size < 2000
    with pytest.raises(DataError, match="above the limit"):
        find_pictures(path, limits=Limits(unpacked_bytes=80_000))


@settings(max_examples=80, deadline=None)
@given(
    changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=6)
)
def test_damaged_files_are_read_or_refused(changes: list[tuple[int, int]]) -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, X=PICTURES, y=LABELS)
    data = bytearray(buffer.getvalue())
    for position, value in changes:
        data[position % len(data)] = value
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.npz"
        path.write_bytes(data)
        try:
            found = find_pictures(path)
        except DataError:
            return
        assert len(found.entries) == 5
