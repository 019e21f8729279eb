"""Pictures on their way into a network: kept as uint8, scaled a batch at a time."""

import math
from collections.abc import Iterator
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headstart.data.scaling import Scaling
from headstart.data.tasks import Examples

_EVALUATION_BATCH = 1000  # pictures at most, and fewer where they are large:
_EVALUATION_BYTES = 2**24  # as float32, since what a network makes of them takes many times that


def batch_sizes(pictures: int, batch_size: int, *, lone_picture: bool = True) -> list[int]:
    """The sizes of the batches of one epoch, full ones first.

    Args:
        pictures: How many there are.
        batch_size: Pictures a batch.
        lone_picture: Whether the last batch may be a single picture beside larger ones; if not,
            that picture joins the batch before it.
    """
    full, rest = divmod(pictures, batch_size)
    sizes = [batch_size] * full + [rest] * bool(rest)
    if rest == 1 and full and not lone_picture:
        sizes[-2:] = [batch_size + 1]
    return sizes


class Inputs(Protocol):
    """What a network, or the rest of one, is trained on and evaluated with, a batch at a time.

    Attributes:
        labels: int64 on the device, shape (N,), or None where there are none.
    """

    labels: Tensor | None

    def __len__(self) -> int: ...

    @property
    def device(self) -> torch.device:
        """Where batches are given out."""

    def inputs(self, rows: Tensor | slice) -> Tensor:
        """Float32 inputs of some rows, shape (batch, …)."""

    def in_order(self) -> Iterator[tuple[Tensor, Tensor | None]]:
        """All inputs and labels as stored, in large batches, for evaluation."""


class Batches:
    """Pictures (and labels) on a device, given out as scaled float32 batches.

    The pictures stay uint8, a quarter of the memory of floats, and are scaled when needed.

    Attributes:
        labels: int64 on the device, shape (N,), or None for pictures without labels.
    """

    def __init__(
        self,
        pictures: NDArray[np.uint8],
        labels: NDArray[np.int64] | None,
        scaling: Scaling,
        device: torch.device,
        *,
        channels_last: bool = False,
    ) -> None:
        # PyTorch cannot promise to leave a read-only array alone, so that is copied.
        own = np.require(pictures, requirements=["C", "W"])
        self._pictures = torch.from_numpy(own).to(device)
        self._shift = torch.from_numpy(scaling.shift).to(device)
        self._factor = torch.from_numpy(1 / scaling.divisor).to(device)
        self._shifted = bool(scaling.shift.any())
        self._scaled = bool((scaling.divisor != 1).any())
        self._channels_last = channels_last
        self.labels = None if labels is None else torch.from_numpy(labels).to(device)

    @classmethod
    def of(
        cls,
        examples: Examples,
        scaling: Scaling,
        device: torch.device,
        *,
        channels_last: bool = False,
    ) -> "Batches":
        """Batches of labelled examples."""
        return cls(examples.pictures, examples.labels, scaling, device, channels_last=channels_last)

    def __len__(self) -> int:
        return len(self._pictures)

    @property
    def device(self) -> torch.device:
        """Where the pictures lie."""
        return self._pictures.device

    def inputs(self, rows: Tensor | slice) -> Tensor:
        """Scaled float32 pictures (batch, channels, height, width) of some rows."""
        picked = (
            self._pictures[rows]
            if isinstance(rows, slice)
            else self._pictures.index_select(0, rows)
        )
        values = picked.to(torch.float32)
        if self._shifted:
            values.sub_(self._shift)
        if self._scaled:
            values.mul_(self._factor)
        # (N, H, W, C) in memory is channels-last already; the view only renames the axes.
        values = values.permute(0, 3, 1, 2)
        return values if self._channels_last else values.contiguous()

    def in_order(self) -> Iterator[tuple[Tensor, Tensor | None]]:
        """All pictures and labels as stored, in large batches, for evaluation."""
        picture_bytes = 4 * math.prod(self._pictures.shape[1:])
        size = max(1, min(_EVALUATION_BATCH, _EVALUATION_BYTES // picture_bytes))
        for start in range(0, len(self), size):
            rows = slice(start, start + size)
            yield self.inputs(rows), None if self.labels is None else self.labels[rows]
