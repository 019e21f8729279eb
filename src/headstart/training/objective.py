"""The training loss: cross-entropy with smoothed labels, class weights and mixed pictures.

A head of one unit is the softmax of two logits, 0 and its own: σ(z) = e^z / (e^0 + e^z). Smoothing,
weights and mixed labels therefore mean the same for it as for a head of two units.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from headstart.errors import StudyError, nearest
from headstart.networks.heads import loss
from headstart.strategies.recipe import Recipe


class Objective:
    """What a phase makes smaller.

    Args:
        recipe: Smoothing and weights.
        labels: Of all training pictures, for balanced weights.
        class_names: The classes in the order of their numbers, for a table of weights.

    Raises:
        StudyError: If a class of the table is not there.
    """

    def __init__(self, recipe: Recipe, labels: Tensor, class_names: Sequence[str]) -> None:
        self._smoothing = recipe.label_smoothing
        self._weights: Tensor | None = None
        if recipe.class_weights == "balanced":
            self._weights = balanced_weights(labels)
        elif isinstance(recipe.class_weights, Mapping):
            self._weights = named_weights(recipe.class_weights, class_names).to(labels.device)

    def __call__(self, logits: Tensor, labels: Tensor, shares: Tensor | None = None) -> Tensor:
        """The loss of a batch in nats.

        With smoothed labels t′ = (1 − s) · t + s / classes and weights w, it is
        Σ w_c · t′_ic · −log p_ic / Σ w_c · t_ic over pictures i and classes c: for labels that are
        not mixed, what `torch.nn.functional.cross_entropy` gives.

        Args:
            logits: Shape (batch, units).
            labels: Class numbers, shape (batch,).
            shares: How much of each picture is its own, the rest being of the one before it in the
                batch, shape (batch,); None: all.
        """
        if shares is None and self._weights is None and not self._smoothing:
            return loss(logits, labels)
        if logits.shape[1] == 1:
            logits = torch.cat([torch.zeros_like(logits), logits], dim=1)
        classes = logits.shape[1]
        weights = None
        if self._weights is not None:
            # A class beyond the last label has no picture to count.
            missing = classes - len(self._weights)
            weights = functional.pad(self._weights, (0, missing), value=1.0).to(logits.dtype)
        if shares is None:
            return functional.cross_entropy(
                logits, labels, weight=weights, label_smoothing=self._smoothing
            )
        own = functional.one_hot(labels, classes).to(logits.dtype)
        targets = shares[:, None] * own + (1 - shares[:, None]) * own.roll(1, 0)
        total = functional.cross_entropy(
            logits, targets, weight=weights, label_smoothing=self._smoothing, reduction="sum"
        )
        return total / (len(labels) if weights is None else (targets @ weights).sum())

    def targets(self, classes: int) -> tuple[Tensor, Tensor]:
        """What a picture of each class is worth: w · t′ in rows, and w; float32.

        Args:
            classes: How many there are.

        Returns:
            Shape (classes, classes) and (classes,).
        """
        weights = torch.ones(classes)
        if self._weights is not None:
            weights[: len(self._weights)] = self._weights[:classes].cpu()
        smooth = (1 - self._smoothing) * torch.eye(classes) + self._smoothing / classes
        return smooth * weights, weights


def balanced_weights(labels: Tensor) -> Tensor:
    """N / (classes · pictures of the class), as scikit-learn's ``class_weight="balanced"``.

    Args:
        labels: Class numbers, shape (N,).

    Returns:
        Float32, shape (largest number + 1,); 1 for a class without pictures.
    """
    counts = torch.bincount(labels.cpu()).to(torch.float64)
    present = counts > 0
    weights = torch.where(present, len(labels) / (present.sum() * counts), 1.0)
    return weights.to(device=labels.device, dtype=torch.float32)


def named_weights(table: Mapping[str, float], class_names: Sequence[str]) -> Tensor:
    """A table's weights in the order of the classes, 1 for those that are not named; float32.

    Raises:
        StudyError: For every class that is not there.
    """
    unknown = [name for name in table if name not in class_names]
    if unknown:
        raise StudyError(
            *(
                f"class_weights: there is no class {name!r}; {nearest(name, class_names)}"
                for name in unknown
            )
        )
    return torch.tensor([float(table.get(name, 1.0)) for name in class_names])
