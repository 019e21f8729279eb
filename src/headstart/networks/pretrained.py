"""Pretrained backbones: a timm network with its weights, preprocessing and provenance.

The body is timm's network without its classifier, pooling included; the head is the source's own
classifier, or a new one for a task. Both stay traceable by `torch.fx` where timm's network is.
"""

import copy
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from headstart.data.transforms import Preprocessing
from headstart.errors import DataError, NetworkError
from headstart.networks.bodies import (
    Architecture,
    BodyPlan,
    Features,
    linear_classifier,
    make_body,
    plan_body,
)
from headstart.networks.groups import HEAD, LayerGroup, Network, SourceHead
from headstart.networks.heads import HeadSettings, build_head
from headstart.networks.model_names import Recipe
from headstart.networks.timm_models import empty_model, filled_model, own_tensors
from headstart.networks.weights import Source, read_state
from headstart.networks.weights_search import find_recipe, find_weights, known_package, named_like
from headstart.seeding import generator, stream_seed


@dataclass(frozen=True)
class Backbone:
    """A body with its weights, and what goes with them.

    Attributes:
        network: Body and head; the head is the source's own classifier unless one was asked for.
        preprocessing: What the weights expect of a picture.
        source: Where the weights came from.
        architecture: How to build the body again (`headstart.networks.bodies.build_body`).
        features: How many numbers a picture the body puts out.
        source_classes: What the source was trained to tell apart; 0 where it had no classifier.
        source_head: The source's own classifier, features → its logits; None where it is not a
            single linear layer, for flattened features, and for random weights.
    """

    network: Network
    preprocessing: Preprocessing
    source: Source
    architecture: Architecture
    features: int
    source_classes: int
    source_head: nn.Linear | None

    def with_head(self, head: HeadSettings, classes: int, seed: int) -> Network:
        """A copy of the network with a fresh head for a task; this one stays as it is.

        Args:
            head: What the head is made of.
            classes: How many classes the task has.
            seed: Draws the head's weights, from the same stream as every network of this seed.

        Raises:
            NetworkError: If the head contradicts the task.
        """
        top = build_head(head, self.features, classes, generator(seed, "initial head"))
        body = copy.deepcopy(self.network.body)
        return Network(
            body,
            top,
            self.network.groups,
            pretrained=self.network.pretrained,
            source_head=None if self.source_head is None else SourceHead(self.source_head),
        )


def load_backbone(
    model: str,
    *,
    weights: Path | str | None = None,
    image_size: int | tuple[int, int] | None = None,
    channels: int = 3,
    features: Features = "pooled",
    head: HeadSettings | None = None,
    classes: int | None = None,
    seed: int = 0,
    pretrained: bool = True,
    safetensors_only: bool = True,
) -> Backbone:
    """A timm network with pretrained weights.

    The weights are looked for in turn: `weights` if given; the Hugging Face cache on this machine;
    an installed package; the hub.

    Args:
        model: Timm's name, with or without a tag (``"resnet18"``, ``"vgg16.tv_in1k"``), or
            ``"hf-hub:owner/name"``.
        weights: A safetensors file, a PyTorch state dict (read with ``weights_only=True``), or a
            folder that holds one.
        image_size: Height and width of the pictures in pixels, one number for squares; what the
            weights were made for when omitted.
        channels: 3, or 1 for grayscale: the first convolution is then summed over colours, mean and
            standard deviation are averaged.
        features: What the body puts out: pooled features, or the flattened feature map.
        head: The new head; needs `classes`. A linear one when omitted.
        classes: How many classes the new head is for; the source's own classifier stays when
            omitted.
        seed: Draws what is not loaded: the new head, or everything where `pretrained` is false.
        pretrained: False for random weights, as a control: nothing is looked for then.
        safetensors_only: Whether a hub's PyTorch files are left alone.

    Raises:
        NetworkError: If the name is unknown, the weights cannot be had or are another network's, or
            the network cannot take such pictures; the message says how to go on.
    """
    _check_options(weights, head, classes, channels, pretrained)
    path = None if weights is None else Path(weights).expanduser()
    recipe = find_recipe(model, path)
    architecture = Architecture(
        name=recipe.architecture,
        picture_size=_picture_size(image_size, recipe),
        channels=1 if channels == 1 else 3,
        classes=int(recipe.config.get("num_classes") or 0),
        features=features,
        arguments=dict(recipe.arguments),
    )
    preprocessing = _preprocessing(recipe, architecture)
    if pretrained:
        full, plan, source = _loaded(recipe, path, architecture, safetensors_only)
    else:
        full, plan, source = _random(recipe, architecture, seed)
    own_head = linear_classifier(full) if features == "pooled" else None
    body = make_body(full, plan)
    top = _head(recipe, own_head, head, classes, body.features, seed)
    groups = [*body.groups, LayerGroup(HEAD, (HEAD,))]
    return Backbone(
        Network(body.module, top, groups, pretrained=pretrained),
        preprocessing,
        source,
        plan.architecture,
        body.features,
        plan.architecture.classes if pretrained else 0,
        own_head if pretrained else None,
    )


def _loaded(
    recipe: Recipe, weights: Path | None, architecture: Architecture, safetensors_only: bool
) -> tuple[nn.Module, BodyPlan, Source]:
    """The network with its classifier, filled from a file.

    Whether it takes such pictures is found out first, so that a wrong size is not told as wrong
    weights.
    """
    path, source = find_weights(recipe, weights, safetensors_only=safetensors_only)
    plan = plan_body(recipe, architecture)
    state = read_state(path)
    package = known_package(source.sha256)
    if package is not None:
        source = replace(source, licence=package.licence, url=package.url)
        state = named_like(state, own_tensors(recipe))
    full = filled_model(
        recipe,
        state,
        channels=architecture.channels,
        picture_size=architecture.picture_size,
        file_name=path.name,
    )
    classes = int(getattr(full, "num_classes", 0))
    filled = architecture.model_copy(update={"classes": classes})
    return full, replace(plan, architecture=filled), source


def _random(
    recipe: Recipe, architecture: Architecture, seed: int
) -> tuple[nn.Module, BodyPlan, Source]:
    """The network with its classifier, freshly drawn."""
    plan = plan_body(recipe, architecture)
    full = empty_model(
        recipe,
        channels=architecture.channels,
        picture_size=architecture.picture_size,
        classes=architecture.classes,
        seed=stream_seed(seed, "initial body"),
    )
    return full, plan, Source("random", recipe.architecture, "random weights")


def _head(
    recipe: Recipe,
    own: nn.Linear | None,
    settings: HeadSettings | None,
    classes: int | None,
    features: int,
    seed: int,
) -> nn.Module:
    """The new head that was asked for, else a copy of the source's own classifier."""
    if classes is not None:
        rng = generator(seed, "initial head")
        return build_head(settings or HeadSettings(), features, classes, rng)
    if own is None:
        raise NetworkError(
            f"{recipe.name} has no linear classifier of its own on these features: say for how "
            "many classes the new head is"
        )
    head = nn.Sequential()
    head.add_module("output", copy.deepcopy(own))
    return head


def _preprocessing(recipe: Recipe, architecture: Architecture) -> Preprocessing:
    """What the weights' own configuration says about pictures."""
    config = recipe.config
    mean, std = tuple(config["mean"]), tuple(config["std"])
    if architecture.channels != len(mean):
        mean, std = ((sum(values) / len(values),) * architecture.channels for values in (mean, std))
    height, width = architecture.picture_size
    try:
        return Preprocessing(
            height=height,
            width=width,
            # A few weights say more than 1: the picture is then to be padded, which is left out.
            crop_fraction=min(1.0, config["crop_pct"]),
            crop_mode=config["crop_mode"],
            interpolation=config["interpolation"],
            channels=architecture.channels,
            mean=mean,
            std=std,
        )
    except DataError as error:
        raise NetworkError(*(f"{recipe.name}: {each}" for each in error.problems)) from error


def _picture_size(image_size: int | tuple[int, int] | None, recipe: Recipe) -> tuple[int, int]:
    """Height and width in pixels, from what was asked for or from the weights."""
    if image_size is None:
        return recipe.picture_size
    size = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
    least = recipe.config.get("min_input_size") or (0, 1, 1)
    if len(size) != 2 or size[0] < least[1] or size[1] < least[2]:
        raise NetworkError(
            f"image_size = {image_size!r}: expected a side, or height and width, of at least "
            f"{least[1]} × {least[2]} pixels for {recipe.name}"
        )
    return size


def _check_options(
    weights: Path | str | None,
    head: HeadSettings | None,
    classes: int | None,
    channels: int,
    pretrained: bool,
) -> None:
    """Refuse what cannot be, and what would have no effect."""
    problems = []
    if channels not in (1, 3):
        problems.append(f"channels = {channels!r}, expected 1 (grayscale) or 3 (RGB)")
    if head is not None and classes is None:
        problems.append("head says what the new head is made of, but not for how many classes: "
                        "give classes as well")  # fmt: skip
    if weights is not None and not pretrained:
        problems.append("weights has no effect with pretrained = False: leave one of them out")
    if problems:
        raise NetworkError(*problems)
