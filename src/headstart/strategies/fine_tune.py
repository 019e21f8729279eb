"""Fine-tuning: everything goes on learning from the source's weights."""

from collections.abc import Sequence
from typing import ClassVar, Literal

from headstart.networks.groups import HEAD
from headstart.settings import Positive
from headstart.strategies._transfer import Transfer
from headstart.strategies.plan import Plan
from headstart.strategies.search_space import Space, around


class FineTune(Transfer):
    """Everything learns, from the source's weights and with a fresh head.

    Attributes:
        backbone_lr: The body's learning rate; the head's when left out.
    """

    kind: Literal["fine_tune"] = "fine_tune"
    summary: ClassVar[str] = "everything learns, from the source's weights"
    paper: ClassVar[str] = "Girshick et al. 2014, Rich feature hierarchies (R-CNN)"
    backbone_lr: Positive | None = None

    def plan(self, groups: Sequence[str]) -> Plan:
        """One phase in which every layer group learns, the body at its own rate."""
        body = self.backbone_lr or self.lr
        rates = {group: self.lr if group == HEAD else body for group in groups}
        return Plan("source", (self.phase("fine-tune", rates),))

    def search_space(self) -> Space:
        """The body's rate, too, which may well be another than the head's."""
        return super().search_space() | {"backbone_lr": around(self.backbone_lr or self.lr)}
