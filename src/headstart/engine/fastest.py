"""The fastest way through a prefix on this processor: PyTorch, or ONNX Runtime where that pays.

ONNX Runtime was three times as fast for networks of depthwise convolutions and no faster for plain
ones, so both are tried on the first pictures, when enough of them are to come that the export is
paid for. It is taken only if it gives the same numbers.
"""

import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from headstart.errors import NetworkError
from headstart.networks.onnx_files import answer_of, has_onnx, onnx_bytes, onnx_session

Compute = Callable[[Tensor], Tensor]

_WORTH_TRYING_S = 5.0  # of extraction with PyTorch; exporting and trying take about two seconds
_CLEARLY_FASTER = 1.2
_TOLERANCE = 1e-4  # of the largest number


def fastest(prefix: nn.Module, compute: Compute, pictures: Tensor, blocks: int) -> Compute:
    """What to send pictures through.

    Args:
        prefix: The part of the network.
        compute: What it computes in evaluation mode, with PyTorch.
        pictures: A block of the size that all blocks have.
        blocks: How many blocks are to come.
    """
    if pictures.device.type != "cpu" or len(pictures) < 2 or not has_onnx():
        return compute
    with torch.inference_mode():
        compute(pictures)
        seconds, expected = _timed(compute, pictures)
    if seconds * blocks < _WORTH_TRYING_S:
        return compute
    other = _with_onnx_runtime(prefix, pictures)
    if other is None:
        return compute
    try:
        other(pictures)
        other_seconds, found = _timed(other, pictures)
    except NetworkError:
        return compute
    same = found.shape == expected.shape and bool(
        (found - expected).abs().max() <= _TOLERANCE * expected.abs().max()
    )
    return other if same and seconds > _CLEARLY_FASTER * other_seconds else compute


def _timed(compute: Compute, pictures: Tensor) -> tuple[float, Tensor]:
    started = time.perf_counter()
    features = compute(pictures)
    return time.perf_counter() - started, features


def _with_onnx_runtime(prefix: nn.Module, pictures: Tensor) -> Compute | None:
    """The prefix in ONNX Runtime; None if it cannot be had."""
    try:
        session = onnx_session(onnx_bytes(prefix, pictures, takes="pictures", gives="features"))
    except NetworkError:  # what ONNX cannot say PyTorch can
        return None

    def compute(values: Tensor) -> Tensor:
        pictures = values.contiguous().numpy()
        return torch.from_numpy(answer_of(session, "pictures", "features", pictures))

    return compute
