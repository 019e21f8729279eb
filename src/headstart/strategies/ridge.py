"""Ridge regression on the source's features."""

from typing import ClassVar, Literal

from headstart.strategies._solved import Solved
from headstart.strategies.head_solver import HeadSolver
from headstart.strategies.probe import PENALTIES, Penalties


class Ridge(Solved):
    """Least squares on ±1 targets with a penalty; every penalty from one decomposition.

    Its scores become probabilities by one factor, fitted on what it says of training pictures that
    were left out.

    Attributes:
        penalties: α of scikit-learn's ridge regression.
        choose: ``"validation"``: the lowest validation loss; ``"left_out"``: the lowest squared
            error over training pictures that are left out one by one.
    """

    kind: Literal["ridge"] = "ridge"
    summary: ClassVar[str] = "ridge regression on the source's features"
    paper: ClassVar[str] = "Hoerl & Kennard 1970; Rifkin & Lippert 2007"
    penalties: Penalties = PENALTIES
    choose: Literal["validation", "left_out"] = "validation"

    @property
    def solver(self) -> HeadSolver:
        """Ridge regressions with all penalties."""
        return HeadSolver("ridge", self.penalties, self.choose)
