"""BiT-HyperRule: settings that follow from the size of the data alone."""

from collections.abc import Sequence
from typing import ClassVar, Literal

from headstart.settings import Count, Positive
from headstart.strategies._transfer import Transfer
from headstart.strategies.plan import Optimizer, Plan, Schedule

BIT_SCHEDULE = Schedule(name="step", warmup=0.2, milestones=(0.4, 0.6, 0.8))


class BitHyperRule(Transfer):
    """Everything learns by the rule for fewer than 20,000 pictures; nothing is tuned.

    SGD with momentum 0.9 at 0.003 without decay, batches of 512, 500 steps of which the first 100
    warm up, the rate a tenth after 200, 300 and 400, and a head that starts at zero. Anything that
    is set replaces its part of the rule.
    """

    kind: Literal["bit_hyperrule"] = "bit_hyperrule"
    summary: ClassVar[str] = "everything learns, by a rule instead of tuning"
    paper: ClassVar[str] = "Kolesnikov et al. 2020, Big Transfer (BiT)"
    optimizer: Optimizer = Optimizer(name="sgd", momentum=0.9)
    lr: Positive = 0.003
    batch_size: Count = 512
    schedule: Schedule = BIT_SCHEDULE

    @property
    def duration(self) -> tuple[int | None, int | None]:
        """Epochs and steps, one of which is None; 500 steps when neither was given."""
        return (self.epochs, None) if self.epochs is not None else (None, self.steps or 500)

    def plan(self, groups: Sequence[str]) -> Plan:
        """One phase over everything, with a head that starts at zero."""
        phase = self.phase("fine-tune", dict.fromkeys(groups, self.lr))
        return Plan("source", (phase,), zero_head=True)
