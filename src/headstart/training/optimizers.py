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

from headstart.networks.groups import Network
from headstart.strategies.plan import Optimizer, Phase


class _Rule(ABC):
    """One update rule with the state of one layer group's parameters."""

    def __init__(self, parameters: Sequence[Tensor], settings: Optimizer) -> None:
        self.parameters = list(parameters)
        self.settings = settings
        # The fused kernels update all numbers of a tensor in one pass over memory.
        self.fused = all(p.device.type in ("cpu", "cuda") for p in parameters)

    def zeros(self) -> list[Tensor]:
        """A tensor of zeros for each parameter."""
        return [torch.zeros_like(p) for p in self.parameters]

    def counters(self) -> list[Tensor]:
        """A step counter for each parameter, where PyTorch's kernels expect it."""
        return [torch.zeros((), device=p.device if self.fused else "cpu") for p in self.parameters]

    @abstractmethod
    def update(self, parameters: list[Tensor], gradients: list[Tensor], lr: float) -> None:
        """Change the parameters in place."""


class _Sgd(_Rule):
    def __init__(self, parameters: Sequence[Tensor], settings: Optimizer) -> None:
        super().__init__(parameters, settings)
        self.buffers: list[Tensor | None] = [None] * len(self.parameters)

    def update(self, parameters: list[Tensor], gradients: list[Tensor], lr: float) -> None:
        sgd(
            parameters,
            gradients,
            self.buffers,
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
    def __init__(self, parameters: Sequence[Tensor], settings: Optimizer) -> None:
        super().__init__(parameters, settings)
        self.means, self.squares, self.steps = self.zeros(), self.zeros(), self.counters()

    def update(self, parameters: list[Tensor], gradients: list[Tensor], lr: float) -> None:
        rule = adam if self.settings.name == "adam" else adamw
        rule(
            parameters,
            gradients,
            self.means,
            self.squares,
            [],
            self.steps,
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
    def __init__(self, parameters: Sequence[Tensor], settings: Optimizer) -> None:
        super().__init__(parameters, settings)
        self.fused = False  # PyTorch has no fused kernel for it
        self.squares, self.deltas, self.steps = self.zeros(), self.zeros(), self.counters()

    def update(self, parameters: list[Tensor], gradients: list[Tensor], lr: float) -> None:
        adadelta(
            parameters,
            gradients,
            self.squares,
            self.deltas,
            self.steps,
            foreach=True,
            lr=lr,
            rho=self.settings.rho,
            eps=self.settings.eps or 1e-6,
            weight_decay=self.settings.weight_decay,
            maximize=False,
        )


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
    """

    def __init__(self, network: Network, phase: Phase) -> None:
        self._settings = phase.optimizer
        self._groups = [
            (list(network.group_parameters(name).values()), rate)
            for name, rate in phase.rates.items()
            if rate is not None
        ]
        self._rules: list[tuple[_Rule, float]] | None = None

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameters, _ in self._groups:
            for parameter in parameters:
                parameter.grad = None

    @torch.no_grad()
    def step(self, factor: float) -> None:
        """Update every group once.

        Args:
            factor: What the schedule multiplies every rate by.
        """
        if self._rules is None:
            self._rules = self._make_rules()
        for rule, rate in self._rules:
            gradients = [p.grad for p in rule.parameters if p.grad is not None]
            rule.update(rule.parameters, gradients, rate * factor)

    def _make_rules(self) -> list[tuple[_Rule, float]]:
        """Rules with state for the parameters that the loss depends on, known after one step."""
        kind, rules = _RULES[self._settings.name], []
        for parameters, rate in self._groups:
            used = [p for p in parameters if p.grad is not None]
            if used:
                rules.append((kind(used, self._settings), rate))
        return rules
