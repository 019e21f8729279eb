"""Dropout of many numbers, drawn quickly.

PyTorch draws every number of a mask by itself, out of 64 bits of a Mersenne Twister, on one thread:
behind convolutions that takes longer than the matrix products of the dense layers. Large masks are
made here of 16 bits a number, by a generator of NumPy's whose seed comes from the stream that
PyTorch would have drawn from, one a mask.

A number is kept with a chance that is a multiple of 1/65,536, the nearest to what was asked for,
and scaled by just that, so that what goes on has the right mean. Numbers are drawn in the order in
which they lie in memory; a mask is the same for a batch alone and in a stack.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

QUICK_FROM = 2**14
"""So many numbers are drawn here; below, seeding a generator would take longer than drawing."""

MASKS = 2
"""Which way of drawing them this is: a fit that was begun in another is not gone on with."""

_STEPS = 2**16
_SEEDS = 2**63 - 1


def draw_mask(mask: Tensor, share: float, stream: torch.Generator | None = None) -> None:
    """Fill a mask that drops a share of the numbers it is multiplied by, and scales the others.

    Args:
        mask: Float32 on the CPU, contiguous.
        share: What to drop, in (0, 1).
        stream: What to draw from; PyTorch's own where there is none.
    """
    keep = 1 - share
    if mask.numel() < QUICK_FROM:
        mask.bernoulli_(keep, generator=stream).div_(keep)
        return
    seed = int(torch.randint(_SEEDS, (), generator=stream))
    numbers = mask.view(-1).numpy()
    drawn = np.random.SFC64(seed).random_raw(-(-len(numbers) // 4)).view(np.uint16)
    kept = min(max(1, round(keep * _STEPS)), _STEPS - 1)
    np.multiply(drawn[: len(numbers)] < kept, np.float32(_STEPS / kept), out=numbers)


@contextmanager
def drawn_quickly(network: nn.Module) -> Iterator[None]:
    """Within it, the plain dropout layers of a network draw by `draw_mask` on the CPU."""
    found = [
        each
        for each in network.modules()
        if type(each) is nn.Dropout and 0 < each.p < 1 and "forward" not in vars(each)
    ]
    for layer in found:
        layer.forward = _Dropping(layer)  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        for layer in found:
            del layer.forward


class _Dropping:
    """What a layer does in place of its own `forward`."""

    def __init__(self, layer: nn.Dropout) -> None:
        self._layer = layer

    def __call__(self, inputs: Tensor) -> Tensor:
        layer = self._layer
        quick = inputs.device.type == "cpu" and inputs.numel() >= QUICK_FROM
        if not (layer.training and quick):
            return nn.functional.dropout(inputs, layer.p, layer.training)
        mask = torch.empty_like(inputs, dtype=torch.float32)
        in_order = mask.permute(0, 2, 3, 1) if _is_channels_last(mask) else mask
        if not in_order.is_contiguous():
            in_order = mask = torch.empty(inputs.shape)
        draw_mask(in_order, layer.p)
        return inputs * mask.to(inputs.dtype)


def _is_channels_last(tensor: Tensor) -> bool:
    return tensor.ndim == 4 and tensor.is_contiguous(memory_format=torch.channels_last)
