"""Costs: what a picture takes on its way through a network, counted; what the machine can do."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from headstart.data.picture_cache import PictureCache
from headstart.engine.fastest import in_evaluation
from headstart.engine.measured import Measured, work_clock
from headstart.strategies.head_solver import HeadSolver

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


@dataclass(frozen=True)
class Rates:
    """What this machine does in a second.

    Attributes:
        flops: Floating-point operations of one thread in products of matrices.
        copied: Bytes copied in memory.
    """

    flops: float
    copied: float


def calibrated(cache: PictureCache, *, anew: bool = False) -> Rates:
    """This machine's rates, measured once and remembered.

    Args:
        cache: Where they are remembered.
        anew: Measure even if they are known.
    """
    memory = Measured.of(cache)
    known = None if anew else memory.recall("machine-rates")
    if known is None:
        known = [_flop_rate(), _copy_rate()]
        memory.remember(known, "machine-rates")
    return Rates(*known)


def _per_second(amount: float, work: Callable[[], object]) -> float:
    """The best of five turns of one thread, the first of which is not counted."""
    clock = work_clock(1)
    work()
    times = []
    for _ in range(5):
        started = clock()
        work()
        times.append(clock() - started)
    return amount / max(min(times), 1e-9)


def _flop_rate() -> float:
    a = torch.rand(512, 512)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _per_second(2 * 512**3, lambda: a @ a)
    finally:
        torch.set_num_threads(threads)


def _copy_rate() -> float:
    block = np.ones(2**25, dtype=np.uint8)
    return _per_second(block.nbytes, block.copy)


def solving_flops(solver: HeadSolver, pictures: int, numbers: int, classes: int) -> float:
    """Operations that solving a head takes, roughly: the terms that grow fastest.

    Args:
        solver: How it is solved.
        pictures: Training pictures, N.
        numbers: Features of one, D.
        classes: K.
    """
    n, d, k, choices = pictures, numbers, classes, len(solver.choices)
    small = min(n, d)
    decomposed = 4.0 * n * d * small
    if solver.method == "probe":  # some hundred evaluations a choice, on decomposed features
        return decomposed + choices * 100 * 4.0 * n * small * k
    if solver.method == "selected_probe":  # choices of features, each probed, and the group lasso
        sets = max(1, len(solver.fractions) * len(solver.group_penalties))
        return sets * (decomposed + choices * 100 * 4.0 * n * small * k) + 400.0 * n * d * k
    if solver.method == "ridge":
        return decomposed + choices * 4.0 * n * small * k
    if solver.method == "lda":
        return decomposed + choices * 2.0 * d * d * k
    return 2.0 * n * d * max(k, n if solver.method == "knn" else 1)
