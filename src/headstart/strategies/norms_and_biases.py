"""Norms and biases: BitFit and BN-only, the smallest parts of a body that can learn."""

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Literal

from headstart.strategies._transfer import Transfer, needed_body
from headstart.strategies.plan import Plan


class NormsAndBiases(Transfer):
    """The head learns, and of the body only what shifts and scales its features.

    Attributes:
        parts: ``"norms_and_biases"``, ``"biases"`` (BitFit) or ``"norms"`` (BN-only).
    """

    kind: Literal["norms_and_biases"] = "norms_and_biases"
    summary: ClassVar[str] = "the head, and only norms and biases of the body"
    paper: ClassVar[str] = (
        "Ben-Zaken et al. 2022, BitFit; Frankle et al. 2021, Training BatchNorm and only BatchNorm"
    )
    parts: Literal["norms_and_biases", "norms", "biases"] = "norms_and_biases"

    def plan(self, groups: Sequence[str]) -> Plan:
        """One phase over all groups, of which only the parts learn.

        Raises:
            StudyError: If there is no body.
        """
        needed_body(groups, self.kind)
        phase = self.phase(self.parts, dict.fromkeys(groups, self.lr))
        return Plan("source", (replace(phase, only=self.parts),))
