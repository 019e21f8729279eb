"""Schedules: pure functions from a step to a factor on the learning rates."""

import math

from headstart.strategies.plan import Schedule

_CYCLE_START = 1 / 25
_CYCLE_END = _CYCLE_START / 10_000


def rate_factor(schedule: Schedule, step: int, steps: int) -> float:
    """The factor on every learning rate at a step.

    Args:
        schedule: Its kind and options.
        step: From 0 to ``steps − 1``.
        steps: How many steps the phase has.

    Returns:
        With a warm-up of w steps, ``(step + 1) / w`` for the first w steps. After it, with t the
        share of the remaining steps done: 1 (constant), ``final + (1 − final)(1 + cos πt)/2``
        (cosine, Loshchilov & Hutter 2017), ``final + (1 − final)(1 − t)`` (linear), or ``factor``
        to the number of milestones passed (step; milestones are shares of the whole phase).

        Two take no warm-up. One cycle (Smith & Topin 2018) is PyTorch's `OneCycleLR`: half a
        cosine from 1/25 to 1 until step ``rise · steps − 1``, another down to 1/250,000 at the
        last. The slanted triangle (Howard & Ruder 2018), with c = max(1, ⌊cut · steps⌋) and
        p = s/c before c, else 1 − (s − c)/(c · (1/cut − 1)), is (1 + p · (ratio − 1))/ratio.
    """
    if schedule.name == "one_cycle":
        return _one_cycle(schedule.rise, step, steps)
    if schedule.name == "slanted_triangle":
        turn = max(1, int(schedule.cut * steps))
        after = turn * (1 / schedule.cut - 1)
        share = step / turn if step < turn else max(0.0, 1 - (step - turn) / after)
        return (1 + share * (schedule.ratio - 1)) / schedule.ratio
    warmup_steps = round(schedule.warmup * steps)
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    left = 1 - (step - warmup_steps) / max(1, steps - warmup_steps)
    if schedule.name == "cosine":
        return schedule.final + (1 - schedule.final) * (1 - math.cos(math.pi * left)) / 2
    if schedule.name == "linear":
        return schedule.final + (1 - schedule.final) * left
    if schedule.name == "step":
        # Rounded, as 0.07 * 100 is a little more than 7 in floating point.
        passed = sum(step >= round(milestone * steps, 6) for milestone in schedule.milestones)
        return float(schedule.factor**passed)
    return 1.0


def _one_cycle(rise: float, step: int, steps: int) -> float:
    """The factor of PyTorch's `OneCycleLR` with its defaults, but for a single step: that is 1."""
    turn, last = rise * steps - 1, steps - 1
    if last == 0:
        return 1.0
    if step <= turn:
        return _half_cosine(_CYCLE_START, 1.0, step / turn if turn else 1.0)
    return _half_cosine(1.0, _CYCLE_END, (step - turn) / (last - turn))


def _half_cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * share))
