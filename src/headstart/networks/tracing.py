"""Tracing: a network's steps, one after the other, by `torch.fx`."""

import sys
from collections.abc import Collection

import torch
from torch import fx, nn

from headstart.networks.groups import Network

DRAWS = frozenset({"DropPath", "StochasticDepth", "DropBlock2d", "PatchDropout"})
"""Classes, by name, of modules that draw random numbers; PyTorch's own dropouts aside."""


class Tracer(fx.Tracer):
    """Leaves whole what timm says cannot be traced, and what draws random numbers."""

    def __init__(self) -> None:
        super().__init__()
        timm_layers = sys.modules.get("timm.layers")  # only there if the network is timm's
        self._leaves: tuple[type[nn.Module], ...] = (
            tuple(timm_layers.get_notrace_modules()) if timm_layers else ()
        )

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Whether a module is one step."""
        return (
            isinstance(m, self._leaves)
            or type(m).__name__ in DRAWS
            or super().is_leaf_module(m, module_qualified_name)
        )


def trace(network: Network) -> fx.Graph:
    """The network's steps, from its pictures to its logits; its modes stay as they are.

    Raises:
        ValueError: If it takes other steps while training than while evaluating. A network's own
            code may raise anything.
    """
    modes = {module: module.training for module in network.modules()}
    try:
        with torch.inference_mode():
            trained, evaluated = (Tracer().trace(network.train(mode)) for mode in (True, False))
    finally:
        for module, mode in modes.items():
            module.training = mode
    if str(evaluated) != str(trained):
        raise ValueError("it takes other steps while training than while evaluating")
    return evaluated


def copied(node: fx.Node, graph: fx.Graph, copies: dict[fx.Node, fx.Node]) -> fx.Node:
    """A step's copy in another graph, after the copies of all steps that it needs."""
    for each in [*_ancestors(node, copies), node]:
        if each not in copies:
            copies[each] = graph.node_copy(each, lambda needed: copies[needed])
    return copies[node]


def _ancestors(node: fx.Node, known: Collection[fx.Node]) -> list[fx.Node]:
    """The steps that a step needs and that are not known, in the order of the trace."""
    needed: set[fx.Node] = set()
    waiting = [node]
    while waiting:
        for each in waiting.pop().all_input_nodes:
            if each not in known and each not in needed:
                needed.add(each)
                waiting.append(each)
    return [each for each in node.graph.nodes if each in needed]
