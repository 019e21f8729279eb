"""Scaling: what happens to a picture's numbers before a network sees them."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from headstart.errors import DataError

ScalingKind = Literal["raw", "unit", "standardised", "standardised_pixels"]

_BLOCK_BYTES = 2**25  # of pictures as float64 at a time, whatever their size


@dataclass(frozen=True)
class Scaling:
    """``(picture − shift) / divisor`` on numbers 0–255.

    Attributes:
        shift: float32, broadcastable to (height, width, channels).
        divisor: float32, the same shape, nowhere zero.
    """

    shift: NDArray[np.float32]
    divisor: NDArray[np.float32]


def fit_scaling(kind: ScalingKind, pictures: NDArray[np.uint8], rows: NDArray[np.int64]) -> Scaling:
    """The scaling of a kind, with statistics from some (training) pictures only.

    Args:
        kind: ``"raw"`` keeps 0–255; ``"unit"`` divides by 255; ``"standardised"`` subtracts the
            mean and divides by the standard deviation of each channel; ``"standardised_pixels"``
            does so for each pixel position by itself.
        pictures: uint8, shape (N, height, width, channels). No label is looked at.
        rows: Which of them to take the statistics from.

    Returns:
        The scaling; where a pixel never changes its divisor is 1.

    Raises:
        DataError: If there is no picture to take statistics from.
    """
    one = np.ones((1, 1, 1), dtype=np.float32)
    if kind == "raw":
        return Scaling(0 * one, one)
    if kind == "unit":
        return Scaling(0 * one, 255 * one)
    if not len(rows):
        raise DataError(f'scaling = "{kind}" needs training pictures to take its statistics from')
    axes = (0,) if kind == "standardised_pixels" else (0, 1, 2)
    whole_bytes = 8 * len(rows) * int(np.prod(pictures.shape[1:]))
    blocks = np.array_split(rows, min(len(rows), whole_bytes // _BLOCK_BYTES + 1))
    count = len(rows) * int(np.prod(pictures.shape[1:3])) if len(axes) == 3 else len(rows)
    mean = sum(pictures[block].sum(axis=axes, dtype=np.float64) for block in blocks) / count
    squares = sum(np.square(pictures[block] - mean).sum(axis=axes) for block in blocks)
    deviation = np.sqrt(squares / count)
    shape = (1, 1, -1) if len(axes) == 3 else pictures.shape[1:]
    return Scaling(
        mean.astype(np.float32).reshape(shape),
        np.where(deviation > 0, deviation, 1).astype(np.float32).reshape(shape),
    )
