"""Bodies: timm's networks without their classifiers, and what they put out."""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from headstart.errors import NetworkError
from headstart.networks.body_groups import claimed_groups, timm_owners
from headstart.networks.compiler import without_compiler
from headstart.networks.groups import LayerGroup
from headstart.networks.model_names import Recipe, recipe_of
from headstart.networks.timm_models import REFUSALS, empty_model
from headstart.settings import Settings

Features = Literal["pooled", "flattened"]


class Architecture(Settings):
    """All that is needed to build a backbone's body again, without its weights.

    Attributes:
        name: Timm's name of the network, without a tag.
        picture_size: Height and width of its pictures, in pixels.
        channels: Of its pictures: 1 or 3.
        classes: Of the classifier that is taken off.
        features: ``"pooled"`` as timm pools them; ``"flattened"`` for the feature map as one row.
        arguments: Timm's further arguments, from the weights' own description.
    """

    name: str
    picture_size: tuple[int, int]
    channels: Literal[1, 3] = 3
    classes: int = Field(default=1000, ge=0)
    features: Features = "pooled"
    arguments: dict[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True)
class Body:
    """A body and its layer groups.

    Attributes:
        module: Pictures (N, channels, height, width) → features (N, `features`).
        groups: Of the body within a network, stem first.
        features: How many numbers a picture it puts out.
    """

    module: nn.Module
    groups: tuple[LayerGroup, ...]
    features: int


class FlattenedFeatures(nn.Module):
    """A timm network up to its feature map, as one row a picture.

    Attributes:
        model: The network, without what stands behind its map (pooling, VGG's dense layers).
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pictures: Tensor) -> Tensor:
        """The feature map, shape (N, numbers), of pictures, shape (N, channels, height, width)."""
        features: Tensor = self.model.forward_features(pictures)  # type: ignore[operator]
        return features.flatten(1)


@dataclass(frozen=True)
class BodyPlan:
    """What taking the classifier off a network comes to, found out without any weights.

    Attributes:
        architecture: Which network, for which pictures.
        features: How many numbers a picture the body puts out.
        unused: Children of the network that the body does not need.
    """

    architecture: Architecture
    features: int
    unused: tuple[str, ...] = ()


def plan_body(recipe: Recipe, architecture: Architecture) -> BodyPlan:
    """Find out whether a network takes such pictures, and what its body puts out.

    Raises:
        NetworkError: If it does not; the message has the network's own reason.
    """
    height, width = architecture.picture_size
    skeleton = empty_model(
        recipe,
        channels=architecture.channels,
        picture_size=architecture.picture_size,
        classes=architecture.classes,
    ).eval()
    picture = torch.empty(1, architecture.channels, height, width, device="meta")
    try:
        body = _without_classifier(skeleton, architecture.features)
        with without_compiler():
            unused = _unused_children(body, skeleton, picture)
            shape = tuple(_make(body, skeleton, unused)(picture).shape)
    except REFUSALS as error:
        raise NetworkError(
            f"{recipe.architecture} does not give {architecture.features} features for pictures of "
            f"{height} × {width} ({_reason(error)}); its weights were made for "
            f"{recipe.picture_size[0]} × {recipe.picture_size[1]}"
        ) from error
    if len(shape) != 2:
        raise NetworkError(
            f"{recipe.architecture} puts out features of shape {shape[1:]} a picture, expected one "
            'row: use features = "flattened"'
        )
    return BodyPlan(architecture, shape[1], unused)


def make_body(model: nn.Module, plan: BodyPlan) -> Body:
    """The body of a network that has its classifier still; the network is used up.

    Args:
        model: As `plan.architecture` says, with its classifier.
        plan: From `plan_body`.
    """
    body = _without_classifier(model, plan.architecture.features)
    module = _make(body, model, plan.unused)
    owners = timm_owners(model)
    if module is not model:
        owners = {f"model.{name}": group for name, group in owners.items()}
    return Body(module, claimed_groups(module, owners), plan.features)


def build_body(architecture: Architecture, seed: int = 0) -> Body:
    """A backbone's body again, with random weights that are meant to be overwritten.

    Args:
        architecture: From the backbone.
        seed: Draws the weights.

    Raises:
        NetworkError: If this version of timm does not build such a network.
    """
    recipe = recipe_of(architecture.name).with_arguments(architecture.arguments)
    plan = plan_body(recipe, architecture)
    model = empty_model(
        recipe,
        channels=architecture.channels,
        picture_size=architecture.picture_size,
        classes=architecture.classes,
        seed=seed,
    )
    return make_body(model, plan)


def linear_classifier(model: nn.Module) -> nn.Linear | None:
    """A copy of a network's classifier, features → logits, if it is a single linear layer.

    A 1 × 1 convolution on pooled features is one, too.
    """
    find = getattr(model, "get_classifier", None)
    found = find() if find else None
    if not isinstance(found, nn.Linear | nn.Conv2d):
        return None
    weight = found.weight.detach()
    if weight.numel() != weight.shape[0] * weight.shape[1]:
        return None
    linear = nn.Linear(
        weight.shape[1], weight.shape[0], bias=found.bias is not None, device="meta"
    ).to_empty(device="cpu")
    with torch.no_grad():
        linear.weight.copy_(weight.reshape(weight.shape[:2]))
        if found.bias is not None:
            linear.bias.copy_(found.bias)
    return linear


def _without_classifier(model: nn.Module, features: Features) -> nn.Module:
    if getattr(model, "num_classes", 0):
        model.reset_classifier(0)  # type: ignore[operator]
    return model if features == "pooled" else FlattenedFeatures(model)


def _unused_children(body: nn.Module, model: nn.Module, picture: Tensor) -> tuple[str, ...]:
    """The model's children on whose parameters a picture's flattened features do not depend."""
    if body is model:
        return ()
    parameters = dict(model.named_parameters())
    slopes: tuple[Tensor | None, ...] = torch.autograd.grad(
        body(picture).sum(), list(parameters.values()), allow_unused=True
    )
    used = {
        name.partition(".")[0]
        for name, slope in zip(parameters, slopes, strict=True)
        if slope is not None
    }
    unused = {name.partition(".")[0] for name in parameters} - used
    return tuple(name for name, _ in model.named_children() if name in unused)


def _make(body: nn.Module, model: nn.Module, unused: tuple[str, ...]) -> nn.Module:
    """The body with what it does not need taken out of the model."""
    for name in unused:
        setattr(model, name, nn.Identity())
    return body


def _reason(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__
