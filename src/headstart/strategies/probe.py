"""A linear probe: logistic regression on the source's features."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from headstart.settings import Positive
from headstart.strategies._solved import Solved
from headstart.strategies.head_solver import HeadSolver

PENALTIES = tuple(float(f"{10 ** (-5 + 0.25 * place):.6g}") for place in range(45))
"""45 penalties on a logarithmic scale; 1 / C for the C of DINOv2's probes (10⁻⁶ to 10⁵)."""

Penalties = Annotated[tuple[Positive, ...], Field(min_length=1)]


class Probe(Solved):
    """Logistic regression on the source's features; the penalty is chosen on validation.

    Attributes:
        penalties: λ in Σ cross-entropy + λ/2 · ‖W‖², which is 1 / C in scikit-learn. All are
            solved; the lowest validation loss is kept.
    """

    kind: Literal["probe"] = "probe"
    summary: ClassVar[str] = "logistic regression on the source's features"
    paper: ClassVar[str] = "Alain & Bengio 2017; Radford et al. 2021 (CLIP)"
    penalties: Penalties = PENALTIES

    @property
    def solver(self) -> HeadSolver:
        """Logistic regressions with all penalties."""
        return HeadSolver("probe", self.penalties)
