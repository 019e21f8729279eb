"""Networks from Keras files: ``.keras`` and ``.h5``, saved by Keras 2 or 3, without Keras.

The file is read as JSON and plain arrays; no code in it is run. What Keras needs for its own
training alone (``trainable`` flags, the state of optimisers, losses, metrics) has no effect here.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field
from torch import nn

from headstart.errors import NetworkError
from headstart.networks.groups import HEAD, LayerGroup, Network
from headstart.networks.keras_archive import KerasFile, open_keras
from headstart.networks.keras_assembly import Assembly, assemble
from headstart.networks.keras_graph import Entry, Model, calls_of, read_model
from headstart.networks.keras_layers import TRAINING_ONLY
from headstart.networks.keras_modules import ChannelsLastFlatten, GlobalPool
from headstart.networks.keras_vgg import vgg_architecture
from headstart.networks.keras_weights import Array, read_weights
from headstart.settings import Count, Settings

_LONGEST_EDGE = 65_536
_MOST_NUMBERS = 2**32  # in all arrays together; sixteen gigabytes
# How keras.applications prepare pictures, by the start of the model's name; the first that fits.
_APPLICATIONS = (
    (("efficientnet", "mobilenetv3", "convnext", "regnet"), "raw"),
    (("resnet50v2", "resnet101v2", "resnet152v2"), "tf"),
    (("mobilenet", "inception", "xception", "nasnet"), "tf"),
    (("densenet",), "torch"),
    (("vgg16", "vgg19", "resnet50", "resnet101", "resnet152"), "caffe"),
)
_MODES = {
    "raw": "pictures of 0 to 255, which the network rescales by itself",
    "tf": "pictures of -1 to 1, that is value / 127.5 - 1",
    "torch": "pictures of 0 to 1 minus (0.485, 0.456, 0.406), by (0.229, 0.224, 0.225)",
    "caffe": "pictures of 0 to 255, blue first, minus (103.939, 116.779, 123.68)",
}


class KerasArray(Settings):
    """The shape of one array.

    Attributes:
        layer: The layer's path: its name, after the names of the models around it.
        name: Keras' name for the array.
        shape: In Keras' own order.
    """

    layer: tuple[str, ...]
    name: str
    shape: tuple[Count, ...]


class KerasDescription(Settings):
    """All that a Keras file says of its network but the weights, as plain data.

    Attributes:
        architecture: The file's own JSON.
        keras: The major version of Keras that wrote it.
        arrays: The shapes of the weights.
        features: What is done to a body that ends in a feature map: nothing, or see `with_row`.
    """

    architecture: dict[str, Any]
    keras: Annotated[int, Field(ge=1)]
    arrays: tuple[KerasArray, ...]
    features: Literal["map", "pooled", "flattened"] = "map"


@dataclass(frozen=True)
class KerasNetwork:
    """A network from a Keras file, and what the file says about it.

    Attributes:
        network: Takes float32 pictures (N, C, H, W) in the range that the Keras model took and
            gives logits (N, units): a last softmax or sigmoid was taken off. In evaluation mode.
            The head is the last Dense, or an identity where the file has no Dense at its end
            (``include_top=False``). Layer groups bear the names of the file's Dense and
            convolution layers; what follows one of them belongs to it.
        name: The model's name.
        input_shape: (height, width, channels); height and width are None where any will do.
        units: How many logits the head gives; None without a Dense at the end.
        output_activation: ``"softmax"``, ``"sigmoid"`` or ``"log_softmax"`` where one was taken
            off the head, otherwise None.
        head_layer: The name of the layer that became the head; None where there was none.
        layer_names: All layers in order, as named in the file.
        preprocessing: What is known about the range of the pictures, one sentence.
        preprocessing_mode: ``"raw"`` (0 to 255), or the mode of keras.applications, ``"tf"``,
            ``"torch"`` or ``"caffe"``; None where nothing is known.
        keras_version: Of the Keras that saved the file; None where it does not say.
        source_sha256: Of the file, in hex.
        warnings: What a user should know before going on, one sentence each.
        description: How to build the network again (`build_keras`).
    """

    network: Network
    name: str
    input_shape: tuple[int | None, int | None, int]
    units: int | None
    output_activation: str | None
    head_layer: str | None
    layer_names: tuple[str, ...]
    preprocessing: str
    preprocessing_mode: str | None
    keras_version: str | None
    source_sha256: str
    warnings: tuple[str, ...]
    description: KerasDescription

    @property
    def class_count(self) -> int | None:
        """How many classes the head tells apart: two for one unit; None without a head."""
        return 2 if self.units == 1 else self.units


def load_keras(path: Path) -> KerasNetwork:
    """Read a model that Keras 2 or 3 saved as one file, ``model.save("model.keras")`` or ``.h5``.

    Sequential and functional models, and models inside them, of the layers that
    `headstart.networks.keras_layers` knows; also the VGG weights of keras.applications. Every
    layer gives Keras' numbers or is refused.

    Args:
        path: The file. It need not be trusted.

    Raises:
        NetworkError: If h5py is not installed; if the file is missing, damaged, a SavedModel
            folder, or made to harm; if its model has several inputs or outputs, does not take
            pictures, or has layers or settings that cannot be given exactly. Lambda layers and
            layers of the user's own are refused by name.
    """
    try:
        with open_keras(path) as file:
            return _network(file)
    except NetworkError as error:
        raise NetworkError(*(f"{path}: {problem}" for problem in error.problems)) from error


def build_keras(description: KerasDescription) -> Network:
    """A Keras file's network again, with zeros for weights that are meant to be overwritten.

    Args:
        description: From `KerasNetwork`; it need not be trusted.

    Raises:
        NetworkError: If it describes no network that can be read.
    """
    if sum(math.prod(array.shape) for array in description.arrays) > _MOST_NUMBERS:
        raise NetworkError(f"the network has more than {_MOST_NUMBERS:,} weights")
    model = read_model(description.architecture)
    calls = calls_of(model)[0]
    weights: dict[tuple[str, ...], dict[str, Array]] = {call.entry.path: {} for call in calls}
    for array in description.arrays:
        if array.layer not in weights:
            raise NetworkError(f"there is no layer {'/'.join(array.layer)!r} for {array.name!r}")
        weights[array.layer][array.name] = np.zeros(array.shape, dtype=np.float32)
    try:
        built = assemble(calls, _checked(model.shape), weights, description.keras)
    except KeyError as error:
        raise NetworkError(f"the description lacks the shape of {error}") from error
    network = built.network.eval()
    return network if description.features == "map" else with_row(network, description.features)


def with_row(network: Network, features: Literal["pooled", "flattened"]) -> Network:
    """A network whose body ends in a feature map, made to give one row of features a picture.

    Args:
        network: Its modules go into the new one.
        features: ``"pooled"``: the mean over height and width; ``"flattened"``, as Keras flattens.
    """
    body = nn.Sequential()
    body.add_module("layers", network.body)
    last = ChannelsLastFlatten() if features == "flattened" else GlobalPool("mean", False)
    body.add_module(features, last)
    groups = [
        LayerGroup(group.name, tuple(claim.replace("body", "body.layers", 1) for claim in claims))
        if (claims := group.modules) and group.name != HEAD
        else group
        for group in network.groups
    ]
    return Network(body, network.head, groups, pretrained=network.pretrained).eval()


def _described(
    raw: Mapping[str, Any], keras: int, weights: Mapping[tuple[str, ...], Mapping[str, Array]]
) -> KerasDescription:
    arrays = tuple(
        KerasArray(layer=layer, name=name, shape=array.shape)
        for layer, own in weights.items()
        for name, array in own.items()
    )
    return KerasDescription(architecture=dict(raw), keras=keras, arrays=arrays)


def _network(file: KerasFile) -> KerasNetwork:
    raw = vgg_architecture(file.store) if file.architecture is None else file.architecture
    if raw is None:
        raise NetworkError(
            "the file holds weights alone, without the layers that they belong to: build the"
            " model in Keras, load these weights into it, and save it whole with"
            " model.save('model.keras')"
        )
    model = read_model(raw)
    weights = read_weights(file, model)
    version = (file.version or "2").partition(".")[0]
    major = int(version) if version.isdecimal() else 2
    calls = calls_of(model)[0]
    built = assemble(calls, _checked(model.shape), weights, major)
    used = {call.entry.path: weights[call.entry.path] for call in calls}
    mode, preprocessing = _preprocessing(model, built)
    height, width, *channels = _checked(model.shape)
    return KerasNetwork(
        network=built.network.eval(),
        name=model.name,
        input_shape=(height, width, (channels or [1])[0] or 1),
        units=built.units,
        output_activation=built.output_activation,
        head_layer=built.head_layer,
        layer_names=built.layer_names,
        preprocessing=preprocessing,
        preprocessing_mode=mode,
        keras_version=file.version,
        source_sha256=file.sha256,
        warnings=_warnings(built),
        description=_described(raw, major, used),
    )


def _checked(shape: tuple[int | None, ...] | None) -> tuple[int | None, ...]:
    """The shape of the input, which must be a picture's."""
    if shape is None:
        raise NetworkError(
            "the file does not say how large its pictures are: build the model with"
            " keras.Input(shape=(height, width, channels)), and save it again"
        )
    if len(shape) not in (2, 3):
        raise NetworkError(
            f"the model takes inputs of shape {shape}, and pictures of (height, width) or"
            " (height, width, channels) were expected: if these are flattened pictures, save"
            " keras.Sequential([keras.Input((height, width)), keras.layers.Flatten(), model])"
        )
    whole = all(size is None or _is_edge(size) for size in shape)
    if not whole or (len(shape) == 3 and shape[2] is None):
        raise NetworkError(
            f"the model takes inputs of shape {shape}, whose channels must be known and whose"
            f" edges must be from 1 to {_LONGEST_EDGE:,}"
        )
    return shape


def _is_edge(size: object) -> bool:
    return isinstance(size, int) and not isinstance(size, bool) and 1 <= size <= _LONGEST_EDGE


def _preprocessing(model: Model, built: Assembly) -> tuple[str | None, str]:
    """What the file tells about the range of its pictures: a mode and a sentence."""
    for entry in built.first_layers:
        if entry.kind == "Rescaling":
            scale = entry.config.get("scale")
            bytes_in = isinstance(scale, float) and 0.9 < scale * 255 < 2.1  # 1/255 or 1/127.5
            made_for = "was made for pictures of 0 to 255" if bytes_in else f"multiplies by {scale}"
            return "raw" if bytes_in else None, f"layer {entry.name!r} rescales: it {made_for}"
        if entry.kind == "Normalization":
            return None, f"layer {entry.name!r} normalises with what it learnt from its own data"
    names = [model.name, *(entry.name for entry in model.entries if entry.inner)]
    for name in names:
        for starts, mode in _APPLICATIONS:
            if name.casefold().startswith(starts):
                return mode, (
                    f"{name!r} is a name of keras.applications, whose weights were trained on"
                    f" {_MODES[mode]}"
                )
    return None, (
        "the file does not say in which range its pictures were: give them as they were given to"
        " Keras, often 0 to 1"
    )


def _warnings(built: Assembly) -> tuple[str, ...]:
    found = []
    if built.head_layer is None:
        found.append(
            "the file has no Dense at its end (include_top=False, perhaps): the head is an"
            " identity, and a new one is needed"
        )
    if built.units == 1 and built.output_activation in ("softmax", "log_softmax"):
        found.append(
            f"layer {built.head_layer!r} is a softmax over one unit, which gives 1 for every"
            " picture: the model could not learn, whatever its accuracy; one unit needs a sigmoid"
        )
    if built.units is not None and built.units > 1 and built.output_activation == "sigmoid":
        found.append(
            f"layer {built.head_layer!r} is a sigmoid over {built.units} units: it was trained to"
            " tell several labels of one picture, not one of several classes"
        )
    found += [
        f"layer {entry.name!r} ({entry.kind}) acts in training alone and was left out"
        for entry in built.entries
        if entry.kind in TRAINING_ONLY
    ]
    halves = [entry.name for entry in built.entries if "16" in _dtype(entry)]
    if halves:
        found.append(
            f"{len(halves)} layers computed in 16 bit, {halves[0]!r} first; here they compute in"
            " float32, so their outputs differ in the third digit or so"
        )
    return tuple(found)


def _dtype(entry: Entry) -> str:
    """The name of the layer's number format, which Keras 3 spells out as a policy."""
    dtype = entry.config.get("dtype")
    policy = dtype.get("config") if isinstance(dtype, dict) else None
    return str(policy.get("name") if isinstance(policy, dict) else dtype)
