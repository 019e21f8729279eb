"""LoRA: the body's weights learn changes of low rank."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from headstart.networks.low_rank import LowRank
from headstart.settings import Count, Number
from headstart.strategies._base import Strategy
from headstart.strategies._transfer import needed_body
from headstart.strategies.plan import Plan


class Lora(Strategy):
    """The head learns, and for the body's dense layers and convolutions a change of low rank.

    Everything else of the body stays frozen, running statistics too. After training, the changes
    are merged into the weights, so that what is delivered is a network like any other. Needs the
    package peft (``pip install 'headstart[lora]'``).

    Attributes:
        rank: r, the rank of each change.
        alpha: α in the scale α/r.
        dropout: Share of an adapter's inputs that are dropped while training.
        targets: ``"attention"``: the projections to queries, keys and values; ``"all"``: every
            dense layer and convolution of the body; ``"auto"``: attention where there is any, else
            all.
    """

    kind: Literal["lora"] = "lora"
    summary: ClassVar[str] = "the head, and changes of low rank to the body's weights"
    paper: ClassVar[str] = "Hu et al. 2022, LoRA: low-rank adaptation"
    rank: Count = 8
    alpha: Count = 16
    dropout: Annotated[Number, Field(ge=0, lt=1)] = 0.0
    targets: Literal["auto", "attention", "all"] = "auto"

    def plan(self, groups: Sequence[str]) -> Plan:
        """One phase over all groups, in which only adapters and the head learn.

        Raises:
            StudyError: If there is no body.
        """
        needed_body(groups, self.kind)
        low_rank = LowRank(
            rank=self.rank, alpha=self.alpha, dropout=self.dropout, targets=self.targets
        )
        phase = self.phase("adapters", dict.fromkeys(groups, self.lr))
        return Plan("source", (replace(phase, low_rank=low_rank),))
