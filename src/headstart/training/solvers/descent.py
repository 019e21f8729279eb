"""Going down many logistic objectives at once, each until it has converged."""

from dataclasses import dataclass

import torch
from torch import Tensor

from headstart.training.solvers.lbfgs import History, Point
from headstart.training.solvers.logistic import LogisticProblems

_MEMORY = 8  # steps
_SEARCHES = 12  # of a step's length, at most
_FLATTER = 0.5  # a step is long enough when the slope along it fell to this share
_LEAVING = 0.1  # share of the batch that has to be done before it is made smaller


@dataclass(frozen=True)
class Ends:
    """Where B problems ended.

    Attributes:
        point: Their weights and biases.
        iterations: Steps taken, shape (B,).
        gap: Estimated distance of each objective from its minimum, as a share of it, shape (B,).
    """

    point: Point
    iterations: Tensor
    gap: Tensor


def minimise(
    problems: LogisticProblems, start: Point | None, tolerance: float, max_iterations: int
) -> Ends:
    """Take steps in all problems until each has converged.

    Args:
        problems: What to minimise.
        start: Where to begin; at zero when omitted.
        tolerance: For the gap.
        max_iterations: Steps a problem may take.
    """
    descent = _Descent(problems, start)
    for iteration in range(max_iterations + 1):
        going = descent.gap() > tolerance
        if iteration == max_iterations:
            going = torch.zeros_like(going)
        if not descent.leave(going, iteration):
            break
        descent.step()
    return descent.ends


class _Descent:
    """The problems that are still on their way, and where the others ended."""

    def __init__(self, problems: LogisticProblems, start: Point | None) -> None:
        inputs, count, units = problems.inputs, len(problems.decay), len(problems.targets)
        if start is None:
            start = Point(
                inputs.new_zeros(count, units, inputs.shape[1]), inputs.new_zeros(count, units)
            )
        self._problems = problems
        self._point = start
        self._history = History(_MEMORY)
        self._numbers = torch.arange(count, device=inputs.device)
        self._logits = problems.logits(start)
        self._look()
        self.ends = Ends(
            Point(start.weight.clone(), start.bias.clone()),
            torch.zeros_like(self._numbers),
            inputs.new_zeros(count),
        )

    def _look(self) -> None:
        """Gradient and curvature at the point."""
        misses = self._problems.misses(self._logits)
        self._gradient = self._problems.gradient(self._point, misses)
        self._guess = self._problems.guess(misses)
        self._value = self._problems.value(self._point, misses)

    def gap(self) -> Tensor:
        """Half of Newton's decrement, with the guessed Hessian, as a share of the objective."""
        return self._gradient.dot(self._gradient.scaled(self._guess)) / 2 / self._value

    def leave(self, going: Tensor, iteration: int) -> bool:
        """Write down what is done, and whether any problem is left.

        Making the batch smaller moves memory about, so a few problems that are done stay in it; a
        further step does them no harm.
        """
        done = int((~going).sum())
        if not done or (done < _LEAVING * len(going)):
            return True
        here, left = (~going).nonzero()[:, 0], going.nonzero()[:, 0]
        numbers = self._numbers[here]
        self.ends.point.weight[numbers] = self._point.weight[here]
        self.ends.point.bias[numbers] = self._point.bias[here]
        self.ends.iterations[numbers] = iteration
        self.ends.gap[numbers] = self.gap()[here]
        if len(left):
            self._problems = self._problems.picked(left)
            self._point, self._gradient, self._guess = (
                each.picked(left) for each in (self._point, self._gradient, self._guess)
            )
            self._logits = self._logits[left]
            self._value, self._numbers = self._value[left], self._numbers[left]
            self._history.pick(left)
        return len(left) > 0

    def step(self) -> None:
        """One step of L-BFGS in every problem."""
        direction = self._history.direction(self._gradient, self._guess)
        change = self._problems.logits(direction)
        length = self._length(direction, change)
        before = self._gradient
        self._point = self._point.plus(direction, length)
        self._logits = torch.addcmul(self._logits, length[:, None, None], change)
        self._look()
        step = Point(length[:, None, None] * direction.weight, length[:, None] * direction.bias)
        self._history.remember(step, self._gradient.plus(before, -1.0))

    def _length(self, direction: Point, change: Tensor) -> Tensor:
        """How far to go along each direction, shape (B,).

        The objectives are convex, so their slope along a line only rises: the length is bracketed
        between one where it is too negative and one where it is too positive, and the secant
        through both is followed. The whole step is tried first, as L-BFGS means it to be taken.
        """
        problems = self._problems
        decayed = problems.decay * (self._point.weight * direction.weight).sum(dim=(1, 2))
        growth = problems.decay * direction.weight.square().sum(dim=(1, 2))
        first = self._gradient.dot(direction)
        low, low_slope = torch.zeros_like(first), first
        high, high_slope = torch.full_like(first, torch.inf), torch.zeros_like(first)
        length = torch.ones_like(first)
        for _ in range(_SEARCHES):
            logits = torch.addcmul(self._logits, length[:, None, None], change)
            slope = problems.slope(logits, change, decayed + length * growth)
            short, far = slope < _FLATTER * first, slope > -_FLATTER * first
            if not bool((short | far).any()):
                break
            low, low_slope = torch.where(short, length, low), torch.where(short, slope, low_slope)
            high, high_slope = torch.where(far, length, high), torch.where(far, slope, high_slope)
            length = torch.where(
                short | far, _secant(length, low, low_slope, high, high_slope, first), length
            )
        return length


def _secant(
    length: Tensor, low: Tensor, low_slope: Tensor, high: Tensor, high_slope: Tensor, first: Tensor
) -> Tensor:
    """The next length to try, well within what is known.

    Without an upper end, the secant through the beginning is followed, to ten times at most.
    """
    beyond = length * (first / (first - low_slope).clamp_max(-1e-30)).clamp(2.0, 10.0)
    share = low_slope / (low_slope - high_slope)
    between = low + (high - low) * share.clamp(0.1, 0.9)
    return torch.where(high.isinf(), beyond, between)
