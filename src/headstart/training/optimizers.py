"""PyTorch's optimisers on a phase's layer groups, each at its own rate.

These call PyTorch's own functional update rules rather than its `Optimizer` classes: making the
first of those imports the whole of PyTorch's compiler, which takes longer than many a trial.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.optim.adadelta import adadelta
from torch.optim.adam import adam
from torch.optim.adamw import adamw
from torch.optim.sgd import sgd

from headstart.errors import TrainingError
from headstart.networks.groups import Network
from headstart.strategies.plan import Optimizer, Phase

Columns = list[list[Tensor]]


class _Rule(ABC):
    """One update rule with its state for the parameters of one layer group.

    The state is a list of columns (such as the momenta), each with a tensor a parameter.
    """

    has_fused = True

    def __init__(self, parameters: Sequence[Tensor], settings: Optimizer) -> None:
        self.settings = settings
        # The fused kernels update all numbers of a tensor in one pass over memory.
        self.fused = self.has_fused and all(p.device.type in ("cpu", "cuda") for p in parameters)
        self._parameters = list(parameters)
        self._state = self.fresh_state(self._parameters)

    @abstractmethod
    def fresh_state(self, parameters: Sequence[Tensor]) -> Columns:
        """The state before the first step."""

    @abstractmethod
    def update(
        self, parameters: list[Tensor], gradients: list[Tensor], state: Columns, lr: float
    ) -> None:
        """Change parameters and state in place."""

    def step(self, lr: float) -> None:
        """Update the parameters that the last loss depended on, and no other."""
        used = [n for n, parameter in enumerate(self._parameters) if parameter.grad is not None]
        if used:
            parameters = [self._parameters[n] for n in used]
            gradients = [p.grad for p in parameters if p.grad is not None]
            state = [[column[n] for n in used] for column in self._state]
            self.update(parameters, gradients, state, lr)

    def counters(self, parameters: Sequence[Tensor]) -> list[Tensor]:
        """A step counter for each parameter, where PyTorch's kernels expect it."""
        return [torch.zeros((), device=p.device if self.fused else "cpu") for p in parameters]


class _Sgd(_Rule):
    def fresh_state(self, parameters: Sequence[Tensor]) -> Columns:
        return [_zeros(parameters)] if self.settings.momentum else []

    def update(
        self, parameters: list[Tensor], gradients: list[Tensor], state: Columns, lr: float
    ) -> None:
        momenta: list[Tensor | None] = [*state[0]] if state else [None] * len(parameters)
        sgd(
            parameters,
            gradients,
            momenta,
            foreach=False,
            fused=self.fused,
            weight_decay=self.settings.weight_decay,
            momentum=self.settings.momentum,
            lr=lr,
            dampening=0.0,
            nesterov=self.settings.nesterov,
            maximize=False,
        )


class _Adam(_Rule):
    def fresh_state(self, parameters: Sequence[Tensor]) -> Columns:
        return [_zeros(parameters), _zeros(parameters), self.counters(parameters)]

    def update(
        self, parameters: list[Tensor], gradients: list[Tensor], state: Columns, lr: float
    ) -> None:
        rule = adam if self.settings.name == "adam" else adamw
        means, squares, steps = state
        rule(
            parameters,
            gradients,
            means,
            squares,
            [],
            steps,
            foreach=False,
            fused=self.fused,
            amsgrad=False,
            beta1=self.settings.betas[0],
            beta2=self.settings.betas[1],
            lr=lr,
            weight_decay=self.settings.weight_decay,
            eps=self.settings.eps or 1e-8,
            maximize=False,
        )


class _Adadelta(_Rule):
    has_fused = False

    def fresh_state(self, parameters: Sequence[Tensor]) -> Columns:
        return [_zeros(parameters), _zeros(parameters), self.counters(parameters)]

    def update(
        self, parameters: list[Tensor], gradients: list[Tensor], state: Columns, lr: float
    ) -> None:
        squares, deltas, steps = state
        adadelta(
            parameters,
            gradients,
            squares,
            deltas,
            steps,
            foreach=True,
            lr=lr,
            rho=self.settings.rho,
            eps=self.settings.eps or 1e-6,
            weight_decay=self.settings.weight_decay,
            maximize=False,
        )


def _zeros(parameters: Sequence[Tensor]) -> list[Tensor]:
    return [torch.zeros_like(parameter) for parameter in parameters]


_RULES: dict[str, type[_Rule]] = {
    "sgd": _Sgd,
    "adam": _Adam,
    "adamw": _Adam,
    "adadelta": _Adadelta,
}


class PhaseOptimizer:
    """The optimiser of one phase, its state fresh.

    Frozen groups are left out altogether, so nothing moves or decays them.

    Args:
        network: Whose parameters to update.
        phase: Rates and options.

    Raises:
        TrainingError: If the groups that the phase trains hold no weights.
    """

    def __init__(self, network: Network, phase: Phase) -> None:
        # Groups with one rate are updated together: a kernel call each would cost more than the
        # arithmetic of a small network.
        by_rate: dict[float, list[Tensor]] = {}
        for name, rate in phase.rates.items():
            parameters = list(network.group_parameters(name).values())
            if rate is not None and parameters:
                by_rate.setdefault(rate, []).extend(parameters)
        kind = _RULES[phase.optimizer.name]
        self._parameters = [each for parameters in by_rate.values() for each in parameters]
        self._rules = [(kind(each, phase.optimizer), rate) for rate, each in by_rate.items()]
        if not self._rules:
            trained = ", ".join(name for name in phase.rates if phase.trains(name))
            raise TrainingError(
                f"phase {phase.name!r} trains only {trained}, which has no weights: train another "
                "group"
            )

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self._parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self, factor: float) -> None:
        """Update every group once.

        Args:
            factor: What the schedule multiplies every rate by.
        """
        for rule, rate in self._rules:
            rule.step(rate * factor)
