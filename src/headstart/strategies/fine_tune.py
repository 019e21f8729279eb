"""Fine-tuning: everything, or all but the lowest groups, goes on from the source's weights."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from headstart.errors import StudyError
from headstart.settings import Whole
from headstart.strategies._base import body_groups
from headstart.strategies._transfer import WholeNetwork
from headstart.strategies.plan import Phase, Plan


class FineTune(WholeNetwork):
    """Everything learns, from the source's weights and with a fresh head.

    Attributes:
        freeze_depth: How many groups, from the stem on, stay as the source left them. With
            ``"auto"`` every depth is tried, from the whole body to none, each from the same start;
            the one with the highest validation accuracy is kept, of equal ones the deepest. That
            takes as long as all of them together.
    """

    kind: Literal["fine_tune"] = "fine_tune"
    summary: ClassVar[str] = "everything learns, from the source's weights"
    paper: ClassVar[str] = "Girshick et al. 2014, Rich feature hierarchies (R-CNN)"
    freeze_depth: Annotated[Whole, Field(ge=0)] | Literal["auto"] | None = None

    def plan(self, groups: Sequence[str]) -> Plan:
        """One phase in which the body learns at its own rate; with ``"auto"`` one for each depth.

        Raises:
            StudyError: If the body has not so many groups, or no depths to choose from.
        """
        body = body_groups(groups)
        if self.freeze_depth != "auto":
            return Plan("source", (self._phase(groups, self.freeze_depth or 0),))
        if not body:
            raise StudyError(
                'freeze_depth = "auto" has nothing to choose: the network is only a head; leave it '
                "out"
            )
        phases = [self._phase(groups, depth) for depth in range(len(body), -1, -1)]
        phases[1:] = [replace(phase, restart=True) for phase in phases[1:]]
        return Plan("source", tuple(phases), best_of=tuple(phase.name for phase in phases))

    def _phase(self, groups: Sequence[str], depth: int) -> Phase:
        body = body_groups(groups)
        if depth > len(body):
            raise StudyError(
                f"freeze_depth = {depth}, but the body has {len(body)} layer "
                f"group{'' if len(body) == 1 else 's'}: lower it"
            )
        frozen = body[:depth]
        rates = {g: None if g in frozen else rate for g, rate in self.rates(groups).items()}
        name = (
            "fine-tune" if self.freeze_depth != "auto" else f"{depth} of {len(body)} groups frozen"
        )
        return self.phase(name, rates)
