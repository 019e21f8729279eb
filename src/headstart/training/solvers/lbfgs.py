"""The memory of a batched L-BFGS: many problems, each with its own curvature."""

from collections import deque
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Point:
    """Weights, or gradients or steps of weights, of B problems.

    Attributes:
        weight: Shape (B, units, r).
        bias: Shape (B, units).
    """

    weight: Tensor
    bias: Tensor

    def plus(self, other: "Point", times: Tensor | float = 1.0) -> "Point":
        """This and so many times (a number, or one a problem, shape (B,)) the other."""
        if not isinstance(times, Tensor):
            return Point(
                self.weight.add(other.weight, alpha=times), self.bias.add(other.bias, alpha=times)
            )
        return Point(
            torch.addcmul(self.weight, times[:, None, None], other.weight),
            torch.addcmul(self.bias, times[:, None], other.bias),
        )

    def scaled(self, other: "Point") -> "Point":
        """The product with another, number by number."""
        return Point(self.weight * other.weight, self.bias * other.bias)

    def dot(self, other: "Point") -> Tensor:
        """The inner product of each problem, shape (B,)."""
        inner: Tensor = torch.linalg.vecdot(self.weight.flatten(1), other.weight.flatten(1))
        return inner + (self.bias * other.bias).sum(dim=1)

    def picked(self, problems: Tensor) -> "Point":
        """Some of the problems, by number."""
        return Point(self.weight[problems], self.bias[problems])


class History:
    """The last steps and what they did to the gradient, for the two-loop recursion.

    Nocedal & Wright, Numerical Optimization, algorithm 7.4, for many problems at once.

    Args:
        length: How many steps are remembered.
    """

    def __init__(self, length: int) -> None:
        self._pairs: deque[tuple[Point, Point, Tensor]] = deque(maxlen=length)

    def remember(self, step: Point, change: Point) -> None:
        """Take in a step and the change of the gradient along it.

        A problem whose step showed no curvature (rounding error) remembers nothing of it.
        """
        curvature = step.dot(change)
        known = curvature > 0
        self._pairs.append((step, change, torch.where(known, 1 / curvature, 0.0)))

    def pick(self, problems: Tensor) -> None:
        """Keep only some of the problems, by number."""
        for _ in range(len(self._pairs)):
            step, change, inverse = self._pairs.popleft()
            kept = step.picked(problems), change.picked(problems), inverse[problems]
            self._pairs.append(kept)

    def forget(self, problems: Tensor) -> None:
        """Let some problems, by number, begin anew."""
        for _, _, inverse in self._pairs:
            inverse[problems] = 0.0

    def direction(self, gradient: Point, diagonal: Point) -> Point:
        """Where to go: minus the approximate inverse Hessian times the gradient.

        Args:
            gradient: Of each problem.
            diagonal: A first guess of the inverse Hessian, without its off-diagonal part.
        """
        rest = gradient
        shares = []
        for step, change, inverse in reversed(self._pairs):
            share = inverse * step.dot(rest)
            shares.append(share)
            rest = rest.plus(change, -share)
        found = rest.scaled(diagonal)
        for (step, change, inverse), share in zip(self._pairs, reversed(shares), strict=True):
            found = found.plus(step, share - inverse * change.dot(found))
        return Point(-found.weight, -found.bias)
