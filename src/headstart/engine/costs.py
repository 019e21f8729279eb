"""Costs: what a picture takes on its way through a network, counted."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from headstart.engine.fastest import in_evaluation

_AT_A_TIME = 3  # tensors that are alive while one step is computed: its input, output and workspace


@contextmanager
def _outputs(module: nn.Module) -> Iterator[list[int]]:
    """The bytes of what each innermost module gives, in order, while it is used."""
    sizes: list[int] = []

    def note(_: nn.Module, __: Any, given: object) -> None:
        if isinstance(given, Tensor):
            sizes.append(given.numel() * given.element_size())

    leaves = [each for each in module.modules() if next(each.children(), None) is None]
    hooks = [each.register_forward_hook(note) for each in leaves]
    try:
        yield sizes
    finally:
        for hook in hooks:
            hook.remove()


def _given(module: nn.Module, picture_shape: tuple[int, int, int]) -> list[int]:
    """The bytes of each step's output for one picture."""
    height, width, channels = picture_shape
    first = next(iter(module.parameters()), torch.zeros(()))
    picture = torch.zeros((1, channels, height, width), device=first.device)
    with torch.inference_mode(), _outputs(module) as sizes:
        in_evaluation(module)(picture)
    return [4 * math.prod(picture_shape), *sizes]


def working_bytes(prefix: nn.Module, picture_shape: tuple[int, int, int]) -> int:
    """What a picture takes in memory while it goes through a network that only computes.

    Args:
        prefix: A network, or a part of one.
        picture_shape: Height, width, channels.
    """
    return _AT_A_TIME * max(_given(prefix, picture_shape))


def learning_bytes(network: nn.Module, picture_shape: tuple[int, int, int]) -> int:
    """What a picture takes in memory while a network learns: every step's output is held.

    Args:
        network: A whole network.
        picture_shape: Height, width, channels.
    """
    sizes = _given(network, picture_shape)
    return 2 * sum(sizes) + _AT_A_TIME * max(sizes)
