"""The recipe: how a phase makes the most of its pictures, beside rates and durations."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from headstart.settings import Number, Positive, Settings
from headstart.strategies.augment import Augment

Precision = Literal["auto", "float32", "bfloat16", "float16"]
Share = Annotated[Number, Field(ge=0, lt=1)]
Amount = Annotated[Number, Field(ge=0)]


class Recipe(Settings):
    """What is done to pictures, labels, gradients and weights while a phase trains.

    Attributes:
        augment: How training pictures are changed: a preset's name, or a table.
        order: ``"shuffled"`` anew in every epoch; ``"by_class"``: one class after the other, always
            the same, as a generator gives them that reads class folders unshuffled. Only to see
            what that costs.
        label_smoothing: This share of every label is spread over all classes (Szegedy et al. 2016).
        class_weights: What each class's pictures count in the loss: ``"balanced"`` (N / (classes ·
            N of the class) over the training pictures, as scikit-learn's), or a table class →
            weight, where a class that is not named counts 1; ``"none"``: all count alike.
        ema: Keep the exponential moving average of the weights over the steps of a phase, with this
            decay; it is what is evaluated and kept. 0: the weights themselves.
        clip_norm: Gradients of all that learns together are scaled down to this norm at most. 0:
            they are left as they are.
        precision: Of the arithmetic while training. ``"auto"``: ``"bfloat16"`` on a CUDA device
            that has it, else ``"float32"``. Weights stay float32, and predictions are made in it.
    """

    augment: Augment = Augment()
    order: Literal["shuffled", "by_class"] = "shuffled"
    label_smoothing: Share = 0.0
    class_weights: Literal["none", "balanced"] | dict[str, Positive] = "none"
    ema: Share = 0.0
    clip_norm: Amount = 0.0
    precision: Precision = "auto"

    @model_validator(mode="after")
    def _weighs_something(self) -> Self:
        if self.class_weights == {}:
            raise ValueError('class_weights = {} weighs nothing: leave it out, or use "balanced"')
        return self

    @property
    def recipe(self) -> "Recipe":
        """These settings alone, where they are part of larger ones."""
        return Recipe.model_validate({key: getattr(self, key) for key in Recipe.model_fields})


PLAIN = Recipe()
"""Pictures, labels, gradients and weights as they are."""
