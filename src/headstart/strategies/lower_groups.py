"""Lower groups: copied, frozen or learning, with everything above them grown anew.

The arms of Yosinski's map of layer transfer: from the source (AnB, AnB+), and as a control from the
target's own source (BnB, BnB+), a network that was trained from scratch on the very same pictures.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import model_validator

from headstart.errors import StudyError
from headstart.networks.groups import HEAD
from headstart.settings import Count, Positive
from headstart.strategies._base import Strategy, body_groups
from headstart.strategies.plan import Phase, Plan
from headstart.strategies.search_space import Space, around


class LowerGroups(Strategy):
    """The source's lowest groups are copied; what is above them starts fresh, and the head.

    What is fresh starts as it does from scratch with the same seed, so that the two are pairs.

    Attributes:
        copied: How many groups are copied, counted from the stem.
        thaw: Whether the copied groups learn, too.
        copied_lr: Their rate then; that of the fresh ones when left out.
    """

    kind: Literal["lower_groups"] = "lower_groups"
    summary: ClassVar[str] = "the source's lower groups, frozen or learning; all above is fresh"
    paper: ClassVar[str] = "Yosinski et al. 2014, How transferable are features (AnB, AnB+)"
    copied: Count = 1
    thaw: bool = False
    copied_lr: Positive | None = None

    @model_validator(mode="after")
    def _has_effect(self) -> "LowerGroups":
        if self.copied_lr is not None and not self.thaw:
            raise ValueError(
                "copied_lr has no effect while the copied groups are frozen: add thaw = true, or "
                "leave it out"
            )
        if self.batch_norm == "frozen":
            raise ValueError(
                'batch_norm = "frozen" would leave the fresh groups with statistics of nothing: '
                'use "live" (those of frozen groups are always frozen)'
            )
        return self

    def plan(self, groups: Sequence[str]) -> Plan:
        """One phase; frozen groups keep their statistics, too.

        Raises:
            StudyError: If the body has not so many groups.
        """
        return Plan("source", (self._phase(groups),), fresh=self._fresh(groups))

    def search_space(self) -> Space:
        """The rate of copied groups that learn, too."""
        own = {"copied_lr": around(self.copied_lr or self.lr)} if self.thaw else {}
        return super().search_space() | own

    def _fresh(self, groups: Sequence[str]) -> tuple[str, ...]:
        body = body_groups(groups)
        if self.copied > len(body):
            raise StudyError(
                f"copied = {self.copied}, but the body has {len(body)} layer "
                f"group{'' if len(body) == 1 else 's'}: lower it"
            )
        return body[self.copied :]

    def _phase(self, groups: Sequence[str]) -> Phase:
        fresh = {*self._fresh(groups), HEAD}
        rate = (self.copied_lr or self.lr) if self.thaw else None
        rates = {group: self.lr if group in fresh else rate for group in groups}
        return self.phase("copied groups learn" if self.thaw else "copied groups frozen", rates)


class OwnLowerGroups(LowerGroups):
    """The same from the target's own source: what copying alone does, with nothing transferred.

    The own source is trained from scratch on the trial's own pictures with these very settings,
    once a seed and label budget, from another draw of weights and order than `scratch` has.
    """

    kind: Literal["own_lower_groups"] = "own_lower_groups"  # type: ignore[assignment]
    summary: ClassVar[str] = "lower_groups from a network trained on the same pictures: a control"
    paper: ClassVar[str] = "Yosinski et al. 2014, How transferable are features (BnB, BnB+)"
    needs_source: ClassVar[bool] = False

    def plan(self, groups: Sequence[str]) -> Plan:
        """One phase, and before it that of the own source.

        Raises:
            StudyError: If the body has not so many groups.
        """
        own = self.phase("own source", dict.fromkeys(groups, self.lr))
        return Plan("own", (self._phase(groups),), fresh=self._fresh(groups), own=(own,))
