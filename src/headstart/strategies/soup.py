"""Greedy soup: the average of several fine-tunings that set out from one start."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from headstart.settings import Positive
from headstart.strategies._transfer import WholeNetwork, needed_body
from headstart.strategies.plan import Plan


class Soup(WholeNetwork):
    """Fine-tuned anew at each of several rates, then averaged as far as validation goes along.

    Each ingredient starts from the source's weights and the same fresh head, and takes as long as
    one fine-tuning, so that three of them cost three times as much.

    Attributes:
        factors: What `lr` and `backbone_lr` are multiplied by, an ingredient each.
    """

    kind: Literal["soup"] = "soup"
    summary: ClassVar[str] = "fine-tuned at several rates, the networks averaged greedily"
    paper: ClassVar[str] = "Wortsman et al. 2022, Model soups"
    factors: Annotated[tuple[Positive, ...], Field(min_length=2)] = (1.0, 0.3, 3.0)

    def plan(self, groups: Sequence[str]) -> Plan:
        """A phase for each ingredient, all but the first beginning again.

        Raises:
            StudyError: If there is no body.
        """
        needed_body(groups, self.kind)
        phases = []
        for number, factor in enumerate(self.factors, 1):
            rates = {group: factor * rate for group, rate in self.rates(groups).items()}
            phase = self.phase(f"ingredient {number}", rates)
            phases.append(replace(phase, restart=number > 1))
        return Plan("source", tuple(phases), soup=tuple(phase.name for phase in phases))
