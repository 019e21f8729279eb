"""The fastest way through a prefix on this processor: PyTorch, or ONNX Runtime where that pays.

ONNX Runtime was three times as fast for networks of depthwise convolutions and no faster for plain
ones, so both are tried on the first pictures, when enough of them are to come that the export is
paid for. It is taken only if it gives the same numbers.

The two differ in the last bits, so the choice must not change while a study goes on. It follows
from what was measured once for a machine and a prefix, which is remembered and never measured
again, and from how many pictures the study has, whichever of them are wanted now. The way taken is
part of what features are found by. Where nothing can be remembered, PyTorch is taken.

PyTorch computes a block on all threads. ONNX Runtime computes as many blocks at a time as there are
threads, one on each: so no thread waits for another within a block, and the bits do not depend on
how many threads there are.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from typing import Any, Literal

import torch
from torch import Tensor, nn

from headstart.engine.measured import Measured, work_clock
from headstart.errors import NetworkError
from headstart.networks.onnx_files import answer_of, has_onnx, onnx_bytes, onnx_session

Compute = Callable[[Tensor], Tensor]

_WORTH_TRYING_S = 5.0  # of extraction with PyTorch; exporting and trying take about two seconds
_CLEARLY_FASTER = 1.2
_SHORTEST_S = 1e-6  # of a clock that may not have moved
_TOLERANCE = 1e-4  # of the largest number


@dataclass(frozen=True)
class Way:
    """How pictures go through a prefix.

    Attributes:
        engine: What computes.
        seconds: That a block took when it was measured; 0 where it was not.
        ready: What to send blocks through, where trying it left that behind.
    """

    engine: Literal["PyTorch", "ONNX Runtime"]
    seconds: float = field(default=0.0, compare=False)
    ready: Compute | None = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        if self.engine == "PyTorch":
            return f"PyTorch {torch.__version__}"
        return f"ONNX Runtime {version('onnxruntime')} (PyTorch {torch.__version__})"

    def through(self, prefix: nn.Module, pictures: Tensor) -> Compute:
        """What to send blocks of pictures through.

        Args:
            prefix: The part of the network.
            pictures: A block of the size that all blocks have.
        """
        if self.engine == "PyTorch":
            return in_evaluation(prefix)
        return self.ready or _with_onnx_runtime(prefix, pictures) or in_evaluation(prefix)


PYTORCH, ONNX_RUNTIME = Way("PyTorch"), Way("ONNX Runtime")


def fastest(
    prefix: nn.Module,
    made_by: str,
    block: Callable[[], Tensor],
    blocks: int,
    measured: Measured,
    making: str | None = None,
) -> Way:
    """The way to take, measured on the first pictures unless it is known from before.

    Args:
        prefix: The part of the network, on the CPU.
        made_by: What tells the prefix from others, weights and all, as text.
        block: Gives the first pictures, of the size that all blocks have.
        blocks: How many blocks the pictures of the whole study would fill; the same as often as it
            is asked for one of its prefixes.
        measured: Where the choice is remembered.
        making: The same for prefixes that differ in their weights only, which are as fast as each
            other; `made_by` when omitted.
    """
    if not has_onnx():
        return PYTORCH
    versions = version("onnxruntime"), torch.__version__
    key = ("way", making or made_by, *versions)
    alike = ("alike", made_by, *versions)
    known, same = measured.recall(*key), measured.recall(*alike)
    ready: Compute | None = None
    if known is None or _is_open(known, blocks, same):
        with measured.measuring() as can_be_kept:
            # Another process may have measured while this one waited.
            known, same = measured.recall(*key), measured.recall(*alike)
            if can_be_kept and (known is None or _is_open(known, blocks, same)):
                known, same, ready = _measure(prefix, block(), blocks, known)
                kept = same is None or measured.remember(same, *alike)
                if not (kept and measured.remember(known, *key)):
                    known = None
    way = PYTORCH if known is None else _chosen(known, blocks, same)
    return replace(way, ready=ready) if way.engine == "ONNX Runtime" else way


def _is_open(known: dict[str, float | None], blocks: int, same: bool | None) -> bool:
    """Whether it is still to be tried if the other way pays, or gives the same numbers."""
    if not _is_long(known, blocks):
        return False
    return "ONNX Runtime" not in known or (_pays(known) and same is None)


def _is_long(known: dict[str, float | None], blocks: int) -> bool:
    return (known["PyTorch"] or 0.0) * blocks >= _WORTH_TRYING_S


def _pays(known: dict[str, float | None]) -> bool:
    ours, theirs = known["PyTorch"], known.get("ONNX Runtime")
    return ours is not None and theirs is not None and ours > _CLEARLY_FASTER * theirs


def _chosen(known: dict[str, float | None], blocks: int, same: bool | None) -> Way:
    if _is_long(known, blocks) and _pays(known) and same:
        return replace(ONNX_RUNTIME, seconds=known["ONNX Runtime"] or 0.0)
    return replace(PYTORCH, seconds=known["PyTorch"] or 0.0)


def _measure(
    prefix: nn.Module, pictures: Tensor, blocks: int, before: dict[str, float | None] | None
) -> tuple[dict[str, float | None], bool | None, Compute | None]:
    """Seconds of a block by each way, None for one that cannot be taken; whether they are alike.

    And what was tried beside PyTorch, as making that takes seconds.

    What was measured before stays, and PyTorch's seconds tell the pace of the others, so that what
    was chosen for fewer blocks, or other weights, stays.
    """
    ours = in_evaluation(prefix)
    with torch.inference_mode():
        ours(pictures)
        seconds, expected = _timed(ours, pictures)
    known = before or {"PyTorch": seconds}
    if not _is_long(known, blocks):
        return known, None, None
    theirs, same, tried = _tried(prefix, pictures, expected)
    pace = (known["PyTorch"] or 0.0) / max(seconds, _SHORTEST_S)
    return {"ONNX Runtime": None if theirs is None else theirs * pace, **known}, same, tried


def _tried(
    prefix: nn.Module, pictures: Tensor, expected: Tensor
) -> tuple[float | None, bool, Compute | None]:
    """Seconds of a block by ONNX Runtime, None where that cannot be taken; whether it is alike."""
    theirs = _with_onnx_runtime(prefix, pictures) if len(pictures) > 1 else None
    if theirs is None:
        return None, False, None
    try:
        theirs(pictures)
        seconds, found = _timed(theirs, pictures, blocks_at_a_time(theirs))
    except NetworkError:
        return None, False, None
    alike = found.shape == expected.shape and bool(
        (found - expected).abs().max() <= _TOLERANCE * expected.abs().max()
    )
    return seconds, alike, theirs


def _timed(compute: Compute, pictures: Tensor, at_a_time: int = 1) -> tuple[float, Tensor]:
    """Seconds of a block, where so many go through at a time; and what comes of it."""
    clock = work_clock(torch.get_num_threads())
    started = clock()
    if at_a_time == 1:
        features = compute(pictures)
        return clock() - started, features
    with ThreadPoolExecutor(at_a_time) as pool:
        features, *_ = pool.map(compute, [pictures] * at_a_time)
    return (clock() - started) / at_a_time, features


def in_evaluation(prefix: nn.Module) -> Compute:
    """What a prefix computes in evaluation mode, its modules' modes as they were afterwards."""

    def compute(pictures: Tensor) -> Tensor:
        modes = {module: module.training for module in prefix.modules()}
        prefix.eval()
        try:
            features: Tensor = prefix(pictures)
        finally:
            for module, mode in modes.items():
                module.training = mode
        return features

    return compute


@dataclass(frozen=True)
class _Session:
    """A prefix in ONNX Runtime; several threads may call it at a time."""

    session: Any

    def __call__(self, values: Tensor) -> Tensor:
        pictures = values.contiguous().numpy()
        return torch.from_numpy(answer_of(self.session, "pictures", "features", pictures))


def blocks_at_a_time(compute: Compute) -> int:
    """How many blocks had best go through at a time, each in a thread of its own."""
    return torch.get_num_threads() if isinstance(compute, _Session) else 1


def _with_onnx_runtime(prefix: nn.Module, pictures: Tensor) -> Compute | None:
    """The prefix in ONNX Runtime; None if it cannot be had."""
    try:
        # Two pictures are traced as well as a block, and sooner.
        data = onnx_bytes(prefix, pictures[:2], takes="pictures", gives="features")
        return _Session(onnx_session(data, threads=1))
    except NetworkError:  # what ONNX cannot say PyTorch can
        return None
