"""Keras layers that hold numbers → torch modules that give the same ones.

A convolution's kernel is (height, width, in, out) in Keras and (out, in, height, width) in torch;
a dense kernel is (in, out) and (out, in).
"""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from headstart.networks import keras_activations
from headstart.networks.keras_geometry import (
    Parts,
    Shape,
    Translation,
    padding,
    picture,
    slide,
    window,
)
from headstart.networks.keras_modules import ChannelPReLU, Normalization, Rescaling, Window
from headstart.networks.keras_options import LayerOptions, plain_numbers

Array = NDArray[np.float32]
Weights = Mapping[str, Array]
Numbers = NDArray[np.float32] | NDArray[np.float64]


def _weight(options: LayerOptions, weights: Weights, name: str, shape: tuple[int, ...]) -> Array:
    """One of the layer's arrays, of exactly the shape that its settings ask for."""
    array = weights[name]
    if array.shape != shape:
        raise options.refusal(
            f"its {name} has shape {array.shape} in the file, but its settings and input ask for"
            f" {shape}: architecture and weights do not belong together"
        )
    return array


def _bias(options: LayerOptions, weights: Weights, units: int) -> Array | None:
    return _weight(options, weights, "bias", (units,)) if "bias" in weights else None


def _tensor(array: Numbers) -> Tensor:
    return torch.from_numpy(np.array(array, dtype=np.float32, order="C"))


def _filled(module: nn.Linear | nn.Conv2d, kernel: Array, bias: Array | None) -> nn.Module:
    """A module with its weights; made on the meta device, so that no random number was drawn."""
    module.weight = nn.Parameter(_tensor(kernel))
    module.register_parameter("bias", None if bias is None else nn.Parameter(_tensor(bias)))
    return module


def _convolution(
    options: LayerOptions, over: Window, channels: int, filters: int, groups: int
) -> tuple[Parts, nn.Conv2d]:
    """The padding, where it needs a module, and the convolution, still without weights."""
    pad, own_padding = padding(options, over)
    layer = nn.Conv2d(
        channels,
        filters,
        over.kernel,
        over.strides,
        own_padding,
        over.dilation,
        groups,
        device="meta",
    )
    return pad, layer


def _activated(options: LayerOptions, parts: Parts, shape: Shape) -> Translation:
    """A translation with the activation of the layer's settings at its end."""
    last = keras_activations.activation(options, shape)
    return Translation((*parts, last) if last else parts, shape)


def _dense(options: LayerOptions, shape: Shape, weights: Weights) -> Translation:
    features, units = shape[-1], options.integer("units")
    if len(shape) == 2 or features is None:
        raise options.refusal(
            f"takes vectors, or pictures with channels, of known size, found shape {shape}"
        )
    kernel = _weight(options, weights, "kernel", (features, units)).T
    bias = _bias(options, weights, units)
    if len(shape) == 1:
        layer = _filled(nn.Linear(features, units, device="meta"), kernel, bias)
    else:  # Keras applies a Dense to the last axis: on a picture that is a 1×1 convolution
        pointwise = nn.Conv2d(features, units, 1, device="meta")
        layer = _filled(pointwise, kernel[:, :, None, None], bias)
    return _activated(options, (("", layer),), (*shape[:-1], units))


def _conv2d(options: LayerOptions, shape: Shape, weights: Weights) -> Translation:
    height, width, channels = picture(options, shape)
    filters, groups = options.integer("filters"), options.integer("groups", 1)
    if channels % groups or filters % groups:
        raise options.refusal(f"{groups} groups do not divide {channels} channels or {filters}")
    over = window(options)
    kernel = _weight(options, weights, "kernel", (*over.kernel, channels // groups, filters))
    after = slide(options, over, (height, width))
    pad, layer = _convolution(options, over, channels, filters, groups)
    filled = _filled(layer, kernel.transpose(3, 2, 0, 1), _bias(options, weights, filters))
    return _activated(options, (*pad, ("", filled)), (*after, filters))


def _depthwise(
    options: LayerOptions, shape: Shape, weights: Weights
) -> tuple[Parts, nn.Conv2d, Shape, Array]:
    """Padding, a convolution of each channel alone, the shape after it, its kernel for torch.

    Keras counts the results of one channel together, as grouped convolutions in torch do.
    """
    height, width, channels = picture(options, shape)
    options.raw("groups")  # Keras 2 writes it, without effect
    multiplier = options.integer("depth_multiplier", 1)
    over = window(options)
    if over.strides[0] != over.strides[1]:
        raise options.refusal(f"strides must be equal on both axes, found {over.strides}")
    kernel = _weight(options, weights, "depthwise_kernel", (*over.kernel, channels, multiplier))
    after = slide(options, over, (height, width))
    pad, layer = _convolution(options, over, channels, channels * multiplier, channels)
    filters = kernel.transpose(2, 3, 0, 1).reshape(-1, 1, *over.kernel)
    return pad, layer, (*after, channels * multiplier), filters


def _depthwise_conv2d(options: LayerOptions, shape: Shape, weights: Weights) -> Translation:
    pad, layer, after, kernel = _depthwise(options, shape, weights)
    filled = _filled(layer, kernel, _bias(options, weights, layer.out_channels))
    return _activated(options, (*pad, ("", filled)), after)


def _separable_conv2d(options: LayerOptions, shape: Shape, weights: Weights) -> Translation:
    pad, depthwise, middle, depthwise_kernel = _depthwise(options, shape, weights)
    between, filters = depthwise.out_channels, options.integer("filters")
    kernel = _weight(options, weights, "pointwise_kernel", (1, 1, between, filters))
    pointwise = nn.Conv2d(between, filters, 1, device="meta")
    first = _filled(depthwise, depthwise_kernel, None)
    last = _filled(pointwise, kernel.transpose(3, 2, 0, 1), _bias(options, weights, filters))
    parts = (*pad, ("depthwise", first), ("", last))
    return _activated(options, parts, (*middle[:-1], filters))


def _batch_normalization(options: LayerOptions, shape: Shape, weights: Weights) -> Translation:
    """Batch normalisation of the channels; Keras' momentum m is torch's 1 − m.

    Torch learns the running variance with Bessel's correction, Keras without it: that shows when
    training on tiny batches only.
    """
    axis, features = options.raw("axis", -1), shape[-1]
    if axis not in (-1, [-1], len(shape), [len(shape)]) or len(shape) == 2 or features is None:
        raise options.refusal(f"axis must be the channels, the last of {shape}, found {axis!r}")
    if options.raw("renorm", False):
        raise options.refusal("renorm=True trains otherwise: save the model with renorm=False")
    options.flag("scale", True)
    options.flag("center", True)
    arrays = {name: _tensor(_weight(options, weights, name, (features,))) for name in weights}
    kind = nn.BatchNorm1d if len(shape) == 1 else nn.BatchNorm2d
    layer = kind(features, options.number("epsilon", 1e-3), 1 - options.number("momentum", 0.99))
    for ours, theirs in (("weight", "gamma"), ("bias", "beta")):
        array = arrays.get(theirs)
        layer.register_parameter(ours, None if array is None else nn.Parameter(array))
    layer.running_mean, layer.running_var = arrays["moving_mean"], arrays["moving_variance"]
    return Translation((("", layer),), shape)


def _aligned(shape: Shape, array: Numbers) -> Tensor:
    """An array that broadcasts to Keras' shape, laid out to broadcast to torch's."""
    array = array.reshape((1,) * (len(shape) - array.ndim) + array.shape)
    if len(shape) == 2:
        array = array[:, :, None]
    return _tensor(array if len(shape) == 1 else array.transpose(2, 0, 1))


def _numbers(options: LayerOptions, key: str, default: float | None = None) -> NDArray[np.float64]:
    """A setting that is a number or a (nested) list of numbers."""
    value = plain_numbers(options.raw(key, default))
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        array = np.asarray(np.nan)
    if not np.isfinite(array).all():
        raise options.refusal(f"{key} must be finite numbers, found {str(value)[:80]!r}")
    return array


def _rescaling(options: LayerOptions, shape: Shape, weights: Weights) -> Translation:
    del weights
    arrays = {"scale": _numbers(options, "scale"), "offset": _numbers(options, "offset", 0.0)}
    for key, array in arrays.items():
        pairs = zip(array.shape[::-1], shape[::-1], strict=False)
        if array.ndim > len(shape) or any(size not in (1, axis) for size, axis in pairs):
            raise options.refusal(f"{key} of shape {array.shape} does not fit an input of {shape}")
    layer = Rescaling(_aligned(shape, arrays["scale"]), _aligned(shape, arrays["offset"]))
    return Translation((("", layer),), shape)


def _normalization(options: LayerOptions, shape: Shape, weights: Weights) -> Translation:
    axis, rank = options.raw("axis", -1), len(shape) + 1  # Keras counts the batch as axis 0
    axes = [] if axis is None else axis if isinstance(axis, list) else [axis]
    if not all(isinstance(one, int) and -rank <= one < rank and one % rank for one in axes):
        raise options.refusal(f"axis must be axes of the picture, 1 to {rank - 1}, found {axis!r}")
    kept = sorted({one % rank - 1 for one in axes})
    sizes = [shape[place] or 0 for place in kept]
    options.raw("mean"), options.raw("variance")
    arrays: list[Numbers] = [
        _weight(options, weights, key, tuple(sizes)) if weights else _numbers(options, key)
        for key in ("mean", "variance")
    ]
    spread = [shape[place] or 0 if place in kept else 1 for place in range(len(shape))]
    try:
        mean, variance = (
            _aligned(shape, np.asarray(np.broadcast_to(array, sizes), np.float64).reshape(spread))
            for array in arrays
        )
    except ValueError:
        raise options.refusal(f"mean or variance does not fit axes of size {sizes}") from None
    layer = Normalization(mean, variance, options.flag("invert", False))
    return Translation((("", layer),), shape)


def _prelu(options: LayerOptions, shape: Shape, weights: Weights) -> Translation:
    shared = options.raw("shared_axes") or []
    if not isinstance(shared, list):
        raise options.refusal(f"shared_axes must be a list of axes, found {shared!r}")
    sizes = tuple(1 if axis in shared else size or 0 for axis, size in enumerate(shape, start=1))
    alpha = _weight(options, weights, "alpha", sizes)
    return Translation((("", ChannelPReLU(_aligned(shape, alpha))),), shape)


WEIGHTED: Mapping[str, Callable[[LayerOptions, Shape, Weights], Translation]] = {
    "BatchNormalization": _batch_normalization,
    "Conv2D": _conv2d,
    "Dense": _dense,
    "DepthwiseConv2D": _depthwise_conv2d,
    "Normalization": _normalization,
    "PReLU": _prelu,
    "Rescaling": _rescaling,
    "SeparableConv2D": _separable_conv2d,
}
