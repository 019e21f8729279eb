"""PyTorch's optimisers on a phase's layer groups, each at its own rate.

These call PyTorch's own functional update rules rather than its `Optimizer` classes: making the
first of those imports the whole of PyTorch's compiler, which takes longer than many a trial.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.optim.adadelta import adadelta
from torch.optim.adam import adam
from torch.optim.adamw import adamw
from torch.optim.sgd import sgd

from headstart.errors import TrainingError
from headstart.networks.groups import HEAD, Network
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

    def tensors(self) -> Iterator[Tensor]:
        """The state as it is now, tensor by tensor."""
        for column in self._state:
            yield from column

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

    What is frozen is left out altogether, so nothing moves or decays it.

    Args:
        network: Whose parameters to update.
        phase: Rates and options.
        beside: What learns with it beside the network, at the highest rate of the body.

    Raises:
        TrainingError: If the groups that the phase trains hold no weights.
    """

    def __init__(self, network: Network, phase: Phase, beside: Sequence[nn.Parameter] = ()) -> None:
        kind, learning = _RULES[phase.optimizer.name], phase.learning(network)
        if not learning:
            trained = ", ".join(name for name in phase.rates if phase.trains(name))
            raise TrainingError(
                f"phase {phase.name!r} trains only {trained}, which has no weights: train another "
                "group"
            )
        self._parameters = [*learning.values(), *beside]
        self._rules = [
            (kind(parameters, phase.optimizer), rate)
            for rate, parameters in _by_rate(network, phase, learning, beside)
        ]
        by_gradient = phase.rate_rule == "relative_gradient_norm"
        self._shares = RelativeGradientNorms(self._parameters) if by_gradient else None

    def tensors(self) -> dict[str, Tensor]:
        """All state by name, as it is now: what is copied into it is taken on."""
        state = {
            f"rule {number}, {place}": tensor
            for number, (rule, _) in enumerate(self._rules)
            for place, tensor in enumerate(rule.tensors())
        }
        return state if self._shares is None else {**state, "shares": self._shares.sums}

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
        shares = self._shares.after_this_step() if self._shares else [1.0] * len(self._rules)
        for (rule, rate), share in zip(self._rules, shares, strict=True):
            rule.step(rate * factor * share)


def _by_rate(
    network: Network,
    phase: Phase,
    learning: Mapping[str, nn.Parameter],
    beside: Sequence[nn.Parameter],
) -> list[tuple[float, list[Tensor]]]:
    """What is updated together, with its rate.

    Groups with one rate are updated together: a kernel call each would cost more than the
    arithmetic of a small network. Where each tensor has a rate of its own, each stands alone.
    """
    alone: list[tuple[float, list[Tensor]]] = []
    by_rate: dict[float, list[Tensor]] = {}
    for name, parameter in learning.items():
        rate = phase.rates[network.group_of(name)]
        assert rate is not None
        by_rate.setdefault(rate, []).append(parameter)
        alone.append((rate, [parameter]))
    if beside:
        of_body = [rate for group, rate in phase.rates.items() if rate and group != HEAD]
        by_rate.setdefault(max(of_body), []).extend(beside)
        alone += [(max(of_body), [parameter]) for parameter in beside]
    return alone if phase.rate_rule == "relative_gradient_norm" else list(by_rate.items())


_EMPTY = -1.0  # in place of the sum of a tensor that began with zeros


class RelativeGradientNorms:
    """Shares of the rate in proportion to r = ‖gradient‖ / ‖weights‖ of each tensor.

    Lee et al. 2023, *Surgical fine-tuning improves adaptation to distribution shifts* (Auto-RGN):
    share = r / max r. Here r is the mean over the steps made so far, so that no extra pass over
    pictures is needed; the authors' code takes five batches at the start of every epoch.

    A tensor that begins with zeros, such as the bias of a fresh head, takes the whole rate and has
    no say in the maximum: its r has no value at first, and after one step one so large that it
    would leave next to nothing to all others.

    Args:
        parameters: The tensors, in the order of the shares.
    """

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self._parameters = parameters
        empty = torch.stack([parameter.detach().norm() == 0 for parameter in parameters])
        self.sums = torch.where(empty.cpu(), _EMPTY, 0.0)

    def after_this_step(self) -> list[float]:
        """Take the gradients that are there now into account; the shares, each in [0, 1]."""
        norms = torch.stack([parameter.norm() for parameter in self._parameters])
        none = norms.new_zeros(())
        gradients = torch.stack(
            [none if p.grad is None else p.grad.norm() for p in self._parameters]
        )
        counted = self.sums != _EMPTY
        ratios = torch.where(norms > 0, gradients / norms, 0.0).cpu()
        self.sums += torch.where(counted, ratios, 0.0)
        largest = float(self.sums.max())
        shares = self.sums / largest if largest > 0 else torch.ones_like(self.sums)
        return torch.where(counted, shares, 1.0).tolist()
