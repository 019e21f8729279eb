"""LP-FT: the head is fitted by a probe, then everything learns from there."""

from collections.abc import Sequence
from typing import ClassVar, Literal

from headstart.settings import Count
from headstart.strategies._solved import solved_phase
from headstart.strategies._transfer import WholeNetwork, needed_body
from headstart.strategies.head_solver import HeadSolver
from headstart.strategies.plan import Optimizer, Plan, Schedule
from headstart.strategies.probe import PENALTIES, Penalties


class LPFT(WholeNetwork):
    """A head that fits the source's features does not distort them when everything learns.

    As in the paper: SGD with momentum 0.9 and no decay, batches of 64, 20 epochs on a cosine,
    BatchNorm's statistics frozen; anything that is set replaces its part. The rate is the paper's
    only tuned part, and wants to be low.

    Attributes:
        penalties: Of the probe, as in the strategy ``probe``.
    """

    kind: Literal["lp_ft"] = "lp_ft"
    summary: ClassVar[str] = "the head fitted by a probe, then everything learns"
    paper: ClassVar[str] = "Kumar et al. 2022, Fine-tuning can distort pretrained features"
    optimizer: Optimizer = Optimizer(name="sgd", momentum=0.9)
    batch_size: Count = 64
    schedule: Schedule = Schedule(name="cosine")
    batch_norm: Literal["live", "frozen"] = "frozen"
    penalties: Penalties = PENALTIES

    @property
    def duration(self) -> tuple[int | None, int | None]:
        """Epochs and steps, one of which is None; twenty epochs when neither was given."""
        return (self.epochs or 20, None) if self.steps is None else (None, self.steps)

    def plan(self, groups: Sequence[str]) -> Plan:
        """The probe, and everything.

        Raises:
            StudyError: If there is no body.
        """
        needed_body(groups, self.kind)
        rates = self.rates(groups)
        probe = solved_phase(groups, HeadSolver("probe", self.penalties))
        return Plan("source", (probe, self.phase("fine-tune", rates)))
