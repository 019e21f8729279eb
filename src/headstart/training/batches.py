"""Pictures on their way into a network: kept as uint8, scaled a batch at a time."""

import math
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headstart.data.scaling import Scaling
from headstart.data.tasks import Examples

_EVALUATION_BATCH = 1000  # pictures at most, and fewer where they are large:
_EVALUATION_BYTES = 2**24  # as float32, since what a network makes of them takes many times that


def evaluation_batch(row_bytes: int) -> int:
    """How many rows are looked at together, in evaluation.

    Args:
        row_bytes: What one takes, as float32.
    """
    return max(1, min(_EVALUATION_BATCH, _EVALUATION_BYTES // row_bytes))


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


class StoredInputs:
    """Stored rows (and labels), given out a batch at a time as they are.

    On the CPU they stay where they are, be it a memory map; an accelerator gets those that are
    meant.

    Attributes:
        values: Shape (M, …), those that are meant among others.
        rows: Which of them are meant, shape (N,).
        labels: int64 on the device, shape (N,), or None where there are none.
    """

    def __init__(
        self,
        values: NDArray[Any],
        rows: NDArray[np.int64],
        labels: Tensor | None,
        device: torch.device,
    ) -> None:
        self.values = values
        self.rows = rows
        self.labels = labels
        self._device = device
        self._on_device = (
            None if device.type == "cpu" else torch.from_numpy(values[rows]).to(device)
        )

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def device(self) -> torch.device:
        """Where batches are given out."""
        return self._device

    def inputs(self, rows: Tensor | slice) -> Tensor:
        """Some rows, shape (batch, …)."""
        if self._on_device is not None:
            return self._on_device[rows]
        wanted = self.rows[rows if isinstance(rows, slice) else rows.numpy()]
        return torch.from_numpy(self.values.take(wanted, axis=0))

    def in_order(self) -> Iterator[tuple[Tensor, Tensor | None]]:
        """All inputs and labels as stored, in large batches, for evaluation."""
        size = evaluation_batch(4 * math.prod(self.values.shape[1:]))
        for start in range(0, len(self), size):
            rows = slice(start, start + size)
            yield self.inputs(rows), None if self.labels is None else self.labels[rows]


class Batches(StoredInputs):
    """Pictures (and labels) on a device, given out as scaled float32 batches.

    The pictures stay uint8, a quarter of the memory of floats, and are scaled when needed.

    Attributes:
        scaling: What happens to their numbers.
        channels_last: Whether channels lie beside each other in memory.
    """

    def __init__(
        self,
        pictures: NDArray[np.uint8],
        labels: NDArray[np.int64] | None,
        scaling: Scaling,
        device: torch.device,
        *,
        channels_last: bool = False,
        rows: NDArray[np.int64] | None = None,
    ) -> None:
        super().__init__(
            pictures,
            np.arange(len(pictures)) if rows is None else rows,
            None if labels is None else torch.from_numpy(labels).to(device),
            device,
        )
        self.scaling = scaling
        self._shift = torch.from_numpy(scaling.shift).to(device)
        self._factor = torch.from_numpy(1 / scaling.divisor).to(device)
        self._shifted = bool(scaling.shift.any())
        self._scaled = bool((scaling.divisor != 1).any())
        self.channels_last = channels_last

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
        return cls(
            examples.whole,
            examples.labels,
            scaling,
            device,
            channels_last=channels_last,
            rows=examples.rows,
        )

    def of_rows(self, rows: NDArray[np.int64]) -> "Batches":
        """Other pictures among the same ones, in the same way, without labels."""
        return Batches(
            self.values,
            None,
            self.scaling,
            self.device,
            channels_last=self.channels_last,
            rows=rows,
        )

    def inputs(self, rows: Tensor | slice) -> Tensor:
        """Scaled float32 pictures (batch, channels, height, width) of some rows."""
        return self.scaled(self.pixels(rows))

    def pixels(self, rows: Tensor | slice) -> Tensor:
        """Pictures as they are, uint8, shape (batch, height, width, channels)."""
        return super().inputs(rows)

    def scaled(self, pixels: Tensor) -> Tensor:
        """Scaled float32 pictures (batch, channels, height, width) of what `pixels` gives."""
        values = pixels.to(torch.float32)  # uint8 before, so this is a copy
        if self._shifted:
            values.sub_(self._shift)
        if self._scaled:
            values.mul_(self._factor)
        # (N, H, W, C) in memory is channels-last already; the view only renames the axes.
        values = values.permute(0, 3, 1, 2)
        return values if self.channels_last else values.contiguous()


class ChannelsLastInputs(StoredInputs):
    """Feature maps stored as (height, width, channels), given out as (channels, height, width).

    They lie in memory as they do inside a network that reads pictures channels-last, so that what
    follows, dropout's draws included, is the same.
    """

    def inputs(self, rows: Tensor | slice) -> Tensor:
        """Some rows, shape (batch, channels, height, width)."""
        return super().inputs(rows).permute(0, 3, 1, 2)
