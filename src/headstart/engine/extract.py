"""Extraction: pictures through the part of a network that only computes.

Pictures go through in blocks of one size, the last one filled up, so that what comes out for a
picture does not depend on how many others there are.
"""

import math
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from headstart.engine.fastest import PYTORCH, Compute, Way, blocks_at_a_time

Features = NDArray[np.float32]

_BLOCK_BYTES = 2**22  # of pictures as float32: larger blocks fall out of the processor's caches
_LARGEST_BLOCK = 256


@dataclass(frozen=True)
class Extracting:
    """How far an extraction is.

    Attributes:
        done: Pictures that went through.
        total: Pictures in all.
        seconds: Since it began.
    """

    done: int
    total: int
    seconds: float

    def __str__(self) -> str:
        rate = self.done / self.seconds if self.seconds else 0.0
        return f"{self.done:,} ({rate:,.0f} a second)"


class Pictures(Protocol):
    """What can be extracted from: pictures in a stated order."""

    @property
    def values(self) -> NDArray[Any]:
        """The pictures as they are stored, among others; only their shape is looked at."""

    def __len__(self) -> int: ...

    def inputs(self, rows: slice) -> Tensor:
        """Scaled float32 pictures (batch, channels, height, width)."""


def block_size(picture_shape: tuple[int, ...]) -> int:
    """How many pictures of a shape go through at once."""
    return max(1, min(_LARGEST_BLOCK, _BLOCK_BYTES // (4 * math.prod(picture_shape))))


def extract(
    prefix: nn.Module,
    batches: Pictures,
    tell: Callable[[Extracting], None] | None = None,
    *,
    channels_last: bool = False,
    way: Way = PYTORCH,
    block: int | None = None,
    most: int | None = None,
) -> Iterator[Features]:
    """The features of pictures, in order, block by block.

    Args:
        prefix: Pictures (block, channels, height, width), float32 → features.
        batches: The pictures.
        tell: Told how far it is, after each block.
        channels_last: Whether feature maps come as (height, width, channels).
        way: What computes them.
        block: Pictures at a time; what suits the processor when omitted.
        most: Blocks that there is memory for at a time; any number when omitted.
    """
    size, total = block or block_size(batches.values.shape[1:]), len(batches)
    started = time.perf_counter()

    def features_of(compute: Compute, start: int, pictures: Tensor) -> Tensor:
        with torch.inference_mode():
            features = compute(pictures)[: min(size, total - start)]
        if channels_last:
            features = features.permute(0, 2, 3, 1)
        return features.cpu().contiguous()

    done = 0
    for features in _computed(_blocks(batches, size), prefix, way, features_of, most):
        done += len(features)
        yield features.numpy()
        if tell is not None:
            tell(Extracting(done, total, time.perf_counter() - started))


def _computed(
    blocks: Iterator[tuple[int, Tensor]],
    prefix: nn.Module,
    way: Way,
    features_of: Callable[[Compute, int, Tensor], Tensor],
    most: int | None,
) -> Iterator[Tensor]:
    """The features of all blocks, in order, several computed at a time where the way has it so."""
    start, pictures = next(blocks, (0, None))
    if pictures is None:
        return
    compute = way.through(prefix, pictures)
    at_a_time = min(blocks_at_a_time(compute), most or sys.maxsize)
    yield features_of(compute, start, pictures)
    if at_a_time == 1:
        yield from (features_of(compute, start, pictures) for start, pictures in blocks)
        return
    with ThreadPoolExecutor(at_a_time, "headstart-features") as pool:
        coming: deque[Future[Tensor]] = deque()
        for start, pictures in blocks:
            coming.append(pool.submit(features_of, compute, start, pictures))
            if len(coming) > at_a_time:  # one waits, so that no thread does
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()


def _blocks(batches: Pictures, size: int) -> Iterator[tuple[int, Tensor]]:
    """All blocks; where several threads work, the next one is made ready meanwhile."""
    starts = range(0, len(batches), size)
    if torch.get_num_threads() == 1 or len(starts) < 2:
        for start in starts:
            yield start, a_block(batches, start, size)
        return
    with ThreadPoolExecutor(1, "headstart-blocks") as pool:
        coming = pool.submit(a_block, batches, 0, size)
        for start in starts:
            ready = coming.result()
            if start + size < len(batches):
                coming = pool.submit(a_block, batches, start + size, size)
            yield start, ready


def a_block(batches: Pictures, start: int, size: int) -> Tensor:
    """So many pictures from one on; at the end the last one is repeated."""
    pictures = batches.inputs(slice(start, min(start + size, len(batches))))
    return pictures if len(pictures) == size else _filled_up(pictures, size)


def _filled_up(pictures: Tensor, size: int) -> Tensor:
    """A block of full size, its last picture repeated, laid out in memory as it was."""
    last = pictures.is_contiguous(memory_format=torch.channels_last)
    layout = torch.channels_last if last else torch.contiguous_format
    rows = torch.arange(size).clamp(max=len(pictures) - 1).to(pictures.device)
    return pictures.index_select(0, rows).contiguous(memory_format=layout)
