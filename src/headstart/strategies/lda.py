"""Linear discriminant analysis of the source's features."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from headstart.settings import Number
from headstart.strategies._solved import Solved
from headstart.strategies.head_solver import HeadSolver

Shrinkage = Annotated[Number, Field(gt=0, le=1)]


class LDA(Solved):
    """Classes as normal distributions of one covariance, shrunk toward a sphere.

    Attributes:
        shrinkages: Shares of the sphere in the covariance. All are solved; the lowest validation
            loss is kept.
    """

    kind: Literal["lda"] = "lda"
    summary: ClassVar[str] = "discriminant analysis of the source's features, covariance shrunk"
    paper: ClassVar[str] = "Fisher 1936; Friedman 1989"
    shrinkages: Annotated[tuple[Shrinkage, ...], Field(min_length=1)] = (
        0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0,
    )  # fmt: skip

    @property
    def solver(self) -> HeadSolver:
        """Discriminant analyses with all shrinkages."""
        return HeadSolver("lda", self.shrinkages)
