"""Heads: the new top of a network, made for a task.

What a head puts out follows from the task: two classes need one unit and a sigmoid, more need one
unit a class and a softmax. A softmax over one unit is always 1, so it cannot be built: such a
network answers the same for every picture, whatever it learned.
"""

from typing import Annotated, Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from headstart.errors import NetworkError
from headstart.networks.layers import Activation, Initialisation, activation, dense
from headstart.settings import Count, Number, Settings


class HeadSettings(Settings):
    """What stands on top of the body.

    Attributes:
        hidden: Sizes of hidden dense layers between the features and the output.
        activation: After each hidden layer.
        dropout: Share of hidden units dropped after each hidden layer, in [0, 1).
        init: How the weights are drawn; biases start at 0.
        output: ``"auto"`` follows from the task: a sigmoid for two classes, else a softmax.
        units: Only to state what is expected; it must agree with the task and the output.
    """

    hidden: tuple[Count, ...] = ()
    activation: Activation = "relu"
    dropout: Annotated[Number, Field(ge=0, lt=1)] = 0.0
    init: Initialisation = "glorot_uniform"
    output: Literal["auto", "sigmoid", "softmax"] = "auto"
    units: Count | None = None

    @model_validator(mode="after")
    def _can_be_built(self) -> Self:
        if self.output == "softmax" and self.units == 1:
            raise ValueError(
                "a softmax over one unit is always 1, so the network would answer the same for "
                'every picture whatever it learned: use output = "sigmoid" with one unit, or '
                "leave output and units out"
            )
        if self.output == "sigmoid" and self.units not in (None, 1):
            raise ValueError(
                f"a sigmoid is one unit, but units = {self.units}: leave output and units out, or "
                'use output = "softmax" with one unit a class'
            )
        fields = type(self).model_fields
        idle = [
            key
            for key in ("activation", "dropout")
            if not self.hidden and getattr(self, key) != fields[key].default
        ]
        if idle:
            raise ValueError(
                f"{', '.join(idle)} has no effect in a head without hidden layers: leave it out, "
                "or give sizes in hidden"
            )
        return self


def output_units(settings: HeadSettings, classes: int) -> int:
    """How many units the head puts out for a task.

    Args:
        settings: The head's settings.
        classes: How many classes the task has, at least 2.

    Raises:
        NetworkError: If output or units contradict the task.
    """
    if classes < 2:
        raise NetworkError(f"a head tells at least two classes apart, but the task has {classes}")
    if settings.output == "sigmoid" and classes > 2:
        raise NetworkError(
            f'head.output = "sigmoid" tells two classes apart, but the task has {classes}: use '
            '"softmax" or "auto"'
        )
    units = classes if settings.output == "softmax" or classes > 2 else 1
    if settings.units is not None and settings.units != units:
        raise NetworkError(
            f"head.units = {settings.units}, but {classes} classes with output = "
            f"{settings.output!r} need {units}: leave units out"
        )
    return units


def build_head(
    settings: HeadSettings, features: int, classes: int, rng: np.random.Generator
) -> nn.Sequential:
    """A head for a task, freshly initialised.

    Args:
        settings: What it is made of.
        features: How many numbers a picture the body puts out.
        classes: How many classes the task has.
        rng: Draws the weights.

    Returns:
        Modules that take (N, features) and give logits (N, units).

    Raises:
        NetworkError: If the settings contradict the task.
    """
    head, width = nn.Sequential(), features
    for number, size in enumerate(settings.hidden, 1):
        head.add_module(f"dense_{number}", dense(width, size, settings.init, rng))
        head.add_module(f"{settings.activation}_{number}", activation(settings.activation))
        if settings.dropout:
            head.add_module(f"dropout_{number}", nn.Dropout(settings.dropout))
        width = size
    units = output_units(settings, classes)
    head.add_module("output", dense(width, units, settings.init, rng))
    return head


def zero_output(head: nn.Module) -> None:
    """Put a head's last dense layer to 0, so that every class starts equally likely.

    Raises:
        NetworkError: If it has none.
    """
    layers = [module for module in head.modules() if isinstance(module, nn.Linear)]
    if not layers:
        raise NetworkError("the head has no dense layer that could start at zero")
    with torch.no_grad():
        for parameter in layers[-1].parameters():
            parameter.zero_()


def solvable_layer(head: nn.Module) -> str | None:
    """The name, within a head, of the linear layer that is all that it learns with.

    Returns:
        ``""`` where the head is that layer itself; None where something else learns, too, or stands
        behind the layer: such a head cannot be solved on its features at once.
    """
    parts = list(head.named_modules())
    learning = [name for name, module in parts if list(module.parameters(recurse=False))]
    name, last = parts[-1]
    fits = isinstance(last, nn.Linear) and last.bias is not None
    return name if fits and learning == [name] else None


def loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy in nats of logits (N, units) and class numbers (N,).

    One unit is the logit of class 1 (a sigmoid); more are one a class (a softmax).
    """
    if logits.shape[1] == 1:
        return functional.binary_cross_entropy_with_logits(logits[:, 0], labels.to(logits.dtype))
    return functional.cross_entropy(logits, labels)


def two_columns(logits: Tensor) -> Tensor:
    """Logits (N, classes) of logits (N, units): one unit is the logit of class 1 of two."""
    if logits.shape[1] > 1:
        return logits
    return torch.cat([torch.zeros_like(logits), logits], dim=1)


def probabilities(logits: Tensor) -> Tensor:
    """Class probabilities (N, classes) of logits (N, units)."""
    if logits.shape[1] == 1:
        return torch.cat([torch.sigmoid(-logits), torch.sigmoid(logits)], dim=1)
    return torch.softmax(logits, dim=1)
