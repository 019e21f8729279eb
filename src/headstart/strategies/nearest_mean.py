"""The nearest class mean among the source's features."""

from typing import ClassVar, Literal

from headstart.strategies._solved import Solved
from headstart.strategies.head_solver import HeadSolver


class NearestMean(Solved):
    """The class whose mean features are nearest; there is nothing to choose."""

    kind: Literal["nearest_mean"] = "nearest_mean"
    summary: ClassVar[str] = "the class whose mean features are nearest"
    paper: ClassVar[str] = "Mensink et al. 2013; Snell et al. 2017"

    @property
    def solver(self) -> HeadSolver:
        """Class means."""
        return HeadSolver("nearest_mean")
