"""Where a Keras file keeps the arrays of each layer.

A zip (`.keras`) numbers layers by class, ``layers/conv2d_1/vars/0``; an HDF5 file names them,
``model_weights/conv1/conv1/kernel:0``, and lists the arrays of a model inside the model in one
row: first those that learn, then the others.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from headstart.errors import NetworkError
from headstart.networks.keras_archive import ArrayStore, KerasFile
from headstart.networks.keras_graph import Entry, Model, Path

Array = NDArray[np.float32]

_FIXED = ("moving_mean", "moving_variance", "mean", "variance", "count")
_UNREAD = "count"  # how many pictures a Normalization saw, an integer
_RANDOM_STATE = "StateVar"  # Keras 2's augmenting layers keep one
_OLD_LAYERS = "_layer_checkpoint_dependencies"  # the name of "layers" in Keras 2.12 and 2.13


def read_weights(file: KerasFile, model: Model) -> dict[Path, dict[str, Array]]:
    """The arrays of every layer, by the layer's path and Keras' name for the array.

    Raises:
        NetworkError: If the file lacks arrays, has more than the architecture asks for, or holds
            them in a way that Keras does not.
    """
    if file.zipped:
        found = dict(_numbered(file.store, model, ""))
    else:
        found = dict(_named(file.store, model))
    return {
        entry.path: {
            name: file.store.read(place)
            for name, place in zip(array_names(entry), found[entry.path], strict=True)
            if name != _UNREAD
        }
        for entry in _plain(model)
    }


def array_names(entry: Entry) -> tuple[str, ...]:
    """Keras' names for the arrays of a layer, in the order in which it stores them."""
    asked = entry.config.get
    bias = ("bias",) if asked("use_bias", True) else ()
    match entry.kind:
        case "Dense" | "Conv2D":
            return ("kernel", *bias)
        case "DepthwiseConv2D":
            return ("depthwise_kernel", *bias)
        case "SeparableConv2D":
            return ("depthwise_kernel", "pointwise_kernel", *bias)
        case "BatchNormalization":
            scale = ("gamma",) if asked("scale", True) else ()
            center = ("beta",) if asked("center", True) else ()
            return (*scale, *center, "moving_mean", "moving_variance")
        case "PReLU":
            return ("alpha",)
        case "Normalization" if asked("mean") is None:
            return ("mean", "variance", "count")
        case _:
            return ()


def _plain(model: Model) -> Iterator[Entry]:
    """The layers of a model and of the models inside it."""
    for entry in model.entries:
        if entry.inner is None:
            yield entry
        else:
            yield from _plain(entry.inner)


def _numbered(store: ArrayStore, model: Model, folder: str) -> Iterator[tuple[Path, list[str]]]:
    """Where a zip keeps the arrays of each layer of a model."""
    old = store.has(f"{folder}/{_OLD_LAYERS}")
    layers = f"{folder}/{_OLD_LAYERS if old else 'layers'}"
    counts: Counter[str] = Counter()
    for entry in model.entries:
        kind = _snake("Functional" if entry.kind == "Model" else entry.kind)
        place = f"{layers}/{kind}_{counts[kind]}" if counts[kind] else f"{layers}/{kind}"
        holds = any(map(array_names, _plain(entry.inner))) if entry.inner else array_names(entry)
        # Keras 2.12 and 2.13 counted layers with weights twice.
        counts[kind] += 2 if old and holds else 1
        if entry.inner is not None:
            yield from _numbered(store, entry.inner, place)
        else:
            yield entry.path, _numbered_arrays(store, entry, place)


def _numbered_arrays(store: ArrayStore, entry: Entry, place: str) -> list[str]:
    count = len(array_names(entry))
    arrays = [f"{place}/vars/{number}" for number in range(count)]
    if not count:
        return []
    _check_count(entry, sum(map(store.has, arrays)) + store.has(f"{place}/vars/{count}"))
    name = store.text(f"{place}/vars", "name")  # newer files say whose the arrays are
    if name not in (None, entry.name):
        raise NetworkError(
            f"the arrays of layer {entry.name!r} were expected at {place!r}, which"
            f" holds those of {name!r}: save the model again with a released version of Keras"
        )
    return arrays


def _named(store: ArrayStore, model: Model) -> Iterator[tuple[Path, list[str]]]:
    """Where an HDF5 file keeps the arrays of each layer of a model."""
    root = "model_weights" if store.has("model_weights") else ""
    for entry in model.entries:
        folder = f"{root}/{entry.name}"
        listed = (store.names(folder, "weight_names") if store.has(folder) else None) or []
        listed = [written for written in listed if _RANDOM_STATE not in written]
        layers = [entry] if entry.inner is None else list(_plain(entry.inner))
        order = _in_one_row(layers)
        if len(order) != len(listed):
            _check_count(entry, len(listed), len(order))
        found: dict[Path, dict[str, str]] = {layer.path: {} for layer in layers}
        for (layer, name), written in zip(order, listed, strict=True):
            if entry.inner is not None:
                _check_name(layer, name, written)
            found[layer.path][name] = f"{folder}/{written}"
        for layer in layers:
            yield layer.path, [found[layer.path][name] for name in array_names(layer)]


def _in_one_row(layers: Sequence[Entry]) -> list[tuple[Entry, str]]:
    """The arrays of several layers in Keras' order: all that learn, then all others."""
    arrays = [(layer, name) for layer in layers for name in array_names(layer)]
    return sorted(arrays, key=lambda array: not array[0].trainable or array[1] in _FIXED)


def _check_name(layer: Entry, name: str, written: str) -> None:
    """Inside a model the order alone could mislead: the array must have the right kind of name."""
    last = re.sub(r"(_\d+)?(:\d+)?$", "", written.rpartition("/")[2])
    if not name.endswith(last):
        raise NetworkError(
            f"the array {name!r} of layer {layer.name!r} was expected, found"
            f" {written!r}: load the model with the Keras that wrote it and save it as .keras"
        )


def _check_count(entry: Entry, found: int, asked: int | None = None) -> None:
    asked = len(array_names(entry)) if asked is None else asked
    if found != asked:
        raise NetworkError(
            f"layer {entry.name!r} ({entry.kind}) asks for {asked} arrays, and the"
            f" file holds {found if found <= asked else 'more'}: save the whole model again, after"
            " it was built or fitted"
        )


def _snake(kind: str) -> str:
    """Keras' way of writing a class as a folder: ``Conv2D`` → ``conv2d``."""
    spaced = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", kind))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", spaced).lower()
