"""Layers that builders and heads share: initialised dense and convolution layers, activations."""

import math
from typing import Literal

import numpy as np
import torch
from torch import nn

from headstart.errors import NetworkError

Activation = Literal["relu", "selu", "elu", "gelu", "silu", "tanh", "sigmoid", "leaky_relu"]
Initialisation = Literal[
    "glorot_uniform", "glorot_normal", "he_uniform", "he_normal", "lecun_uniform", "lecun_normal"
]

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "selu": nn.SELU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "leaky_relu": nn.LeakyReLU,
}
_NORMS = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm)
# The standard deviation of a standard normal cut off at ±2, by which Keras corrects.
_CUT_NORMAL_DEVIATION = 0.87962566103423978


def activation(name: Activation) -> nn.Module:
    """The activation of that name."""
    return _ACTIVATIONS[name]()


def dense(inputs: int, outputs: int, init: Initialisation, rng: np.random.Generator) -> nn.Linear:
    """A dense layer with drawn weights and zero biases."""
    # On the meta device nothing is drawn from PyTorch's own random state.
    layer = nn.Linear(inputs, outputs, device="meta")
    _initialise(layer, init, inputs, outputs, rng)
    return layer


def convolution(
    inputs: int,
    outputs: int,
    kernel: int,
    stride: int,
    padding: Literal["valid", "same"],
    init: Initialisation,
    rng: np.random.Generator,
) -> nn.Conv2d:
    """A square convolution with drawn weights and zero biases; ``"same"`` needs stride 1."""
    pad: Literal["same"] | int = "same" if padding == "same" else 0
    layer = nn.Conv2d(inputs, outputs, kernel, stride, pad, device="meta")
    area = kernel * kernel
    _initialise(layer, init, inputs * area, outputs * area, rng)
    return layer


def draw_again(body: nn.Module, rng: np.random.Generator) -> None:
    """Draw every weight of a body anew, as Keras draws them by default.

    Dense and convolution layers are drawn by Glorot's uniform rule, with biases of 0; layers that
    normalise start as the identity, with fresh statistics; slopes of PReLU start at 0.

    Raises:
        NetworkError: If it has weights of another kind.
    """
    unknown = []
    for name, module in body.named_modules():
        own = list(module.named_parameters(recurse=False))
        if isinstance(module, nn.Linear | nn.Conv2d):
            inputs, outputs = module.weight.shape[1], module.weight.shape[0]
            area = module.weight[0, 0].numel()
            bias = module.bias is not None
            _initialise(module, "glorot_uniform", inputs * area, outputs * area, rng)
            if not bias:
                module.bias = None
        elif isinstance(module, _NORMS):
            module.reset_parameters()
        elif type(module).__name__ in ("PReLU", "ChannelPReLU"):
            for _, slopes in own:
                nn.init.zeros_(slopes)
        elif own:
            unknown.append(f"{name or 'the body'} ({type(module).__name__})")
    if unknown:
        raise NetworkError(
            f"headstart does not know how to draw the weights of {', '.join(unknown)} anew, so "
            "this network cannot be trained from scratch here: leave scratch out"
        )


def _initialise(
    layer: nn.Linear | nn.Conv2d,
    init: Initialisation,
    fan_in: int,
    fan_out: int,
    rng: np.random.Generator,
) -> None:
    """Draw the weights as Keras does: variance scaling, normals cut off at two deviations.

    Glorot & Bengio 2010 (variance 2/(fan_in + fan_out)), He et al. 2015 (2/fan_in), LeCun et al.
    1998 (1/fan_in).
    """
    family, shape = init.split("_")
    variance = {
        "glorot": 2 / (fan_in + fan_out),
        "he": 2 / fan_in,
        "lecun": 1 / fan_in,
    }[family]
    size = tuple(layer.weight.shape)
    if shape == "uniform":
        limit = math.sqrt(3 * variance)
        drawn = rng.uniform(-limit, limit, size)
    else:
        from scipy import special  # loaded where it is needed only

        low, high = special.ndtr(-2.0), special.ndtr(2.0)
        drawn = special.ndtri(rng.uniform(low, high, size))
        drawn *= math.sqrt(variance) / _CUT_NORMAL_DEVIATION
    layer.weight = nn.Parameter(torch.from_numpy(drawn.astype(np.float32)))
    layer.bias = nn.Parameter(torch.zeros(size[0]))
