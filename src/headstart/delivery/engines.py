"""Engines: PyTorch, or ONNX Runtime where it is faster and answers the same."""

import json
import time
from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from headstart.delivery.config import CONFIG
from headstart.delivery.pipeline import Pipeline
from headstart.errors import NetworkError
from headstart.networks.onnx_files import answer_of, has_onnx, onnx_bytes, onnx_session
from headstart.networks.weights import file_sha256
from headstart.training.evaluate import evaluating

Pixels = NDArray[np.uint8]
Probabilities = NDArray[np.float32]

ONNX_FILE = "model.onnx"
INPUT, OUTPUT = "pixels", "probabilities"

_WORTH_LOADING, _WORTH_EXPORTING = 100, 500  # pictures

TOLERANCE = 1e-4
"""By how much probabilities may differ between PyTorch and an exported file."""


class Engine(Protocol):
    """Something that answers: pixels (N, height, width, channels) → probabilities."""

    name: str

    @abstractmethod
    def __call__(self, pixels: Pixels) -> Probabilities:
        """Class probabilities, shape (N, classes)."""


class TorchEngine:
    """PyTorch on a device.

    Attributes:
        name: ``"PyTorch"``.
    """

    name = "PyTorch"

    def __init__(self, pipeline: Pipeline, device: torch.device) -> None:
        self._pipeline = pipeline.to(device).eval()
        self._device = device

    def __call__(self, pixels: Pixels) -> Probabilities:
        """Class probabilities, shape (N, classes)."""
        with evaluating(self._pipeline.network):
            values = self._pipeline(torch.from_numpy(pixels).to(self._device))
            answer: Probabilities = values.cpu().numpy()
        return answer


class OnnxEngine:
    """ONNX Runtime on the CPU.

    Attributes:
        name: ``"ONNX Runtime"``.
    """

    name = "ONNX Runtime"

    def __init__(self, file: Path | bytes) -> None:
        self._session = onnx_session(file)

    def __call__(self, pixels: Pixels) -> Probabilities:
        """Class probabilities, shape (N, classes)."""
        answer: Probabilities = answer_of(self._session, INPUT, OUTPUT, pixels)
        return answer


@dataclass(frozen=True)
class Trial:
    """Two engines beside each other on the same pictures.

    Attributes:
        torch_seconds: Of the second of two calls.
        onnx_seconds: The same of the other.
        difference: The largest difference of a probability.
        agreement: Share of pictures with the same most probable class.
    """

    torch_seconds: float
    onnx_seconds: float
    difference: float
    agreement: float

    @property
    def onnx_wins(self) -> bool:
        """Whether ONNX Runtime is faster and answers the same."""
        same = self.difference <= TOLERANCE and self.agreement == 1
        return same and self.onnx_seconds < self.torch_seconds


def try_both(slow: Engine, fast: Engine, pixels: Pixels) -> Trial:
    """Time two engines on the same pictures, after one call to warm up."""
    seconds, answers = [], []
    for engine in (slow, fast):
        engine(pixels)
        start = time.perf_counter()
        answers.append(engine(pixels))
        seconds.append(time.perf_counter() - start)
    return Trial(seconds[0], seconds[1], *differences(*answers))


def differences(one: Probabilities, other: Probabilities) -> tuple[float, float]:
    """The largest difference of a probability, and the share of pictures with the same class."""
    if one.shape != other.shape:
        return float("inf"), 0.0
    gaps = np.abs(one.astype(np.float64) - other)
    if not np.isfinite(gaps).all():
        return float("inf"), 0.0
    return float(gaps.max()), float((one.argmax(axis=1) == other.argmax(axis=1)).mean())


def faster_engine(
    engine: TorchEngine, pipeline: Pipeline, folder: Path, pixels: Pixels, pictures: int
) -> Engine:
    """PyTorch, or ONNX Runtime where that is faster and answers the same: measured, not assumed.

    For few pictures neither is worth the measuring, nor the export, which takes seconds.

    Args:
        engine: PyTorch's.
        pipeline: The same network.
        folder: Of the bundle, which may hold an exported file.
        pixels: A batch to measure with.
        pictures: How many there will be.
    """
    exported = exported_file(folder)
    worth = _WORTH_LOADING if exported else _WORTH_EXPORTING
    if pictures < worth or len(pixels) < 2 or not has_onnx():
        return engine
    try:
        other = OnnxEngine(exported or pipeline_bytes(pipeline, pixels[:2]))
        return other if try_both(engine, other, pixels).onnx_wins else engine
    except NetworkError:  # PyTorch answers as well, if more slowly
        return engine


def exported_file(folder: Path) -> Path | None:
    """The ONNX file in a bundle, if it is there, whole, and of this very bundle."""
    file, note = folder / ONNX_FILE, folder / f"{ONNX_FILE}.json"
    try:
        said = json.loads(note.read_text(encoding="utf-8"))
        config = file_sha256(folder / CONFIG)
        whole = said["sha256"] == file_sha256(file) and said["bundle"] == config
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return file if whole else None


def pipeline_bytes(pipeline: Pipeline, pixels: Pixels) -> bytes:
    """A pipeline as an ONNX file's content.

    Args:
        pipeline: On the CPU.
        pixels: A few pictures to trace it with, shape (N ≥ 2, height, width, channels).

    Raises:
        NetworkError: If ONNX is not installed, or the network cannot be written in it.
    """
    return onnx_bytes(pipeline, torch.from_numpy(pixels), takes=INPUT, gives=OUTPUT)
