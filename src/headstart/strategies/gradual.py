"""Gradual unfreezing: group by group from the top, each lower one more slowly."""

from collections.abc import Sequence
from typing import ClassVar, Literal

from headstart.errors import StudyError
from headstart.networks.groups import HEAD
from headstart.settings import Count
from headstart.strategies._base import body_groups
from headstart.strategies._transfer import Transfer
from headstart.strategies.plan import Phase, Plan, Schedule
from headstart.strategies.rates import AtLeastOne, falling_rates
from headstart.strategies.search_space import Space, between


class Gradual(Transfer):
    """The head first, then one more group from the top at a time, then everything.

    Each group learns `ratio` times more slowly than the one above it, and each phase has a slanted
    triangle of its own, as in the authors' code.

    Attributes:
        ratio: Rate of a group over that of the group below it.
        thaw_epochs: Epochs of each phase but the last, which lasts `epochs` (or `steps`).
        schedule: ULMFiT's slanted triangle (cut 0.1, ratio 32), unless something else is set.
    """

    kind: Literal["gradual"] = "gradual"
    summary: ClassVar[str] = "thawed group by group from the top, lower groups more slowly"
    paper: ClassVar[str] = "Howard & Ruder 2018, Universal language model fine-tuning (ULMFiT)"
    ratio: AtLeastOne = 2.6
    thaw_epochs: Count = 1
    schedule: Schedule = Schedule(name="slanted_triangle")

    def plan(self, groups: Sequence[str]) -> Plan:
        """One phase for the head, one for each further group, the last with everything.

        Raises:
            StudyError: If the body has fewer than two groups, so that nothing is gradual.
        """
        body = body_groups(groups)
        if len(body) < 2:
            raise StudyError(
                f"gradual thaws group by group, but the body has {len(body)} layer "
                f"group{'' if len(body) == 1 else 's'}: use freeze_then_thaw or fine_tune"
            )
        rates = falling_rates(groups, self.lr, self.ratio)
        phases = []
        for thawed in range(len(body) + 1):
            learning = {*body[len(body) - thawed :], HEAD}
            own = {group: rates[group] if group in learning else None for group in groups}
            phases.append(self._phase(own, body, thawed))
        return Plan("source", tuple(phases))

    def search_space(self) -> Space:
        """The ratio, too."""
        return super().search_space() | {"ratio": between(1.2, 6.0, self.ratio, log=True)}

    def _phase(self, rates: dict[str, float | None], body: Sequence[str], thawed: int) -> Phase:
        """The phase in which so many of the top groups have been thawed."""
        name = f"thaw {body[-thawed]}" if thawed else "head"
        return self.phase(name, rates, epochs=None if thawed == len(body) else self.thaw_epochs)
