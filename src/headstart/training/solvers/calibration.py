"""Making scores probabilities: one factor, fitted on pictures that the scores do not know.

Scores of a regression or of distances order the classes but are no logits. Times the factor that
minimises the cross-entropy of left-out pictures they are (temperature scaling, Guo et al. 2017);
the order of the classes stays.
"""

import torch
from torch import Tensor

from headstart.networks.heads import probabilities
from headstart.training.solvers.examples import one_hot

_ROUNDS = 40
_LEAST, _MOST = 1e-3, 1e3  # of the factor, times the spread of the scores


def fit_factors(scores: Tensor, labels: Tensor) -> Tensor:
    """The factor on each set of scores that makes them the best logits.

    Targets are smoothed by one picture in all (as Platt 1999 does), so that scores without a
    mistake do not call for an infinite factor. Scores that speak against the labels are given a
    small one.

    Args:
        scores: Left-out scores, shape (sets, N, units). Pictures with an infinite one are not
            counted.
        labels: Class numbers, int64, shape (N,).

    Returns:
        Shape (sets,); one over the scores' spread where no picture counts.
    """
    counted = torch.isfinite(scores).all(dim=2).all(dim=0)
    known, wanted = scores[:, counted].double(), labels[counted]
    if not len(wanted):
        finite = torch.where(torch.isfinite(scores), scores, 0).double()
        return (1 / _spread(finite)).to(scores.dtype)
    sets, count, units = known.shape
    classes = max(units, 2)
    smoothing = classes / (count + classes)
    targets = one_hot(wanted, units, known.dtype) * (1 - smoothing) + smoothing / classes
    spread = _spread(known)
    low, high = (_LEAST / spread).log(), (_MOST / spread).log()
    # The cross-entropy is convex in the factor, so its slope changes sign once: halve in.
    for _ in range(_ROUNDS):
        middle = (low + high) / 2
        said = probabilities((known * middle.exp()[:, None, None]).flatten(0, 1))[:, -units:]
        slope = ((said.view(sets, count, units) - targets) * known).sum(dim=(1, 2))
        low, high = torch.where(slope < 0, middle, low), torch.where(slope < 0, high, middle)
    return low.exp().to(scores.dtype)


def _spread(scores: Tensor) -> Tensor:
    """How far scores (sets, N, units) lie apart, at least a tiny number, shape (sets,)."""
    if scores.shape[2] > 1:
        scores = scores - scores.mean(dim=2, keepdim=True)
    return scores.square().mean(dim=(1, 2)).sqrt().clamp_min(1e-30)
