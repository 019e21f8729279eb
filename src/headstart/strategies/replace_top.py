"""Replace the top: the upper groups start fresh on the source's lower ones."""

from collections.abc import Sequence
from typing import ClassVar, Literal

from headstart.errors import StudyError
from headstart.networks.groups import HEAD
from headstart.settings import Count, Positive
from headstart.strategies._base import body_groups
from headstart.strategies._transfer import Transfer
from headstart.strategies.plan import Plan
from headstart.strategies.search_space import Space, under


class ReplaceTop(Transfer):
    """The top groups are dropped and grown anew; first they learn alone, then with what was kept.

    As often advised for plenty of data, where the source's upper layers know its own classes too
    well.

    Attributes:
        top: How many groups of the body start fresh.
        freeze_epochs: Epochs in which only the fresh groups and the head learn.
        thaw_lr: The rate of everything after that; a tenth of `lr` when left out.
    """

    kind: Literal["replace_top"] = "replace_top"
    summary: ClassVar[str] = "the top groups start fresh, on the source's lower ones"
    paper: ClassVar[str] = "Yosinski et al. 2014; Géron 2019, Hands-on machine learning"
    top: Count = 1
    freeze_epochs: Count = 1
    thaw_lr: Positive | None = None

    def plan(self, groups: Sequence[str]) -> Plan:
        """The fresh groups' phase, and everything's.

        Raises:
            StudyError: If nothing of the body would be kept.
        """
        body = body_groups(groups)
        if self.top >= len(body):
            raise StudyError(
                f"top = {self.top}, but the body has {len(body)} layer "
                f"group{'' if len(body) == 1 else 's'}, so nothing of the source would be kept: "
                "lower it, or use scratch"
            )
        fresh = body[-self.top :]
        rates = {group: self.lr if group in {*fresh, HEAD} else None for group in groups}
        together = dict.fromkeys(groups, self.thaw_lr or self.lr / 10)
        phases = (
            self.phase("fresh groups", rates, epochs=self.freeze_epochs),
            self.phase("together", together),
        )
        return Plan("source", phases, fresh=fresh)

    def search_space(self) -> Space:
        """The rate after thawing, too."""
        return super().search_space() | {"thaw_lr": under(self.lr, self.thaw_lr or self.lr / 10)}
