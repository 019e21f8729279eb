"""Keras' activations as torch modules: by name in a layer's settings, or as layers of their own."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from headstart.errors import nearest
from headstart.networks.keras_geometry import Shape
from headstart.networks.keras_modules import BoundedReLU, Exponential, HardSigmoid2
from headstart.networks.keras_options import LayerOptions

# The channels are axis 1 in torch and the last axis in Keras, for vectors and pictures alike.
_CHANNELS = 1

_BY_NAME: Mapping[str, Callable[[], nn.Module]] = {
    "celu": nn.CELU,
    "elu": nn.ELU,
    "exponential": Exponential,
    "gelu": nn.GELU,
    "hard_sigmoid": nn.Hardsigmoid,
    "hard_silu": nn.Hardswish,
    "hard_swish": nn.Hardswish,
    "hard_tanh": nn.Hardtanh,
    "leaky_relu": lambda: nn.LeakyReLU(0.2),
    "linear": nn.Identity,
    "log_sigmoid": nn.LogSigmoid,
    "log_softmax": lambda: nn.LogSoftmax(_CHANNELS),
    "mish": nn.Mish,
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "selu": nn.SELU,
    "sigmoid": nn.Sigmoid,
    "silu": nn.SiLU,
    "softmax": lambda: nn.Softmax(_CHANNELS),
    "softplus": nn.Softplus,
    "softsign": nn.Softsign,
    "swish": nn.SiLU,
    "tanh": nn.Tanh,
    "tanh_shrink": nn.Tanhshrink,
}


def activation(options: LayerOptions, shape: Shape) -> tuple[str, nn.Module] | None:
    """The activation that a layer's settings name.

    Returns:
        A name for its module and the module, or None where it is linear.

    Raises:
        NetworkError: If it is a function or layer of the user's own.
    """
    setting = options.raw("activation")
    if setting in (None, "linear"):
        return None
    name, module = (
        _described(options, setting)
        if isinstance(setting, Mapping)
        else (str(setting), _named(options, setting))
    )
    return name, _along_channels(options, module, shape)


def activation_layer(options: LayerOptions, shape: Shape) -> nn.Module:
    """The module for a layer that is an activation without weights.

    Raises:
        NetworkError: If its settings cannot be used.
    """
    return _along_channels(options, _LAYERS[options.kind](options), shape)


def _along_channels(options: LayerOptions, module: nn.Module, shape: Shape) -> nn.Module:
    """Refuse a softmax over the columns of a picture that has no channel axis."""
    if len(shape) == 2 and isinstance(module, nn.Softmax | nn.LogSoftmax):
        raise options.refusal(f"a softmax needs vectors or channels, found shape {shape}")
    return module


def _named(options: LayerOptions, name: Any) -> nn.Module:
    if not isinstance(name, str) or name not in _BY_NAME:
        raise options.refusal(
            f"activation {name!r} is not one of Keras' own, and code in a file is never run:"
            f" {nearest(str(name), _BY_NAME)}"
        )
    if name == "hard_sigmoid" and options.keras < 3:
        return HardSigmoid2()
    return _BY_NAME[name]()


def _described(options: LayerOptions, setting: Mapping[str, Any]) -> tuple[str, nn.Module]:
    """An activation that the file spells out: a named function, or a layer with settings."""
    kind, inner = str(setting.get("class_name")), setting.get("config")
    if kind == "function" or not isinstance(inner, Mapping):
        return str(inner), _named(options, inner)
    if kind not in _LAYERS:
        raise options.refusal(
            f"activation {kind!r} is not one of Keras' own, and code in a file is never run:"
            f" {nearest(kind, _LAYERS)}"
        )
    layer = LayerOptions(kind, f"{options.name}, activation", inner, options.keras)
    module = _LAYERS[kind](layer)
    layer.finish()
    return kind.lower(), module


def _activation(options: LayerOptions) -> nn.Module:
    setting = options.raw("activation", "linear")
    if isinstance(setting, Mapping):
        return _described(options, setting)[1]
    return _named(options, setting)


def _relu(options: LayerOptions) -> nn.Module:
    maximum, slope = options.raw("max_value"), options.number("negative_slope", 0.0)
    threshold = options.number("threshold", 0.0)
    if maximum is not None:
        maximum = options.as_number("max_value", maximum)
    if threshold < 0 or slope < 0 or (maximum is not None and maximum < 0):
        raise options.refusal("max_value, negative_slope and threshold must not be negative")
    if (maximum, slope, threshold) == (None, 0.0, 0.0):
        return nn.ReLU()
    if (maximum, slope, threshold) == (6.0, 0.0, 0.0):
        return nn.ReLU6()
    return BoundedReLU(maximum, slope, threshold)


def _leaky_relu(options: LayerOptions) -> nn.Module:
    old = options.number("alpha", 0.3)  # Keras 2's name for it
    return nn.LeakyReLU(options.number("negative_slope", old))


def _softmax(options: LayerOptions) -> nn.Module:
    axis = options.raw("axis", -1)
    if axis not in (-1, [-1]):
        raise options.refusal(f"axis must be -1, the channels, found {axis!r}")
    return nn.Softmax(_CHANNELS)


_LAYERS: Mapping[str, Callable[[LayerOptions], nn.Module]] = {
    "Activation": _activation,
    "ELU": lambda options: nn.ELU(options.number("alpha", 1.0)),
    "LeakyReLU": _leaky_relu,
    "ReLU": _relu,
    "Softmax": _softmax,
}
ACTIVATION_LAYERS = tuple(_LAYERS)
