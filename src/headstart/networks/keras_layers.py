"""Every Keras layer that can be read, and the torch modules that it becomes."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn

from headstart.networks import keras_activations
from headstart.networks.keras_geometry import Shape, Translation, picture, slide
from headstart.networks.keras_modules import (
    MERGES,
    ChannelsLastFlatten,
    ChannelsLastReshape,
    GlobalPool,
    Merge,
    SameAveragePool,
    SamePadding,
    Window,
)
from headstart.networks.keras_options import LayerOptions
from headstart.networks.keras_weighted import WEIGHTED, Weights

# One picture may not grow beyond this many numbers inside a network: 1 GiB as float32.
_LARGEST_VALUE = 2**28


def translate(options: LayerOptions, shapes: Sequence[Shape], weights: Weights) -> Translation:
    """The modules for one layer.

    Args:
        options: The layer's class, which is one of `KNOWN`, and settings.
        shapes: Of its inputs.
        weights: Its arrays by Keras' names.

    Raises:
        NetworkError: If the layer cannot be given with exactly Keras' numbers.
    """
    if options.kind in MERGES:
        made = _merge(options, shapes)
    elif len(shapes) != 1:
        raise options.refusal(f"takes one input, and the file gives it {len(shapes)}")
    elif options.kind in WEIGHTED:
        made = WEIGHTED[options.kind](options, shapes[0], weights)
    else:
        made = _PLAIN[options.kind](options, shapes[0])
    options.finish()
    size = math.prod(axis or 1 for axis in made.shape)
    if size > _LARGEST_VALUE:
        raise options.refusal(
            f"makes {size:,} numbers of one picture, more than the {_LARGEST_VALUE:,} allowed"
        )
    return made


def _activation_layer(options: LayerOptions, shape: Shape) -> Translation:
    return Translation((("", keras_activations.activation_layer(options, shape)),), shape)


def _pool(options: LayerOptions, shape: Shape) -> Translation:
    height, width, channels = picture(options, shape)
    kernel = options.pair("pool_size", 2)
    strides = kernel if options.raw("strides") is None else options.pair("strides")
    over = Window(kernel, strides)
    after = (*slide(options, over, (height, width)), channels)
    same, largest = options.raw("padding") == "same", options.kind == "MaxPooling2D"
    if same and not largest:
        return Translation((("", SameAveragePool(over)),), after)
    pool: nn.Module = nn.MaxPool2d(kernel, strides) if largest else nn.AvgPool2d(kernel, strides)
    pad = (("pad", SamePadding(over, -math.inf)),) if same else ()
    return Translation((*pad, ("", pool)), after)


def _global_pool(options: LayerOptions, shape: Shape) -> Translation:
    channels = picture(options, shape)[2]
    keep = options.flag("keepdims", False)
    pool = GlobalPool("mean" if options.kind == "GlobalAveragePooling2D" else "max", keep)
    return Translation((("", pool),), (1, 1, channels) if keep else (channels,))


def _flatten(options: LayerOptions, shape: Shape) -> Translation:
    options.channels_last()
    if len(shape) == 1:
        return Translation((("", nn.Identity()),), shape)
    known = [size for size in shape if size is not None]
    total = math.prod(known) if len(known) == len(shape) else None
    return Translation((("", ChannelsLastFlatten()),), (total,))


def _reshape(options: LayerOptions, shape: Shape) -> Translation:
    asked, known = options.raw("target_shape"), [size for size in shape if size is not None]
    fits = isinstance(asked, list) and 1 <= len(asked) <= 3 and len(known) == len(shape)
    if not fits or not all(isinstance(one, int) for one in asked):
        raise options.refusal(
            f"cannot reshape {shape} to {asked!r}: one to three known axes are read"
        )
    total, rest = math.prod(known), math.prod(one for one in asked if one != -1)
    free = asked.count(-1)
    if free > 1 or rest < 1 or total % rest or (not free and total != rest):
        raise options.refusal(f"cannot reshape {shape} to {asked!r}: the sizes do not agree")
    target = tuple(total // rest if one == -1 else one for one in asked)
    return Translation((("", ChannelsLastReshape(target)),), target)


def _zero_padding(options: LayerOptions, shape: Shape) -> Translation:
    height, width, channels = picture(options, shape)
    (top, bottom), (left, right) = _edges(options, options.raw("padding", 1))
    after = (
        None if height is None else height + top + bottom,
        None if width is None else width + left + right,
        channels,
    )
    return Translation((("", nn.ZeroPad2d((left, right, top, bottom))),), after)


def _edges(options: LayerOptions, value: Any) -> Sequence[tuple[int, int]]:
    """((top, bottom), (left, right)) from one number, (rows, columns), or all four."""
    sides = value if isinstance(value, list) and len(value) == 2 else [value, value]
    rows = LayerOptions(
        options.kind, options.name, {"padding": sides[0], "columns": sides[1]}, options.keras
    )
    return rows.pair("padding", least=0), rows.pair("columns", least=0)


def _dropout(options: LayerOptions, shape: Shape) -> Translation:
    rate = options.number("rate", 0.0)
    if not 0 <= rate <= 1:
        raise options.refusal(f"rate must be from 0 to 1, found {rate}")
    if options.kind == "SpatialDropout2D":
        picture(options, shape)
        return Translation((("", nn.Dropout2d(rate)),), shape)
    kind = nn.AlphaDropout if options.kind == "AlphaDropout" else nn.Dropout
    return Translation((("", kind(rate)),), shape)


def _without_effect(options: LayerOptions, shape: Shape) -> Translation:
    """A layer that leaves pictures as they are, except in training with Keras."""
    options.pass_over()
    return Translation((("", nn.Identity()),), shape)


def _merge(options: LayerOptions, shapes: Sequence[Shape]) -> Translation:
    first, joined = shapes[0], options.kind == "Concatenate"
    least = 2 if options.kind == "Subtract" else len(shapes)
    if len(shapes) < 2 or len(shapes) > least or any(len(one) != len(first) for one in shapes):
        raise options.refusal(f"takes two or more inputs of as many axes each, found {shapes}")
    after: list[int | None] = []
    for sizes in zip(*(shape[:-1] if joined else shape for shape in shapes), strict=True):
        larger = {size for size in sizes if joined or size != 1}
        if len(larger) > 1:
            raise options.refusal(f"its inputs do not fit together: {shapes}")
        after.append(larger.pop() if larger else 1)
    if joined:
        after.append(_joined_channels(options, shapes))
    return Translation((("", Merge(options.kind)),), tuple(after))


def _joined_channels(options: LayerOptions, shapes: Sequence[Shape]) -> int:
    axis, rank = options.raw("axis", -1), len(shapes[0])
    channels = [shape[-1] for shape in shapes]
    known = [size for size in channels if size is not None]
    if axis not in (-1, rank) or rank == 2 or len(known) != len(channels):
        raise options.refusal(f"axis must be the channels, the last of {shapes[0]}, found {axis!r}")
    return sum(known)


# Layers that Keras applies in training only.
TRAINING_ONLY = (
    "ActivityRegularization",
    "GaussianDropout",
    "GaussianNoise",
    "RandomBrightness",
    "RandomContrast",
    "RandomFlip",
    "RandomRotation",
    "RandomTranslation",
    "RandomZoom",
)

_PLAIN: Mapping[str, Callable[[LayerOptions, Shape], Translation]] = {
    "AlphaDropout": _dropout,
    "AveragePooling2D": _pool,
    "Dropout": _dropout,
    "Flatten": _flatten,
    "GlobalAveragePooling2D": _global_pool,
    "GlobalMaxPooling2D": _global_pool,
    "MaxPooling2D": _pool,
    "Reshape": _reshape,
    "SpatialDropout2D": _dropout,
    "ZeroPadding2D": _zero_padding,
    **dict.fromkeys(TRAINING_ONLY, _without_effect),
    **dict.fromkeys(keras_activations.ACTIVATION_LAYERS, _activation_layer),
}

KNOWN = frozenset({"InputLayer", *MERGES, *WEIGHTED, *_PLAIN})
