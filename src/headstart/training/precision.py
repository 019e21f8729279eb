"""The precision of the arithmetic while training."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import torch
from torch import Tensor

from headstart.errors import TrainingError
from headstart.strategies.recipe import Precision

_HALF = {"bfloat16": torch.bfloat16, "float16": torch.float16}


class _Steps(Protocol):
    def step(self, factor: float) -> None: ...


def choose_precision(name: Precision, device: torch.device) -> torch.dtype:
    """The precision of that name; ``"auto"`` takes bfloat16 where the device gains from it.

    Raises:
        TrainingError: If the device is not made for it.
    """
    if name == "auto":
        gains = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if gains else torch.float32
    if name == "float16" and device.type == "cpu":
        raise TrainingError(
            'precision = "float16" gains nothing on a CPU, and its small numbers vanish: use '
            '"auto", "bfloat16" or "float32", or device = "cuda"'
        )
    return _HALF.get(name, torch.float32)


class Arithmetic:
    """Mixed precision: products in half the bits, weights and their updates in float32.

    For float16, whose small numbers would vanish, the loss is scaled up before the gradients are
    taken, and they down again (Micikevicius et al. 2018); a step whose gradients overflow is left
    out.

    Args:
        dtype: From `choose_precision`.
        device: Where the network is.
        parameters: What learns.
    """

    def __init__(
        self, dtype: torch.dtype, device: torch.device, parameters: Sequence[Tensor]
    ) -> None:
        self._dtype = dtype
        self._device = device
        self._parameters = parameters
        self._scaler = torch.amp.GradScaler(device.type) if dtype == torch.float16 else None

    def forward(self) -> AbstractContextManager[Any]:
        """Within it, the network computes in the chosen precision."""
        if self._dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self._device.type, self._dtype)

    def backward(self, value: Tensor) -> None:
        """Take the gradients of a loss."""
        scaled = value if self._scaler is None else self._scaler.scale(value)
        scaled.backward()  # type: ignore[no-untyped-call]

    @property
    def scale(self) -> dict[str, float]:
        """How gradients are scaled, as plain data; empty where they are not."""
        return {} if self._scaler is None else dict(self._scaler.state_dict())

    def set_scale(self, scale: Mapping[str, float]) -> None:
        """Go on with such a scale."""
        if self._scaler is not None:
            self._scaler.load_state_dict(dict(scale))

    def step(self, optimizer: _Steps, factor: float, clip_norm: float) -> None:
        """Clip the gradients, and update the weights.

        Args:
            optimizer: What updates them.
            factor: Of the schedule.
            clip_norm: The largest norm of all gradients together; 0: any.
        """
        updates = _Updates(optimizer, self._parameters)
        if self._scaler is not None:
            self._scaler.unscale_(updates)  # type: ignore[arg-type]
        if clip_norm:
            torch.nn.utils.clip_grad_norm_(self._parameters, clip_norm)
        if self._scaler is None:
            optimizer.step(factor)
        else:
            self._scaler.step(updates, factor)  # type: ignore[arg-type]
            self._scaler.update()


class _Updates:
    """An optimiser as PyTorch's scaler wants to see it."""

    def __init__(self, optimizer: _Steps, parameters: Sequence[Tensor]) -> None:
        self._optimizer = optimizer
        self.param_groups = [{"params": parameters}]

    def step(self, factor: float) -> None:
        """Update the weights."""
        self._optimizer.step(factor)
