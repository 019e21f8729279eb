"""The one training loop: explicit phases, no callbacks."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from headstart.errors import TrainingError
from headstart.networks.groups import Network
from headstart.networks.heads import zero_output
from headstart.networks.selections import has_statistics
from headstart.seeding import generator, stream_seed
from headstart.strategies.head_solver import HeadSolver
from headstart.strategies.plan import Phase, Plan
from headstart.training.augmented import ChangedPictures, Mixing
from headstart.training.batches import Batches, Inputs, batch_sizes
from headstart.training.entry import Enter, Entry, at_the_pictures
from headstart.training.evaluate import evaluate_loss
from headstart.training.interpolation import interpolate, snapshot
from headstart.training.regularisers import Regularisation, starting_point, watches_features
from headstart.training.schedules import rate_factor
from headstart.training.solve import solve_head
from headstart.training.steps import Batch, Steps


@dataclass(frozen=True)
class Epoch:
    """One line of a learning curve.

    Attributes:
        phase: The phase's name.
        epoch: From 1, counted over all phases.
        train_loss: Mean loss over the pictures of the epoch, while training, in nats.
        val_loss: Loss on the validation split afterwards, in nats.
        val_accuracy: Share of the validation pictures told rightly.
        seconds: From the start of the fit.
    """

    phase: str
    epoch: int
    train_loss: float
    val_loss: float
    val_accuracy: float
    seconds: float


@dataclass(frozen=True)
class Fit:
    """What a fit left behind.

    Attributes:
        epochs: The learning curve.
        steps: Optimiser steps made.
        seconds: Wall time of training and validation.
        val_loss: Validation loss of the weights that were kept.
        val_accuracy: Validation accuracy of the weights that were kept.
    """

    epochs: tuple[Epoch, ...]
    steps: int
    seconds: float
    val_loss: float
    val_accuracy: float


def fit(
    network: Network,
    plan: Plan,
    train: Inputs,
    valid: Inputs,
    seed: int,
    on_epoch: Callable[[Epoch], None] | None = None,
    enter: Enter = at_the_pictures,
    class_names: Sequence[str] = (),
) -> Fit:
    """Train a network in place, phase by phase.

    The order of the pictures and the dropout come from streams of their own, so that all
    strategies of one seed see the pictures in the same order, changed in the same way where the
    plan augments them. Frozen groups are left bit-identical, buffers included.

    In a network that takes statistics from batches (BatchNorm), a last batch of one picture would
    have none: that picture joins the batch before it, whatever is frozen, so that all strategies
    of one network see the same batches.

    Args:
        network: On the batches' device, already holding the weights it starts from.
        plan: What trains when; must cover the network's groups.
        train: Labelled training pictures.
        valid: Labelled validation pictures.
        seed: Names the streams.
        on_epoch: Told every epoch as it ends.
        enter: Where each phase enters the network; at the pictures when omitted.
        class_names: The classes in the order of their numbers, where the plan weighs them by name.

    Raises:
        TrainingError: If the loss is no longer a finite number, there is nothing to learn from or
            to choose with, BatchNorm would have to learn from batches of one picture, or the
            plan's recipes ask for what is not here.
        StudyError: If the plan does not fit the network or the classes.
    """
    plan.check_network(network)
    for part, batches in (("training", train), ("validation", valid)):
        if batches.labels is None or not len(batches):
            raise TrainingError(f"there are no labelled {part} pictures: give at least one")
    clock = _Clock()
    done: list[Epoch] = []
    steps = 0
    with torch.random.fork_rng(devices=cuda_devices(train.device)):
        torch.manual_seed(stream_seed(seed, "dropout"))
        if plan.zero_head:
            zero_output(network.head)
        source = starting_point(network, plan)
        for phase in plan.phases:
            set_modes(network, phase)
            way_in = at_the_pictures if watches_features(phase) else enter
            entry = way_in(network, phase, _changed(train, phase, seed), valid)
            course: _Course | _Solution
            if phase.solver is not None:
                course = _Solution(network, phase.name, phase.solver, entry, clock)
            else:
                near = Regularisation(network, phase, entry.model, source, seed)
                course = _Course(network, phase, entry, near, seed, clock, class_names)
            for epoch in course.epochs(first=len(done) + 1):
                done.append(epoch)
                if on_epoch is not None:
                    on_epoch(epoch)
            steps += course.steps
            if plan.interpolation is not None and phase.name == plan.interpolation.after:
                before = snapshot(network)
    for parameter in network.parameters():
        parameter.requires_grad_(True)
        parameter.grad = None
    network.eval()
    val_loss, val_accuracy = course.kept
    if plan.interpolation is not None:
        val_loss, val_accuracy = interpolate(network, plan.interpolation, before, valid)
    return Fit(tuple(done), steps, clock.seconds, val_loss, val_accuracy)


def set_modes(network: Network, phase: Phase) -> None:
    """Make exactly what the phase trains learn: gradients, and the statistics of normalisation.

    A module of a frozen group that holds buffers is put into evaluation mode, whatever it is, as
    buffers only change in training mode; so is one of which the phase's selection trains no
    parameter. Dropout stays on everywhere: it belongs to the architecture, not to a group's
    weights.
    """
    learning = phase.learning(network)
    network.train()
    for name, module in network.named_modules():
        buffers = [f"{name}.{buffer}" for buffer, _ in module.named_buffers(recurse=False)]
        frozen = any(not phase.trains(network.group_of(buffer)) for buffer in buffers)
        if buffers and phase.only != "everything":
            own = [f"{name}.{key}" for key, _ in module.named_parameters(recurse=False)]
            frozen = frozen or not any(key in learning for key in own)
        if frozen or (phase.batch_norm == "frozen" and has_statistics(module)):
            module.training = False  # of this module alone, not of those inside it
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name in learning)


def _changed(train: Inputs, phase: Phase, seed: int) -> Inputs:
    """The training pictures as a phase wants to see them.

    Raises:
        TrainingError: If it changes pictures, and what it is given are none.
    """
    if not (phase.augments or phase.views):
        return train
    if not isinstance(train, Batches):
        raise TrainingError(
            f"phase {phase.name!r} changes its training pictures, but was given "
            f"{type(train).__name__}: give Batches of pictures, or leave augment out"
        )
    return ChangedPictures(train, phase.recipe.augment, seed, phase.views)


class _Clock:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._started = time.perf_counter()

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._started


class _Solution:
    """A phase that solves the head at once: one line of the learning curve, and no step."""

    steps = 0

    def __init__(
        self, network: Network, name: str, solver: HeadSolver, entry: Entry, clock: _Clock
    ) -> None:
        self._name = name
        self._clock = clock
        self._solved = solve_head(network, solver, entry)
        self.kept = (self._solved.val_loss, self._solved.val_accuracy)

    def epochs(self, first: int) -> Iterator[Epoch]:
        """The line of the learning curve."""
        train_loss = self._solved.train_loss
        yield Epoch(self._name, first, train_loss, *self.kept, self._clock.seconds)


class _Course:
    """One phase on its way: steps made, and the weights worth keeping."""

    def __init__(
        self,
        network: Network,
        phase: Phase,
        entry: Entry,
        near: Regularisation,
        seed: int,
        clock: _Clock,
        class_names: Sequence[str],
    ) -> None:
        labels = entry.train.labels
        assert labels is not None
        self._network = network
        self._phase = phase
        self._entry = entry
        self._near = near
        self._seed = seed
        self._clock = clock
        self._pictures = len(labels) // max(1, phase.views)
        self._labels = labels[: self._pictures]
        self._steps = Steps(network, phase, near, self._labels, class_names)
        mixes = phase.augments and phase.recipe.augment.mixes
        self._mixing = Mixing(phase.recipe.augment, seed) if mixes else None
        normed = [module for module in network.modules() if has_statistics(module)]
        self._sizes = batch_sizes(self._pictures, phase.batch_size, lone_picture=not normed)
        self._total_steps = phase.steps or len(self._sizes) * (phase.epochs or 0)
        if max(self._sizes) == 1 and any(module.training for module in normed):
            raise TrainingError(
                f"BatchNorm cannot learn from batches of one picture (phase {phase.name!r}): raise "
                'batch_size, or set batch_norm = "frozen"'
            )
        self.steps = 0
        self.kept = (math.inf, 0.0)

    def epochs(self, first: int) -> Iterator[Epoch]:
        """Train epoch by epoch until the phase is over or patience ends."""
        best: tuple[float, float] = (math.inf, 0.0)
        best_state: dict[str, Tensor] | None = None
        since_best = 0
        number = first
        while self.steps < self._total_steps:
            with self._near:
                train_loss = self._one_epoch(number, number - first)
            with self._steps.worth_keeping():
                self.kept = evaluate_loss(self._network, self._entry.valid, self._entry.model)
                self._check_finite(self.kept[0], "validation loss", number)
                if self._phase.patience is not None and self.kept[0] < best[0]:
                    best, since_best = self.kept, -1
                    best_state = {k: v.clone() for k, v in self._network.state_dict().items()}
            yield Epoch(self._phase.name, number, train_loss, *self.kept, self._clock.seconds)
            number += 1
            since_best += 1
            if self._phase.patience is not None and since_best >= self._phase.patience:
                break
        self._steps.finish()
        if best_state is not None:
            self._network.load_state_dict(best_state)
            self.kept = best

    def _one_epoch(self, number: int, of_phase: int) -> float:
        """One pass over the pictures (or what is left of the steps); its mean loss.

        Args:
            number: From 1, over all phases.
            of_phase: From 0, in this phase.
        """
        device = self._entry.train.device
        order = generator(self._seed, "order", number).permutation(self._pictures)
        total = torch.zeros((), device=device)
        seen = 0
        for rows in torch.split(torch.from_numpy(order).to(device), self._sizes):
            if self.steps == self._total_steps:
                break
            factor = rate_factor(self._phase.schedule, self.steps, self._total_steps)
            total += self._steps.step(self._batch(rows, number, of_phase), factor) * len(rows)
            seen += len(rows)
            self.steps += 1
        mean = float(total) / seen
        self._check_finite(mean, "loss", number)
        return mean

    def _batch(self, rows: Tensor, number: int, of_phase: int) -> Batch:
        """The pictures of some rows as this epoch shows them."""
        phase, labels = self._phase, self._labels.index_select(0, rows)
        if phase.views:
            seen = rows + (of_phase % phase.views) * self._pictures
            return Batch(self._entry.train.inputs(seen), labels)
        if not phase.augments:
            return Batch(self._entry.train.inputs(rows), labels)
        inputs, shares = self._entry.train.inputs(rows + (number - 1) * self._pictures), None
        if self._mixing is not None:
            inputs, shares = self._mixing(inputs, rows.tolist(), number - 1)
        return Batch(inputs, labels, shares)

    def _check_finite(self, value: float, what: str, epoch: int) -> None:
        if not math.isfinite(value):
            raise TrainingError(
                f"the {what} became {value} in epoch {epoch} (phase {self._phase.name!r}): lower "
                "the learning rate, or scale the pictures"
            )


def cuda_devices(device: torch.device) -> Sequence[int]:
    """The CUDA devices whose random state a fit on this device uses."""
    return [device.index or 0] if device.type == "cuda" else []
