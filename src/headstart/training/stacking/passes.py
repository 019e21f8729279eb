"""A batch of every trial on its way through their chains, and the gradients on their way back."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from headstart.training.dropout import draw_mask
from headstart.training.stacking.bends import bending
from headstart.training.stacking.chain import Bend, Dense, Drop, Link
from headstart.training.stacking.room import Room
from headstart.training.stacking.weights import Layer


class Learning(Protocol):
    """What becomes of the gradients."""

    def take(self, layer: int, gradient: Tensor, inputs: Tensor) -> None:
        """Take in what a dense layer saw.

        Args:
            layer: Its number.
            gradient: Of what it put out, (trials, batch, outputs); may be changed.
            inputs: What it was given, (trials, batch, inputs).
        """


class _Stage(Protocol):
    out: Room

    def forward(self, layers: Sequence[Layer]) -> None: ...

    def backward(self, gradient: Room, layers: Sequence[Layer], learning: Learning) -> Room: ...


class _DenseStage:
    """x Wᵀ + b."""

    def __init__(self, number: int, link: Dense, inputs: Room, *, goes_back: bool) -> None:
        trials, rows, _ = inputs.each.shape
        self._number = number
        self._inputs = inputs
        self._back = Room.make(trials, rows, link.inputs) if goes_back else None
        self.out = Room.make(trials, rows, max(2, link.outputs))

    def forward(self, layers: Sequence[Layer]) -> None:
        layer = layers[self._number]
        if layer.bias is None:
            torch.bmm(self._inputs.each, layer.turned, out=self.out.each)
        else:
            torch.baddbmm(layer.bias_row, self._inputs.each, layer.turned, out=self.out.each)

    def backward(self, gradient: Room, layers: Sequence[Layer], learning: Learning) -> Room:
        if self._back is not None:
            weight = layers[self._number].weight
            assert weight is not None
            torch.bmm(gradient.each, weight, out=self._back.each)
        learning.take(self._number, gradient.each, self._inputs.each)
        return self._back or gradient


class _BendStage:
    """An activation; in place where that can be, and nobody else needs what it is given."""

    def __init__(self, link: Bend, inputs: Room, *, alone: bool) -> None:
        self._bending = bending(link)
        self._inputs = inputs
        in_place = alone and self._bending.in_place
        self.out = inputs if in_place else Room.make(*inputs.each.shape)
        self._kept = self.out if self._bending.in_place else inputs

    def forward(self, layers: Sequence[Layer]) -> None:
        del layers
        self._bending.forward(self._inputs.flat, self.out.flat)

    def backward(self, gradient: Room, layers: Sequence[Layer], learning: Learning) -> Room:
        del layers, learning
        self._bending.backward(gradient.flat, self._kept.flat)
        return gradient


class _DropStage:
    """Dropout; each trial's mask from its own stream, as a fit of it alone draws it."""

    def __init__(self, link: Drop, inputs: Room, streams: Sequence[torch.Generator]) -> None:
        self._share = link.share
        self._inputs = inputs
        self._mask = Room.make(*inputs.each.shape)
        self._whole = [(self._mask.each[t], each) for t, each in enumerate(streams)]
        self._drawn = self._whole
        self.out = Room.make(*inputs.each.shape)

    def draw_for(self, counts: Sequence[int]) -> None:
        """From now on there are so many pictures a trial."""
        pairs = zip(self._whole, counts, strict=True)
        self._drawn = [(mask[:count], stream) for (mask, stream), count in pairs]

    def forward(self, layers: Sequence[Layer]) -> None:
        del layers
        for mask, stream in self._drawn:
            draw_mask(mask, self._share, stream)
        torch.mul(self._inputs.flat, self._mask.flat, out=self.out.flat)

    def backward(self, gradient: Room, layers: Sequence[Layer], learning: Learning) -> Room:
        del layers, learning
        gradient.flat.mul_(self._mask.flat)
        return gradient


class Passes:
    """The way forth, and back, of a batch of every trial.

    Attributes:
        inputs: To be filled with a batch of every trial, (trials, rows, numbers).
        logits: What comes out, (trials, rows, classes).

    Args:
        links: The chain.
        trials: How many are stacked.
        width: Numbers an input.
        rows: Room for so many pictures of each trial, at least 2.
        streams: For dropout, one a trial; None: nothing is dropped, and nothing goes back.
        first: The first dense layer that learns; gradients go back no further.
    """

    def __init__(
        self,
        links: Sequence[Link],
        trials: int,
        width: int,
        rows: int,
        streams: Sequence[torch.Generator] | None = None,
        first: int = 0,
    ) -> None:
        self.inputs = Room.make(trials, rows, width)
        self._stages: list[tuple[int, _Stage]] = []
        self._first = first
        room, number = self.inputs, 0
        for link in links:
            stage: _Stage
            if isinstance(link, Dense):
                goes_back = streams is not None and number > first
                stage = _DenseStage(number, link, room, goes_back=goes_back)
                number += 1
            elif isinstance(link, Bend):
                bent = bool(self._stages) and isinstance(self._stages[-1][1], _BendStage)
                stage = _BendStage(link, room, alone=not bent)
            elif streams is not None:
                stage = _DropStage(link, room, streams)
            else:
                continue
            self._stages.append((number, stage))
            room = stage.out
        self.logits = room

    def draw_for(self, counts: Sequence[int]) -> None:
        """From now on only so many rows of each trial are pictures."""
        for _, stage in self._stages:
            if isinstance(stage, _DropStage):
                stage.draw_for(counts)

    def forward(self, layers: Sequence[Layer]) -> Room:
        """The logits of `inputs`."""
        for _, stage in self._stages:
            stage.forward(layers)
        return self.logits

    def backward(self, gradient: Room, layers: Sequence[Layer], learning: Learning) -> None:
        """Let the gradient of the logits go back to the first layer that learns."""
        for dense_so_far, stage in reversed(self._stages):
            if dense_so_far <= self._first:
                return
            gradient = stage.backward(gradient, layers, learning)
