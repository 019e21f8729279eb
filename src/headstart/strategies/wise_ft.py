"""WiSE-FT: fine-tuned, then drawn back part of the way to the source."""

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from headstart.settings import Count, Number
from headstart.strategies._base import frozen_body
from headstart.strategies._transfer import WholeNetwork, needed_body
from headstart.strategies.plan import Interpolation, Plan
from headstart.strategies.search_space import Space, between


class WiseFT(WholeNetwork):
    """A head is fitted on the frozen source, everything is fine-tuned, and both are averaged.

    Attributes:
        alpha: The fine-tuned network's share in every weight; ``"auto"`` takes the lowest
            validation loss among 0, 0.1, … 1.
        freeze_epochs: Epochs in which only the head learns.
    """

    kind: Literal["wise_ft"] = "wise_ft"
    summary: ClassVar[str] = "fine-tuned, then averaged with the source and its fitted head"
    paper: ClassVar[str] = "Wortsman et al. 2022, Robust fine-tuning of zero-shot models"
    alpha: Annotated[Number, Field(gt=0, lt=1)] | Literal["auto"] = 0.5
    freeze_epochs: Count = 1

    def plan(self, groups: Sequence[str]) -> Plan:
        """The head's phase, everything's, and the average of where they ended.

        Raises:
            StudyError: If there is no body.
        """
        needed_body(groups, self.kind)
        rates = self.rates(groups)
        phases = (
            self.phase("head", frozen_body(groups, self.lr), epochs=self.freeze_epochs),
            self.phase("fine-tune", rates),
        )
        return Plan("source", phases, interpolation=Interpolation("head", self.alpha))

    def search_space(self) -> Space:
        """The share, too, where it is a number."""
        found = super().search_space()
        if self.alpha != "auto":
            found["alpha"] = between(0.1, 0.9, self.alpha)
        return found
