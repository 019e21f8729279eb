"""The VGG files of keras.applications: weights by the layers' names, without an architecture.

``vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5`` and its kin lie in ``~/.keras/models`` of
everyone who ever called ``VGG16(weights="imagenet", include_top=False)``. Their names tell the
whole architecture, Simonyan and Zisserman 2015 (https://arxiv.org/abs/1409.1556): 3×3
convolutions of stride 1 with ReLU, a 2×2 pooling after each block, two wide hidden layers on top.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from headstart.networks.keras_archive import ArrayStore

_TOP_SIZE = 224  # the picture that the dense layers of a file with its top were made for


def vgg_architecture(store: ArrayStore) -> Mapping[str, Any] | None:
    """The architecture of a VGG weights file, as the JSON that Keras would have written.

    Returns:
        None where the file's layers are not VGG's.

    Raises:
        NetworkError: If the file is damaged.
    """
    names = store.names("", "layer_names") or []
    convolutions = [name for name in names if re.fullmatch(r"block\d_conv\d", name)]
    others = set(names) - set(convolutions)
    fixed = {"flatten", "fc1", "fc2", "predictions"}
    strange = [name for name in others - fixed if not re.fullmatch(r"block\d_pool|input_\d+", name)]
    if strange or names.count("block1_conv1") != 1:
        return None
    size = _TOP_SIZE if "fc1" in others else None
    shape = {"batch_input_shape": [None, size, size, 3], "name": "input_1"}
    layers = [{"class_name": "InputLayer", "config": shape}, *_layers(store, names)]
    name = f"vgg{len(convolutions) + 3}"
    return {"class_name": "Sequential", "config": {"name": name, "layers": layers}}


def _layers(store: ArrayStore, names: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    for name in names:
        if "_conv" in name:
            settings = {"kernel_size": 3, "padding": "same", "activation": "relu"}
            yield _layer("Conv2D", name, filters=_width(store, name), **settings)
        elif "_pool" in name:
            yield _layer("MaxPooling2D", name)
        elif name == "flatten":
            yield _layer("Flatten", name)
        elif not name.startswith("input"):
            activation = "softmax" if name == "predictions" else "relu"
            yield _layer("Dense", name, units=_width(store, name), activation=activation)


def _layer(kind: str, name: str, **settings: object) -> Mapping[str, Any]:
    return {"class_name": kind, "config": {"name": name, **settings}}


def _width(store: ArrayStore, name: str) -> int:
    """How many filters or units a layer has: the length of its bias."""
    written = store.names(name, "weight_names") or []
    return store.shape(f"{name}/{written[-1]}")[-1] if written else 0
