"""Ridge regression on class targets: every penalty, and the leave-one-out error, in closed form.

With centred features C = UΣVᵀ and centred targets Y (+1 for the picture's class, −1 for others),
the weights for the penalty α are V·diag(σ/(σ²+α))·UᵀY. Leaving picture i out changes what is
predicted for it to yᵢ − (yᵢ − ŷᵢ)/(1 − hᵢ), with hᵢ = 1/N + Σⱼ uᵢⱼ²·σⱼ²/(σⱼ²+α): no second fit.
The 1/N is the bias's own share (Hastie, Tibshirani & Friedman 2009, 7.10 and 3.4.1).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from headstart.errors import TrainingError
from headstart.training.solvers.examples import check_examples, one_hot
from headstart.training.solvers.spectrum import LinearHead, Spectrum


@dataclass(frozen=True)
class RidgePath:
    """Ridge heads, the penalties on the leading axis.

    Attributes:
        head: Weights and biases; their scores are near +1 for the class and near −1 for others.
        left_out_scores: What a fit without picture i would say of it, shape (penalties, N, units).
        left_out_error: Mean squared error of these, shape (penalties,).
    """

    head: LinearHead
    left_out_scores: Tensor
    left_out_error: Tensor


def fit_ridge(
    features: Tensor,
    labels: Tensor,
    classes: int,
    penalties: Sequence[float],
    *,
    units: int | None = None,
) -> RidgePath:
    """Solve a ridge regression for each penalty.

    Args:
        features: Shape (N, D); computed in float64, given back in their own dtype.
        labels: Class numbers, int64, shape (N,).
        classes: How many classes there are.
        penalties: Each above 0; scikit-learn's alphas.
        units: 1 for a single score on two classes, or one a class; the former where it can be when
            omitted.

    Raises:
        TrainingError: If the examples or penalties cannot be used.
    """
    check_examples(features, labels, classes)
    wrong = [penalty for penalty in penalties if not 0 < penalty < math.inf]
    if wrong or not penalties:
        raise TrainingError(f"penalties above 0 are needed, got {list(penalties)}")
    units = units or (1 if classes == 2 else classes)
    spectrum = Spectrum.of(features, torch.float64)
    targets = one_hot(labels, units, torch.float64) * 2 - 1
    middle = targets.mean(dim=0)
    alphas = torch.tensor(penalties, dtype=torch.float64, device=features.device)
    inverse = 1 / (spectrum.squares + alphas[:, None])
    rotated = inverse[:, :, None] * (spectrum.coordinates.T @ (targets - middle))
    # One product for all penalties: (N, r) with (r, penalties × units).
    flat = spectrum.coordinates @ rotated.transpose(0, 1).flatten(1)
    predicted = flat.view(len(labels), *rotated.shape[::2]).transpose(0, 1) + middle
    leverage = 1 / len(labels) + inverse @ spectrum.coordinates.square().T
    # A picture that nothing else speaks for has leverage 1: then the others' mean is all there is.
    left = (1 - leverage).clamp_min(1e-10)[:, :, None]
    left_out = targets - (targets - predicted) / left
    head = spectrum.head(rotated.mT, middle.expand(len(alphas), -1))
    return RidgePath(
        LinearHead(head.weight.to(features.dtype), head.bias.to(features.dtype)),
        left_out.to(features.dtype),
        (targets - left_out).square().mean(dim=(1, 2)),
    )
