"""Freeze, then thaw: the head learns first, then the top groups or all of them join."""

from collections.abc import Sequence
from typing import ClassVar, Literal, Self

from pydantic import model_validator

from headstart.errors import StudyError, nearest
from headstart.networks.groups import HEAD
from headstart.settings import Count, Positive
from headstart.strategies._base import body_groups, frozen_body
from headstart.strategies._transfer import Transfer
from headstart.strategies.plan import Plan
from headstart.strategies.search_space import Space, under


class FreezeThenThaw(Transfer):
    """Two phases: only the head, then also the thawed groups at a lower rate.

    The words are fastai's: `freeze_epochs`, then `epochs`.

    Attributes:
        freeze_epochs: Epochs in which only the head learns.
        thaw: ``"all"``, the number of top body groups, or their names.
        thaw_lr: The rate of all learning groups after thawing, the head's too; a tenth of `lr`
            when left out.
    """

    kind: Literal["freeze_then_thaw"] = "freeze_then_thaw"
    summary: ClassVar[str] = "the head first, then the thawed groups at a lower rate"
    paper: ClassVar[str] = "Howard & Gugger 2020, fastai: a layered API for deep learning"
    freeze_epochs: Count = 1
    thaw: Literal["all"] | Count | tuple[str, ...] = "all"
    thaw_lr: Positive | None = None

    @model_validator(mode="after")
    def _thaws_something(self) -> Self:
        if self.thaw == ():
            raise ValueError('thaw = [] thaws nothing: use the strategy "frozen" instead')
        return self

    def plan(self, groups: Sequence[str]) -> Plan:
        """The head's phase and the thawed phase.

        Raises:
            StudyError: If a group to thaw is not there.
        """
        thawed = {*self._thawed(body_groups(groups)), HEAD}
        rate = self.thaw_lr or self.lr / 10
        rates = {group: rate if group in thawed else None for group in groups}
        return Plan(
            "source",
            (
                self.phase("head", frozen_body(groups, self.lr), epochs=self.freeze_epochs),
                self.phase("thawed", rates),
            ),
        )

    def _thawed(self, body: Sequence[str]) -> Sequence[str]:
        if self.thaw == "all":
            return body
        if isinstance(self.thaw, int):
            if self.thaw > len(body):
                raise StudyError(
                    f"thaw = {self.thaw}, but the body has {len(body)} layer groups "
                    f'({", ".join(body)}): lower it or use "all"'
                )
            return body[-self.thaw :]
        unknown = [name for name in self.thaw if name not in body]
        if unknown:
            raise StudyError(
                *(f"thaw: no layer group {name!r}; {nearest(name, body)}" for name in unknown)
            )
        return self.thaw

    def search_space(self) -> Space:
        """The rate after thawing, too."""
        return super().search_space() | {"thaw_lr": under(self.lr, self.thaw_lr or self.lr / 10)}
