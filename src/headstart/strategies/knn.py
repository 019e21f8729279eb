"""Nearest neighbours among the source's features."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from headstart.settings import Count
from headstart.strategies._solved import Solved
from headstart.strategies.head_solver import HeadSolver


class KNN(Solved):
    """The classes of the nearest training pictures vote.

    Attributes:
        neighbours: How many vote. All are tried, but for those above the number of training
            pictures; the highest validation accuracy is kept, and of equals the lowest loss.
    """

    kind: Literal["knn"] = "knn"
    summary: ClassVar[str] = "the nearest training pictures vote"
    paper: ClassVar[str] = "Cover & Hart 1967; Wu et al. 2018"
    neighbours: Annotated[tuple[Count, ...], Field(min_length=1)] = (1, 3, 5, 10, 20, 50, 100, 200)

    @property
    def solver(self) -> HeadSolver:
        """Votes of all numbers of neighbours."""
        return HeadSolver("knn", self.neighbours)
