"""Sources: trained weights on disk, as safetensors with a JSON description beside them.

A source is never changed: it is read from its file and copied into each trial's own network. What
was only initialised, never trained or loaded, is not a source.
"""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from headstart.data.scaling import Scaling, ScalingKind
from headstart.errors import NetworkError
from headstart.networks.builders import NetworkSettings
from headstart.networks.groups import Network, SourceHead, weights_hash
from headstart.networks.heads import HeadSettings, build_head
from headstart.seeding import generator
from headstart.settings import Settings, Whole, describe_problems


class SourceDescription(Settings):
    """What stands in the JSON file beside a source's weights.

    Attributes:
        format: Version of this description.
        network: The body's settings.
        head: The settings of the head that it was trained with.
        picture_shape: Height, width, channels.
        class_names: What it was trained to tell apart.
        steps: Optimiser steps that it was trained for.
        val_accuracy: On its own validation split, a share.
        val_loss: On the same, in nats.
        weights_hash: `headstart.networks.groups.weights_hash` of the whole network.
        scaling: The kind of scaling that its pictures had; the numbers are beside its weights.
        origin: Where it came from, in words.
    """

    format: Literal[1] = 1
    network: NetworkSettings
    head: HeadSettings
    picture_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    steps: Annotated[Whole, Field(ge=0)]
    val_accuracy: float | None
    val_loss: float | None
    weights_hash: str
    scaling: ScalingKind
    origin: str


def description_path(weights: Path) -> Path:
    """Where the description of a weights file lies."""
    return weights.with_suffix(".json")


def save_source(
    network: Network, scaling: Scaling, description: SourceDescription, weights: Path
) -> None:
    """Write a network's weights and its description, each complete or not at all.

    Raises:
        NetworkError: If they cannot be written.
    """
    temporary = weights.with_name(f".{weights.name}.{os.getpid()}")
    state = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
    state["scaling.shift"] = torch.from_numpy(scaling.shift)
    state["scaling.divisor"] = torch.from_numpy(scaling.divisor)
    try:
        weights.parent.mkdir(parents=True, exist_ok=True)
        save_file(state, temporary)
        temporary.replace(weights)
        temporary.write_text(description.model_dump_json(indent=2), encoding="utf-8")
        temporary.replace(description_path(weights))
    except (OSError, SafetensorError) as error:
        raise NetworkError(
            f"{weights} cannot be written ({error}): make room on the disk, or choose a folder "
            "that can be written"
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def read_description(weights: Path) -> SourceDescription:
    """The description beside a weights file.

    Raises:
        NetworkError: If it is missing or not one of ours.
    """
    path = description_path(weights)
    values: Any = None
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return SourceDescription.model_validate(values)
    except FileNotFoundError:
        raise NetworkError(
            f"{weights.name} has no description {path.name} beside it: a source is a pair of files "
            "written by headstart (weights and their description)"
        ) from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise NetworkError(f"{path} cannot be read: {error}") from error
    except ValidationError as error:
        problems = describe_problems(error, SourceDescription, where=path.name, values=values)
        raise NetworkError(*problems) from error


def start_from(network: Network, weights: Path) -> SourceDescription:
    """Copy a source's body into a network; the head stays as it is, the source's comes beside it.

    Args:
        network: The trial's own network, changed in place.
        weights: The source's safetensors file, only read.

    Raises:
        NetworkError: If the files are missing, damaged, untrained, or of another network.
    """
    description, state = _read_source(weights)
    if description.steps < 1:
        raise NetworkError(
            f"{weights.name} was never trained: copying random weights is not transfer. Train the "
            "source, or use the strategy scratch"
        )
    body = {key: value for key, value in state.items() if key.startswith("body.")}
    own = {k: v for k, v in network.state_dict().items() if k.startswith("body.")}
    problems = [f"{weights.name} lacks {key!r}" for key in own if key not in body]
    problems += [
        f"{weights.name} has {key!r}, which the network lacks" for key in body if key not in own
    ]
    problems += [
        f"{key!r} is {tuple(body[key].shape)} in {weights.name}, {tuple(own[key].shape)} here"
        for key in own
        if key in body and body[key].shape != own[key].shape
    ]
    if problems:
        raise NetworkError(*problems, "the source must be a network of the same [network] table")
    network.load_state_dict(body, strict=False)
    network.pretrained = True
    network.source_head = _source_head(description, state)
    return description


def _source_head(description: SourceDescription, state: dict[str, Tensor]) -> SourceHead:
    """The head that a source was trained with."""
    own = {k.removeprefix("head."): v for k, v in state.items() if k.startswith("head.")}
    features = next(value.shape[1] for value in own.values() if value.ndim == 2)
    classes = len(description.class_names)
    head = build_head(description.head, features, classes, generator(0, "source head"))
    head.load_state_dict(own)  # nothing drawn is left
    return SourceHead(head)


def read_scaling(weights: Path) -> Scaling:
    """The scaling that a source's pictures had, and that its features need again.

    Raises:
        NetworkError: If the file is missing, damaged, or holds no scaling.
    """
    state = _read_state(weights)
    if not {"scaling.shift", "scaling.divisor"} <= set(state):
        raise NetworkError(f"{weights.name} does not say how its pictures were scaled")
    return Scaling(state["scaling.shift"].numpy(), state["scaling.divisor"].numpy())


def check_source(weights: Path) -> SourceDescription:
    """Check a source's weights against the hash in its description.

    Raises:
        NetworkError: If the weights are not those that were described.
    """
    return _read_source(weights)[0]


def _read_source(weights: Path) -> tuple[SourceDescription, dict[str, Tensor]]:
    description, state = read_description(weights), _read_state(weights)
    if weights_hash(_network_state(state)) != description.weights_hash:
        raise NetworkError(
            f"{weights.name} is damaged: its weights do not have the hash in its description. "
            "Delete both files so that the source is trained again, or restore them"
        )
    return description, state


def _network_state(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: value for key, value in state.items() if not key.startswith("scaling.")}


def _read_state(weights: Path) -> dict[str, Tensor]:
    try:
        return load_file(weights)
    except FileNotFoundError:
        raise NetworkError(f"there is no weights file {weights}") from None
    except (OSError, SafetensorError) as error:
        raise NetworkError(
            f"{weights.name} is not a readable safetensors file ({error}): restore it, or delete "
            "it so that it is made again"
        ) from error
