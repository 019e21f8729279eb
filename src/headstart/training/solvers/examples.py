"""What the solvers learn from: kept features with labels, checked once."""

import torch
from torch import Tensor
from torch.nn import functional

from headstart.errors import TrainingError


def check_examples(features: Tensor, labels: Tensor, classes: int) -> None:
    """Refuse features that no head can be solved on, with every problem at once.

    Args:
        features: Shape (N, D).
        labels: Class numbers, int64, shape (N,).
        classes: How many classes there are; each needs an example.

    Raises:
        TrainingError: Saying what is wrong with them.
    """
    if features.ndim != 2 or labels.shape != features.shape[:1] or not features.numel():
        raise TrainingError(
            "a head is solved on features (pictures, numbers) and a label a picture, got "
            f"{tuple(features.shape)} and {tuple(labels.shape)}"
        )
    problems = []
    if classes < 2:
        problems.append(f"a head tells at least two classes apart, not {classes}")
    outside = labels[(labels < 0) | (labels >= classes)]
    if len(outside):
        problems.append(f"labels go from 0 to {classes - 1}, but there is {int(outside[0])}")
    else:
        missing = (torch.bincount(labels, minlength=classes) == 0).nonzero()[:, 0].tolist()
        if missing:
            problems.append(
                f"no training picture of class {', '.join(map(str, missing))} (of {classes}): "
                "give more labels"
            )
    bad = int((~torch.isfinite(features)).any(dim=1).sum())
    if bad:
        problems.append(
            f"the features of {bad} of {len(features)} pictures are not finite numbers: the body "
            "in front of the head gives no usable features"
        )
    if problems:
        raise TrainingError(*problems)


def one_hot(labels: Tensor, units: int, dtype: torch.dtype) -> Tensor:
    """Targets (N, units): 1 at the picture's class, else 0; of class 1 alone where units = 1."""
    if units == 1:
        return labels[:, None].to(dtype)
    return functional.one_hot(labels, units).to(dtype)


def fold_weights(labels: Tensor, folds: int, generator: torch.Generator) -> Tensor:
    """Which pictures each fold of a stratified cross-validation learns from.

    Args:
        labels: Class numbers (N,).
        folds: How many parts; each is left out once.
        generator: Deals the pictures of each class out, on the CPU.

    Returns:
        Ones and zeros, float64, shape (folds, N): zero where a fold leaves a picture out.

    Raises:
        TrainingError: If there are fewer than two folds, or fewer pictures of a class than folds.
    """
    if folds < 2:
        raise TrainingError(f"folds = {folds}: at least 2 are needed")
    counts = torch.bincount(labels)
    scarce = ((counts > 0) & (counts < folds)).nonzero()[:, 0].tolist()
    if scarce or not len(labels):
        raise TrainingError(
            f"{folds} folds need at least {folds} pictures of each class, but "
            + ", ".join(f"class {each} has {int(counts[each])}" for each in scarce)
            + f"{'' if scarce else 'there is none'}: use fewer folds, or give more labels"
        )
    # Shuffled, then sorted by class: dealing them out in turn is stratified.
    shuffled = torch.randperm(len(labels), generator=generator).to(labels.device)
    order = shuffled[torch.argsort(labels[shuffled], stable=True)]
    fold = torch.empty_like(labels)
    fold[order] = torch.arange(len(labels), device=labels.device) % folds
    numbers = torch.arange(folds, device=labels.device)
    return (fold[None] != numbers[:, None]).to(torch.float64)
