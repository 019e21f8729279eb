"""Surgical fine-tuning: one block learns, or each tensor as much as its gradient asks for."""

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Literal

from headstart.errors import StudyError, nearest
from headstart.networks.groups import HEAD
from headstart.strategies._transfer import Transfer, needed_body
from headstart.strategies.plan import Plan


class Surgical(Transfer):
    """One named group and the head learn; or, with ``"auto"``, rates by relative gradient norm.

    Attributes:
        block: A layer group of the body (an early one where the pictures look different, a late
            one where the classes mean something else), or ``"auto"``: everything learns, each
            tensor at rate · r / max r with r = ‖gradient‖ / ‖weights‖ (Auto-RGN).
    """

    kind: Literal["surgical"] = "surgical"
    summary: ClassVar[str] = "one block learns, or rates by relative gradient norm"
    paper: ClassVar[str] = "Lee et al. 2023, Surgical fine-tuning improves adaptation"
    block: str = "auto"

    def plan(self, groups: Sequence[str]) -> Plan:
        """One phase.

        Raises:
            StudyError: If there is no such group, or no body.
        """
        body = needed_body(groups, self.kind)
        if self.block == "auto":
            phase = self.phase("by gradient", dict.fromkeys(groups, self.lr))
            return Plan("source", (replace(phase, rate_rule="relative_gradient_norm"),))
        if self.block not in body:
            raise StudyError(
                f"block: no layer group {self.block!r}; {nearest(self.block, [*body, 'auto'])}"
            )
        learning = {self.block, HEAD}
        rates = {group: self.lr if group in learning else None for group in groups}
        return Plan("source", (self.phase(self.block, rates),))
