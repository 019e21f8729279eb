"""Running statistics: how fast they move while training, and what they forget in that time.

A BatchNorm normalises by its batch while it learns, and by running statistics afterwards. These
move by a share of the way, the momentum, a step, so that (1 − momentum)^steps of what they started
from is left in them. In a group that starts fresh that is a mean of 0 and a variance of 1, which
say nothing of the pictures.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from headstart.networks.groups import HEAD, Network
from headstart.networks.selections import paced_statistics
from headstart.strategies.plan import Phase, Plan
from headstart.training.batches import batch_sizes

_LEFT = 0.1  # of what fresh statistics start from; with more, predictions are made by it
_ENOUGH = 0.01


@contextmanager
def paced(network: Network, phase: Phase) -> Iterator[None]:
    """Within it, statistics move by the phase's momentum, and afterwards by their own again.

    Those at rest do not move at all.

    Args:
        network: Changed in place.
        phase: Whose `batch_norm_momentum` it is; without one nothing is done.
    """
    if phase.batch_norm_momentum is None:
        yield
        return
    before = [(module, module.momentum) for module in paced_statistics(network.modules())]
    try:
        for module, _ in before:
            module.momentum = phase.batch_norm_momentum  # type: ignore[assignment]
        yield
    finally:
        for module, own in before:
            module.momentum = own


@dataclass(frozen=True)
class Stale:
    """Statistics that a plan leaves too near to where a fresh group starts.

    Attributes:
        left: The share of what they start from that is still in them at the end.
        momentum: By what share they move toward a batch's, a step.
        steps: How many steps they move in.
        enough: The momentum with which a hundredth would be left.
    """

    left: float
    momentum: float
    steps: int
    enough: float


def stale_statistics(network: Network, plan: Plan, pictures: int) -> Stale | None:
    """The statistics of fresh groups that a plan leaves most stale; None: none that matter.

    Early stopping may leave more than is told here.

    Args:
        network: Of the making that the plan is for.
        plan: What starts fresh, what learns, and for how long.
        pictures: How many it learns from.
    """
    fresh = {*(network.group_names if plan.start == "random" else plan.fresh)} - {HEAD}
    found: list[Stale] = []
    for name, module in network.named_modules():
        buffers = [f"{name}.{own}" for own, _ in module.named_buffers(recurse=False)]
        groups = {network.group_of(buffer) for buffer in buffers}
        if not groups & fresh or not any(paced_statistics([module])):
            continue
        paces = [
            (phase.batch_norm_momentum or module.momentum, _steps(phase, pictures))
            for phase in plan.phases
            if phase.batch_norm == "live" and all(map(phase.trains, groups))
        ]
        if not paces or any(momentum is None for momentum, _ in paces):
            continue  # PyTorch's None is the mean over all batches, which forgets at once
        steps = sum(count for _, count in paces)
        left = math.prod((1.0 - momentum) ** count for momentum, count in paces)
        slowest = min(momentum for momentum, _ in paces)
        found.append(Stale(left, slowest, steps, 1.0 - _ENOUGH ** (1.0 / steps)))
    worst = max(found, key=lambda each: each.left, default=None)
    return None if worst is None or worst.left <= _LEFT else worst


def _steps(phase: Phase, pictures: int) -> int:
    batches = batch_sizes(pictures, phase.batch_size, lone_picture=False)
    return phase.steps or len(batches) * (phase.epochs or 0)
