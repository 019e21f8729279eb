"""Going down many logistic objectives at once, each until it has converged."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from headstart.training.solvers.lbfgs import History, Point
from headstart.training.solvers.logistic import LogisticProblems

_MEMORY = 8  # steps
_SEARCHES = 12  # of a step's length, at most
_FLATTER = 0.5  # a step is long enough when the slope along it fell to this share
_LEAVING = 0.1  # share of the batch that has to be done before its problems go on
_FOLLOWED = 3  # ends before, to foresee the next one from
_NEAR = 1.2  # in log λ


@dataclass(frozen=True)
class Ends:
    """Where B problems ended at each of P penalties.

    Attributes:
        point: Their weights (P, B, units, r) and biases (P, B, units).
        iterations: Steps taken, shape (P, B).
        gap: Estimated distance of each objective from its minimum, as a share of it, (P, B).
    """

    point: Point
    iterations: Tensor
    gap: Tensor


def minimise(
    problems: LogisticProblems, path: Tensor, tolerance: float, max_iterations: int
) -> Ends:
    """Take steps in all problems until each has converged at each of its penalties.

    A problem goes on to its next penalty as soon as it has converged at the one before, whether
    the others have or not, so that few steps are taken by few problems: products of a large matrix
    with few rows cost nearly as much as with many.

    Args:
        problems: What to minimise.
        path: The penalties that each problem goes through, falling, (P, B), as `decay` of
            `LogisticProblems`; NaN after the last, where a problem has fewer than others.
        tolerance: For the gap.
        max_iterations: Steps a problem may take at one penalty.
    """
    descent = _Descent(problems, path)
    while descent.advance(tolerance, max_iterations):
        descent.step()
    return descent.ends


class _Descent:
    """The problems that are still on their way, and where they have ended so far."""

    def __init__(self, problems: LogisticProblems, path: Tensor) -> None:
        inputs, (places, count), units = problems.inputs, path.shape, len(problems.targets)
        self._path = path
        self._problems = replace(problems, decay=path[0])
        self._point = Point(
            inputs.new_zeros(count, units, inputs.shape[1]), inputs.new_zeros(count, units)
        )
        self._history = History(_MEMORY)
        self._numbers = torch.arange(count, device=inputs.device)
        self._places = torch.zeros_like(self._numbers)
        self._steps = torch.zeros_like(self._numbers)
        self._logits = self._problems.logits(self._point)
        self._start: tuple[Tensor, Point] | None = None  # of those that are to begin
        self._look()
        self.ends = Ends(
            Point(
                inputs.new_zeros(places, count, units, inputs.shape[1]),
                inputs.new_zeros(places, count, units),
            ),
            torch.zeros(places, count, dtype=torch.int64, device=inputs.device),
            inputs.new_zeros(places, count),
        )

    def _look(self) -> None:
        """Gradient and curvature at the point."""
        misses = self._problems.misses(self._logits)
        self._gradient = self._problems.gradient(self._point, misses)
        self._guess = self._problems.guess(misses)
        self._value = self._problems.value(self._point, misses)

    def advance(self, tolerance: float, max_iterations: int) -> bool:
        """Let problems that have converged go on to their next penalty; is anything left to do?

        Going on moves memory about, so a few problems that are done wait for others; further steps
        do them no harm.
        """
        gap = self._gradient.dot(self._gradient.scaled(self._guess)) / 2 / self._value
        done = (gap <= tolerance) | ~torch.isfinite(gap) | (self._steps >= max_iterations)
        number = int(done.sum())
        if number < _LEAVING * len(done) or not number:
            return True
        here = done.nonzero()[:, 0]
        places, numbers = self._places[here], self._numbers[here]
        self.ends.point.weight[places, numbers] = self._point.weight[here]
        self.ends.point.bias[places, numbers] = self._point.bias[here]
        self.ends.iterations[places, numbers] = self._steps[here]
        self.ends.gap[places, numbers] = gap[here]
        further = ~torch.isnan(self._path_after(places, numbers))
        left = torch.ones_like(done).index_fill(0, here[~further], False)
        begins = torch.zeros_like(done).index_fill(0, here[further], True)[left]
        if not bool(left.all()):
            self._pick(left.nonzero()[:, 0])
        if bool(begins.any()):
            self._begin(begins.nonzero()[:, 0], tolerance)
        return len(self._numbers) > 0

    def _path_after(self, places: Tensor, numbers: Tensor) -> Tensor:
        """The next penalty of some problems, NaN where there is none."""
        last = len(self._path) - 1
        after = self._path[(places + 1).clamp_max(last), numbers]
        return torch.where(places < last, after, torch.nan)

    def _begin(self, here: Tensor, tolerance: float) -> None:
        """Let some problems begin with their next penalty.

        They are put at zero, and the next step takes them to where they begin: so that needs no
        products of its own.
        """
        self._places[here] += 1
        places, numbers = self._places[here], self._numbers[here]
        decay = self._problems.decay.index_copy(0, here, self._path[places, numbers])
        self._problems = replace(self._problems, decay=decay)
        self._start = here, _foreseen(self.ends, self._path, places, numbers, tolerance)
        self._point.weight[here], self._point.bias[here], self._logits[here] = 0.0, 0.0, 0.0
        self._steps[here] = -1

    def _pick(self, left: Tensor) -> None:
        """Go on with some of the problems."""
        self._problems = self._problems.picked(left)
        self._point, self._gradient, self._guess = (
            each.picked(left) for each in (self._point, self._gradient, self._guess)
        )
        self._logits, self._value = self._logits[left], self._value[left]
        self._numbers, self._places = self._numbers[left], self._places[left]
        self._steps = self._steps[left]
        self._history.pick(left)

    def step(self) -> None:
        """One step of L-BFGS in every problem, to its beginning in those that are to begin."""
        direction = self._history.direction(self._gradient, self._guess)
        begins = torch.zeros_like(self._numbers, dtype=torch.bool)
        if self._start is not None:
            here, start = self._start
            begins[here] = True
            direction.weight[here], direction.bias[here] = start.weight, start.bias
        change = self._problems.logits(direction)
        length = self._length(direction, change, begins)
        before = self._gradient
        self._point = self._point.plus(direction, length)
        self._logits = torch.addcmul(self._logits, length[:, None, None], change)
        self._look()
        step = Point(length[:, None, None] * direction.weight, length[:, None] * direction.bias)
        self._history.remember(step, self._gradient.plus(before, -1.0))
        if self._start is not None:
            self._history.forget(self._start[0])
            self._start = None
        self._steps += 1

    def _length(self, direction: Point, change: Tensor, begins: Tensor) -> Tensor:
        """How far to go along each direction, shape (B,); all the way in problems that begin.

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
            short = (slope < _FLATTER * first) & ~begins
            far = (slope > -_FLATTER * first) & ~begins
            if not bool((short | far).any()):
                break
            low, low_slope = torch.where(short, length, low), torch.where(short, slope, low_slope)
            high, high_slope = torch.where(far, length, high), torch.where(far, slope, high_slope)
            length = torch.where(
                short | far, _secant(length, low, low_slope, high, high_slope, first), length
            )
        return length


def _foreseen(ends: Ends, path: Tensor, places: Tensor, numbers: Tensor, tolerance: float) -> Point:
    """Where to begin with the next penalty, from where those before it ended.

    Along log λ heads move smoothly, so that a parabola through the last three saves most steps.
    Where the last one ended before it had converged, it is where the next one begins.

    Args:
        ends: Where problems ended, (P, B, …).
        path: The penalties, (P, B).
        places: Which penalty comes next, shape (M,), from 1.
        numbers: Of which problem, shape (M,).
        tolerance: For the gap.
    """
    back = torch.arange(1, _FOLLOWED + 1, device=path.device)[:, None]
    before = places - back
    there = before >= 0
    logs = path.double().log()
    target = logs[places, numbers]
    here = logs[before.clamp_min(0), numbers]
    near = ((target - here[0]).abs() <= _NEAR) & (ends.gap[before[0], numbers] <= tolerance)
    there &= near | (back == 1)
    there[1:] &= here[1:] > here[0]  # a penalty may be given twice
    there[2:] &= here[2:] > here[1:-1]
    shares = there.double()
    for one in range(_FOLLOWED):
        for other in range(_FOLLOWED):
            if one != other:
                factor = (target - here[other]) / (here[one] - here[other])
                shares[one] = torch.where(
                    there[one] & there[other], shares[one] * factor, shares[one]
                )
    start = Point(
        torch.zeros_like(ends.point.weight[0, numbers]),
        torch.zeros_like(ends.point.bias[0, numbers]),
    )
    for one in range(_FOLLOWED):
        at = before[one].clamp_min(0), numbers
        start = start.plus(
            Point(ends.point.weight[at], ends.point.bias[at]), shares[one].to(start.bias.dtype)
        )
    return start


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
