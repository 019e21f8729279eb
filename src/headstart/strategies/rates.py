"""Rates that fall from the head toward the stem."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from headstart.settings import Number

AtLeastOne = Annotated[Number, Field(gt=1)]


def falling_rates(groups: Sequence[str], lr: float, ratio: float) -> dict[str, float]:
    """A rate for each layer group: `lr` at the head, `ratio` times less at each group below.

    Args:
        groups: Stem first, the head last.
        lr: The head's rate.
        ratio: Rate of a group over that of the group below it.
    """
    return {group: lr / ratio**depth for depth, group in enumerate(reversed(groups))}
