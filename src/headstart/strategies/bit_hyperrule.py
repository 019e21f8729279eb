"""BiT-HyperRule: settings that follow from the size of the data alone."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import model_validator

from headstart.settings import Count, Positive
from headstart.strategies._transfer import Transfer
from headstart.strategies.plan import Optimizer, Plan, Schedule
from headstart.strategies.search_space import Space

_SMALL = Schedule(name="step", warmup=0.2, milestones=(0.4, 0.6, 0.8))
_RULES: Mapping[str, Mapping[str, Any]] = {
    "small": {"steps": 500},
    "medium": {
        "steps": 10_000,
        "schedule": {"name": "step", "warmup": 0.05, "milestones": [0.3, 0.6, 0.9]},
        "augment": {"mixup": 0.1},
    },
    "large": {
        "steps": 20_000,
        "schedule": {"name": "step", "warmup": 0.025, "milestones": [0.3, 0.6, 0.9]},
        "augment": {"mixup": 0.1},
    },
}


class BitHyperRule(Transfer):
    """Everything learns by a rule for the number of training pictures; nothing is tuned.

    SGD with momentum 0.9 at 0.003 without decay, batches of 512, a head that starts at zero, and a
    tenth of the rate at each milestone. Anything that is set replaces its part of the rule.

    Attributes:
        size: ``"small"``, below 20,000 pictures: 500 steps, warm-up 100, milestones 200, 300, 400;
            ``"medium"``, below 500,000: 10,000 steps, warm-up 500, milestones 3,000, 6,000, 9,000,
            mixup 0.1; ``"large"``: 20,000 steps, warm-up 500, milestones 6,000, 12,000, 18,000,
            mixup 0.1.
    """

    kind: Literal["bit_hyperrule"] = "bit_hyperrule"
    summary: ClassVar[str] = "everything learns, by a rule instead of tuning"
    paper: ClassVar[str] = "Kolesnikov et al. 2020, Big Transfer (BiT)"
    size: Literal["small", "medium", "large"] = "small"
    optimizer: Optimizer = Optimizer(name="sgd", momentum=0.9)
    lr: Positive = 0.003
    batch_size: Count = 512
    schedule: Schedule = _SMALL

    @model_validator(mode="before")
    @classmethod
    def _by_size(cls, values: Any) -> Any:
        """Spell the rule out, so that it can be read again as it is."""
        if not isinstance(values, Mapping):
            return values
        rule = dict(_RULES.get(str(values.get("size", "small")), {}))
        if values.get("epochs") is not None:
            rule.pop("steps", None)
        own = {key: value for key, value in values.items() if key != "steps" or value is not None}
        return {**rule, **own}

    def plan(self, groups: Sequence[str]) -> Plan:
        """One phase over everything, with a head that starts at zero."""
        phase = self.phase("fine-tune", dict.fromkeys(groups, self.lr))
        return Plan("source", (phase,), zero_head=True)

    def search_space(self) -> Space:
        """Nothing: it is a rule in place of a search."""
        return {}
