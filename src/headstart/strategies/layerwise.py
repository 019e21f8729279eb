"""Layer-wise rate decay: everything learns, the more slowly the nearer to the stem."""

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from headstart.settings import Number
from headstart.strategies._transfer import Transfer, needed_body
from headstart.strategies.plan import Plan
from headstart.strategies.rates import falling_rates
from headstart.strategies.search_space import Space, between


class Layerwise(Transfer):
    """Everything learns, each group at `decay` times the rate of the group above it.

    Attributes:
        decay: d in rate · d^depth, 0.65 to 0.75 for vision transformers.
    """

    kind: Literal["layerwise"] = "layerwise"
    summary: ClassVar[str] = "everything learns, more slowly toward the stem"
    paper: ClassVar[str] = "Clark et al. 2020, ELECTRA; Bao et al. 2022, BEiT"
    decay: Annotated[Number, Field(gt=0, lt=1)] = 0.75

    def plan(self, groups: Sequence[str]) -> Plan:
        """One phase with falling rates.

        Raises:
            StudyError: If there is no body.
        """
        needed_body(groups, self.kind)
        rates = falling_rates(groups, self.lr, 1 / self.decay)
        return Plan("source", (self.phase("fine-tune", dict(rates)),))

    def search_space(self) -> Space:
        """The decay, too."""
        return super().search_space() | {"decay": between(0.3, 0.95, self.decay)}
