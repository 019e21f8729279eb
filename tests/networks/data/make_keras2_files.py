"""Make the Keras 2 files beside this script, with what Keras itself computes from them.

Needs a Keras 2, which cannot live beside Keras 3, so this is run by hand in environments of its
own and its files are kept. From this folder:

    python -m venv k215 && k215/bin/pip install tensorflow-cpu==2.15.1
    k215/bin/python make_keras2_files.py
    python -m venv k213 && k213/bin/pip install tensorflow-cpu==2.13.1
    k213/bin/python make_keras2_files.py

Keras 2.12 and 2.13 number the arrays in a ``.keras`` zip in a way of their own.
"""

from pathlib import Path
from typing import Any

import keras
import numpy as np

HERE = Path(__file__).parent
layers = keras.layers


def plain() -> Any:
    """A chain with padding that is not even, and what Keras 2 computes otherwise than Keras 3."""
    return keras.Sequential(
        [
            layers.Rescaling(1 / 255, input_shape=(11, 8, 3)),
            layers.Conv2D(4, 3, strides=2, padding="same", activation="hard_sigmoid"),
            layers.BatchNormalization(scale=False, momentum=0.9),
            layers.DepthwiseConv2D(2, depth_multiplier=2, padding="same"),
            layers.LeakyReLU(),
            layers.MaxPooling2D(2, strides=1, padding="same"),
            layers.SeparableConv2D(5, 3, padding="same", activation="swish"),
            layers.AveragePooling2D(3, strides=2, padding="same"),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(3, activation="softmax", name="classes"),
        ],
        name="plain",
    )


def nested() -> Any:
    """A partly frozen model inside a model, called for inference, and a residual around it."""
    inside = keras.Sequential(
        [
            layers.Conv2D(3, 3, padding="same", input_shape=(6, 7, 3)),
            layers.BatchNormalization(),
            layers.Conv2D(3, 1, use_bias=False),
            layers.BatchNormalization(),
        ],
        name="inside",
    )
    for layer in inside.layers[:2]:
        layer.trainable = False
    picture = keras.Input((6, 7, 3))
    normalised = layers.Normalization(name="normalised")
    normalised.adapt(np.random.default_rng(1).normal(3, 2, (20, 6, 7, 3)).astype(np.float32))
    flipped = layers.RandomFlip(name="flip")(normalised(picture))
    shared = layers.Conv2D(3, 3, padding="same", activation="relu", name="shared")
    x = layers.Add()([flipped, inside(flipped, training=False)])
    x = layers.Concatenate()([shared(x), shared(flipped)])
    x = layers.GlobalAveragePooling2D()(layers.PReLU(shared_axes=[1, 2])(x))
    return keras.Model(picture, layers.Dense(1, activation="sigmoid")(x), name="nested")


def notebook() -> Any:
    """The first notebook's second model: pictures without channels, a softmax over one unit."""
    hidden = [layers.Dense(units, activation="selu") for units in (10, 8)]
    stack = [layers.Flatten(input_shape=[6, 5]), *hidden, layers.Dense(1, activation="softmax")]
    return keras.Sequential(stack, name="notebook")


def fill(model: Any, rng: np.random.Generator) -> None:
    """Give every array numbers of its own, so that none can be taken for another."""
    adapted = {
        id(weight)
        for layer in model.layers
        if layer.name == "normalised"
        for weight in layer.weights
    }
    for weight in model.weights:
        if id(weight) in adapted:
            continue
        positive = "variance" in weight.name or "gamma" in weight.name
        low, high = (0.5, 1.5) if positive else (-0.6, 0.6)
        weight.assign(rng.uniform(low, high, weight.shape).astype(np.float32))


def main() -> None:
    """Write the files that this version of Keras is here for."""
    tag = "".join(keras.__version__.split(".")[:2])
    rng = np.random.default_rng(int(tag))
    files = {
        "215": ((plain, ["h5"]), (nested, ["h5", "keras"]), (notebook, ["h5"])),
        "213": ((nested, ["keras"]),),
    }
    for make, endings in files[tag]:
        model = make()
        fill(model, rng)
        pictures = rng.uniform(0, 255 if make is plain else 5, (3, *model.input_shape[1:])).astype(
            np.float32
        )
        outputs = model(pictures, training=False).numpy()
        name = f"{make.__name__}_{tag}"
        for ending in endings:
            model.save(str(HERE / f"{name}.{ending}"))
        np.savez_compressed(HERE / f"{name}.npz", pictures=pictures, outputs=outputs)


if __name__ == "__main__":
    main()
