"""Where the work is done: choosing a device and keeping it deterministic."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, get_args

import torch

from headstart.errors import TrainingError, nearest

DeviceName = Literal["auto", "cpu", "cuda", "mps"]


def choose_device(name: DeviceName) -> torch.device:
    """The device of that name; ``"auto"`` takes CUDA where there is one, else the CPU.

    Raises:
        TrainingError: If this machine does not have it.
    """
    if name not in get_args(DeviceName):
        raise TrainingError(
            f"there is no device {name!r}: {nearest(str(name), get_args(DeviceName))}"
        )
    available = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if name == "auto":
        return torch.device("cuda" if available["cuda"] else "cpu")
    if not available[name]:
        there = ", ".join(kind for kind, is_there in available.items() if is_there)
        raise TrainingError(f"device {name!r} is not available here; there is: {there}")
    return torch.device(name)


def describe_device(device: torch.device) -> str:
    """The device in words, for the report."""
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    return device.type


@contextmanager
def deterministic(threads: int, device: torch.device) -> Iterator[None]:
    """Within it, the same seed gives the same bits on this machine.

    Sums are split over threads, so their number is part of what must be the same. On CUDA,
    PyTorch's deterministic algorithms are switched on.
    """
    threads_before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        if device.type == "cuda":
            with _deterministic_kernels():
                yield
        else:
            yield
    finally:
        torch.set_num_threads(threads_before)


@contextmanager
def _deterministic_kernels() -> Iterator[None]:
    """Switch PyTorch's deterministic algorithms on; setting them imports its compiler."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.are_deterministic_algorithms_enabled()
    warned_only = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warned_only)
