"""Fine-tuning: everything goes on learning from the source's weights."""

from collections.abc import Sequence
from typing import ClassVar, Literal

from headstart.strategies._transfer import WholeNetwork
from headstart.strategies.plan import Plan


class FineTune(WholeNetwork):
    """Everything learns, from the source's weights and with a fresh head."""

    kind: Literal["fine_tune"] = "fine_tune"
    summary: ClassVar[str] = "everything learns, from the source's weights"
    paper: ClassVar[str] = "Girshick et al. 2014, Rich feature hierarchies (R-CNN)"

    def plan(self, groups: Sequence[str]) -> Plan:
        """One phase in which every layer group learns, the body at its own rate."""
        return Plan("source", (self.phase("fine-tune", self.rates(groups)),))
