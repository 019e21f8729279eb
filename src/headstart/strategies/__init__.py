"""Strategies: each makes a plan, a tuple of phases, for a network and a task."""

from collections.abc import Mapping

from headstart.strategies._base import Strategy, Training
from headstart.strategies.fine_tune import FineTune
from headstart.strategies.freeze_then_thaw import FreezeThenThaw
from headstart.strategies.frozen import Frozen
from headstart.strategies.plan import Optimizer, Phase, Plan, Schedule
from headstart.strategies.scratch import Scratch

STRATEGIES: Mapping[str, type[Strategy]] = {
    "scratch": Scratch,
    "frozen": Frozen,
    "fine_tune": FineTune,
    "freeze_then_thaw": FreezeThenThaw,
}

__all__ = [
    "STRATEGIES",
    "FineTune",
    "FreezeThenThaw",
    "Frozen",
    "Optimizer",
    "Phase",
    "Plan",
    "Schedule",
    "Scratch",
    "Strategy",
    "Training",
]
