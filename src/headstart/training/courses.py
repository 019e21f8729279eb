"""Courses: one phase on its way, epoch by epoch."""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from headstart.errors import TrainingError
from headstart.networks.groups import Network
from headstart.networks.selections import has_statistics
from headstart.seeding import generator
from headstart.strategies.head_solver import HeadSolver
from headstart.strategies.plan import Phase
from headstart.training.augmented import Mixing
from headstart.training.batches import batch_sizes
from headstart.training.checkpoints import Standing
from headstart.training.entry import Entry
from headstart.training.evaluate import evaluate_loss
from headstart.training.regularisers import Regularisation
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


class Clock:
    """Seconds since it was made, and those from before.

    Args:
        before: Seconds of what was interrupted.
    """

    def __init__(self, before: float = 0.0) -> None:
        self._started = time.perf_counter() - before

    @property
    def seconds(self) -> float:
        """How many they are."""
        return time.perf_counter() - self._started


class Solution:
    """A phase that solves the head at once: one line of the learning curve, and no step."""

    steps = 0

    def __init__(
        self, network: Network, name: str, solver: HeadSolver, entry: Entry, clock: Clock
    ) -> None:
        self._name = name
        self._clock = clock
        self._solved = solve_head(network, solver, entry)
        self.kept = (self._solved.val_loss, self._solved.val_accuracy)

    def epochs(self, first: int) -> Iterator[Epoch]:
        """The line of the learning curve."""
        train_loss = self._solved.train_loss
        yield Epoch(self._name, first, train_loss, *self.kept, self._clock.seconds)


class Course:
    """One phase on its way: steps made, and the weights worth keeping."""

    def __init__(
        self,
        network: Network,
        phase: Phase,
        entry: Entry,
        near: Regularisation,
        seed: int,
        clock: Clock,
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
        self._epochs = 0
        self._since_best = 0
        self._best = (math.inf, 0.0)
        self._best_state: dict[str, Tensor] = {}

    def standing(self) -> Standing:
        """All that the next epoch depends on, beside the network and the random numbers."""
        of_steps = self._steps.standing()
        facts = {
            "steps": self.steps,
            "kept": self.kept,
            "epochs": self._epochs,
            "since_best": self._since_best,
            "best": self._best,
            **of_steps.facts,
        }
        best = {f"best:{name}": tensor for name, tensor in self._best_state.items()}
        return Standing({**of_steps.tensors, **best}, facts)

    def go_on_from(self, standing: Standing) -> None:
        """Take on what `standing` told."""
        facts = standing.facts
        self.steps, self._epochs = facts["steps"], facts["epochs"]
        self.kept, self._best = tuple(facts["kept"]), tuple(facts["best"])
        self._since_best = facts["since_best"]
        self._best_state = standing.part("best")
        self._steps.go_on_from(standing)

    def epochs(self, first: int) -> Iterator[Epoch]:
        """Train epoch by epoch until the phase is over or patience ends.

        Args:
            first: The number of the phase's first epoch, over all phases.
        """
        patience = self._phase.patience or math.inf
        while self.steps < self._total_steps and self._since_best < patience:
            number = first + self._epochs
            with self._near:
                train_loss = self._one_epoch(number, self._epochs)
            with self._steps.worth_keeping():
                self.kept = evaluate_loss(self._network, self._entry.valid, self._entry.model)
                self._check_finite(self.kept[0], "validation loss", number)
                self._note_best()
            self._epochs += 1
            yield Epoch(self._phase.name, number, train_loss, *self.kept, self._clock.seconds)
        self._steps.finish()
        if self._best_state:
            self._network.load_state_dict(self._best_state)
            self.kept = self._best

    def _note_best(self) -> None:
        """Keep the weights if they are the best so far, where the phase has patience."""
        if self._phase.patience is None:
            return
        self._since_best += 1
        if self.kept[0] < self._best[0]:
            self._best, self._since_best = self.kept, 0
            state = self._network.state_dict()
            self._best_state = {name: tensor.clone() for name, tensor in state.items()}

    def _one_epoch(self, number: int, of_phase: int) -> float:
        """One pass over the pictures (or what is left of the steps); its mean loss.

        Args:
            number: From 1, over all phases.
            of_phase: From 0, in this phase.
        """
        device = self._entry.train.device
        order = self._order(number)
        total = torch.zeros((), device=device)
        seen = 0
        for rows in torch.split(order.to(device), self._sizes):
            if self.steps == self._total_steps:
                break
            factor = rate_factor(self._phase.schedule, self.steps, self._total_steps)
            total += self._steps.step(self._batch(rows, number, of_phase), factor) * len(rows)
            seen += len(rows)
            self.steps += 1
        mean = float(total) / seen
        self._check_finite(mean, "loss", number)
        return mean

    def _order(self, number: int) -> Tensor:
        """The order of the pictures in an epoch, counted from 1 over all phases."""
        return picture_order(self._phase.recipe.order, self._seed, number, self._labels)

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
        check_finite(value, what, epoch, self._phase.name)


def picture_order(kind: str, seed: int, epoch: int, labels: Tensor) -> Tensor:
    """The order of the training pictures in an epoch.

    Args:
        kind: As in `headstart.strategies.recipe.Recipe`.
        seed: Names the stream.
        epoch: From 1, counted over all phases.
        labels: Of the pictures.
    """
    if kind == "by_class":
        return torch.argsort(labels.cpu(), stable=True)
    return torch.from_numpy(generator(seed, "order", epoch).permutation(len(labels)))


def check_finite(value: float, what: str, epoch: int, phase: str) -> None:
    """Refuse to go on with a loss that is no number.

    Args:
        value: The loss.
        what: Which one, in words.
        epoch: From 1, counted over all phases.
        phase: Its name.

    Raises:
        TrainingError: If it is not finite.
    """
    if not math.isfinite(value):
        raise TrainingError(
            f"the {what} became {value} in epoch {epoch} (phase {phase!r}): lower the learning "
            "rate, or scale the pictures"
        )
