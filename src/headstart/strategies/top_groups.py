"""Top groups: only the upper part of the body learns, together with the head."""

from collections.abc import Sequence
from typing import ClassVar, Literal

from headstart.errors import StudyError
from headstart.networks.groups import HEAD
from headstart.settings import Count
from headstart.strategies._base import body_groups
from headstart.strategies._transfer import Transfer
from headstart.strategies.plan import Plan


class TopGroups(Transfer):
    """The last groups of the body and the head learn; what is below stays as the source left it.

    Attributes:
        top: How many groups of the body learn.
    """

    kind: Literal["top_groups"] = "top_groups"
    summary: ClassVar[str] = "the last groups and the head learn, the rest is frozen"
    paper: ClassVar[str] = "Yosinski et al. 2014, How transferable are features"
    top: Count = 1

    def plan(self, groups: Sequence[str]) -> Plan:
        """One phase in which the top groups and the head learn.

        Raises:
            StudyError: If that would be the whole body.
        """
        body = body_groups(groups)
        if self.top >= len(body):
            raise StudyError(
                f"top = {self.top}, but the body has {len(body)} layer "
                f"group{'' if len(body) == 1 else 's'}, so nothing would stay frozen: lower it, or "
                "use fine_tune"
            )
        learning = {*body[-self.top :], HEAD}
        rates = {group: self.lr if group in learning else None for group in groups}
        return Plan("source", (self.phase("top groups", rates),))
