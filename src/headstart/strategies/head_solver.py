"""How a phase solves a head on the features in front of it, instead of training it."""

from dataclasses import dataclass
from typing import Literal

Method = Literal["probe", "ridge", "lda", "nearest_mean", "knn", "selected_probe"]


@dataclass(frozen=True)
class HeadSolver:
    """A way to solve a head, and what there is to choose from.

    Attributes:
        method: ``"probe"`` (logistic regression), ``"ridge"``, ``"lda"``, ``"nearest_mean"``,
            ``"knn"`` or ``"selected_probe"``: a probe of features that a group lasso chooses.
        choices: Penalties, shrinkages or numbers of neighbours; all are solved, one is kept.
        choose: On what the choice is made: ``"validation"``, or for ridge ``"left_out"``: the
            training pictures, each left out once.
        fractions: Shares of the features that a selected probe may keep.
        group_penalties: Of the group lasso, as shares of the least with which nothing is chosen.
    """

    method: Method
    choices: tuple[float, ...] = (1.0,)
    choose: Literal["validation", "left_out"] = "validation"
    fractions: tuple[float, ...] = ()
    group_penalties: tuple[float, ...] = ()
