"""Networks built here: `mlp` and `cnn`, as ordered layer groups with a head for the task."""

import copy
from typing import Annotated, Any, Literal, Self

import numpy as np
import torch
from pydantic import Discriminator, Field, Tag, model_validator
from torch import nn

from headstart.errors import NetworkError
from headstart.networks.groups import Network, chain
from headstart.networks.heads import HeadSettings, build_head
from headstart.networks.layers import Activation, Initialisation, activation, convolution, dense
from headstart.seeding import generator
from headstart.settings import Count, Number, Settings


class MlpSettings(Settings):
    """Dense layers on the flattened picture.

    Attributes:
        hidden: Sizes of the dense layers, stem first; each is a layer group, ``dense_1`` on.
        activation: After each dense layer.
        init: How the weights are drawn; biases start at 0.
    """

    kind: Literal["mlp"]
    hidden: Annotated[tuple[Count, ...], Field(min_length=1)]
    activation: Activation = "relu"
    init: Initialisation = "glorot_uniform"


class Convolution(Settings):
    """A square convolution with its activation: ``{conv = 32, kernel = 3}``."""

    conv: Count
    kernel: Count = 3
    stride: Count = 1
    padding: Literal["valid", "same"] = "valid"
    activation: Activation = "relu"

    @model_validator(mode="after")
    def _can_pad(self) -> Self:
        if self.padding == "same" and self.stride != 1:
            raise ValueError('padding = "same" needs stride = 1')
        return self


class Pooling(Settings):
    """Max (or mean) pooling over squares that do not overlap: ``{pool = 2}``."""

    pool: Count
    mode: Literal["max", "mean"] = "max"


class Dropout(Settings):
    """Dropout: ``{dropout = 0.25}``, the share of numbers set to zero while training."""

    dropout: Annotated[Number, Field(gt=0, lt=1)]


class Dense(Settings):
    """A dense layer with its activation, on the flattened features: ``{dense = 128}``."""

    dense: Count
    activation: Activation = "relu"


class BatchNorm(Settings):
    """Batch normalisation of the channels: ``{batch_norm = true}``."""

    batch_norm: Literal[True]


_LAYER_KEYS = {
    "conv": Convolution,
    "pool": Pooling,
    "dropout": Dropout,
    "dense": Dense,
    "batch_norm": BatchNorm,
}


def _layer_key(value: Any) -> str | None:
    keys = value if isinstance(value, dict) else getattr(value, "__dict__", {})
    return next((key for key in _LAYER_KEYS if key in keys), None)


Layer = Annotated[
    Annotated[Convolution, Tag("tag:conv")]
    | Annotated[Pooling, Tag("tag:pool")]
    | Annotated[Dropout, Tag("tag:dropout")]
    | Annotated[Dense, Tag("tag:dense")]
    | Annotated[BatchNorm, Tag("tag:batch_norm")],
    Discriminator(
        lambda value: f"tag:{_layer_key(value)}",
        custom_error_type="layer_kind",
        custom_error_message="a layer is one of {conv = N}, {pool = N}, {dropout = P}, "
        "{dense = N}, {batch_norm = true}",
    ),
]


class CnnSettings(Settings):
    """A short list of layers; what follows a weighted layer belongs to its group.

    Attributes:
        layers: For example ``[{conv = 32, kernel = 3}, {pool = 2}, {dropout = 0.25}]``; the
            features are flattened before the first dense layer, or at the end.
        init: How the weights are drawn; biases start at 0.
    """

    kind: Literal["cnn"]
    layers: Annotated[tuple[Layer, ...], Field(min_length=1)]
    init: Initialisation = "glorot_uniform"

    @model_validator(mode="after")
    def _is_in_order(self) -> Self:
        kinds = [_layer_key(layer) for layer in self.layers]
        if kinds[0] != "conv":
            raise ValueError("the first layer must be a convolution: {conv = N}")
        if "dense" in kinds and {"conv", "pool", "batch_norm"} & set(kinds[kinds.index("dense") :]):
            raise ValueError("after a dense layer only dense layers and dropout can follow")
        return self


NetworkSettings = Annotated[MlpSettings | CnnSettings, Field(discriminator="kind")]


def build_network(
    settings: MlpSettings | CnnSettings,
    head: HeadSettings,
    picture_shape: tuple[int, int, int],
    classes: int,
    seed: int,
) -> Network:
    """A fresh network.

    Body and head draw from streams of their own: all networks of one seed have the same initial
    head, whatever is below it.

    Args:
        settings: The body.
        head: The head.
        picture_shape: Height, width, channels of one picture.
        classes: How many classes the task has.
        seed: Draws the weights.

    Raises:
        NetworkError: If a picture is too small for the layers, or the head contradicts the task.
    """
    rng = generator(seed, "initial body")
    if isinstance(settings, MlpSettings):
        body, groups, features = _mlp(settings, picture_shape, rng)
    else:
        body, groups, features = _cnn(settings, picture_shape, rng)
    top = build_head(head, features, classes, generator(seed, "initial head"))
    return chain(body, top, groups)


_Parts = tuple[dict[str, nn.Module], dict[str, list[str]], int]


def _mlp(settings: MlpSettings, shape: tuple[int, int, int], rng: np.random.Generator) -> _Parts:
    body: dict[str, nn.Module] = {"flatten": nn.Flatten()}
    groups: dict[str, list[str]] = {}
    width = int(np.prod(shape))
    for number, size in enumerate(settings.hidden, 1):
        name, bend = f"dense_{number}", f"{settings.activation}_{number}"
        body[name] = dense(width, size, settings.init, rng)
        body[bend] = activation(settings.activation)
        groups[name] = [name, bend] if groups else ["flatten", name, bend]
        width = size
    return body, groups, width


def _cnn(settings: CnnSettings, shape: tuple[int, int, int], rng: np.random.Generator) -> _Parts:
    body: dict[str, nn.Module] = {}
    groups: dict[str, list[str]] = {}
    size = torch.Size((1, shape[2], shape[0], shape[1]))
    counts: dict[str, int] = {}
    group = ""

    def add(kind: str, module: nn.Module) -> str:
        nonlocal size
        counts[kind] = counts.get(kind, 0) + 1
        name = f"{kind}_{counts[kind]}"
        size = _shape_after(module, size, name, shape)
        body[name] = module
        if group:
            groups[group].append(name)
        return name

    for layer in settings.layers:
        if isinstance(layer, Convolution | Dense):
            kind = "conv" if isinstance(layer, Convolution) else "dense"
            if kind == "dense" and len(size) > 2:
                add("flatten", nn.Flatten())
            group = f"{kind}_{counts.get(kind, 0) + 1}"
            groups[group] = []
            if isinstance(layer, Convolution):
                module: nn.Module = convolution(
                    size[1], layer.conv, layer.kernel, layer.stride, layer.padding,
                    settings.init, rng,
                )  # fmt: skip
            else:
                module = dense(size[1], layer.dense, settings.init, rng)
            add(kind, module)
            add(layer.activation, activation(layer.activation))
        elif isinstance(layer, Pooling):
            pooling = nn.MaxPool2d if layer.mode == "max" else nn.AvgPool2d
            add("pool", pooling(layer.pool))
        elif isinstance(layer, Dropout):
            add("dropout", nn.Dropout(layer.dropout))
        else:
            add("batch_norm", nn.BatchNorm2d(size[1]))
    if len(size) > 2:
        add("flatten", nn.Flatten())
    return body, groups, size[1]


def _shape_after(
    module: nn.Module, size: torch.Size, name: str, picture: tuple[int, int, int]
) -> torch.Size:
    """The output's shape of one more module, for one picture."""
    try:
        with torch.inference_mode():
            shape: torch.Size = copy.deepcopy(module).eval()(torch.zeros(size)).shape
        return shape
    except RuntimeError as error:
        raise NetworkError(
            f"network.layers: {name} cannot take features of {size[2]} × {size[3]} (a picture is "
            f"{picture[0]} × {picture[1]}): use a smaller kernel or fewer poolings"
        ) from error
