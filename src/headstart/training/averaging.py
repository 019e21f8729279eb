"""The exponential moving average of weights."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor


class WeightAverage:
    """a ← decay · a + (1 − decay) · w after every step; the first step's weights begin it.

    As PyTorch's `AveragedModel` with `get_ema_multi_avg_fn` has it (Polyak & Juditsky 1992). Only
    what learns is averaged; buffers, such as running statistics, stay the network's own.

    Args:
        parameters: What learns.
        decay: In (0, 1).
    """

    def __init__(self, parameters: Sequence[Tensor], decay: float) -> None:
        self._parameters = list(parameters)
        self._decay = decay
        self._average: list[Tensor] = []

    @torch.no_grad()
    def update(self) -> None:
        """Take the weights as they are now into the average."""
        if not self._average:
            self._average = [parameter.clone() for parameter in self._parameters]
            return
        torch._foreach_lerp_(self._average, self._parameters, 1 - self._decay)

    def tensors(self) -> dict[str, Tensor]:
        """The average as it is now, by place: what is copied into it is taken on."""
        return {str(place): tensor for place, tensor in enumerate(self._average)}

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Within it, the parameters hold the average; afterwards what they held before."""
        with torch.no_grad():
            before = [parameter.clone() for parameter in self._parameters]
        self.keep()
        try:
            yield
        finally:
            with torch.no_grad():
                torch._foreach_copy_(self._parameters, before)

    @torch.no_grad()
    def keep(self) -> None:
        """Put the average into the parameters for good."""
        torch._foreach_copy_(self._parameters, self._average)
