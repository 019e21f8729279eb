"""ONNX: writing a network in it, and running it by ONNX Runtime on the CPU."""

import io
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from headstart.errors import NetworkError


def has_onnx() -> bool:
    """Whether ONNX and ONNX Runtime are installed."""
    return find_spec("onnx") is not None and find_spec("onnxruntime") is not None


def onnx_bytes(module: nn.Module, example: Tensor, *, takes: str, gives: str) -> bytes:
    """A module as an ONNX file's content, for batches of any size; its modes stay as they are.

    Args:
        module: Takes one tensor, gives one; on the CPU.
        example: A batch to trace it with, of at least two.
        takes: What to call the input.
        gives: What to call the output.

    Raises:
        NetworkError: If ONNX is not installed, or the module cannot be written in it.
    """
    _require("onnx")
    buffer = io.BytesIO()
    modes = {each: each.training for each in module.modules()}
    try:
        with warnings.catch_warnings(), torch.no_grad():
            # The tracing exporter is twenty times as quick as its successor, and needs two
            # packages less; see docs/decisions. What it might get wrong, comparing finds.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                module.eval(),
                (example,),
                buffer,  # type: ignore[arg-type]
                dynamo=False,
                input_names=[takes],
                output_names=[gives],
                dynamic_axes={takes: {0: "batch"}, gives: {0: "batch"}},
            )
    # What tracing raises on what ONNX cannot say has no common base of its own.
    except Exception as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise NetworkError(f"the network cannot be written as ONNX: {reason}") from error
    finally:
        for each, training in modes.items():
            each.training = training
    return buffer.getvalue()


def onnx_session(file: Path | bytes, threads: int | None = None) -> Any:
    """ONNX Runtime's session on the CPU.

    Args:
        file: The file, or its content.
        threads: That one batch is computed on; as many as PyTorch has when omitted.

    Raises:
        NetworkError: If ONNX Runtime is not installed, or cannot load it.
    """
    _require("onnxruntime")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or torch.get_num_threads()
    options.log_severity_level = 4  # what goes wrong is raised
    try:
        return onnxruntime.InferenceSession(
            file if isinstance(file, bytes) else str(file),
            options,
            providers=["CPUExecutionProvider"],
        )
    # Its errors are classes of its own compiled module, without a common base of their own.
    except Exception as error:
        raise NetworkError(f"ONNX Runtime cannot load the exported network: {error}") from error


def answer_of(session: Any, takes: str, gives: str, values: NDArray[Any]) -> Any:
    """What a session makes of a batch.

    Args:
        session: From `onnx_session`.
        takes: The input's name.
        gives: The output's name.
        values: The batch.

    Raises:
        NetworkError: If ONNX Runtime cannot work on it.
    """
    try:
        return session.run([gives], {takes: values})[0]
    # Its errors are classes of its own compiled module, without a common base of their own.
    except Exception as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise NetworkError(f"ONNX Runtime cannot work on such pictures: {reason}") from error


def _require(package: str) -> None:
    if find_spec(package) is None:
        raise NetworkError(
            f"the package {package} is not installed: install headstart with the extra onnx "
            "(pip install 'headstart[onnx]')"
        )
