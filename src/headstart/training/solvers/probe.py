"""Logistic regression on kept features: all penalties, folds and seeds in one batched L-BFGS.

A problem is a set of weights of the pictures (a fold, a seed's labels) with a penalty λ; its head
minimises, with y the pictures' classes,

    Σᵢ weightᵢ · cross-entropy(yᵢ, head(xᵢ)) + λ/2 · ‖W‖²,

the bias not penalised: scikit-learn's ``LogisticRegression(C=1/λ)``.

What makes it fast: (1) all problems share the pictures, so a step of all of them is two matrix
products. (2) The features are rotated into their directions of spread (`Spectrum`), where the
Hessian is nearly diagonal, c·s² + λ with s² the spread and c = mean p(1 − p): a starting guess
for L-BFGS that saves four of five steps. (3) The logits are linear along a step, so its length is
found without a further product. (4) A weaker penalty starts where the stronger one ended, for each
set of weights as soon as it is there: so the batch stays full.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from headstart.errors import TrainingError
from headstart.training.solvers.descent import Ends, minimise
from headstart.training.solvers.examples import check_examples, one_hot
from headstart.training.solvers.logistic import LogisticProblems
from headstart.training.solvers.spectrum import LinearHead, Spectrum

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
        penalties_at_once: How many penalties of each set are solved together; where one has been,
            the next one starts. One at a time takes the fewest steps, and is the choice where a
            step is long; all at once where it is short.

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
    walks = min(penalties_at_once, len(penalties))
    order = sorted(range(len(penalties)), key=lambda place: -penalties[place])
    problems = LogisticProblems.of(spectrum, targets, weights.repeat(walks, 1))
    path = _path([penalties[place] for place in order], weights, walks)
    ends = minimise(problems, path.to(problems.decay.dtype), tolerance, max_iterations)
    return _in_order(spectrum, ends, order, len(weights))


def _path(penalties: Sequence[float], weights: Tensor, walks: int) -> Tensor:
    """The penalties that each set of weights goes through, of so many walks one after the other.

    Args:
        penalties: Falling; each walk takes every so-many-th of them.
        weights: Of the pictures in each set, by whose sum objectives are divided.
        walks: How many for each set.

    Returns:
        Shape (penalties of a walk, walks × sets), NaN after a walk's last; sets change faster.
    """
    missing = -len(penalties) % walks
    each = torch.tensor([*penalties, *[math.nan] * missing], dtype=torch.float64)
    shares = each.view(-1, walks, 1).to(weights.device) / weights.sum(dim=1).double()
    return shares.flatten(1)


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


def _in_order(spectrum: Spectrum, ends: Ends, order: Sequence[int], sets: int) -> Probes:
    """What was solved walk by walk, in the order of the penalties as given."""
    places = torch.tensor(order).argsort().to(spectrum.mean.device)

    def arranged(ended: Tensor) -> Tensor:
        """(penalties of a walk, walks × sets, …) → (sets, penalties, …)."""
        number = ended.shape[0] * ended.shape[1] // sets
        return ended.reshape(number, sets, *ended.shape[2:])[places].transpose(0, 1)

    head = spectrum.head(arranged(ends.point.weight), arranged(ends.point.bias))
    return Probes(head, arranged(ends.iterations), arranged(ends.gap))
