"""The training loop of many trials at once: each as if it had been fitted alone."""

from collections.abc import Sequence

import torch
from torch import nn

from headstart.errors import TrainingError
from headstart.networks.heads import zero_output
from headstart.seeding import stream_seed
from headstart.strategies.plan import Plan
from headstart.training.courses import Clock
from headstart.training.fit import Fit
from headstart.training.stacking.course import StackedCourse, Trial, enter_phase
from headstart.training.stacking.members import Member


def fit_stacked(members: Sequence[Member]) -> list[Fit | TrainingError]:
    """Train networks in place, phase by phase, all of them at once.

    Each trial has its own weights, optimiser state, rates, weight decays, order of pictures and
    dropout, and stops when its own patience ends. It gets the same bits whoever else is in the
    stack, on one thread, and up to rounding those numbers that `headstart.training.fit.fit` gives.

    Args:
        members: On the CPU. Their networks are of one making, their plans differ in rates and in
            weight decays that are not zero, they enter their networks at the same place, and they
            have as many pictures to learn from and to choose with. See
            `headstart.engine.stacks.what_agrees`.

    Returns:
        For each trial what its fit left behind, or why it failed; those that fail leave the others
        as they would have been. Seconds are its share of the stack's.

    Raises:
        TrainingError: If there are no labelled pictures.
        NotStackableError: If a phase cannot be stacked, or not all enter it at the same place; the
            networks may have been trained in phases before it.
        StudyError: If a plan does not fit its network.
    """
    _check_plans(members)
    for member in members:
        for part, inputs in (("training", member.train), ("validation", member.valid)):
            if inputs.labels is None or not len(inputs):
                raise TrainingError(f"there are no labelled {part} pictures: give at least one")
    clock = Clock()
    trials = [Trial(member, _stream(member.seed)) for member in members]
    for member in members:
        if member.plan.zero_head:
            zero_output(member.network.head)
    with torch.inference_mode():  # a tenth quicker than no_grad
        for number in range(len(members[0].plan.phases)):
            entered = enter_phase([trial for trial in trials if trial.failure is None], number)
            if entered:
                StackedCourse(entered, number, clock, len(trials)).go()
    for member in members:
        for parameter in member.network.parameters():
            parameter.requires_grad_(True)
            parameter.grad = None
        member.network.eval()
    seconds = clock.seconds / len(trials)
    return [_result(trial, seconds) for trial in trials]


def _check_plans(members: Sequence[Member]) -> None:
    """Check each plan once on each body; heads are of one making.

    Raises:
        StudyError: If a plan does not fit its network.
    """
    checked: list[tuple[Plan, nn.Module]] = []
    for member in members:
        body = member.network.body
        if not any(plan == member.plan and known is body for plan, known in checked):
            member.plan.check_network(member.network)
            checked.append((member.plan, body))


def _stream(seed: int) -> torch.Generator:
    """The stream that dropout is drawn from."""
    return torch.Generator().manual_seed(stream_seed(seed, "dropout"))


def _result(trial: Trial, seconds: float) -> Fit | TrainingError:
    if trial.failure is not None:
        return trial.failure
    return Fit(tuple(trial.done), trial.steps, seconds, *trial.kept)
