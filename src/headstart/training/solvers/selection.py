"""Choosing among many features those that a linear head needs, by a group lasso.

Head2Toe (Evci et al. 2022): a head is fitted on all features at once, each with a penalty on the
length of its weights towards all classes,

    1/N · Σᵢ cross-entropy(yᵢ, head(xᵢ)) + λ · Σⱼ ‖Wⱼ‖₂,

so that the weights of most features become 0. A feature's relevance is the length of its weights;
the best are kept, and a head with an ordinary penalty is fitted on them. λ, how many are kept and
the second penalty are chosen on validation pictures.

The penalty is given as a share of the least one with which all weights are 0. Few features have
weights, so steps are taken with those alone; whenever they have settled, those with the
steepest slopes join them, until no slope says so.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from headstart.errors import TrainingError
from headstart.networks.heads import loss, probabilities
from headstart.training.solvers.examples import check_examples, one_hot
from headstart.training.solvers.probe import fit_probes
from headstart.training.solvers.spectrum import LinearHead

_MOST_STEPS = 3000
_STEEPER = 1.5
_FEWEST = 30  # features that may join at a time
_ROUNDING = 1e-12  # of the cross-entropy


@dataclass(frozen=True)
class Selected:
    """A head on some of the features.

    Attributes:
        head: On all features; the weights of those that were not kept are 0.
        kept: The numbers of those that were, rising.
    """

    head: LinearHead
    kept: Tensor


def fit_selected(
    train: tuple[Tensor, Tensor],
    valid: tuple[Tensor, Tensor],
    units: int,
    penalties: Sequence[float],
    fractions: Sequence[float],
    group_penalties: Sequence[float],
) -> Selected:
    """Choose features and fit a head on them; the lowest validation loss is kept.

    Of equals it is the one found first: with the strongest group penalty and the fewest features.

    Args:
        train: Features (N, D) and class numbers (N,) to learn from.
        valid: The same to choose with.
        units: Of the head: 1 for a sigmoid on two classes, or one a class.
        penalties: Of the head on what is kept, as for `fit_probes`.
        fractions: Shares of the features to keep, above 0 and up to 1; one at least is kept.
        group_penalties: Shares of the least penalty with which all weights are 0, in (0, 1).

    Raises:
        TrainingError: If no head can be fitted.
    """
    features, labels = train
    classes = max(units, 2)
    best, least = None, math.inf
    for kept in _choices(features, labels, units, fractions, group_penalties):
        heads = fit_probes(features[:, kept], labels, classes, penalties, units=units).head[0]
        for number, scores in enumerate(heads.scores(valid[0][:, kept])):
            lost = float(loss(scores, valid[1]))
            if best is None or lost < least:
                best, least = Selected(_spread_out(heads[number], kept, features), kept), lost
    assert best is not None, "there is a fraction, and a penalty"
    return best


def _choices(
    features: Tensor,
    labels: Tensor,
    units: int,
    fractions: Sequence[float],
    group_penalties: Sequence[float],
) -> Iterator[Tensor]:
    """Numbers of features to keep, rising; each choice once."""
    count, seen = features.shape[1], set[tuple[int, ...]]()
    for scores in relevance(features, labels, units, group_penalties):
        order = torch.argsort(scores, descending=True, stable=True)
        for fraction in sorted(fractions):
            kept = order[: max(1, round(fraction * count))].sort().values
            key = tuple(kept.tolist())
            if key not in seen:
                seen.add(key)
                yield kept


def _spread_out(head: LinearHead, kept: Tensor, features: Tensor) -> LinearHead:
    """A head on some of the features as one on all of them."""
    weight = head.weight.new_zeros(len(head.weight), features.shape[1])
    return LinearHead(weight.index_copy(1, kept, head.weight), head.bias)


def relevance(
    features: Tensor,
    labels: Tensor,
    units: int,
    group_penalties: Sequence[float],
    tolerance: float = 1e-3,
) -> Tensor:
    """How much a head that may use all features makes of each, for each penalty.

    Args:
        features: Shape (N, D).
        labels: Class numbers, int64, shape (N,).
        units: 1 for a sigmoid on two classes, or one a class.
        group_penalties: Shares of the least penalty with which all weights are 0, in (0, 1).
        tolerance: How far from 0 slopes may be, as a share of the penalty.

    Returns:
        Float64, shape (penalties, D), from the strongest penalty to the weakest: the length of a
        feature's weights; where that is 0, by what share it misses having any, below 0.

    Raises:
        TrainingError: If the examples or penalties cannot be used.
    """
    check_examples(features, labels, max(units, 2))
    shares = sorted(set(group_penalties), reverse=True)
    if not shares or not all(0 < share < 1 for share in shares):
        raise TrainingError(f"group penalties are shares between 0 and 1, got {shares}")
    targets = one_hot(labels, units, torch.float64)
    mean = features.mean(dim=0, dtype=torch.float64)
    weight = targets.new_zeros(len(mean) + 1, units)  # the last row is the bias
    weight[-1] = _log_odds(targets.mean(dim=0))
    slopes = _slopes(features, mean, targets.mean(dim=0) - targets)
    highest = float(slopes.max())
    found = []
    for share in shares:
        penalty = share * highest
        working = weight[:-1].any(dim=1)
        while bool((more := _joining(slopes, working, penalty * (1 + tolerance))).any()):
            working |= more
            columns = working.nonzero()[:, 0]
            rows = torch.cat([columns, columns.new_tensor([len(mean)])])
            inputs = features[:, columns].double() - mean[columns]
            weight[rows], logits = _settled(
                inputs, targets, labels, weight[rows], penalty, tolerance
            )
            slopes = _slopes(features, mean, _said(logits) - targets)
        lengths = weight[:-1].norm(dim=1)
        missing = (slopes / max(penalty, 1e-300) - 1).clamp_max(0)
        found.append(torch.where(lengths > 0, lengths, missing))
    return torch.stack(found)


def _joining(slopes: Tensor, working: Tensor, penalty: float) -> Tensor:
    """The features with the steepest slopes above the penalty: as many as are there, or some."""
    steep = slopes.where(~working, 0.0)
    most = min(max(_FEWEST, int(working.sum())), len(slopes))
    least = steep.topk(most).values[-1]
    return (steep > penalty) & (steep >= least)


def _settled(
    inputs: Tensor,
    targets: Tensor,
    labels: Tensor,
    start: Tensor,
    penalty: float,
    tolerance: float,
) -> tuple[Tensor, Tensor]:
    """The weights with the lowest objective (FISTA, Beck & Teboulle 2009, with restarts).

    Args:
        inputs: Centred, shape (N, k).
        targets: Shape (N, units).
        labels: Class numbers (N,).
        start: Where to begin, shape (k + 1, units); the last row is the bias, not penalised.
        penalty: λ.
        tolerance: How far from 0 slopes may be, as a share of the penalty.

    Returns:
        The weights, and their logits (N, units).
    """
    spread = _spread(inputs)
    # The bias has a column as wide as the widest direction, so that one step suits all.
    inputs = torch.cat([inputs, torch.full_like(inputs[:, :1], spread)], dim=1)
    start = torch.cat([start[:-1], start[-1:] / spread])
    count, weight, point, momentum = len(inputs), start, start, 1.0
    steep = 0.25 * spread**2
    logits = there = inputs @ start
    for _ in range(_MOST_STEPS):
        slope = inputs.T @ (_said(there) - targets) / count
        value = float(loss(there, labels))
        while True:
            moved = _shrunk(point - slope / steep, penalty / steep)
            ended, gone = inputs @ moved, moved - point
            bound = value + float((slope * gone).sum() + steep / 2 * gone.square().sum())
            if float(loss(ended, labels)) <= bound + _ROUNDING * value:
                break
            steep *= _STEEPER
        if steep * float(gone.norm(dim=1).max()) <= tolerance * penalty:
            weight, logits = moved, ended
            break
        if float(((point - moved) * (moved - weight)).sum()) > 0:
            momentum = 1.0  # it went uphill: O'Donoghue & Candès 2015
        following = (1 + math.sqrt(1 + 4 * momentum**2)) / 2
        share, momentum = (momentum - 1) / following, following
        point, there = moved + share * (moved - weight), ended + share * (ended - logits)
        weight, logits = moved, ended
    return torch.cat([weight[:-1], weight[-1:] * spread]), logits


def _spread(inputs: Tensor) -> float:
    """About how wide centred inputs (N, k) are in their widest direction, by a few powers."""
    direction = inputs.square().sum(dim=0)
    for _ in range(10):
        direction = inputs.T @ (inputs @ (direction / direction.norm().clamp_min(1e-300)))
    return math.sqrt(max(float(direction.norm()) / len(inputs), 1e-30))


def _shrunk(weight: Tensor, by: float) -> Tensor:
    """Each row shorter by so much, or 0; the last one, the bias, as it is."""
    lengths = weight.norm(dim=1, keepdim=True)
    factor = torch.where(lengths > by, 1 - by / lengths.clamp_min(by), 0.0)
    factor[-1] = 1.0
    return weight * factor


def _slopes(features: Tensor, mean: Tensor, misses: Tensor) -> Tensor:
    """The length of the objective's slope in each centred feature's weights, shape (D,)."""
    found = (features.T @ misses.to(features.dtype)).double()
    found -= mean[:, None] * misses.sum(dim=0)
    steep: Tensor = found.norm(dim=1) / len(misses)
    return steep


def _said(logits: Tensor) -> Tensor:
    """Probabilities (N, units), of class 1 alone where units = 1."""
    return probabilities(logits)[:, -logits.shape[1] :]


def _log_odds(shares: Tensor) -> Tensor:
    """The bias that says of every picture what share each class has."""
    return torch.logit(shares) if len(shares) == 1 else shares.log()
