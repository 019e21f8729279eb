"""The supply of a stack: the same places of every trial's inputs, in one go."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headstart.training.batches import Batches, ChannelsLastInputs, Inputs, StoredInputs
from headstart.training.stacking.room import Room

TOGETHER_BYTES = 2**27  # inputs of different trials that are copied into one table, at most


def can_supply(inputs: Inputs) -> bool:
    """Whether a stack can take such inputs."""
    return isinstance(inputs, StoredInputs) and inputs.device.type == "cpu"


def columns_of(inputs: Inputs) -> Tensor | None:
    """Where the numbers of an input lie in storage, in the order in which a network sees them.

    Pictures, and feature maps behind convolutions, are stored channels last, and a network that
    flattens them sees their channels first. The weights behind take the order of storage instead.

    Returns:
        For each number as stored its place among those that a network sees; None: the same.
    """
    if not isinstance(inputs, Batches | ChannelsLastInputs):
        return None
    height, width, channels = inputs.values.shape[1:]
    if channels == 1:
        return None
    places = torch.arange(height * width * channels).view(channels, height, width)
    return places.permute(1, 2, 0).reshape(-1)


def drops_in_storage_order(inputs: Inputs) -> bool:
    """Whether dropout on unflattened inputs draws in the order of storage."""
    if not isinstance(inputs, Batches | ChannelsLastInputs):
        return True
    channels: int = inputs.values.shape[3]
    if isinstance(inputs, Batches) and not inputs.channels_last:
        return channels == 1
    return maps_drop_in_storage_order(channels)


def maps_drop_in_storage_order(channels: int) -> bool:
    """Whether dropout on feature maps that lie channels-last draws in the order of storage."""
    return channels == 1 or draws_in_storage_order()


@cache
def draws_in_storage_order() -> bool:
    """Whether this machine's PyTorch draws channels-last tensors in the order of storage.

    On Intel's processors MKL draws, channels first whatever the storage.
    """
    maps = torch.empty(2, 5, 3, 4).contiguous(memory_format=torch.channels_last)
    flat = torch.empty(maps.numel())
    for tensor in (maps, flat):
        tensor.bernoulli_(0.5, generator=torch.Generator().manual_seed(0))
    return torch.equal(maps.permute(0, 2, 3, 1).reshape(-1), flat)


@dataclass(frozen=True)
class Ordered:
    """Pictures in the order of an epoch.

    Attributes:
        rows: Where they lie, (trials, pictures).
        labels: Their class numbers, (trials, pictures).
    """

    rows: NDArray[np.int64]
    labels: Tensor


class Supply:
    """What a stack's trials are trained on, or chosen with.

    Attributes:
        counts: How many pictures each trial has.
        width: Numbers an input.

    Args:
        parts: One a trial.
    """

    def __init__(self, parts: Sequence[Inputs]) -> None:
        self._parts = [part for part in parts if isinstance(part, StoredInputs)]
        assert len(self._parts) == len(parts)
        self.counts = [len(part) for part in self._parts]
        values = [part.values.reshape(len(part.values), -1) for part in self._parts]
        self.width = values[0].shape[1]
        self._rows = [part.rows for part in self._parts]
        same = all(part.values is self._parts[0].values for part in self._parts)
        total = sum(self.counts)
        if not same and total * self.width * values[0].itemsize <= TOGETHER_BYTES:
            table = [each.take(rows, axis=0) for each, rows in zip(values, self._rows, strict=True)]
            values = [np.concatenate(table)]
            self._rows = np.split(np.arange(total), np.cumsum(self.counts)[:-1])
            same = True
        self._values = values[:1] if same else values
        self._shift, self._factor = _scaling(self._parts)

    def labels(self, trial: int) -> Tensor:
        """The labels of a trial's pictures."""
        labels = self._parts[trial].labels
        assert labels is not None
        return labels

    def in_orders(self, orders: Sequence[Tensor], rows: int) -> "Ordered":
        """The pictures of every trial in an order of its own.

        Args:
            orders: One a trial.
            rows: Room for so many behind the last picture, filled with the first one.
        """
        longest = max(self.counts) + rows
        found = np.zeros((len(orders), longest), dtype=np.int64)
        labels = torch.zeros((len(orders), longest), dtype=torch.int64)
        for trial, order in enumerate(orders):
            found[trial] = self._rows[trial][0]
            found[trial, : len(order)] = self._rows[trial][order.numpy()]
            labels[trial, : len(order)] = self.labels(trial)[order]
        return Ordered(found, labels)

    def of(self, chosen: Tensor) -> "Supply":
        """The supply of some of the trials, by their places."""
        return Supply([self._parts[place] for place in chosen.tolist()])

    def fill(self, room: Room, rows: NDArray[np.int64]) -> None:
        """Put some of every trial's inputs into room.

        Args:
            room: (trials, so many, width).
            rows: From `in_orders`, (trials, so many).
        """
        if len(self._values) > 1:
            for trial, (values, own) in enumerate(zip(self._values, rows, strict=True)):
                room.each[trial] = torch.from_numpy(values.take(own, axis=0))
        elif self._values[0].dtype == np.float32 and room.each.is_contiguous():
            out = room.each.view(-1, self.width).numpy()
            # Without a mode, NumPy would write somewhere else first.
            np.take(self._values[0], rows.reshape(-1), axis=0, out=out, mode="clip")
        else:
            whole = torch.from_numpy(self._values[0].take(rows.reshape(-1), axis=0))
            room.each.copy_(whole.view(room.each.shape))
        if self._shift is not None:
            room.each.sub_(self._shift)
        if self._factor is not None:
            room.each.mul_(self._factor)


def _scaling(parts: Sequence[StoredInputs]) -> tuple[Tensor | None, Tensor | None]:
    """What is taken from every trial's pictures, and what they are multiplied by then.

    Each is (trials, 1, width or 1), or None where it changes nothing.
    """
    pictures = [part for part in parts if isinstance(part, Batches)]
    if not pictures:
        return None, None
    shape = pictures[0].values.shape[1:]
    shifts = [_spread(part.scaling.shift, shape) for part in pictures]
    factors = [_spread(1 / part.scaling.divisor, shape) for part in pictures]
    shift, factor = torch.stack(shifts)[:, None], torch.stack(factors)[:, None]
    return shift if shift.any() else None, factor if (factor != 1).any() else None


def _spread(numbers: NDArray[Any], shape: tuple[int, ...]) -> Tensor:
    """A number for each of an input's, or a single one for all of them."""
    if numbers.size > 1:
        numbers = np.broadcast_to(numbers, shape)
    return torch.from_numpy(numbers.reshape(-1).copy())
