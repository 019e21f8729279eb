"""Nearest neighbours: the votes of every number of neighbours from one pass over distances."""

from collections.abc import Sequence

import torch
from torch import Tensor

from headstart.errors import TrainingError
from headstart.networks.neighbours import NeighbourHead
from headstart.training.solvers.examples import check_examples


def neighbour_heads(
    features: Tensor, labels: Tensor, classes: int, neighbours: Sequence[int]
) -> tuple[NeighbourHead, Tensor]:
    """A head that remembers the pictures, and the numbers of neighbours to ask it for.

    Args:
        features: Shape (N, D).
        labels: Class numbers, int64, shape (N,).
        classes: How many classes there are.
        neighbours: How many neighbours may vote, each at least 1; those above N are left out.

    Returns:
        The head, for the largest number, and the numbers as a tensor (M,).

    Raises:
        TrainingError: If the examples cannot be used, or no number of neighbours is left.
    """
    check_examples(features, labels, classes)
    fitting = [each for each in neighbours if 1 <= each <= len(features)]
    if not fitting or min(neighbours) < 1:
        raise TrainingError(
            f"neighbours = {list(neighbours)}: at least one number from 1 to the {len(features)} "
            "pictures is needed"
        )
    head = NeighbourHead(features, labels, classes, max(fitting))
    return head, torch.tensor(fitting, device=features.device)
