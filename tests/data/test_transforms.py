"""Preprocessing against timm's evaluation transform, Pillow by hand, and its own JSON."""

import json
from collections.abc import Callable
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from headstart.data.transforms import CropMode, Interpolation, Preprocessing
from headstart.errors import DataError
from headstart.networks.torchvision_guard import import_timm


def a_picture(width: int, height: int, mode: str = "RGB", seed: int = 0) -> Image.Image:
    """Smooth colours with noise: resampling filters all give different pixels on it."""
    generator = np.random.default_rng(seed)
    channels = 3 if mode == "RGB" else 1
    coarse = generator.integers(0, 256, (4, 4, channels), dtype=np.uint8)
    smooth = Image.fromarray(coarse.squeeze()).resize((width, height), Image.Resampling.BICUBIC)
    noise = generator.normal(0, 20, np.asarray(smooth).shape)
    return Image.fromarray((np.asarray(smooth) + noise).clip(0, 255).astype(np.uint8))


def timm_pixels(picture: Image.Image, preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """What timm makes of a picture before it normalises."""
    create: Callable[..., Any] = import_timm().data.create_transform
    transform = create(
        input_size=(preprocessing.channels, preprocessing.height, preprocessing.width),
        is_training=False,
        interpolation=preprocessing.interpolation,
        crop_pct=preprocessing.crop_fraction,
        crop_mode=preprocessing.crop_mode,
        normalize=False,
    )
    pixels: NDArray[np.uint8] = np.moveaxis(transform(picture).numpy(), 0, -1)
    return pixels


@pytest.mark.parametrize("crop_mode", get_args(CropMode))
@pytest.mark.parametrize("interpolation", sorted(set(get_args(Interpolation))))
def test_every_filter_and_crop_mode_equals_timm(
    crop_mode: CropMode, interpolation: Interpolation
) -> None:
    preprocessing = Preprocessing(40, 40, 0.875, crop_mode, interpolation)
    for width, height in ((97, 61), (61, 97), (80, 80), (13, 200)):
        picture = a_picture(width, height)
        expected = timm_pixels(picture, preprocessing)
        np.testing.assert_array_equal(preprocessing.apply(picture), expected)


@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(1, 90),
    height=st.integers(1, 90),
    target=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    fraction=st.sampled_from([1.0, 0.95, 0.9, 0.875, 0.5, 0.333]),
    crop_mode=st.sampled_from(get_args(CropMode)),
    mode=st.sampled_from(["RGB", "L"]),
)
def test_any_size_equals_timm(
    width: int,
    height: int,
    target: tuple[int, int],
    fraction: float,
    crop_mode: CropMode,
    mode: str,
) -> None:
    channels = 3 if mode == "RGB" else 1
    preprocessing = Preprocessing(*target, fraction, crop_mode, channels=channels)
    picture = a_picture(width, height, mode)
    pixels = preprocessing.apply(picture)
    assert pixels.shape == (*target, channels)
    np.testing.assert_array_equal(pixels, timm_pixels(picture, preprocessing))


def test_the_usual_transform_step_by_step_in_pillow() -> None:
    picture = a_picture(500, 375)
    resized = picture.resize((341, 256), Image.Resampling.BICUBIC)  # int(256 * 500 / 375)
    left, top = 58, 16  # (341 - 224) / 2 = 58.5, halves go to the even number
    expected = np.asarray(resized.crop((left, top, left + 224, top + 224)))
    np.testing.assert_array_equal(Preprocessing(224, 224, 0.875).apply(picture), expected)


def test_squash_without_crop_is_one_resize() -> None:
    picture = a_picture(120, 50)
    expected = np.asarray(picture.resize((32, 48), Image.Resampling.BILINEAR))
    squashed = Preprocessing(48, 32, crop_mode="squash", interpolation="bilinear").apply(picture)
    np.testing.assert_array_equal(squashed, expected)


def test_json_there_and_back_is_the_same() -> None:
    full = Preprocessing(
        *(20, 30, 0.9, "squash", "lanczos", 1, (1, 2, 3)), mean=(0.5,), std=(0.25,)
    )
    for preprocessing in (Preprocessing(224, 224), full):
        text = json.dumps(preprocessing.to_dict())
        assert Preprocessing.from_dict(json.loads(text)) == preprocessing
        assert hash(Preprocessing.from_dict(json.loads(text))) == hash(preprocessing)


def test_mean_and_std_change_no_pixel_and_have_one_number_a_channel() -> None:
    plain = Preprocessing(8, 8)
    assert plain.mean == (0.0, 0.0, 0.0)
    assert plain.std == (1.0, 1.0, 1.0)
    scaled = Preprocessing(8, 8, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    assert scaled.pixel_part() == plain.pixel_part()
    for change in (
        {"height": 9},
        {"crop_fraction": 0.5},
        {"crop_mode": "squash"},
        {"interpolation": "bilinear"},
        {"channels": 1},
        {"background": [0, 0, 0]},
    ):
        settings = {"height": 8, "width": 8, **change}
        assert Preprocessing.from_dict(settings).pixel_part() != plain.pixel_part()


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(DataError) as caught:
        Preprocessing.from_dict(
            {
                **{"height": 0, "width": 2.5, "crop_fraction": 1.2, "crop_mode": "centre"},
                **{"interpolation": "bicubik", "channels": 4, "background": [0, 0, 300]},
                **{"mean": "grey", "std": [0.0]},
            }
        )
    message = str(caught.value)
    for part in (
        "height = 0, expected a whole number of pixels above 0",
        "width = 2.5",
        "crop_fraction = 1.2, expected a number in (0, 1]",
        "there is no crop_mode 'centre': did you mean 'center'?",
        "there is no interpolation 'bicubik': did you mean 'bicubic'?",
        "channels = 4, expected 1 (grayscale) or 3 (RGB)",
        "background = [0, 0, 300]",
        "mean = 'grey'",
        "std has 1 numbers for 4 channel(s)",
    ):
        assert part in message
    with pytest.raises(DataError, match="expected numbers above 0"):
        Preprocessing(8, 8, channels=1, std=(0.0,))


def test_unknown_and_missing_settings_are_refused() -> None:
    with pytest.raises(DataError) as caught:
        Preprocessing.from_dict({"height": 8, "crop_fractoin": 0.9})
    assert "no setting 'crop_fractoin': did you mean 'crop_fraction'?" in str(caught.value)
    assert "preprocessing needs width" in str(caught.value)


def test_a_picture_of_another_mode_is_refused() -> None:
    with pytest.raises(DataError, match="mode RGB, expected L"):
        Preprocessing(8, 8, channels=1).apply(a_picture(9, 9))
