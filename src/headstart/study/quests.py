"""Quests: what is searched for one strategy and label budget, what was tried, what was chosen."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from headstart.data.tasks import Budget
from headstart.errors import StudyError
from headstart.seeding import stream_seed
from headstart.strategies import Strategy
from headstart.strategies.search_space import Space, with_values
from headstart.study.proposals import Tried, Values, propose
from headstart.study.records import TrialKey
from headstart.study.search_settings import SEED_IS_TAKEN, SearchSettings, space_of
from headstart.study.spec import Study

MOST_TRIALS = 200
"""A budget of seconds ends after so many trials, however quick or however broken they are."""


@dataclass(frozen=True, eq=False)
class Quest:
    """What is searched for one strategy at one label budget.

    Attributes:
        strategy: Its name.
        stated: As the study states it.
        seed: The search is done on training and validation pictures of this seed.
        labels: The label budget.
        space: From where to where.
        settings: The search's.
    """

    strategy: str
    stated: Strategy
    seed: int
    labels: Budget
    space: Space
    settings: SearchSettings

    def key(self, number: int) -> TrialKey:
        """The search trial of a number."""
        return TrialKey(f"{self.strategy} #{number}", self.seed, self.labels)

    def candidate(self, values: Values) -> Strategy:
        """The strategy with such values; as it is stated where they are what is stated."""
        return self.stated if values == self._stated_values else with_values(self.stated, values)

    def next_values(self, tried: Sequence[Tried]) -> list[Values]:
        """What is to be tried next; nothing once the budget is used up.

        The first trial of all takes the strategy as it is stated, unless that lies outside.

        Args:
            tried: All that was tried before.
        """
        count = self._left(tried)
        if not count:
            return []
        first = [self._stated_values] if not tried and self._stated_values else []
        seed = stream_seed(
            self.settings.seed, "search", self.strategy, self.labels, self.seed, len(tried)
        )
        more = propose(
            self.space, tried, count - len(first), sampler=self.settings.sampler, seed=seed
        )
        return first + more

    def within_budget(self, tried: Sequence[Tried]) -> tuple[Tried, ...]:
        """Those that count: all, or those that began before the seconds had ended."""
        if self.settings.seconds is None:
            return tuple(tried)
        return tuple(self._begun_in_time(tried))

    def _begun_in_time(self, tried: Sequence[Tried]) -> Iterator[Tried]:
        assert self.settings.seconds is not None
        spent = 0.0
        for one in tried:
            if spent < self.settings.seconds:
                yield one
            spent += one.seconds

    def _left(self, tried: Sequence[Tried]) -> int:
        """How many trials the next generation may have."""
        if self.settings.seconds is None:
            most = self.settings.trials or 0
        else:
            spent = sum(one.seconds for one in tried)
            most = MOST_TRIALS if spent < self.settings.seconds else 0
        return max(0, min(self.settings.together, most - len(tried)))

    @property
    def _stated_values(self) -> Values:
        """What is stated, by path; empty where it lies outside of the space."""
        inside = all(span.holds_now for span in self.space.values())
        stated = ((path, span.now) for path, span in self.space.items() if inside)
        return {path: now for path, now in stated if now is not None}


@dataclass(frozen=True)
class Found:
    """What a quest found.

    Attributes:
        quest: What was asked.
        tried: What was tried within the budget, in order.
    """

    quest: Quest
    tried: tuple[Tried, ...]

    @property
    def best(self) -> int | None:
        """The number of the trial with the lowest validation loss; None where all failed."""
        losses = [(one.loss, place) for place, one in enumerate(self.tried) if one.loss is not None]
        return min(losses)[1] if losses else None

    @property
    def chosen(self) -> Strategy:
        """The strategy with the best values; as it is stated where every trial failed."""
        if self.best is None:
            return self.quest.stated
        return self.quest.candidate(self.tried[self.best].values)

    def told(self) -> dict[str, Any]:
        """It as plain data, for records and report."""
        return {
            "strategy": self.quest.strategy,
            "labels": self.quest.labels,
            "seed": self.quest.seed,
            "space": {
                path: {"low": span.low, "high": span.high, "log": span.log, "stated": span.now}
                for path, span in self.quest.space.items()
            },
            "trials": len(self.tried),
            "failed": sum(one.loss is None for one in self.tried),
            "seconds": math.fsum(one.seconds for one in self.tried),
            "values": [one.values for one in self.tried],
            "losses": [one.loss for one in self.tried],
            "best": self.best,
        }


def quests(study: Study) -> tuple[Quest, ...]:
    """Everything that a study asks to search; strategies with nothing to search are left out.

    Raises:
        StudyError: If the search's seed is one of the study's.
    """
    asked = study.search
    if asked is None:
        return ()
    seeds = study.study.seeds
    if asked.each == "study":
        if asked.seed in seeds:
            raise StudyError(SEED_IS_TAKEN.format(asked.seed))
        seeds = (asked.seed,)
    spaces = {name: space_of(asked, name, own) for name, own in study.strategy.items()}
    return tuple(
        Quest(name, own, seed, labels, spaces[name], asked)
        for seed in seeds
        for labels in study.study.labels
        for name, own in study.strategy.items()
        if spaces[name]
    )
