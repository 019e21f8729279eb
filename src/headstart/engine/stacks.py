"""Stacks: which trials of a study are trained together, and how many at a time.

Whether a trial is stacked follows from its plan, its network and the numbers of its pictures alone,
never from the other trials: it gets the same bits in a stack of one as in a stack of many, so
that adding seeds, going on after an interruption or training one trial again changes nothing.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import Tensor

from headstart.engine.keeper import Doorway
from headstart.networks.groups import Network, count_parameters
from headstart.networks.selections import has_statistics
from headstart.strategies.plan import Phase, Plan
from headstart.training.batches import batch_sizes
from headstart.training.stacking.batching import Batching
from headstart.training.stacking.chain import Dense, drops_first
from headstart.training.stacking.course import EVALUATED
from headstart.training.stacking.members import can_follow, chain_behind
from headstart.training.stacking.supply import TOGETHER_BYTES, maps_drop_in_storage_order

# Measured by benchmarks/stacked.py.
_WIDEST_BYTES = 2**26  # of one trial's weights; above it, it fills the machine by itself
_LONGEST_FLOPS = (
    2e12  # of one fit, about a minute; longer ones keep checkpoints, which stacks do not
)
_STACK_FLOPS = 4e12  # of a stack: what is lost when its process is killed
_STACK_BYTES = 2**24  # of a stack's weights, so that they stay in the processor's cache
_NETWORKS_BYTES = 2**30  # of the trials' own networks, where no limit of memory is given
_MOST = 256
_COPIES = 6  # of the weights: gradients, the optimiser's state, the best so far, an average


@dataclass(frozen=True)
class Likeness:
    """What trials of one stack agree in.

    Attributes:
        key: The same for all of them.
        most: How many of them to train at a time.
    """

    key: str
    most: int


def likeness(
    network: Network,
    plan: Plan,
    counts: tuple[int, int],
    picture_shape: tuple[int, int, int],
    doorway: Doorway | None,
    memory: int | None = None,
    *,
    same_weights: bool = False,
) -> Likeness | None:
    """What a trial must agree in with others to be stacked with them; None: it is fitted alone.

    Args:
        network: Of the making of the trial's.
        plan: The trial's.
        counts: Of the pictures that it learns from and chooses with.
        picture_shape: Height, width, channels.
        doorway: Where it enters its network; None: at the pictures.
        memory: Bytes that a stack may take.
        same_weights: Whether all trials start from the same weights, so that those that stay as
            they are lie in memory once.
    """
    if not can_follow(plan) or min(counts) < 1:
        return None
    sizes = [_size(network, phase, picture_shape, doorway) for phase in plan.phases]
    found = [size for size in sizes if size is not None]
    if len(found) < len(sizes) or max(each.weights for each in found) * 4 > _WIDEST_BYTES:
        return None
    flops = sum(
        6.0 * size.weights * _pictures_seen(phase, counts[0])
        + 2.0 * size.weights * counts[1] * _epochs(phase, counts[0])
        for size, phase in zip(found, plan.phases, strict=True)
    )
    if flops > _LONGEST_FLOPS:
        return None
    most = min(_MOST, int(_STACK_FLOPS / max(1.0, flops)))
    own = _own_bytes(network, plan, same_weights=same_weights)
    most = min(most, _NETWORKS_BYTES // own)
    for size, phase in zip(found, plan.phases, strict=True):
        most = min(most, _STACK_BYTES // (4 * size.weights))
        if memory is not None:
            most = min(most, _fitting(size, phase, sum(counts), memory, own))
    normed = any(has_statistics(module) for module in network.modules())
    parts = [
        _described(phase, Batching.of(phase, counts[0], normed=normed)) for phase in plan.phases
    ]
    return Likeness("\n".join(parts), max(1, most))


@dataclass(frozen=True)
class _Size:
    """Numbers that a phase of one trial computes with: weights, and those of one picture."""

    weights: int
    widths: int
    row_bytes: int  # of one picture's inputs, as they are stored


def _own_bytes(network: Network, plan: Plan, *, same_weights: bool) -> int:
    """What the weights of one trial's network take that no other trial has."""
    own = plan.trained_groups() | set(plan.fresh)
    shared = same_weights and plan.start == "source"
    return 4 * count_parameters(
        parameter
        for name, parameter in network.named_parameters()
        if not shared or network.group_of(name) in own
    )


def _fitting(size: _Size, phase: Phase, pictures: int, memory: int, own: int) -> int:
    """How many trials have room in memory, in a phase.

    Inputs of different trials are copied into a table, one to learn from and one to choose with,
    as long as neither becomes too large.
    """
    passes = size.widths * (8 * phase.batch_size + 4 * EVALUATED)
    each = own + _COPIES * 4 * size.weights + passes
    with_tables = memory // (each + pictures * size.row_bytes)
    return max(with_tables, (memory - 2 * TOGETHER_BYTES) // each)


def _size(
    network: Network,
    phase: Phase,
    picture_shape: tuple[int, int, int],
    doorway: Doorway | None,
) -> _Size | None:
    """The size of what a phase trains through; None if it cannot be stacked."""
    cut = None if doorway is None else doorway.keeper.before(network, phase, len(doorway.rows))
    model: Callable[[Tensor], Tensor] = network
    if doorway is not None and cut is not None:
        model = doorway.keeper.cuts(network).split(network, cut).suffix
    dimensions = len(picture_shape if cut is None else cut.shape)
    chain = chain_behind(network, phase, model, dimensions)
    if chain is None:
        return None
    if dimensions == 3 and drops_first(chain[1]):
        # Pictures are stored channels last, and dropout on them is not drawn in that order.
        as_stored = (
            picture_shape[2] == 1 if cut is None else maps_drop_in_storage_order(cut.shape[0])
        )
        if not as_stored:
            return None
    dense = [link for link in chain[1] if isinstance(link, Dense)]
    weights = sum(link.inputs * link.outputs for link in dense)
    widths = sum(link.inputs + 3 * link.outputs for link in dense)
    return _Size(weights, widths, dense[0].inputs * (1 if cut is None else 4))


def _described(phase: Phase, batching: Batching) -> str:
    """A phase as text, without what is one a trial: rates, decays, a picture more or less."""
    decays = float(phase.optimizer.weight_decay > 0)
    learns = {group: None if rate is None else 1.0 for group, rate in phase.rates.items()}
    optimizer = phase.optimizer.model_copy(update={"weight_decay": decays})
    alike = replace(phase, name="", rates=learns, optimizer=optimizer)
    return f"{batching.steps} batches of {batching.rows}: {alike!r}"


def _pictures_seen(phase: Phase, count: int) -> int:
    return phase.batch_size * phase.steps if phase.steps else count * (phase.epochs or 0)


def _epochs(phase: Phase, count: int) -> int:
    if phase.steps:
        return math.ceil(phase.steps / len(batch_sizes(count, phase.batch_size)))
    return phase.epochs or 0
