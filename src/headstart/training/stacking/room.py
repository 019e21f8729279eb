"""Room for the numbers of stacked trials.

A trial must get the same bits whoever else is in its stack, and wherever in the stack it is. With
one thread, PyTorch's kernels give them if two things hold. Each trial's numbers begin at the same
place of a cache line, as products with vectors depend on it. And the numbers of a stack are a
multiple of all vector lengths, as what is left over at the end of a tensor goes through other code,
whose exponential, for one, is another. So each trial's numbers are followed by zeros up to a
multiple of 32; elementwise functions work on those, too, and nothing else ever reads them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

_MULTIPLE = 32  # two vectors of AVX-512


def padded(numbers: int) -> int:
    """The next multiple of 32."""
    return -(-numbers // _MULTIPLE) * _MULTIPLE


@dataclass(frozen=True)
class Room:
    """A tensor for each trial.

    Attributes:
        flat: Everything, shape (trials, padded numbers), contiguous.
        each: The tensors, shape (trials, *shape); a view.
    """

    flat: Tensor
    each: Tensor

    @classmethod
    def make(cls, trials: int, *shape: int) -> "Room":
        """New room, filled with zeros."""
        flat = torch.zeros(trials, padded(math.prod(shape)))
        return cls(flat, window(flat, 0, shape))


def window(flat: Tensor, start: int, shape: Sequence[int]) -> Tensor:
    """A tensor for each trial out of (trials, numbers), from a place on; a view."""
    return flat[:, start : start + math.prod(shape)].view(len(flat), *shape)
