"""What strategies share that train a body which came from a source."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

from pydantic import field_validator, model_validator

from headstart.errors import StudyError
from headstart.networks.groups import HEAD
from headstart.settings import Positive
from headstart.strategies._base import Strategy, body_groups
from headstart.strategies.plan import Phase
from headstart.strategies.regularisers import L2SP, Delta, Regulariser
from headstart.strategies.search_space import Space, around


class Transfer(Strategy):
    """A strategy that trains at least a part of the source's body.

    Attributes:
        regularisers: What keeps the body near its source: names, or tables with a name and options.
    """

    regularisers: tuple[Regulariser, ...] = ()

    @field_validator("regularisers", mode="before")
    @classmethod
    def _regulariser_names_to_tables(cls, values: Any) -> Any:
        if not isinstance(values, list | tuple):
            return values
        return tuple({"name": value} if isinstance(value, str) else value for value in values)

    @model_validator(mode="after")
    def _regularisers_go_together(self) -> Self:
        names = [regulariser.name for regulariser in self.regularisers]
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice:
            raise ValueError(f"regularisers names {', '.join(twice)} twice: once is enough")
        if {"l2_sp", "delta"} <= set(names):
            raise ValueError("l2_sp and delta both take the place of weight decay: choose one")
        in_place_of_decay = [r.name for r in self.regularisers if isinstance(r, L2SP | Delta)]
        if in_place_of_decay and self.optimizer.weight_decay:
            raise ValueError(
                f"{in_place_of_decay[0]} takes the place of weight decay, but weight_decay = "
                f"{self.optimizer.weight_decay}: leave one of them out"
            )
        if "stoch_norm" in names and self.batch_norm == "frozen":
            raise ValueError(
                'stoch_norm has no effect with batch_norm = "frozen": use "live", or leave it out'
            )
        return self

    def phase(
        self, name: str, rates: Mapping[str, float | None], *, epochs: int | None = None
    ) -> Phase:
        """A phase with these settings, and with the regularisers that can have an effect in it.

        While only the head learns, L2-SP still takes the place of its weight decay; the others
        would do nothing.
        """
        phase = super().phase(name, rates, epochs=epochs)
        body = any(rate is not None for group, rate in rates.items() if group != HEAD)
        near = tuple(r for r in self.regularisers if body or isinstance(r, L2SP))
        return replace(phase, regularisers=near)


class WholeNetwork(Transfer):
    """A strategy in which, at some time, everything learns.

    Attributes:
        backbone_lr: The body's rate while everything learns; `lr`, the head's, when left out.
    """

    backbone_lr: Positive | None = None

    def rates(self, groups: Sequence[str]) -> dict[str, float]:
        """The rate of each group while everything learns."""
        body = self.backbone_lr or self.lr
        return {group: self.lr if group == HEAD else body for group in groups}

    def search_space(self) -> Space:
        """The body's rate, too, which may well be another than the head's."""
        return super().search_space() | {"backbone_lr": around(self.backbone_lr or self.lr)}


def needed_body(groups: Sequence[str], kind: str) -> tuple[str, ...]:
    """The groups of the body.

    Raises:
        StudyError: If there are none.
    """
    body = body_groups(groups)
    if not body:
        raise StudyError(f"{kind} trains the body, but the network is only a head: use frozen")
    return body
