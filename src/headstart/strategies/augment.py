"""What may happen to training pictures on their way into a network.

Here are the settings; what they do is in `headstart.training.augmented`.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from headstart.errors import nearest
from headstart.settings import Count, Number, Settings

Chance = Annotated[Number, Field(ge=0, le=1)]
Amount = Annotated[Number, Field(ge=0)]

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "none": {},
    "light": {"flip": 0.5, "shift": 0.1},
    "standard": {"flip": 0.5, "crop": 0.5, "colour": 0.2},
    "trivial": {"flip": 0.5, "policy": "trivial_augment"},
}
"""Augmentation by name."""

_MIXING = ("mixup", "cutmix")
_OF_RAND_AUGMENT = ("operations", "magnitude")


class Augment(Settings):
    """How each training picture is changed, anew in every epoch; torchvision's transforms.

    In this order: flips, crop, shift and rotation, colours, policy, erasing, then the mixing of two
    pictures. What is 0 (`crop`: 1) does not happen.

    Attributes:
        flip: The chance of a mirror image, left to right.
        flip_vertical: The chance of one upside down.
        crop: The smallest share of the area that a random crop may keep; the crop (aspect ratio 3/4
            to 4/3) is resized to the picture's size.
        shift: Up to this share of width and height, black coming in.
        rotate: Up to so many degrees either way.
        colour: Brightness, contrast and saturation, each times 1 ± this share.
        hue: Turned by up to this share of the colour circle.
        policy: ``"trivial_augment"``: one operation of random strength (Müller & Hutter 2021);
            ``"rand_augment"``: several of one strength (Cubuk et al. 2020).
        operations: How many RandAugment takes.
        magnitude: Their strength, from 0 to 30.
        erase: The chance that a rectangle of 2 to 33 % of the area becomes black (Zhong et al.
            2020).
        mixup: α of mixup (Zhang et al. 2018): each picture and its label are blended with another's
            by a share from Beta(α, α).
        cutmix: α of CutMix (Yun et al. 2019): a rectangle comes from another picture. With `mixup`
            too, each picture gets one of both, by an even chance.
        views: For phases in which only the head learns, which otherwise see the pictures as they
            are: so many changed views of each picture, made once and taken in turn, an epoch each.
            Other phases do not read it.
    """

    flip: Chance = 0.0
    flip_vertical: Chance = 0.0
    crop: Annotated[Number, Field(gt=0, le=1)] = 1.0
    shift: Annotated[Number, Field(ge=0, lt=1)] = 0.0
    rotate: Annotated[Number, Field(ge=0, le=180)] = 0.0
    colour: Annotated[Number, Field(ge=0, lt=1)] = 0.0
    hue: Annotated[Number, Field(ge=0, le=0.5)] = 0.0
    policy: Literal["trivial_augment", "rand_augment"] | None = None
    operations: Count = 2
    magnitude: Annotated[int, Field(strict=True, ge=0, le=30)] = 9
    erase: Chance = 0.0
    mixup: Amount = 0.0
    cutmix: Amount = 0.0
    views: Count | None = None

    @model_validator(mode="before")
    @classmethod
    def _preset(cls, values: Any) -> Any:
        """Spell a preset out: ``"standard"``, or ``{ preset = "standard", mixup = 0.2 }``."""
        if isinstance(values, str):
            return preset(values)
        if not isinstance(values, Mapping) or "preset" not in values:
            return values
        own = {key: value for key, value in values.items() if key != "preset"}
        return {**preset(values["preset"]), **own}

    @model_validator(mode="after")
    def _has_effect(self) -> Self:
        fields = type(self).model_fields
        if self.policy != "rand_augment":
            idle = [key for key in _OF_RAND_AUGMENT if getattr(self, key) != fields[key].default]
            if idle:
                raise ValueError(
                    f'{", ".join(idle)} has no effect without policy = "rand_augment": leave it out'
                )
        if not self.changes_pictures and self.views is not None:
            raise ValueError(
                f"views = {self.views} has no effect, as nothing changes a single picture: name "
                "what should, for example flip = 0.5, or leave views out"
            )
        return self

    @property
    def changes_pictures(self) -> bool:
        """Whether a picture is changed by itself."""
        passive = {*_MIXING, *_OF_RAND_AUGMENT, "views"}
        fields = type(self).model_fields
        return any(
            getattr(self, key) != field.default
            for key, field in fields.items()
            if key not in passive
        )

    @property
    def is_on(self) -> bool:
        """Whether anything happens at all."""
        return self.changes_pictures or self.mixes

    @property
    def mixes(self) -> bool:
        """Whether pictures, and with them labels, are mixed."""
        return bool(self.mixup or self.cutmix)


def preset(name: Any) -> dict[str, Any]:
    """What a preset's name stands for.

    Raises:
        ValueError: If there is no such preset.
    """
    if name not in PRESETS:
        raise ValueError(f"there is no preset {name!r}; {nearest(str(name), PRESETS)}")
    return dict(PRESETS[name])
