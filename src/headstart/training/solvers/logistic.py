"""The objectives of logistic regression, many at once on shared pictures."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from headstart.training.solvers.lbfgs import Point
from headstart.training.solvers.spectrum import Spectrum


@dataclass(frozen=True)
class LogisticProblems:
    """B objectives on shared pictures, divided by the sum of their weights.

    Problems lie in rows throughout: products of a few rows with a large matrix are fast, products
    with a few columns are not.

    Attributes:
        inputs: The pictures' coordinates (N, r).
        spread: Mean squares of the coordinates (r,).
        targets: One-hot (units, N).
        weights: Of the pictures, summing to 1, shape (B, N).
        decay: The penalties, shape (B,).
    """

    inputs: Tensor
    spread: Tensor
    targets: Tensor
    weights: Tensor
    decay: Tensor

    @classmethod
    def of(cls, spectrum: Spectrum, targets: Tensor, weights: Tensor) -> "LogisticProblems":
        """Problems with weights (B, N) of the pictures, without any penalty as yet."""
        inputs = spectrum.coordinates
        return cls(
            inputs,
            (spectrum.squares / len(inputs)).to(inputs.dtype),
            targets,
            (weights / weights.sum(dim=1, keepdim=True)).to(inputs.dtype),
            inputs.new_zeros(len(weights)),
        )

    def picked(self, problems: Tensor) -> "LogisticProblems":
        """Some of them, by number."""
        return replace(self, weights=self.weights[problems], decay=self.decay[problems])

    def logits(self, point: Point) -> Tensor:
        """Of each picture, shape (B, units, N)."""
        flat = point.weight.flatten(0, 1) @ self.inputs.T
        return flat.view(*point.bias.shape, -1).add_(point.bias[:, :, None])

    def misses(self, logits: Tensor) -> Tensor:
        """Probabilities minus targets, precise where they are tiny, shape (B, units, N)."""
        if logits.shape[1] == 1:
            sign = 1 - 2 * self.targets
            return torch.sigmoid(sign * logits).mul_(sign)
        others = torch.softmax(logits, dim=1).mul_(1 - self.targets)
        return others.sub_(self.targets * others.sum(dim=1, keepdim=True))

    def gradient(self, point: Point, misses: Tensor) -> Point:
        """Of each objective."""
        weighted = misses * self.weights[:, None]
        weight = (weighted.flatten(0, 1) @ self.inputs).view_as(point.weight)
        return Point(
            torch.addcmul(weight, self.decay[:, None, None], point.weight), weighted.sum(dim=2)
        )

    def guess(self, misses: Tensor) -> Point:
        """The inverse of the Hessian's diagonal in the directions of spread."""
        size = misses.abs()
        size = size.sub_(size.square())
        steepness: Tensor = torch.linalg.vecdot(size, self.weights[:, None])
        steepness = steepness.clamp_min(torch.finfo(misses.dtype).tiny * 1e6)
        inverse = steepness[:, :, None] * self.spread + self.decay[:, None, None]
        return Point(inverse.reciprocal_(), 1 / steepness)

    def value(self, point: Point, misses: Tensor) -> Tensor:
        """Each objective, to the precision that a stopping rule needs, shape (B,)."""
        wrong = misses.abs().amax(dim=1).clamp_max(1 - 1e-6)
        losses: Tensor = torch.linalg.vecdot(torch.log1p(-wrong), self.weights)
        return self.decay / 2 * point.weight.square().sum(dim=(1, 2)) - losses

    def slope(self, logits: Tensor, change: Tensor, decayed: Tensor) -> Tensor:
        """The derivative of each objective along a step, shape (B,).

        Args:
            logits: Where to look.
            change: Of the logits along the whole step.
            decayed: The penalty's own share of it.
        """
        along = (self.misses(logits) * change).sum(dim=1)
        summed: Tensor = torch.linalg.vecdot(along, self.weights)
        return summed + decayed
