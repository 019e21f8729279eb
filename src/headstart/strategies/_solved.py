"""What strategies share whose head is solved on kept features instead of trained."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Self

from pydantic import model_validator

from headstart.networks.groups import HEAD
from headstart.strategies._base import Strategy, Training
from headstart.strategies.head_solver import HeadSolver
from headstart.strategies.plan import Optimizer, Phase, Plan, Schedule, idle_options


class Solved(Strategy):
    """The source's body stays as it is, and the head is solved at once.

    Nothing is trained step by step, so none of the keys of ``[training]`` has an effect: defaults
    from there are not handed down, and setting one for such a strategy is refused.
    """

    takes_training: ClassVar[bool] = False

    @model_validator(mode="after")
    def _trains_nothing(self) -> Self:
        own = set(type(self).model_fields) - set(Training.model_fields)
        idle = idle_options(self, own)
        if idle:
            raise ValueError(
                f"{', '.join(idle)} has no effect in {self.kind}, whose head is solved and not "
                "trained: leave it out"
            )
        return self

    @property
    @abstractmethod
    def solver(self) -> HeadSolver:
        """How the head is solved."""

    def plan(self, groups: Sequence[str]) -> Plan:
        """One phase in which the head is solved."""
        return Plan("source", (solved_phase(groups, self.solver),))


def solved_phase(groups: Sequence[str], solver: HeadSolver) -> Phase:
    """A phase that solves the head on the features in front of it, in one pass over them."""
    return Phase(
        name="head",
        rates={group: 1.0 if group == HEAD else None for group in groups},
        epochs=1,
        steps=None,
        batch_size=1,
        optimizer=Optimizer(),
        schedule=Schedule(),
        batch_norm="frozen",
        patience=None,
        solver=solver,
    )
