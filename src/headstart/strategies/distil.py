"""Distillation from the source's own fine-tuned sibling: fine-tuned twice, the first teaching."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from headstart.settings import Number, Positive
from headstart.strategies._transfer import WholeNetwork, needed_body
from headstart.strategies.plan import Distillation, Plan
from headstart.strategies.search_space import Space, between


class Distil(WholeNetwork):
    """The network is fine-tuned, and then fine-tuned anew with the first one as its teacher.

    Both start from the source's weights and the same fresh head, and see the same pictures and
    labels; together they cost twice a fine-tuning, and the teacher's looks at the pictures. The
    second learns from (1 − weight) · cross-entropy + weight · T² · KL(teacher ‖ student).

    Attributes:
        weight: How much the teacher counts.
        temperature: T, by which both's logits are divided.
    """

    kind: Literal["distil"] = "distil"
    summary: ClassVar[str] = "fine-tuned twice, the first time's network teaching the second"
    paper: ClassVar[str] = "Furlanello et al. 2018, Born-again neural networks; Hinton et al. 2015"
    weight: Annotated[Number, Field(gt=0, le=1)] = 0.5
    temperature: Positive = 2.0

    def plan(self, groups: Sequence[str]) -> Plan:
        """The teacher's phase, and the student's, which begins again.

        Raises:
            StudyError: If there is no body.
        """
        needed_body(groups, self.kind)
        rates = self.rates(groups)
        told = Distillation("teacher", self.weight, self.temperature)
        student = replace(self.phase("student", rates), restart=True, distilled=told)
        return Plan("source", (self.phase("teacher", rates), student))

    def search_space(self) -> Space:
        """How much the teacher counts, too."""
        return super().search_space() | {"weight": between(0.1, 0.9, self.weight)}
