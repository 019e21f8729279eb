"""A head that remembers: the classes of the nearest training pictures vote."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from headstart.errors import NetworkError

_NUMBERS = 2**24  # distances at a time
_SMALLEST = 1e-7  # a share of votes, where its logarithm is cut off


class NeighbourHead(nn.Module):
    """Features (N, D) → logarithms of the shares of votes (N, classes) of the k nearest pictures.

    What it knows lies in buffers, so it is saved and hashed with its network; it has no weights
    that could be trained. Distances are Euclidean.

    Attributes:
        known: Features of the training pictures, less their mean, shape (pictures, D).
        middle: That mean (D,): near 0, differences of large numbers are not lost.
        votes: The classes of the training pictures, one-hot, shape (pictures, classes).
        nearest: How many neighbours vote, as a tensor of no axes.
    """

    known: Tensor
    middle: Tensor
    votes: Tensor
    nearest: Tensor

    def __init__(self, features: Tensor, labels: Tensor, classes: int, nearest: int) -> None:
        """Remember features (pictures, D) and labels (pictures,).

        Raises:
            NetworkError: If there are fewer pictures than neighbours.
        """
        super().__init__()
        if not 1 <= nearest <= len(features):
            raise NetworkError(
                f"{nearest} nearest neighbours of {len(features)} pictures: give 1 to "
                f"{len(features)}"
            )
        middle = features.mean(dim=0)
        self.register_buffer("known", features - middle)
        self.register_buffer("middle", middle)
        self.register_buffer("votes", functional.one_hot(labels, classes).to(features.dtype))
        self.register_buffer("nearest", torch.tensor(nearest, device=features.device))

    def forward(self, features: Tensor) -> Tensor:
        """Logits whose softmax are the shares of the votes."""
        return self.logits(self.shares(features, self.nearest[None])[0])

    def logits(self, shares: Tensor) -> Tensor:
        """The logits of shares of votes; those of none are cut off."""
        return shares.clamp_min(_SMALLEST).log()

    def shares(self, features: Tensor, numbers: Tensor) -> Tensor:
        """The shares of the classes among the nearest pictures.

        Args:
            features: Shape (N, D).
            numbers: How many neighbours vote, shape (M,).

        Returns:
            Shape (M, N, classes).
        """
        rows = max(1, _NUMBERS // len(self.known))
        parts = [self._counted(part, numbers) for part in torch.split(features - self.middle, rows)]
        return torch.cat(parts, dim=1) / numbers[:, None, None]

    def _counted(self, features: Tensor, numbers: Tensor) -> Tensor:
        distance = torch.cdist(features, self.known, compute_mode="use_mm_for_euclid_dist")
        near = distance.topk(int(numbers.max()), dim=1, largest=False).indices
        return self.votes[near].cumsum(dim=1)[:, numbers - 1].transpose(0, 1)
