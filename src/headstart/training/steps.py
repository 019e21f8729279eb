"""One optimiser step: from a batch to changed weights."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from torch import Tensor

from headstart.networks.groups import Network
from headstart.strategies.plan import Phase
from headstart.training.averaging import WeightAverage
from headstart.training.checkpoints import Standing, copy_into
from headstart.training.objective import Objective
from headstart.training.optimizers import PhaseOptimizer
from headstart.training.precision import Arithmetic, choose_precision
from headstart.training.regularisers import Regularisation


@dataclass(frozen=True)
class Batch:
    """What one step learns from.

    Attributes:
        inputs: Shape (batch, …), float32.
        labels: Class numbers, shape (batch,).
        shares: How much of each input is its own, as in `Objective`; None: all.
    """

    inputs: Tensor
    labels: Tensor
    shares: Tensor | None = None


class Steps:
    """The steps of one phase, as its recipe has them.

    Args:
        network: What learns.
        phase: How.
        model: Inputs → logits, made of the network's own modules, with the phase's regularisers.
        labels: Of all training pictures.
        class_names: The classes in the order of their numbers.
    """

    def __init__(
        self,
        network: Network,
        phase: Phase,
        model: Regularisation,
        labels: Tensor,
        class_names: Sequence[str],
    ) -> None:
        recipe = phase.recipe
        own = list(phase.learning(network).values())
        parameters = [*own, *model.parameters]
        precision = choose_precision(recipe.precision, labels.device)
        self._model = model
        self._clip_norm = recipe.clip_norm
        self._optimizer = PhaseOptimizer(network, phase, model.parameters)
        self._objective = Objective(recipe, labels, class_names)
        self._arithmetic = Arithmetic(precision, labels.device, parameters)
        self._average = WeightAverage(own, recipe.ema) if recipe.ema else None

    def step(self, batch: Batch, factor: float) -> Tensor:
        """Learn from a batch.

        Args:
            batch: The batch.
            factor: What the schedule multiplies every rate by.

        Returns:
            The batch's loss before the step in nats, a scalar.
        """
        with self._arithmetic.forward():
            logits = self._model(batch.inputs)
        value = self._objective(logits.float(), batch.labels, batch.shares)
        self._optimizer.zero_grad()
        self._arithmetic.backward(self._model.added_to(value, batch.labels, batch.shares))
        self._arithmetic.step(self._optimizer, factor, self._clip_norm)
        if self._average is not None:
            self._average.update()
        return value.detach()

    def standing(self) -> Standing:
        """All state that the next step depends on."""
        average = {} if self._average is None else self._average.tensors()
        tensors = {f"optimizer:{name}": each for name, each in self._optimizer.tensors().items()}
        tensors |= {f"average:{name}": each for name, each in average.items()}
        return Standing(tensors, {"scale": self._arithmetic.scale})

    def go_on_from(self, standing: Standing) -> None:
        """Take on what `standing` told."""
        if self._average is not None:
            self._average.update()  # makes room for it
            copy_into(self._average.tensors(), standing.part("average"))
        copy_into(self._optimizer.tensors(), standing.part("optimizer"))
        self._arithmetic.set_scale(standing.facts["scale"])

    @contextmanager
    def worth_keeping(self) -> Iterator[None]:
        """Within it, the network holds the weights to evaluate and keep."""
        if self._average is None:
            yield
            return
        with self._average.shown():
            yield

    def finish(self) -> None:
        """Leave the weights worth keeping in the network."""
        if self._average is not None:
            self._average.keep()
