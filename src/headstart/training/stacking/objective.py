"""The losses of a stack, one a trial, and their gradients."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from headstart.training.objective import Objective
from headstart.training.stacking.room import Room


@dataclass(frozen=True)
class _Counted:
    """What follows from how many rows of each trial are pictures.

    Attributes:
        counts: So many, (trials,).
        whole: Whether all rows are.
        there: Which ones are, (trials, rows).
        divisor: The counts as numbers to divide by.
    """

    counts: Tensor
    whole: bool
    there: Tensor
    divisor: Tensor

    @classmethod
    def of(cls, counts: Tensor, rows: int) -> "_Counted":
        """For batches with room for so many rows."""
        there = torch.arange(rows) < counts[:, None]
        return cls(counts, bool(there.all()), there, counts.to(torch.float32))


class Losses:
    """Cross-entropy with smoothed labels and class weights, as `Objective` has it.

    With t′ and w as there, the targets are k_ic = w_c · t′_ic, a row for each class: the loss is
    Σ k_ic · −log p_ic / d, its gradient (p_ic · Σ_c k_ic − k_ic) / d, d being Σ w_c · t_ic.

    Args:
        objectives: One a trial.
        units: Of the head; one is computed as two, the first of which is 0.
    """

    def __init__(self, objectives: Sequence[Objective], units: int) -> None:
        self._classes = classes = max(2, units)
        self._lone = units == 1
        tables = [objective.targets(classes) for objective in objectives]
        self._targets = torch.cat([targets for targets, _ in tables])
        self._weights = torch.cat([weights for _, weights in tables])
        self._weighs = any(bool((weights != 1).any()) for _, weights in tables)
        self._plain = bool((self._targets.sum(dim=1) == 1).all())
        self._first = classes * torch.arange(len(objectives))[:, None]
        self._counted = _Counted.of(torch.zeros(len(objectives), dtype=torch.int64), 0)

    def __call__(
        self, logits: Room, labels: Tensor, counts: Tensor, gradient: Room | None = None
    ) -> Tensor:
        """The loss of each trial in nats, shape (trials,).

        Args:
            logits: (trials, rows, classes).
            labels: Class numbers, (trials, rows).
            counts: How many rows of each trial are pictures; the others count for nothing. Not
                to be changed in place.
            gradient: Gets the losses' gradients by the logits.
        """
        trials, rows = labels.shape
        chosen = (labels + self._first).reshape(-1)
        targets = self._targets.index_select(0, chosen).view(trials, rows, self._classes)
        known = self._counted
        if known.counts is not counts or known.there.shape[1] != rows:  # new in few steps only
            self._counted = _Counted.of(counts, rows)
        whole, there, divisor = self._counted.whole, self._counted.there, self._counted.divisor
        if not whole:
            targets = targets * there[:, :, None]
        if self._weighs:
            weights = self._weights.index_select(0, chosen).view(trials, rows)
            divisor = (weights if whole else weights * there).sum(1)
        logs = functional.log_softmax(logits.each, -1)
        losses = -(targets * logs).sum((1, 2)) / divisor
        if gradient is not None:
            gradient.each.copy_(logs)
            gradient.flat.exp_()
            if not (whole and self._plain):
                gradient.each.mul_(targets.sum(-1, keepdim=True))
            gradient.each.sub_(targets).div_(divisor[:, None, None])
            if self._lone:
                gradient.each[:, :, 0] = 0
        return losses
