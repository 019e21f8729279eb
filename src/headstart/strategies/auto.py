"""A starting point in one line: the plan that the number of training pictures suggests."""

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Literal, Self

from pydantic import model_validator

from headstart.settings import Count
from headstart.strategies._base import Strategy, Training, body_groups
from headstart.strategies.bit_hyperrule import BitHyperRule
from headstart.strategies.lp_ft import LPFT
from headstart.strategies.plan import Optimizer, Plan, idle_options
from headstart.strategies.ridge import Ridge

FEW = 1_000
MANY = 20_000
VERY_MANY = 500_000
SMALL_BODY = 6
"""A body of fewer layer groups is small enough to train in seconds."""


class Auto(Strategy):
    """Picks a strategy by how many training pictures there are and how deep the network is.

    Fewer than 1,000 and a deep body (six layer groups or more): ridge regression on features that
    stay as they are. Fewer than 20,000: a fitted head, then everything at a low rate. More: BiT's
    rule. What was picked is part of each phase's name, in records and reports.

    It is a preset, so it takes nothing of ``[training]``; to change a part of it, use the strategy
    that it picks.

    Attributes:
        pictures: How many training pictures there are; a study fills in its smallest label budget
            that is a number. Not told, it takes them for between 1,000 and 20,000.
    """

    kind: Literal["auto"] = "auto"
    summary: ClassVar[str] = "a starting point, picked by the number of training pictures"
    paper: ClassVar[str] = "Kolesnikov et al. 2020 (BiT) for many; ours for few: docs/strategies.md"
    takes_training: ClassVar[bool] = False
    pictures: Count | None = None

    @model_validator(mode="after")
    def _is_a_preset(self) -> Self:
        own = set(type(self).model_fields) - set(Training.model_fields)
        idle = idle_options(self, own)
        if idle:
            raise ValueError(
                f"{', '.join(idle)} has no effect in auto, which is a preset: use the strategy "
                "that it picks"
            )
        return self

    def picked(self, groups: Sequence[str]) -> Strategy:
        """The strategy for a network with these layer groups."""
        pictures = FEW if self.pictures is None else self.pictures
        if pictures < FEW and len(body_groups(groups)) >= SMALL_BODY:
            return Ridge()
        if pictures < MANY:
            return LPFT(optimizer=Optimizer(name="sgd", momentum=0.9), lr=0.003)
        return BitHyperRule.model_validate({"size": "medium" if pictures < VERY_MANY else "large"})

    def plan(self, groups: Sequence[str]) -> Plan:
        """The plan of what it picks, its phases named so.

        Raises:
            StudyError: If the network cannot take that.
        """
        picked = self.picked(groups)
        plan = picked.plan(groups)
        phases = [replace(phase, name=f"{picked.kind}: {phase.name}") for phase in plan.phases]
        return replace(plan, phases=tuple(phases))
