"""Choosing a learning rate: let it rise step by step, and see where the loss stops falling.

The range test of Smith 2017, *Cyclical learning rates for training neural networks*, with one
change: a loss is compared with that of the network as it was, on the same pictures with the same
dropout, as some batches are harder than others. It is done on copies, with streams of its own, so
that weights, buffers, gradients and random state are the same, bit by bit, afterwards.
"""

import copy
import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import Tensor

from headstart.errors import TrainingError
from headstart.networks.groups import Network
from headstart.networks.heads import zero_output
from headstart.networks.low_rank import adapted
from headstart.networks.selections import has_statistics
from headstart.seeding import generator, stream_seed
from headstart.strategies.plan import Phase, Plan
from headstart.training.batches import Inputs, batch_sizes
from headstart.training.fit import cuda_devices, set_modes
from headstart.training.regularisers import Regularisation, starting_point
from headstart.training.running_statistics import paced
from headstart.training.source_side import source_side
from headstart.training.steps import Batch, Steps

_SMOOTHING = 0.9  # of the running mean of the gain
_HOPELESS = 4.0  # times the loss at first, and the test is over
_LAG = round(_SMOOTHING / (1 - _SMOOTHING))  # steps, of the running mean
_WORTH = 0.01  # of the loss at first, that a gain must be to suggest anything


@dataclass(frozen=True)
class RateCurve:
    """What a range test saw.

    Attributes:
        rates: The rate of each step, rising; that of the fastest layer group.
        gains: How much lower than at first the loss on a batch was before each step, in nats,
            smoothed over the steps.
        suggestion: Where the gain rises most steeply over a tenth of the steps, with what the
            smoothing lags behind taken off; None where nothing was gained.
    """

    rates: tuple[float, ...]
    gains: tuple[float, ...]
    suggestion: float | None


def find_rate(
    network: Network,
    plan: Plan,
    train: Inputs,
    seed: int,
    *,
    lowest: float = 1e-6,
    highest: float = 10.0,
    steps: int = 100,
    class_names: Sequence[str] = (),
) -> RateCurve:
    """Test rising rates in the first phase of a plan; nothing given is changed.

    The rates of the layer groups keep their ratios. Pictures are shown as they are.

    Args:
        network: Holding the weights that the phase would start from.
        plan: Its first phase says what learns, in which ratios, with which optimiser.
        train: Labelled training pictures.
        seed: Draws the order of the pictures and the dropout.
        lowest: Rate of the first step.
        highest: Rate of the last step; the test ends sooner where the loss explodes.
        steps: How many.
        class_names: The classes in order, where the phase weighs them by name.

    Raises:
        TrainingError: If the range makes no sense or there is nothing to learn from.
        StudyError: If the plan does not fit the network.
    """
    if not (0 < lowest < highest < math.inf and steps >= 2):
        raise TrainingError(
            f"rates from {lowest} to {highest} in {steps} steps: give 0 < lowest < highest, and at "
            "least 2 steps"
        )
    if train.labels is None or not len(train):
        raise TrainingError("there are no labelled training pictures: give at least one")
    plan.check_network(network)
    fastest = max(rate for rate in plan.phases[0].rates.values() if rate is not None)
    rates = [lowest * (highest / lowest) ** (step / (steps - 1)) for step in range(steps)]
    at_first: list[float] = []
    gains: list[float] = []
    with torch.random.fork_rng(devices=cuda_devices(train.device)), ExitStack() as hooks:
        torch.manual_seed(stream_seed(seed, "rate finder"))
        still, moving = (_copy(network, plan, train, class_names, hooks) for _ in range(2))
        batches = _batches(network, plan.phases[0], train, seed)
        for rate, batch in zip(rates, batches, strict=False):
            with torch.random.fork_rng(devices=cuda_devices(train.device)):
                before = float(still.step(batch, 0.0))
            loss = float(moving.step(batch, rate / fastest))
            if not math.isfinite(loss) or loss > _HOPELESS * before:
                break
            at_first.append(before)
            gains.append(before - loss)
    return _curve(rates, gains, at_first)


def _copy(
    network: Network,
    plan: Plan,
    train: Inputs,
    class_names: Sequence[str],
    hooks: ExitStack,
) -> Steps:
    """The steps of the plan's first phase on a copy of the network."""
    own, phase = copy.deepcopy(network), plan.phases[0]
    if plan.zero_head:
        zero_output(own.head)
    source = starting_point(own, plan)
    beside = source_side(own, plan, train)
    hooks.enter_context(adapted(own, phase.low_rank))
    hooks.enter_context(paced(own, phase))
    set_modes(own, phase)
    near = hooks.enter_context(Regularisation(own, phase, own, source, beside))
    assert train.labels is not None
    return Steps(own, phase, near, train.labels, class_names)


def _batches(network: Network, phase: Phase, train: Inputs, seed: int) -> Iterator[Batch]:
    """Batches without end, in orders of their own."""
    normed = any(has_statistics(module) for module in network.modules())
    sizes = batch_sizes(len(train), phase.batch_size, lone_picture=not normed)
    labels, epoch = train.labels, 0
    assert labels is not None
    while True:
        epoch += 1
        drawn = generator(seed, "rate finder", epoch).permutation(len(train))
        order: Tensor = torch.from_numpy(drawn).to(train.device)
        for rows in torch.split(order, sizes):
            yield Batch(train.inputs(rows), labels.index_select(0, rows))


def _smoothed(gains: Sequence[float]) -> list[float]:
    """The running mean, corrected for its start at zero."""
    mean, found = 0.0, []
    for step, gain in enumerate(gains, 1):
        mean = _SMOOTHING * mean + (1 - _SMOOTHING) * gain
        found.append(mean / (1 - _SMOOTHING**step))
    return found


def _curve(rates: Sequence[float], gains: Sequence[float], at_first: Sequence[float]) -> RateCurve:
    smooth = _smoothed(gains)
    shown = tuple(rates[: len(smooth)])
    if not smooth or max(smooth) < _WORTH * sum(at_first) / len(at_first):
        return RateCurve(shown, tuple(smooth), None)
    span = max(1, len(rates) // 10)
    rises = [now - smooth[max(0, step - span)] for step, now in enumerate(smooth)]
    steepest = max(range(len(rises)), key=rises.__getitem__) - span // 2
    return RateCurve(shown, tuple(smooth), rates[max(0, steepest - _LAG)])
