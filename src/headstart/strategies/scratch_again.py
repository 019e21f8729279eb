"""Training from scratch once more: how far two networks differ where nothing differs."""

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Literal

from headstart.strategies.plan import Plan
from headstart.strategies.scratch import Scratch


class ScratchAgain(Scratch):
    """As `scratch`, from another draw of weights and order: the null arm of a map.

    But for rounding it is the network that `own_lower_groups` with the same settings copies from.
    """

    kind: Literal["scratch_again"] = "scratch_again"  # type: ignore[assignment]
    summary: ClassVar[str] = "scratch from another draw of weights and order: what luck does"
    paper: ClassVar[str] = "Bouthillier et al. 2021, Accounting for variance in ML benchmarks"

    def plan(self, groups: Sequence[str]) -> Plan:
        """The plan of `scratch`, of the seed's second draw."""
        return replace(super().plan(groups), draw=1)
