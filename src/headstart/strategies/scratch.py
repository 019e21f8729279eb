"""Training from scratch: the control that every claim about transfer needs."""

from collections.abc import Sequence
from typing import ClassVar, Literal

from headstart.strategies._base import Strategy
from headstart.strategies.plan import Plan


class Scratch(Strategy):
    """Everything starts at random and learns at one rate; no source is used."""

    kind: Literal["scratch"] = "scratch"
    summary: ClassVar[str] = "everything from random weights: the control"
    paper: ClassVar[str] = "He, Girshick & Dollár 2019, Rethinking ImageNet pre-training"
    needs_source: ClassVar[bool] = False

    def plan(self, groups: Sequence[str]) -> Plan:
        """One phase in which every layer group learns."""
        return Plan("random", (self.phase("train", dict.fromkeys(groups, self.lr)),))
