"""Counting operations, without importing PyTorch's compiler.

`torch.utils.flop_counter.FlopCounterMode` imports it, which takes two seconds in every process; so
its formulas are used, and not it.
"""

from collections.abc import Callable
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry


class CountedFlops(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts, while it is on, the floating-point operations of products and convolutions.

    Attributes:
        total: So far; a multiplication and an addition are two.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # to skip it, PyTorch would import it first

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Do an operation, and count it."""
        named = kwargs or {}
        out = func(*args, **named)
        formula: Callable[..., int] | None = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.total += formula(*args, **named, out_val=out)
        return out
