"""Taps: a network whose features are what lies at many places of its body, each summed up.

Head2Toe (Evci, Dumoulin, Larochelle & Mozer 2022): what a source computed on its way may tell a new
task more than what it ended with. Every tap pools a feature map to few numbers and scales them to
unit length, so that no place outweighs the others; side by side they are the features. Nothing is
computed twice: the body is gone through once, and read on its way.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, fx, nn
from torch.nn import functional

from headstart.errors import NetworkError, nearest
from headstart.networks.groups import HEAD, LayerGroup, Network
from headstart.networks.heads import solvable_layer
from headstart.networks.tracing import copied, trace
from headstart.settings import Count, Settings

_BODY = "body."
_Edge = Annotated[Count, Field(le=65_536)]
_Edges = Annotated[tuple[_Edge, ...], Field(max_length=2)]


@dataclass(frozen=True)
class Tapping:
    """What a plan asks of the taps of its network.

    Attributes:
        numbers: How many a tap gives, at most, if its map has no more channels than that.
    """

    numbers: int


class Tap(Settings):
    """A place of a body, and how what lies there is summed up.

    Attributes:
        name: Of the step whose output it is, by `torch.fx` in the whole network.
        window: Height and width (of tokens: the number) that are averaged; empty: nothing is.
        step: From one window to the next.
        channels_last: Whether channels are the last axis, not the first.
        numbers: How many it gives.
    """

    name: Annotated[str, Field(max_length=500)]
    window: _Edges = ()
    step: _Edges = ()
    channels_last: bool = False
    numbers: Annotated[Count, Field(le=10_000_000)]

    @model_validator(mode="after")
    def _has_a_step_for_each_window(self) -> Self:
        if len(self.window) != len(self.step):
            raise ValueError(
                f"window has {len(self.window)} edges, step {len(self.step)}: give as many"
            )
        return self

    def of(self, value: Tensor) -> Tensor:
        """What it gives, (N, numbers), of what lies at its place, (N, …)."""
        return summed_up(value, self.window, self.step, self.channels_last)


class TappedBody(nn.Module):
    """Pictures → what the taps give, side by side, (N, numbers).

    Attributes:
        taps: In order, stem first.
        steps: The body's own modules, gone through once.
    """

    def __init__(self, taps: Sequence[Tap], steps: nn.Module) -> None:
        super().__init__()
        self.taps = tuple(taps)
        self.steps = steps

    def forward(self, pictures: Tensor) -> Tensor:
        """The features of pictures (N, channels, height, width)."""
        features: Tensor = self.steps(pictures)
        return features


def summed_up(
    value: Tensor, window: tuple[int, ...], step: tuple[int, ...], channels_last: bool
) -> Tensor:
    """What a tap gives, (N, numbers), of what lies at its place, (N, …)."""
    if window:
        pool = functional.avg_pool2d if len(window) == 2 else functional.avg_pool1d
        if channels_last:
            value = value.permute(0, 3, 1, 2) if len(window) == 2 else value.transpose(1, 2)
        value = pool(value, window, step)
    return functional.normalize(value.flatten(1), dim=1)


def with_taps(network: Network, taps: Sequence[Tap]) -> Network:
    """A network with a network's own body, tapped, and a new head of one linear layer, at 0.

    Args:
        network: Its body's modules become the new network's.
        taps: In the order of the body.

    Raises:
        NetworkError: If the network has no such places, or its head has hidden layers.
    """
    body = TappedBody(taps, _steps(network, taps))
    name = solvable_layer(network.head)
    if name is None:
        raise NetworkError("taps take a head of one linear layer: leave head.hidden out")
    head = copy.deepcopy(network.head)
    layer = head.get_submodule(name)
    assert isinstance(layer, nn.Linear)
    # Made without drawing random numbers, which a trial's other parts would miss.
    linear = nn.Linear(sum(tap.numbers for tap in taps), layer.out_features, device="meta")
    linear.to_empty(device=layer.weight.device)
    for parameter in linear.parameters():
        nn.init.zeros_(parameter)
    if name:
        head.set_submodule(name, linear)
    else:
        head = linear
    return Network(body, head, _groups(network, body), pretrained=network.pretrained)


def _groups(network: Network, body: nn.Module) -> list[LayerGroup]:
    """The layer groups by the names that their modules have now."""
    there = {f"{_BODY}{name}" for name, _ in body.named_modules()}
    there |= {f"{_BODY}{name}" for name, _ in (*body.named_parameters(), *body.named_buffers())}
    found = []
    for group in network.groups:
        if group.name == HEAD:
            found.append(group)
            continue
        names = [f"{_BODY}steps.{each.removeprefix(_BODY)}" for each in group.modules]
        found.append(LayerGroup(group.name, tuple(each for each in names if each in there)))
    return found


def _steps(network: Network, taps: Sequence[Tap]) -> fx.GraphModule:
    """The body's steps as far as the taps need them, each tap right behind its place."""
    try:
        traced = trace(network)
    except Exception as error:  # tracing runs a network's own code, which may raise anything
        raise NetworkError(f"the network cannot be followed step by step: {error}") from error
    nodes = {node.name: node for node in traced.nodes if node.op != "output"}
    missing = [tap.name for tap in taps if tap.name not in nodes]
    if missing or not taps:
        raise NetworkError(*(f"no place {each!r} to tap: {nearest(each, nodes)}" for each in
                             missing or ["(none)"]))  # fmt: skip
    graph = fx.Graph()
    first = next(iter(traced.nodes))
    copies, given = {first: graph.node_copy(first)}, []
    # In the order of the trace: a later step may work in place, so a tap reads before it.
    wanted = {nodes[tap.name]: tap for tap in taps}
    for node in traced.nodes:
        if node in wanted:
            tap = wanted[node]
            found = copied(node, graph, copies)
            how = (found, tap.window, tap.step, tap.channels_last)
            given.append(graph.call_function(summed_up, how))
    graph.output(graph.call_function(torch.cat, (given, 1)))
    for node in graph.nodes:
        if node.op in ("call_module", "get_attr"):
            if not str(node.target).startswith(_BODY):
                raise NetworkError(f"{node.target} lies behind the body: taps are within it")
            node.target = str(node.target).removeprefix(_BODY)
    return fx.GraphModule(network.body, graph, "Steps")
