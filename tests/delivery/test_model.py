"""The model in Python, against the network's own answers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import headstart
from headstart.delivery.bundle import Bundle
from headstart.errors import DataError, NetworkError, TrainingError


def picture(level: tuple[int, int, int], size: tuple[int, int] = (16, 16)) -> Image.Image:
    return Image.new("RGB", size, level)


BLUE, GREEN, RED = picture((0, 0, 250)), picture((0, 250, 0)), picture((250, 0, 0))


@pytest.fixture
def model(folder: Path) -> headstart.Model:
    return headstart.load(folder)


def test_it_answers_as_scikit_learn_does(model: headstart.Model) -> None:
    assert model.classes_.tolist() == ["blue", "green", "red"]
    assert model.predict([RED, BLUE, GREEN, BLUE]).tolist() == ["red", "blue", "green", "blue"]
    proba = model.predict_proba([RED, BLUE])
    assert proba.shape == (2, 3)
    np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-6)
    assert model.score([RED, BLUE], ["red", "green"]) == 0.5
    assert repr(model) == "Model('model', classes=['blue', 'green', 'red'])"


def test_the_numbers_are_the_networks_own(lite: Bundle, lite_folder: Path) -> None:
    """Resized by Pillow and normalised by hand as timm's documentation says."""
    rng = np.random.default_rng(0)
    shown = Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8))
    crop = lite.preprocessing.crop_fraction
    side = int(64 / crop)
    edge = round((side - 64) / 2)
    resized = shown.resize((side, side), Image.Resampling.BICUBIC)
    pixels = np.asarray(resized.crop((edge, edge, edge + 64, edge + 64)), dtype=np.float32)
    inputs = torch.from_numpy((pixels / 255 - 0.5) / 0.5).permute(2, 0, 1)[None]
    with torch.inference_mode():
        expected = torch.softmax(lite.network(inputs), dim=1).numpy()
    answer = headstart.load(lite_folder).predict_proba(shown)
    np.testing.assert_allclose(answer, expected, atol=1e-5)


def test_paths_arrays_and_pictures_are_the_same(model: headstart.Model, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    arrays = rng.integers(0, 256, (70, 20, 30, 3), dtype=np.uint8)
    paths = []
    for number, array in enumerate(arrays):
        paths.append(tmp_path / f"{number}.png")
        Image.fromarray(array).save(paths[-1])
    expected = model.predict_proba(arrays)
    given: list[Any] = [
        list(arrays),
        paths,
        [str(path) for path in paths],
        np.array([str(path) for path in paths]),
        [Image.fromarray(array) for array in arrays],
        [paths[0], arrays[1], Image.fromarray(arrays[2]), *paths[3:]],
    ]
    for pictures in given:
        np.testing.assert_array_equal(model.predict_proba(pictures), expected)


def test_one_picture_is_a_row(model: headstart.Model, tmp_path: Path) -> None:
    RED.save(tmp_path / "one.png")
    for one in (tmp_path / "one.png", str(tmp_path / "one.png"), np.asarray(RED), RED):
        assert model.predict(one).tolist() == ["red"]
    assert model.predict_proba([]).shape == (0, 3)


def test_any_mode_and_size_is_prepared_as_in_training(model: headstart.Model) -> None:
    clear = Image.new("RGBA", (9, 40), (0, 0, 0, 0))  # laid over white
    white = model.predict_proba(picture((255, 255, 255)))
    np.testing.assert_allclose(model.predict_proba(clear), white, atol=1e-6)
    grey = np.full((5, 7), 100, dtype=np.uint8)
    as_rgb = model.predict_proba(picture((100, 100, 100)))
    for shown in (grey, grey[..., None], Image.fromarray(grey), grey[None, ..., None]):
        np.testing.assert_allclose(model.predict_proba(shown), as_rgb, atol=1e-6)


@pytest.mark.parametrize(
    ("pictures", "expected"),
    [
        (np.zeros((2, 8, 8, 3)), r"float64 of shape \(8, 8, 3\) is no picture"),
        (np.zeros((2, 8, 8, 4), dtype=np.uint8), "4 channels, expected 1 or 3"),
        (np.zeros(8, dtype=np.uint8), "is no picture"),
        ([RED, "missing.png"], "missing.png: cannot be read"),
        (["a.png", "b.png"], "2 of 2 pictures cannot be used: a.png.*b.png"),
        (7, "a int is no picture"),
        ([None], "is no picture"),
    ],
)
def test_what_is_no_picture_is_refused(
    model: headstart.Model, pictures: Any, expected: str
) -> None:
    with pytest.raises(DataError, match=expected):
        model.predict(pictures)


def test_a_folder_is_sent_to_predict(model: headstart.Model, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected files; headstart\.predict takes folders"):
        model.predict(tmp_path)


def test_scores_need_labels_that_the_model_knows(model: headstart.Model) -> None:
    with pytest.raises(DataError, match="no class 'gren': did you mean 'green'"):
        model.score([RED], ["gren"])
    with pytest.raises(DataError, match="1 pictures, but labels of shape"):
        model.score([RED], ["red", "blue"])


def test_loading_says_what_is_wrong(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(NetworkError, match="there is no bundle"):
        headstart.load(tmp_path / "nowhere")
    with pytest.raises(TrainingError, match="there is no device 'gpu'"):
        headstart.load(folder, device="gpu")  # type: ignore[arg-type]
