"""Linear discriminant analysis: every shrinkage of the covariance from one decomposition.

All classes share the covariance S within classes, shrunk to (1 − s)·S + s·τ·I with τ the mean of
S's diagonal. The score of a class is μᵀΣ⁻¹x − ½μᵀΣ⁻¹μ + ln(share of the class), and its softmax is
the class's posterior probability (Hastie, Tibshirani & Friedman 2009, 4.3).
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from headstart.errors import TrainingError
from headstart.training.solvers.examples import check_examples, one_hot
from headstart.training.solvers.spectrum import LinearHead, Spectrum


def fit_lda(
    features: Tensor, labels: Tensor, classes: int, shrinkages: Sequence[float]
) -> LinearHead:
    """Fit a discriminant analysis for each shrinkage.

    Args:
        features: Shape (N, D); computed in float64, given back in their own dtype.
        labels: Class numbers, int64, shape (N,).
        classes: How many classes there are.
        shrinkages: Each above 0 and at most 1; scikit-learn's ``shrinkage``.

    Returns:
        Heads with one unit a class, shrinkages on the leading axis.

    Raises:
        TrainingError: If the examples or shrinkages cannot be used, or no two pictures of a class
            differ.
    """
    check_examples(features, labels, classes)
    if not shrinkages or any(not 0 < each <= 1 for each in shrinkages):
        raise TrainingError(f"shrinkages above 0 and at most 1 are needed, got {list(shrinkages)}")
    means, shares = class_means(features, labels, classes)
    within = Spectrum.of(features.double() - means[labels])
    count, width = features.shape
    variance = within.squares.sum() / count / width
    if not variance > 0:
        raise TrainingError(
            "no two training pictures of a class have different features, so there is no spread "
            "within classes: give more labels"
        )
    shrunk = torch.tensor(shrinkages, dtype=torch.float64, device=features.device)[:, None]
    floor = shrunk * variance
    # Beside the directions of spread, every direction has the variance `floor`.
    extra = 1 / ((1 - shrunk) * within.squares / count + floor) - 1 / floor
    centre = means.mean(dim=0)
    means = means - centre  # far from 0, the difference of large numbers would be lost
    turned = means @ within.basis
    weight = means / floor[:, :, None] + (turned * extra[:, None]) @ within.basis.T
    bias = shares.log() - (weight * means).sum(dim=2) / 2 - weight @ centre
    return LinearHead(weight.to(features.dtype), bias.to(features.dtype))


def class_means(features: Tensor, labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """The mean features (classes, D) and the share (classes,) of each class, in float64."""
    members = one_hot(labels, classes, torch.float64)
    counts = members.sum(dim=0)
    return members.T @ features.double() / counts[:, None], counts / len(labels)
