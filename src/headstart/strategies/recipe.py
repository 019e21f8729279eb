"""The recipe: how a phase makes the most of its pictures, beside rates and durations."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from headstart.settings import Number, Positive, Settings
from headstart.strategies.augment import Augment, augment_from

Precision = Literal["auto", "float32", "bfloat16", "float16"]
Share = Annotated[Number, Field(ge=0, lt=1)]
InnerShare = Annotated[Number, Field(gt=0, lt=1)]


class Recipe(Settings):
    """What is done to pictures, labels, gradients and weights while a phase trains.

    Attributes:
        augment: How training pictures are changed: a preset's name, or a table.
        label_smoothing: This share of every label is spread over all classes (Szegedy et al. 2016).
        class_weights: What each class's pictures count in the loss: ``"balanced"`` (N / (classes ·
            N of the class) over the training pictures, as scikit-learn's), or a table class →
            weight, where a class that is not named counts 1.
        ema: Keep the exponential moving average of the weights over the steps of a phase, with this
            decay; it is what is evaluated and kept.
        clip_norm: Gradients of all that learns together are scaled down to this norm at most.
        precision: Of the arithmetic while training. ``"auto"``: ``"bfloat16"`` on a CUDA device
            that has it, else ``"float32"``. Weights stay float32, and predictions are made in it.
    """

    augment: Augment | None = None
    label_smoothing: Share = 0.0
    class_weights: Literal["balanced"] | dict[str, Positive] | None = None
    ema: InnerShare | None = None
    clip_norm: Positive | None = None
    precision: Precision = "auto"

    @model_validator(mode="before")
    @classmethod
    def _named_augmentation(cls, values: Any) -> Any:
        if not isinstance(values, Mapping) or not isinstance(values.get("augment"), str):
            return values
        return {**values, "augment": augment_from(values["augment"])}

    @model_validator(mode="after")
    def _weighs_something(self) -> Self:
        if self.class_weights == {}:
            raise ValueError('class_weights = {} weighs nothing: leave it out, or use "balanced"')
        return self

    @property
    def recipe(self) -> "Recipe":
        """These settings alone, where they are part of larger ones."""
        return Recipe.model_validate({key: getattr(self, key) for key in Recipe.model_fields})
