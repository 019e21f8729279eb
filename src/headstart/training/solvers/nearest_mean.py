"""The nearest class mean, written as a linear head.

Minus half the squared distance to a mean μ is x·μ − ½‖μ‖² − ½‖x‖², and the last term is the same
for all classes: so the nearest mean is the highest of linear scores.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from headstart.training.solvers.examples import check_examples
from headstart.training.solvers.lda import class_means
from headstart.training.solvers.spectrum import LinearHead


@dataclass(frozen=True)
class NearestMean:
    """Class means as a linear head.

    Attributes:
        head: One unit a class; the difference of two scores is half the difference of the squared
            distances.
        left_out_scores: The scores of each picture when it does not count in its own class's mean,
            shape (N, classes); minus infinity for its own class where it is alone there.
    """

    head: LinearHead
    left_out_scores: Tensor


def fit_nearest_mean(features: Tensor, labels: Tensor, classes: int) -> NearestMean:
    """Compute the means.

    Args:
        features: Shape (N, D); computed in float64, given back in their own dtype.
        labels: Class numbers, int64, shape (N,).
        classes: How many classes there are.

    Raises:
        TrainingError: If the examples cannot be used.
    """
    check_examples(features, labels, classes)
    means, _ = class_means(features, labels, classes)
    # Scores keep their differences when all means are moved; near 0 they are more precise.
    centre = means.mean(dim=0)
    moved = means - centre
    bias = -moved.square().sum(dim=1) / 2 - moved @ centre
    head = LinearHead(moved.to(features.dtype), bias.to(features.dtype))
    centred = features.double() - centre
    scores = centred @ moved.T - moved.square().sum(dim=1) / 2
    counts = torch.bincount(labels, minlength=classes).double()[labels]
    own = labels[:, None]
    # Without picture x, its class's mean moves to μ + (μ − x)/(n − 1), away from x.
    distance = (centred - moved[labels]).square().sum(dim=1) * (counts / (counts - 1)).square()
    left_out = (centred.square().sum(dim=1) - distance)[:, None] / 2
    scores.scatter_(1, own, left_out.where(counts[:, None] > 1, -torch.inf))
    return NearestMean(head, scores.to(features.dtype))
