"""Preprocessing: how a picture of any size becomes the pixels that a network expects.

The record belongs to a network's weights and goes with them into training, prediction and export.
Its pixel part (resize, crop, channels, background) is applied once, when a file is decoded, and
gives uint8; mean and standard deviation are applied to tensors afterwards.

The pixel part is timm's evaluation transform, step by step (`timm.data.create_transform` with
``is_training=False``), so that weights see what they were evaluated with:

- ``crop_mode="center"``: the picture is resized, keeping its proportions, until it just covers
  ⌊size / crop_fraction⌋, and the centre is cut out. What hangs over is lost.
- ``crop_mode="squash"``: it is resized to exactly ⌊size / crop_fraction⌋, losing its proportions,
  and the centre is cut out. With a crop fraction of 1 nothing is lost.

Resizing is Pillow's, which widens its filter when it shrinks (antialiasing). JPEG's decoding at a
reduced scale ("draft mode") is not used: it was 3 times faster for photographs of 10 megapixels,
but changed pixels by up to 29 of 255 levels, 1.2 on average.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from headstart.errors import DataError, nearest

Interpolation = Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]
CropMode = Literal["center", "squash"]
Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Preprocessing:
    """Size, crop, channels and scaling that a network's weights expect.

    Attributes:
        height: Of the result, in pixels.
        width: Of the result, in pixels.
        crop_fraction: Share of the resized picture's side that the crop keeps, in (0, 1].
        crop_mode: ``"center"`` keeps proportions, ``"squash"`` does not; see the module.
        interpolation: Pillow's resampling filter, by timm's name.
        channels: 3 for RGB, 1 for grayscale.
        background: RGB in 0–255 that transparent pictures are laid over.
        mean: What to take off each channel, in units of [0, 1]; zeros when omitted.
        std: What to divide each channel by afterwards, in units of [0, 1]; ones when omitted.

    Raises:
        DataError: If a value cannot be used, all problems at once.
    """

    height: int
    width: int
    crop_fraction: float = 1.0
    crop_mode: CropMode = "center"
    interpolation: Interpolation = "bicubic"
    channels: int = 3
    background: tuple[int, int, int] = (255, 255, 255)
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        problems = _problems(self)
        if problems:
            raise DataError(*(f"preprocessing: {problem}" for problem in problems))
        # Lists and whole numbers, as JSON and timm's configurations have them, become one form,
        # so that equal preprocessing compares and hashes as equal.
        for name, kind in (("background", int), ("mean", float), ("std", float)):
            object.__setattr__(self, name, tuple(map(kind, getattr(self, name))))
        object.__setattr__(self, "crop_fraction", float(self.crop_fraction))
        if not self.mean:
            object.__setattr__(self, "mean", (0.0,) * self.channels)
        if not self.std:
            object.__setattr__(self, "std", (1.0,) * self.channels)

    def to_dict(self) -> dict[str, Any]:
        """All settings as JSON can hold them."""
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in asdict(self).items()
        }

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> Self:
        """The preprocessing that `to_dict` wrote.

        Raises:
            DataError: If a key is unknown or missing, or a value cannot be used.
        """
        known = [each.name for each in fields(cls)]
        problems = [
            f"preprocessing has no setting {key!r}: {nearest(key, known)}"
            for key in settings
            if key not in known
        ]
        problems += [
            f"preprocessing needs {key}" for key in ("height", "width") if key not in settings
        ]
        if problems:
            raise DataError(*problems)
        return cls(**settings)

    def pixel_part(self) -> dict[str, Any]:
        """The settings that change the decoded pixels, as JSON can hold them."""
        return {key: value for key, value in self.to_dict().items() if key not in ("mean", "std")}

    def geometry(self, width: int, height: int) -> tuple[tuple[int, int], Box]:
        """What becomes of a picture's size.

        Args:
            width: Of the picture, in pixels.
            height: Of the picture, in pixels.

        Returns:
            The (width, height) to resize to, and the (left, top, right, bottom) to cut out of it.
        """
        tall, wide = (math.floor(side / self.crop_fraction) for side in (self.height, self.width))
        if self.crop_mode == "center":
            tall, wide = _covering(height, width, tall, wide)
        # Python rounds halves to even; torchvision's centre crop does the same.
        left, top = round((wide - self.width) / 2), round((tall - self.height) / 2)
        return (wide, tall), (left, top, left + self.width, top + self.height)

    def apply(self, picture: Image.Image) -> NDArray[np.uint8]:
        """Resize and crop a picture.

        Args:
            picture: Upright and opaque, mode ``RGB`` or ``L`` as `channels` says.

        Returns:
            Shape (height, width, channels), uint8.

        Raises:
            DataError: If the picture has another number of channels.
        """
        if len(picture.getbands()) != self.channels:
            raise DataError(
                f"preprocessing for {self.channels} channel(s) got a picture of mode "
                f"{picture.mode}, expected {'L' if self.channels == 1 else 'RGB'}"
            )
        size, box = self.geometry(*picture.size)
        resized = picture.resize(size, Image.Resampling[self.interpolation.upper()])
        pixels = np.asarray(resized.crop(box), dtype=np.uint8)
        return pixels.reshape(self.height, self.width, self.channels)


def _covering(height: int, width: int, tall: int, wide: int) -> tuple[int, int]:
    """The smallest size of the picture's proportions that covers tall × wide, as (height, width).

    timm leaves squares to torchvision, which rounds the longer side down, and rounds other shapes
    itself to the nearest; both are followed here.
    """
    if tall == wide:
        short, long = min(height, width), max(height, width)
        longer = int(tall * long / short)
        return (tall, longer) if height <= width else (longer, tall)
    ratio = min(height / tall, width / wide)
    return round(height / ratio), round(width / ratio)


def _problems(settings: Preprocessing) -> list[str]:
    """What is wrong with the settings, in sentences."""
    found = [
        f"{name} = {value!r}, expected a whole number of pixels above 0"
        for name, value in (("height", settings.height), ("width", settings.width))
        if not _is_whole(value) or value < 1
    ]
    fraction = settings.crop_fraction
    if not _is_number(fraction) or not 0 < fraction <= 1:
        found.append(f"crop_fraction = {fraction!r}, expected a number in (0, 1]")
    for name, value, known in (
        ("crop_mode", settings.crop_mode, get_args(CropMode)),
        ("interpolation", settings.interpolation, get_args(Interpolation)),
    ):
        if value not in known:
            found.append(f"there is no {name} {value!r}: {nearest(str(value), known)}")
    if not _is_whole(settings.channels) or settings.channels not in (1, 3):
        found.append(f"channels = {settings.channels!r}, expected 1 (grayscale) or 3 (RGB)")
    colour: Any = settings.background
    if (
        not _is_row(colour)
        or len(colour) != 3
        or not all(_is_whole(level) and 0 <= level <= 255 for level in colour)
    ):
        found.append(f"background = {colour!r}, expected three whole numbers in 0–255")
    for name, values in (("mean", settings.mean), ("std", settings.std)):
        if not _is_row(values) or not all(_is_number(value) for value in values):
            found.append(f"{name} = {values!r}, expected one number a channel")
        elif values and len(values) != settings.channels:
            found.append(f"{name} has {len(values)} numbers for {settings.channels} channel(s)")
        elif name == "std" and any(value <= 0 for value in values):
            found.append(f"std = {values!r}, expected numbers above 0")
    return found


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return _is_whole(value) or (isinstance(value, float) and math.isfinite(value))


def _is_row(value: object) -> bool:
    return isinstance(value, tuple | list)
