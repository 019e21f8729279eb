"""The weights of a stack: those of one trial in a row of numbers, row below row."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from headstart.training.stacking.chain import Dense
from headstart.training.stacking.room import padded, window

Kind: TypeAlias = Literal["weight", "bias"]
Rates: TypeAlias = tuple[float, ...]


@dataclass(frozen=True)
class Layer:
    """What a dense layer computes with, or its gradients; views.

    Attributes:
        weight: Shape (trials, outputs, inputs), or None where there is none.
        bias: Shape (trials, outputs), or None.
    """

    weight: Tensor | None
    bias: Tensor | None

    @cached_property
    def turned(self) -> Tensor:
        """The weight as (trials, inputs, outputs), a view that is made once for all steps."""
        assert self.weight is not None
        return self.weight.transpose(1, 2)

    @cached_property
    def bias_row(self) -> Tensor:
        """The bias as (trials, 1, outputs), likewise."""
        assert self.bias is not None
        return self.bias[:, None]


@dataclass(frozen=True)
class _Place:
    """Where a parameter lies: in which part, from which number on."""

    layer: int
    kind: Kind
    part: int
    start: int
    shape: tuple[int, ...]


class Layout:
    """Where the parameters of a chain lie.

    What learns at the same rates lies together, in one part; what is frozen in another.

    Attributes:
        rates: Of each part: a rate for each trial, or None where it is frozen.
        sizes: Of each part: how many numbers a trial has there.

    Args:
        dense: The dense layers, in order. A last one of a single unit gets a second, of zeros, in
            front: the two logits of a softmax that is its sigmoid.
        rates: For each parameter that learns, by layer and kind, a rate for each trial.
    """

    def __init__(self, dense: Sequence[Dense], rates: Mapping[tuple[int, Kind], Rates]) -> None:
        self._dense = dense
        self._places: list[_Place] = []
        self.rates: list[Rates | None] = []
        self.sizes: list[int] = []
        parts: dict[Rates | None, int] = {}
        for number, link in enumerate(dense):
            outputs = max(2, link.outputs)
            shapes: dict[Kind, tuple[int, ...]] = {"weight": (outputs, link.inputs)}
            if link.has_bias:
                shapes["bias"] = (outputs,)
            for kind, shape in shapes.items():
                key = rates.get((number, kind))
                if key not in parts:
                    parts[key] = len(parts)
                    self.rates.append(key)
                    self.sizes.append(0)
                part = parts[key]
                self._places.append(_Place(number, kind, part, self.sizes[part], shape))
                self.sizes[part] += padded(torch.Size(shape).numel())

    def of(self, chosen: Tensor) -> "Layout":
        """The same for some of the trials, by their places."""
        some = copy.copy(self)
        places = chosen.tolist()
        some.rates = [
            None if rates is None else tuple(rates[place] for place in places)
            for rates in self.rates
        ]
        return some

    @property
    def learning(self) -> list[int]:
        """The parts that learn."""
        return [part for part, rates in enumerate(self.rates) if rates is not None]

    @property
    def frozen(self) -> list[int]:
        """The parts that do not."""
        return [part for part, rates in enumerate(self.rates) if rates is None]

    def part_of(self, layer: int, kind: Kind) -> int | None:
        """The part of a parameter that learns; None if it does not."""
        for place in self._places:
            if (place.layer, place.kind) == (layer, kind):
                return place.part if self.rates[place.part] is not None else None
        return None

    def first_learning(self) -> int:
        """The first layer of which something learns."""
        return min(p.layer for p in self._places if self.rates[p.part] is not None)

    def room(self, trials: int, parts: Sequence[int]) -> dict[int, Tensor]:
        """Zeros for some parts, each (trials, numbers)."""
        return {part: torch.zeros(trials, self.sizes[part]) for part in parts}

    def layers(self, flat: Mapping[int, Tensor]) -> list[Layer]:
        """Views of the layers' tensors in the parts that are there."""
        found: list[dict[Kind, Tensor]] = [{} for _ in self._dense]
        for place in self._places:
            if place.part in flat:
                tensor = window(flat[place.part], place.start, place.shape)
                found[place.layer][place.kind] = tensor
        return [Layer(each.get("weight"), each.get("bias")) for each in found]


def take_in(
    layers: Sequence[Layer],
    dense: Sequence[Dense],
    trial: int,
    modules: Sequence[nn.Module],
    columns: Tensor | None,
) -> None:
    """Copy a trial's weights from its own modules into the stack.

    Args:
        layers: Views of the stack's.
        dense: The dense layers.
        trial: Its place in the stack.
        modules: The chain's, of this trial.
        columns: In which order the first layer takes its inputs; None: as they are.
    """
    for ours, theirs in _pairs(layers, dense, trial, modules, columns):
        ours.copy_(theirs)


def give_back(
    layers: Sequence[Layer],
    dense: Sequence[Dense],
    trial: int,
    modules: Sequence[nn.Module],
    columns: Tensor | None,
) -> None:
    """Copy a trial's weights from the stack into its own modules, as `take_in` took them."""
    back = None if columns is None else torch.argsort(columns)
    for number, (layer, link) in enumerate(zip(layers, dense, strict=True)):
        module = modules[link.module]
        assert isinstance(module, nn.Linear)
        if layer.weight is not None:
            weight = layer.weight[trial, -link.outputs :]
            if back is not None and number == 0:
                weight = weight[:, back]
            module.weight.data.copy_(weight)
        if layer.bias is not None:
            module.bias.data.copy_(layer.bias[trial, -link.outputs :])


def _pairs(
    layers: Sequence[Layer],
    dense: Sequence[Dense],
    trial: int,
    modules: Sequence[nn.Module],
    columns: Tensor | None,
) -> list[tuple[Tensor, Tensor]]:
    """The stack's tensors of a trial beside its own."""
    pairs = []
    for number, (layer, link) in enumerate(zip(layers, dense, strict=True)):
        module = modules[link.module]
        assert isinstance(module, nn.Linear)
        if layer.weight is not None:
            own = module.weight.detach()
            if columns is not None and number == 0:
                own = own[:, columns]
            pairs.append((layer.weight[trial, -link.outputs :], own))
        if layer.bias is not None:
            pairs.append((layer.bias[trial, -link.outputs :], module.bias.detach()))
    return pairs
