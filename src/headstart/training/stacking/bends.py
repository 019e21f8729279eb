"""Activations and their gradients, written into room that is there."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from headstart.training.stacking.chain import Bend

_OPS = torch.ops.aten
# Klambauer et al. 2017, Self-normalizing neural networks; the numbers are PyTorch's.
_SELU = (1.6732632423543772848170429916717, 1.0507009873554804934193349852946, 1.0)


@dataclass(frozen=True)
class Bending:
    """What an activation does.

    Attributes:
        in_place: Whether the gradient can be told from what it put out, so that what it was given
            need not be kept.
        forward: (inputs, out): writes what it puts out.
        backward: (gradient, kept): turns the gradient of what it put out, in place, into that of
            what it was given. `kept` is what it put out if `in_place`, else what it was given.
    """

    in_place: bool
    forward: Callable[[Tensor, Tensor], object]
    backward: Callable[[Tensor, Tensor], object]


def bending(link: Bend) -> Bending:
    """What an activation does."""
    if link.name in ("SELU", "ELU"):
        shape = _SELU if link.name == "SELU" else (link.setting, 1.0, 1.0)
        return Bending(
            True,
            lambda x, out: _OPS.elu.out(x, *shape, out=out),
            lambda g, y: _OPS.elu_backward.grad_input(g, *shape, True, y, grad_input=g),
        )
    if link.name == "LeakyReLU":
        slope = link.setting
        return Bending(
            False,
            lambda x, out: _OPS.leaky_relu.out(x, slope, out=out),
            lambda g, x: _OPS.leaky_relu_backward.grad_input(g, x, slope, False, grad_input=g),
        )
    if link.name == "GELU":
        how = link.setting
        return Bending(
            False,
            lambda x, out: _OPS.gelu.out(x, approximate=how, out=out),
            lambda g, x: _OPS.gelu_backward.grad_input(g, x, approximate=how, grad_input=g),
        )
    return _PLAIN[link.name]


_PLAIN = {
    "ReLU": Bending(
        True,
        lambda x, out: torch.clamp_min(x, 0, out=out),
        lambda g, y: _OPS.threshold_backward.grad_input(g, y, 0, grad_input=g),
    ),
    "Tanh": Bending(
        True,
        lambda x, out: torch.tanh(x, out=out),
        lambda g, y: _OPS.tanh_backward.grad_input(g, y, grad_input=g),
    ),
    "Sigmoid": Bending(
        True,
        lambda x, out: torch.sigmoid(x, out=out),
        lambda g, y: _OPS.sigmoid_backward.grad_input(g, y, grad_input=g),
    ),
    "SiLU": Bending(
        False,
        lambda x, out: _OPS.silu.out(x, out=out),
        lambda g, x: _OPS.silu_backward.grad_input(g, x, grad_input=g),
    ),
}
