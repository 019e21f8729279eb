"""Logistic regression on kept features: all penalties, folds and seeds in one batched L-BFGS.

A problem is a set of weights of the pictures (a fold, a seed's labels) with a penalty λ; its head
minimises, with y the pictures' classes,

    Σᵢ weightᵢ · cross-entropy(yᵢ, head(xᵢ)) + λ/2 · ‖W‖²,

the bias not penalised: scikit-learn's ``LogisticRegression(C=1/λ)``.

What makes it fast: (1) all problems share the pictures, so a step of all of them is two matrix
products. (2) The features are rotated into their directions of spread (`Spectrum`), where the
Hessian is nearly diagonal, c·s² + λ with s² the spread and c = mean p(1 − p): a starting guess
for L-BFGS that saves four of five steps. (3) The logits are linear along a step, so its length is
found without a further product. (4) A weaker penalty starts where the stronger one ended.
(5) Problems leave the batch as they converge.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from headstart.errors import TrainingError
from headstart.training.solvers.descent import Ends, minimise
from headstart.training.solvers.examples import check_examples, one_hot
from headstart.training.solvers.lbfgs import Point
from headstart.training.solvers.logistic import LogisticProblems
from headstart.training.solvers.spectrum import LinearHead, Spectrum

_FOLLOWED = 3  # heads before, to foresee the next one from
_NEAR = 1.2  # in log λ
_SHORT = 2**27  # multiplications of a step of all problems: below, one by one has no advantage


@dataclass(frozen=True)
class Probes:
    """Heads fitted by logistic regression.

    Attributes:
        head: Weights and biases, leading axes (sets of weights, penalties).
        iterations: Steps taken, shape (sets, penalties).
        gap: How far from its minimum each objective still is, estimated, as a share of it; shape
            (sets, penalties). Above the tolerance where the steps ran out.
    """

    head: LinearHead
    iterations: Tensor
    gap: Tensor


def fit_probes(
    features: Tensor,
    labels: Tensor,
    classes: int,
    penalties: Sequence[float],
    *,
    weights: Tensor | None = None,
    units: int | None = None,
    tolerance: float = 1e-8,
    max_iterations: int = 2000,
    penalties_at_once: int | None = None,
) -> Probes:
    """Fit one head for each set of weights and each penalty.

    Args:
        features: Shape (N, D), float32 or float64, which is also what is computed in.
        labels: Class numbers, int64, shape (N,).
        classes: How many classes there are.
        penalties: Each above 0, in any order; the λ of the objective.
        weights: Of the pictures in each set, at least 0, shape (sets, N); one set of ones when
            omitted.
        units: 1 for a sigmoid on two classes, or one a class; the former where it can be when
            omitted.
        tolerance: A problem is done when its objective is that close to its minimum, as a share of
            it.
        max_iterations: Steps a problem may take.
        penalties_at_once: How many penalties are solved together before the next ones start where
            those ended. One at a time takes the fewest steps, and is the choice where a step is
            long; all at once where it is short.

    Raises:
        TrainingError: If the examples, penalties or weights cannot be used.
    """
    check_examples(features, labels, classes)
    units = units or (1 if classes == 2 else classes)
    if weights is None:
        weights = torch.ones(1, len(labels), dtype=features.dtype, device=features.device)
    _check_problems(labels, classes, penalties, weights)
    spectrum = Spectrum.of(features)
    targets = one_hot(labels, units, features.dtype).T.contiguous()
    if penalties_at_once is None:
        arithmetic = spectrum.coordinates.numel() * len(weights) * units * len(penalties)
        penalties_at_once = 1 if arithmetic > _SHORT else len(penalties)
    order = sorted(range(len(penalties)), key=lambda place: -penalties[place])
    ends: list[Ends] = []
    for begin in range(0, len(order), penalties_at_once):
        block = [penalties[place] for place in order[begin : begin + penalties_at_once]]
        problems = LogisticProblems.of(spectrum, targets, weights, block)
        start = _start(ends, [penalties[place] for place in order], len(weights))
        ends.append(minimise(problems, start, tolerance, max_iterations))
    return _in_order(spectrum, ends, order, len(weights))


def _check_problems(
    labels: Tensor, classes: int, penalties: Sequence[float], weights: Tensor
) -> None:
    """Refuse penalties and weights with which there is no single best head."""
    problems = [
        f"the penalty {penalty} is not above 0: without one there is no single best head"
        for penalty in penalties
        if not 0 < penalty < math.inf
    ]
    if not penalties:
        problems.append("no penalty is given: name at least one")
    if weights.ndim != 2 or weights.shape[1] != len(labels) or not len(weights):
        problems.append(f"weights are (sets, {len(labels)} pictures), got {tuple(weights.shape)}")
    elif not bool((torch.isfinite(weights) & (weights >= 0)).all()):
        problems.append("a weight of a picture is negative or no number")
    else:
        mass = torch.stack([weights[:, labels == each].sum(dim=1) for each in range(classes)])
        for number in (mass <= 0).any(dim=0).nonzero()[:, 0].tolist():
            problems.append(f"set {number} has no picture of some class: give more labels")
    if problems:
        raise TrainingError(*problems)


def _start(ends: Sequence[Ends], penalties: Sequence[float], sets: int) -> Point | None:
    """Where to begin with the next penalty, from where those before it ended.

    Along log λ heads move smoothly, so that a parabola through the last three saves most steps.
    """
    solved = len(ends)
    if not solved or len(ends[-1].gap) > sets:  # several at once: no path to follow
        return None
    last = range(max(0, solved - _FOLLOWED), solved)
    places = [math.log(penalties[place]) for place in last]
    target = math.log(penalties[solved])
    if abs(target - places[-1]) > _NEAR:
        return ends[-1].point
    start = Point(torch.zeros_like(ends[-1].point.weight), torch.zeros_like(ends[-1].point.bias))
    for place, here in zip(last, places, strict=True):
        others = [other for other in places if other != here]
        share = math.prod((target - other) / (here - other) for other in others)
        start = start.plus(ends[place].point, share)
    return start


def _in_order(spectrum: Spectrum, ends: Sequence[Ends], order: Sequence[int], sets: int) -> Probes:
    """What was solved penalty by penalty, in the order of the penalties as given."""
    places = torch.tensor(order).argsort().to(spectrum.mean.device)

    def arranged(flat: Sequence[Tensor]) -> Tensor:
        """(penalties × sets, …) in order of solving → (sets, penalties, …)."""
        joined = torch.cat(list(flat))
        return joined.view(len(order), sets, *joined.shape[1:])[places].transpose(0, 1)

    head = spectrum.head(
        arranged([end.point.weight for end in ends]),
        arranged([end.point.bias for end in ends]),
    )
    return Probes(
        head,
        arranged([end.iterations for end in ends]),
        arranged([end.gap for end in ends]),
    )
