"""One decomposition of features, from which penalised heads follow.

A penalty ‖w‖² does not change when the features are rotated. In the directions of their own
spread, features have uncorrelated coordinates, the directions without any spread drop out, and
what is solved there is carried back by one product.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from headstart.errors import TrainingError

_ROWS = 4096  # at a time in float64
_SMALLEST = 1e-12  # of the largest square: below it a direction is rounding error


@dataclass(frozen=True)
class LinearHead:
    """Weights of linear heads on features; leading axes are several heads.

    Attributes:
        weight: Shape (…, units, D).
        bias: Shape (…, units).
    """

    weight: Tensor
    bias: Tensor

    def scores(self, features: Tensor) -> Tensor:
        """What the heads say of features (N, D), shape (…, N, units)."""
        return features @ self.weight.mT + self.bias[..., None, :]

    def __getitem__(self, index: int | tuple[int, ...]) -> "LinearHead":
        return LinearHead(self.weight[index], self.bias[index])


@dataclass(frozen=True)
class Spectrum:
    """The singular value decomposition of centred features.

    Attributes:
        mean: Of the features, float64, shape (D,).
        basis: Orthonormal directions of spread, float64, shape (D, r).
        squares: Squared singular values, falling, float64, shape (r,).
        coordinates: The centred features in that basis, shape (N, r), in the dtype asked for.
    """

    mean: Tensor
    basis: Tensor
    squares: Tensor
    coordinates: Tensor

    @classmethod
    def of(cls, features: Tensor, dtype: torch.dtype | None = None) -> "Spectrum":
        """Decompose features (N, D).

        The eigenvalues of the smaller of the two products of the centred features with themselves,
        in float64, take a fraction of the time of an SVD. What that costs in precision lies in
        directions whose spread is a millionth of the largest.

        Args:
            features: Shape (N, D).
            dtype: Of the coordinates; the features' own when omitted.

        Raises:
            TrainingError: If the features are too large for their squares to be added up.
        """
        dtype = dtype or features.dtype
        mean = features.mean(dim=0, dtype=torch.float64)
        if len(features) > features.shape[1]:
            squares, basis = _eigen(_gram(features, mean))
            coordinates = torch.cat(
                [
                    ((rows.double() - mean) @ basis).to(dtype)
                    for rows in torch.split(features, _ROWS)
                ]
            )
            return cls(mean, basis, squares, coordinates)
        centred = features.double() - mean
        squares, left = _eigen(centred @ centred.T)
        spread = squares.sqrt()
        return cls(mean, centred.T @ (left / spread), squares, (left * spread).to(dtype))

    def head(self, weight: Tensor, bias: Tensor) -> LinearHead:
        """Heads on the features, of heads on the coordinates.

        Args:
            weight: Shape (…, units, r).
            bias: Shape (…, units).

        Returns:
            Heads in the coordinates' dtype.
        """
        rows = weight.to(torch.float64).flatten(0, -2)  # in one product: many small ones are slow
        carried = (rows @ self.basis.T).view(*weight.shape[:-1], len(self.mean))
        shifted = bias.to(torch.float64) - carried @ self.mean
        dtype = self.coordinates.dtype
        return LinearHead(carried.to(dtype), shifted.to(dtype))


def _gram(features: Tensor, mean: Tensor) -> Tensor:
    """The scatter (D, D) of features in float64, some rows at a time."""
    total = torch.zeros(len(mean), len(mean), dtype=torch.float64, device=features.device)
    for rows in torch.split(features, _ROWS):
        centred = rows.double() - mean
        total.addmm_(centred.T, centred)
    return total


def _eigen(symmetric: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues above rounding error, falling, and their vectors."""
    if not bool(torch.isfinite(symmetric).all()):
        raise TrainingError(
            "the features are too large to be squared and added up: the body in front of the head "
            "gives no usable features"
        )
    values, vectors = torch.linalg.eigh(symmetric)
    kept = values > _SMALLEST * values[-1].clamp_min(0)
    return values[kept].flip(0), vectors[:, kept].flip(1)
