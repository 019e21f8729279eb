"""Whether a recipe can be followed here, found out before anything is trained."""

from collections.abc import Mapping, Sequence

import torch

from headstart.errors import HeadstartError, StudyError
from headstart.strategies.plan import Plan
from headstart.training.augmented import check_channels, import_transforms
from headstart.training.objective import named_weights
from headstart.training.precision import choose_precision


def check_recipes(
    plan: Plan, class_names: Sequence[str], channels: int, device: torch.device
) -> None:
    """Refuse a plan whose recipes ask for what the classes, pictures or device do not have.

    Args:
        plan: Its phases.
        class_names: The task's.
        channels: Of the pictures.
        device: Where the plan would be followed.

    Raises:
        StudyError: Every problem, once.
    """
    problems: dict[str, None] = {}
    for phase in plan.phases:
        recipe = phase.recipe
        try:
            choose_precision(recipe.precision, device)
        except HeadstartError as error:
            problems.update(dict.fromkeys(error.problems))
        try:
            if isinstance(recipe.class_weights, Mapping):
                named_weights(recipe.class_weights, class_names)
        except HeadstartError as error:
            problems.update(dict.fromkeys(error.problems))
        try:
            if phase.augments or phase.views:
                check_channels(recipe.augment, channels)
                import_transforms()
        except HeadstartError as error:
            problems.update(dict.fromkeys(error.problems))
    if problems:
        raise StudyError(*problems)
