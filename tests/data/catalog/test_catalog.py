"""What the catalogue says, and the real data sets it gives."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from headstart.data import catalog
from headstart.errors import DataError


def test_the_data_sets_are_described() -> None:
    entries = {entry.name: entry for entry in catalog.describe()}
    assert (
        tuple(entries)
        == catalog.names()
        == (*("cifar-10", "digits", "fashion-mnist", "mnist", "stamps"),)
    )
    assert {name: entry.pictures for name, entry in entries.items()} == {
        "cifar-10": 60_000,
        "digits": 1_797,
        "fashion-mnist": 70_000,
        "mnist": 70_000,
        "stamps": 796,
    }
    assert entries["cifar-10"].picture_shape == (32, 32, 3)
    assert entries["cifar-10"].class_names[3] == "cat"
    assert entries["fashion-mnist"].licence == "MIT"
    assert entries["fashion-mnist"].class_names[9] == "Ankle boot"
    assert entries["mnist"].bytes == 70_000 * (28 * 28 + 8)
    assert entries["stamps"].picture_shape is None
    assert entries["stamps"].licence == "GPL-2.0-or-later"
    assert {"animals", "clothes", "food", "household", "plants", "vehicles"} < set(
        entries["stamps"].class_names
    )
    for entry in entries.values():
        assert len(set(entry.class_names)) == (16 if entry.name == "stamps" else 10)
        assert entry.home.startswith("https://")


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    for ask in (catalog.load, catalog.get, catalog.where):
        with pytest.raises(DataError, match=r"no data set 'fashion_mnst'.*'fashion-mnist'. Known"):
            ask("fashion_mnst")


def test_what_is_not_here_is_said_without_fetching(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADSTART_DATA", str(tmp_path / "nothing"))
    assert catalog.where("mnist") is None
    assert [entry.name for entry in catalog.describe() if entry.here] == ["digits"]
    assert not (tmp_path / "nothing").exists()


def test_digits_are_always_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_DATA", str(tmp_path / "nothing"))
    digits, bunch = catalog.load("digits"), load_digits()
    assert digits.picture_shape == (8, 8, 1)
    np.testing.assert_allclose(digits.pictures[..., 0] / 255, bunch.images / 16, atol=0.5 / 255)
    np.testing.assert_array_equal(digits.labels, bunch.target)
    assert digits.class_names == tuple("0123456789")
    assert digits.parts == {}
    folder = catalog.get("digits")
    assert folder == catalog.where("digits")
    assert (folder / "digits.csv.gz").is_file()
    assert not (tmp_path / "nothing").exists()


def test_the_real_fashion_mnist() -> None:
    images = catalog.load("fashion-mnist")
    train, test = images.parts["train"], images.parts["test"]
    assert (len(train), len(test)) == (60_000, 10_000)
    np.testing.assert_array_equal(np.concatenate([train, test]), np.arange(70_000))
    # As printed in the data set's own tutorials.
    assert images.labels[train][:10].tolist() == [9, 0, 0, 3, 0, 2, 7, 2, 5, 5]
    assert images.labels[test][:10].tolist() == [9, 2, 1, 1, 6, 1, 4, 6, 5, 7]
    assert np.bincount(images.labels[train]).tolist() == [6_000] * 10
    assert np.bincount(images.labels[test]).tolist() == [1_000] * 10
    # The mean and the standard deviation that are usually quoted for its training pictures.
    pixels = images.pictures[:60_000] / np.float32(255)
    assert round(float(pixels.mean(dtype=np.float64)), 4) == 0.2860
    assert round(float(pixels.std(dtype=np.float64)), 4) == 0.3530
    assert images.origin.startswith("Fashion-MNIST, https://github.com/zalandoresearch/")
    assert "MIT" in images.origin


def test_real_pictures_stand_upright_and_have_their_labels() -> None:
    images = catalog.load("fashion-mnist")
    mean = {
        name: images.pictures[images.labels == number, ..., 0].mean(axis=0)
        for number, name in enumerate(images.class_names)
    }
    # Trousers have a gap between the legs below, and none at the waist above.
    assert mean["Trouser"][2:5, 13:15].mean() > 2 * mean["Trouser"][20:26, 13:15].mean()
    # Ankle boots have their shaft on the right and their sole below.
    assert mean["Ankle boot"][2:8, 18:].mean() > 2 * mean["Ankle boot"][2:8, :10].mean()
    assert mean["Ankle boot"][20:24].mean() > 2 * mean["Ankle boot"][2:6].mean()


def test_loading_maps_the_pictures_and_is_quick() -> None:
    catalog.load("fashion-mnist")
    start = time.process_time()  # whatever else the machine has to do
    images = catalog.load("fashion-mnist")
    assert time.process_time() - start < 0.1
    assert isinstance(images.pictures, np.memmap)
    assert not images.pictures.flags.writeable


def test_asking_what_there_is_imports_nothing_slow() -> None:
    program = (
        "import sys; from headstart.data import catalog; catalog.describe(); "
        "print(*{'torch', 'scipy', 'sklearn', 'pandas', 'pooch', 'requests', 'rich', 'PIL'} "
        "& set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "")
