"""Head2Toe: a linear probe of features from all depths of the source, chosen by a group lasso."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from headstart.networks.taps import Tapping
from headstart.settings import Count, Number
from headstart.strategies._solved import Solved
from headstart.strategies.head_solver import HeadSolver
from headstart.strategies.plan import Plan
from headstart.strategies.probe import Penalties

Fraction = Annotated[Number, Field(gt=0, le=1)]
GroupPenalty = Annotated[Number, Field(gt=0, lt=1)]


class MultiDepthProbe(Solved):
    """Logistic regression on pooled features of all depths of the source, the best of them chosen.

    Everything there is to choose from is fitted on training pictures and chosen by the lowest
    validation loss, all together.

    Attributes:
        numbers: How many a place gives at most: maps are averaged to that many, or to one a
            channel where there are more channels.
        fractions: Shares of the features to keep.
        group_penalties: Penalties on the length of each feature's weights, by which its relevance
            is found: shares of the least with which all weights are 0.
        penalties: Of the head on what is kept, as for `probe`.
    """

    kind: Literal["multi_depth_probe"] = "multi_depth_probe"
    summary: ClassVar[str] = "logistic regression on the best features of all the source's depths"
    paper: ClassVar[str] = "Evci et al. 2022 (Head2Toe)"
    numbers: Count = 512
    fractions: Annotated[tuple[Fraction, ...], Field(min_length=1)] = (
        0.003, 0.01, 0.03, 0.1, 0.3, 1.0,
    )  # fmt: skip
    group_penalties: Annotated[tuple[GroupPenalty, ...], Field(min_length=1)] = (0.3, 0.05)
    penalties: Penalties = tuple(10.0**power for power in range(-5, 4))

    @property
    def solver(self) -> HeadSolver:
        """Logistic regressions on features that a group lasso chooses."""
        return HeadSolver(
            "selected_probe",
            self.penalties,
            fractions=self.fractions,
            group_penalties=self.group_penalties,
        )

    def plan(self, groups: Sequence[str]) -> Plan:
        """One phase in which the head is solved, of a tapped network."""
        return replace(super().plan(groups), taps=Tapping(self.numbers))
