"""Frozen features: the source's body stays as it is, a new head learns."""

from collections.abc import Sequence
from typing import ClassVar, Literal

from headstart.strategies._base import Strategy, frozen_body
from headstart.strategies.plan import Plan


class Frozen(Strategy):
    """The body's weights and statistics stay as the source left them; only the head learns."""

    kind: Literal["frozen"] = "frozen"
    summary: ClassVar[str] = "the source's features as they are, a new head learns"
    paper: ClassVar[str] = "Donahue et al. 2014, DeCAF: a deep convolutional activation feature"

    def plan(self, groups: Sequence[str]) -> Plan:
        """One phase in which only the head learns."""
        return Plan("source", (self.phase("head", frozen_body(groups, self.lr)),))
