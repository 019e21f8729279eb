"""Reading files that nobody vouches for."""

import contextlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from PIL import Image

from headstart.data.formats import cifar_binary_from_png, cifar_rows, idx_rows, read_idx
from headstart.errors import DataError


def idx(array: NDArray[np.uint8]) -> bytes:
    header = bytes([0, 0, 8, array.ndim])
    return header + b"".join(size.to_bytes(4, "big") for size in array.shape) + array.tobytes()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("idx") / "some-idx3-ubyte"


@settings(deadline=None)  # a busy machine is no failure
@given(arrays(np.uint8, array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=6)))
def test_what_was_written_is_read(file: Path, array: NDArray[np.uint8]) -> None:
    file.write_bytes(idx(array))
    found = read_idx(file)
    assert found.shape == array.shape
    np.testing.assert_array_equal(found, array)


@settings(deadline=None)  # a busy machine is no failure
@given(st.data())
def test_a_file_of_another_length_than_told_is_refused(file: Path, data: st.DataObject) -> None:
    content = idx(np.zeros((3, 4, 5), np.uint8))
    cut = data.draw(st.integers(0, len(content) - 1))
    file.write_bytes(content[:cut])
    with pytest.raises(DataError, match="some-idx3-ubyte"):
        read_idx(file)
    file.write_bytes(content + data.draw(st.binary(min_size=1, max_size=9)))
    with pytest.raises(DataError, match=r"its header tells 60 for shape \(3, 4, 5\)"):
        read_idx(file)


@settings(deadline=None)  # a busy machine is no failure
@given(st.binary(max_size=64) | st.binary(max_size=64).map(lambda rest: b"\0\0\x08" + rest))
def test_garbage_is_refused_or_is_an_idx_file(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with contextlib.suppress(DataError):
        assert idx(read_idx(file)) == content


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is not an idx file: it begins with -"),
        (b"\x1f\x8b\x08\x00", "is not an idx file: it begins with 1f8b0800"),
        (b"\0\0\x0d\x01\0\0\0\x01\0\0\0\0", r"numbers of kind 0x0d, expected 0x08 \(uint8\)"),
        (b"\0\0\x08\x03\0\0\0\x01", "its header ends early"),
        (b"\0\0\x08\x00", "its header ends early"),
        (b"\0\0\x08\xff" + b"\xff" * 1020, "holds 0 numbers, but its header tells"),
    ],
)
def test_what_is_wrong_with_an_idx_file_is_said(file: Path, content: bytes, words: str) -> None:
    file.write_bytes(content)
    with pytest.raises(DataError, match=words):
        read_idx(file)


def test_pictures_and_labels_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(idx(np.zeros((3, 4, 5), np.uint8)))
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(idx(np.zeros(2, np.uint8)))
    with pytest.raises(DataError, match=r"shape \(3, 4, 5\) and labels of shape \(2,\)"):
        list(idx_rows(tmp_path, "test"))


def write_pictures(folder: Path, train: NDArray[np.uint8], labels: list[int]) -> None:
    """As the npm package holds them: a picture a row of 1024 pixels; here 2 a file."""
    for number in range(5):
        rows = train[2 * number : 2 * number + 2].reshape(2, 1024, 3)
        Image.fromarray(rows).save(folder / f"data_batch_{number + 1}.png")
    Image.fromarray(train[:1].reshape(1, 1024, 3)).save(folder / "test_batch.png")
    (folder / "train_lables.json").write_text(json.dumps(labels))
    (folder / "test_lables.json").write_text(json.dumps(labels[:1]))


@pytest.fixture
def pictures(tmp_path: Path) -> NDArray[np.uint8]:
    pictures = np.random.default_rng(1).integers(0, 256, (10, 32, 32, 3)).astype(np.uint8)
    write_pictures(tmp_path, pictures, list(range(10)))
    return pictures


def test_cifar_files_are_rebuilt_from_png(tmp_path: Path, pictures: NDArray[np.uint8]) -> None:
    cifar_binary_from_png(tmp_path)
    # As its home page tells: a label byte, then 1024 red, 1024 green and 1024 blue bytes.
    expected = b"".join(
        bytes([label])
        + bytes(
            int(pictures[label, y, x, c]) for c in range(3) for y in range(32) for x in range(32)
        )
        for label in (2, 3)
    )
    assert (tmp_path / "data_batch_2.bin").read_bytes() == expected
    shown, labels = zip(*cifar_rows(tmp_path, "train"), strict=True)
    np.testing.assert_array_equal(np.concatenate(shown), pictures)
    assert np.concatenate(labels).tolist() == list(range(10))
    ((test_shown, test_labels),) = cifar_rows(tmp_path, "test")
    np.testing.assert_array_equal(test_shown, pictures[:1])
    assert test_labels.tolist() == [0]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda at: (at / "test_batch.png").unlink(), "test_batch.png cannot be read as PNG"),
        (lambda at: (at / "test_batch.png").write_bytes(b"no"), "test_batch.png cannot be read"),
        (
            lambda at: Image.new("RGB", (32, 32)).save(at / "test_batch.png"),
            r"test_batch.png is RGB of \(32, 32\), expected RGB of \(1024, 1\)",
        ),
        (
            lambda at: Image.new("L", (1024, 1)).save(at / "test_batch.png"),
            r"test_batch.png is L of \(1024, 1\)",
        ),
        (lambda at: (at / "test_lables.json").write_text("{}"), "not a JSON list of labels"),
        (lambda at: (at / "test_lables.json").write_text("[1,"), "not a JSON list of labels"),
        (lambda at: (at / "test_lables.json").write_text("[256]"), "not a JSON list of labels"),
        (lambda at: (at / "test_lables.json").write_text("[" * 10**5), "not a JSON list of labels"),
        (lambda at: (at / "train_lables.json").write_text("[1]"), "holds 1 labels for 5 files"),
    ],
)
def test_what_is_wrong_with_the_png_version_is_said(
    spoil: Callable[[Path], object], words: str, tmp_path: Path, pictures: NDArray[np.uint8]
) -> None:
    spoil(tmp_path)
    with pytest.raises(DataError, match=words):
        cifar_binary_from_png(tmp_path)


def test_a_cut_cifar_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "test_batch.bin").write_bytes(bytes(3072))
    with pytest.raises(DataError, match=r"test_batch.bin holds 3,072 bytes, expected a multiple"):
        list(cifar_rows(tmp_path, "test"))
