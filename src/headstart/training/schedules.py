"""Schedules: pure functions from a step to a factor on the learning rates."""

import math

from headstart.strategies.plan import Schedule


def rate_factor(schedule: Schedule, step: int, steps: int) -> float:
    """The factor on every learning rate at a step.

    Args:
        schedule: Its kind and options.
        step: From 0 to ``steps − 1``.
        steps: How many steps the phase has.

    Returns:
        With a warm-up of w steps, ``(step + 1) / w`` for the first w steps. After it, with t the
        share of the remaining steps done: 1 (constant), ``final + (1 − final)(1 + cos πt)/2``
        (cosine, Loshchilov & Hutter 2017), or ``factor`` to the number of milestones passed
        (step; milestones are shares of the whole phase). The slanted triangle (Howard & Ruder
        2018) takes no warm-up: with c = max(1, ⌊cut · steps⌋) and p = s/c before c, else
        1 − (s − c)/(c · (1/cut − 1)), it is (1 + p · (ratio − 1))/ratio.
    """
    if schedule.name == "slanted_triangle":
        turn = max(1, int(schedule.cut * steps))
        after = turn * (1 / schedule.cut - 1)
        share = step / turn if step < turn else max(0.0, 1 - (step - turn) / after)
        return (1 + share * (schedule.ratio - 1)) / schedule.ratio
    warmup_steps = round(schedule.warmup * steps)
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    if schedule.name == "cosine":
        done = (step - warmup_steps) / max(1, steps - warmup_steps)
        return schedule.final + (1 - schedule.final) * (1 + math.cos(math.pi * done)) / 2
    if schedule.name == "step":
        # Rounded, as 0.07 * 100 is a little more than 7 in floating point.
        passed = sum(step >= round(milestone * steps, 6) for milestone in schedule.milestones)
        return float(schedule.factor**passed)
    return 1.0
