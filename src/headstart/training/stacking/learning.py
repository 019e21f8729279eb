"""Learning in a stack: what becomes of gradients, by PyTorch's own rules and a rate a trial.

PyTorch's fused kernels take a list of tensors and one rate. A trial's numbers are one row of a
part (`Layout`), so trials of one rate and weight decay are updated by one call, on their rows.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.optim.adadelta import adadelta

from headstart.strategies.plan import Optimizer
from headstart.training.stacking.weights import Layout

Flat = dict[int, Tensor]


class Learner(ABC):
    """Updates a stack's weights.

    Args:
        layout: Where they lie.
        weights: The parts that learn.
        settings: Each trial's optimiser; they differ in weight decay only.
    """

    def __init__(self, layout: Layout, weights: Flat, settings: Sequence[Optimizer]) -> None:
        self.layout = layout
        self.weights = weights
        self.settings = settings
        self.trials = range(len(settings))

    @abstractmethod
    def begin(self, factor: float) -> None:
        """Before the gradients of a step come; the factor is the schedule's."""

    @abstractmethod
    def take(self, layer: int, gradient: Tensor, inputs: Tensor) -> None:
        """See `headstart.training.stacking.passes.Learning`."""

    @abstractmethod
    def end(self) -> None:
        """All gradients of a step have come."""

    @abstractmethod
    def go_on_with(self, chosen: Tensor, weights: Flat, settings: Sequence[Optimizer]) -> "Learner":
        """The same for some of the trials.

        Args:
            chosen: Their places in this stack.
            weights: Their weights.
            settings: Their optimisers.
        """

    def rates(self, part: int) -> Sequence[float]:
        """The rates of a part that learns."""
        rates = self.layout.rates[part]
        assert rates is not None
        return rates


class PlainDescent(Learner):
    """SGD without momentum, decay or anything else that needs a gradient by itself.

    W ← W − rate · gᵀx is one product that adds to W, so no gradient is ever written down.
    """

    @staticmethod
    def fits(settings: Optimizer, clip_norm: float) -> bool:
        """Whether it is all that a trial asks for."""
        return settings.name == "sgd" and not (
            settings.momentum or settings.weight_decay or clip_norm
        )

    def __init__(self, layout: Layout, weights: Flat, settings: Sequence[Optimizer]) -> None:
        super().__init__(layout, weights, settings)
        self._layers = layout.layers(weights)
        self._base = {part: torch.tensor(self.rates(part), dtype=torch.float64) for part in weights}
        self._now = {part: torch.zeros(len(settings), 1, 1) for part in weights}
        self._factor: float | None = None
        self._part_of = [
            layout.part_of(number, "weight" if each.weight is not None else "bias")
            for number, each in enumerate(self._layers)
        ]

    def begin(self, factor: float) -> None:
        """Set the rates of this step."""
        if factor == self._factor:
            return
        self._factor = factor
        for part, base in self._base.items():
            self._now[part][:, 0, 0] = base * factor

    def take(self, layer: int, gradient: Tensor, inputs: Tensor) -> None:
        """Update the layer."""
        ours, part = self._layers[layer], self._part_of[layer]
        if part is None:
            return
        gradient.mul_(self._now[part])
        if ours.weight is not None:
            ours.weight.baddbmm_(gradient.transpose(1, 2), inputs, alpha=-1)
        if ours.bias is not None:
            ours.bias.sub_(gradient.sum(1))

    def end(self) -> None:
        """Nothing is left to do."""

    def go_on_with(
        self, chosen: Tensor, weights: Flat, settings: Sequence[Optimizer]
    ) -> "PlainDescent":
        """The same for some of the trials."""
        return PlainDescent(self.layout.of(chosen), weights, settings)


class FusedRules(Learner):
    """SGD with momentum or decay, Adam, AdamW and Adadelta, and clipped gradients.

    Args:
        clip_norm: The largest norm of all of a trial's gradients together; 0: any.
        state: What the rule remembers, column by column, for each part; None: the beginning.
        steps: Made so far.
    """

    def __init__(
        self,
        layout: Layout,
        weights: Flat,
        settings: Sequence[Optimizer],
        clip_norm: float = 0.0,
        state: Mapping[int, list[Tensor]] | None = None,
        steps: int = 0,
    ) -> None:
        super().__init__(layout, weights, settings)
        self._clip_norm = clip_norm
        self._gradients = {part: torch.zeros_like(each) for part, each in weights.items()}
        self._layers = layout.layers(self._gradients)
        self._state = state or {
            part: [torch.zeros_like(each) for _ in range(_columns(settings[0]))]
            for part, each in weights.items()
        }
        self._steps = torch.tensor(float(steps))
        self._factor = 1.0
        self._together = [
            (part, rate, settings[trials[0]], self._rows(part, trials))
            for part in weights
            for rate, trials in self._of_one_kind(part)
        ]

    def _of_one_kind(self, part: int) -> list[tuple[float, list[int]]]:
        """The trials of each rate and weight decay in a part."""
        found: dict[tuple[float, float], list[int]] = {}
        for trial, rate in enumerate(self.rates(part)):
            found.setdefault((rate, self.settings[trial].weight_decay), []).append(trial)
        return [(rate, trials) for (rate, _), trials in found.items()]

    def _rows(self, part: int, trials: Sequence[int]) -> list[list[Tensor]]:
        """Weights, gradients and state of some trials, a tensor a trial."""
        whole = [self.weights[part], self._gradients[part], *self._state[part]]
        return [[tensor[trial] for trial in trials] for tensor in whole]

    def begin(self, factor: float) -> None:
        """Note the factor."""
        self._factor = factor

    def take(self, layer: int, gradient: Tensor, inputs: Tensor) -> None:
        """Write the layer's gradients down."""
        ours = self._layers[layer]
        if ours.weight is not None:
            torch.bmm(gradient.transpose(1, 2), inputs, out=ours.weight)
        if ours.bias is not None:
            torch.sum(gradient, 1, out=ours.bias)

    def end(self) -> None:
        """Clip, and update every part."""
        if self._clip_norm:
            self._clip()
        self._steps += 1
        for _, rate, settings, rows in self._together:
            _RULES[settings.name](rows, settings, rate * self._factor, self._steps)

    def _clip(self) -> None:
        """As `torch.nn.utils.clip_grad_norm_` does it: a norm of the norms of all parameters."""
        norms = [
            torch.linalg.vector_norm(each.flatten(1), dim=1)
            for layer in self._layers
            for each in (layer.weight, layer.bias)
            if each is not None
        ]
        norm = torch.stack(norms, dim=1).square().sum(1).sqrt()
        share = (self._clip_norm / (norm + 1e-6)).clamp_(max=1.0)
        for gradient in self._gradients.values():
            gradient.mul_(share[:, None])

    def go_on_with(
        self, chosen: Tensor, weights: Flat, settings: Sequence[Optimizer]
    ) -> "FusedRules":
        """The same for some of the trials, its state with it."""
        state = {part: [each[chosen] for each in columns] for part, columns in self._state.items()}
        return FusedRules(
            self.layout.of(chosen), weights, settings, self._clip_norm, state, int(self._steps)
        )


def _columns(settings: Optimizer) -> int:
    """How many numbers a rule remembers for each weight."""
    return int(settings.momentum > 0) if settings.name == "sgd" else 2


def _sgd(rows: list[list[Tensor]], settings: Optimizer, lr: float, steps: Tensor) -> None:
    del steps
    weights, gradients, *momenta = rows
    torch._fused_sgd_(
        weights,
        gradients,
        momenta[0] if momenta else [],
        weight_decay=settings.weight_decay,
        momentum=settings.momentum,
        lr=lr,
        dampening=0.0,
        nesterov=settings.nesterov,
        maximize=False,
        is_first_step=False,
    )


def _adam(rows: list[list[Tensor]], settings: Optimizer, lr: float, steps: Tensor) -> None:
    weights, gradients, means, squares = rows
    kernel = torch._fused_adam_ if settings.name == "adam" else torch._fused_adamw_
    kernel(
        weights,
        gradients,
        means,
        squares,
        [],
        [steps] * len(weights),
        lr=lr,
        beta1=settings.betas[0],
        beta2=settings.betas[1],
        weight_decay=settings.weight_decay,
        eps=settings.eps or 1e-8,
        amsgrad=False,
        maximize=False,
    )


def _adadelta(rows: list[list[Tensor]], settings: Optimizer, lr: float, steps: Tensor) -> None:
    weights, gradients, squares, deltas = rows
    adadelta(
        weights,
        gradients,
        squares,
        deltas,
        [steps.clone() for _ in weights],
        foreach=True,
        lr=lr,
        rho=settings.rho,
        eps=settings.eps or 1e-6,
        weight_decay=settings.weight_decay,
        maximize=False,
    )


_RULES = {"sgd": _sgd, "adam": _adam, "adamw": _adam, "adadelta": _adadelta}
