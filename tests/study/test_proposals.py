"""Proposals and budgets of a search, without any training."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.strategies import Scratch
from headstart.strategies.search_space import Span, around
from headstart.study.proposals import Sampler, Tried, Values, propose
from headstart.study.quests import MOST_TRIALS, Found, Quest
from headstart.study.search_settings import SearchSettings

SPACE = {"lr": around(0.001), "thaw_lr": around(0.0001)}


def hill(values: Values) -> float:
    """Lowest at 0.01 and 0.00003."""
    return (math.log10(values["lr"]) + 2) ** 2 + (math.log10(values["thaw_lr"]) + 4.5) ** 2 / 3


def lowest(sampler: Sampler, seed: int) -> float:
    tried: list[Tried] = []
    for generation in range(3):
        asked = propose(SPACE, tried, 8, sampler=sampler, seed=100 * seed + generation)
        tried += [Tried(values, hill(values), 1.0) for values in asked]
    return min(hill(one.values) for one in tried)


@given(
    seed=st.integers(0, 2**63 - 1),
    low=st.floats(1e-8, 1),
    times=st.floats(1.1, 1e6),
    log=st.booleans(),
    losses=st.lists(st.one_of(st.none(), st.floats(-1e3, 1e3)), max_size=12),
)
@settings(max_examples=40, deadline=None)
def test_proposals_lie_within_whatever_was_tried(
    seed: int, low: float, times: float, log: bool, losses: list[float | None]
) -> None:
    space = {"a": Span(low, low * times, log=log), "b": Span(1, 9, log=False, whole=True)}
    tried: list[Tried] = []
    for loss in losses:
        values = propose(space, tried[:1], 1, sampler="random", seed=len(tried))[0]
        tried.append(Tried(values, loss, 1.0))
    asked = propose(space, tried, 3, sampler="tpe", seed=seed)
    assert len(asked) == 3
    for values in asked:
        assert low <= values["a"] <= low * times
        assert values["b"] in range(1, 10)
    assert asked == propose(space, tried, 3, sampler="tpe", seed=seed)


def test_what_earlier_trials_said_is_used() -> None:
    by_sampler = {
        sampler: sorted(lowest(sampler, seed) for seed in range(15))
        for sampler in ("tpe", "random")
    }  # fmt: skip
    assert by_sampler["tpe"][7] < 0.6 * by_sampler["random"][7]


def test_trials_that_failed_are_kept_away_from() -> None:
    space = {"lr": Span(1e-4, 1.0)}
    grid = [10 ** (-4 + 4 * place / 15) for place in range(16)]
    tried = [Tried({"lr": lr}, None if lr > 0.01 else 1.0 + lr, 1.0) for lr in grid]
    asked = [
        values["lr"]
        for seed in range(10)
        for values in propose(space, tried, 4, sampler="tpe", seed=seed)
    ]
    assert sum(lr > 0.01 for lr in asked) < 0.25 * len(asked)


def test_what_was_tried_outside_is_passed_over() -> None:
    outside = [Tried({"lr": 5.0, "thaw_lr": 1e-4}, 0.1, 1.0)]
    assert propose(SPACE, outside, 2, sampler="tpe", seed=1)


def quest(**search: float) -> Quest:
    asked = SearchSettings.model_validate({"together": 4, **search})
    strategy = Scratch(lr=0.01)
    return Quest("scratch", strategy, 1000, "all", strategy.search_space(), asked)


def tried(count: int, seconds: float = 1.0) -> list[Tried]:
    return [Tried({"lr": 0.001 * (1 + place)}, 1.0, seconds) for place in range(count)]


@pytest.mark.parametrize(("before", "count"), [(0, 4), (4, 4), (8, 2), (10, 0), (11, 0)])
def test_a_budget_of_trials_ends_with_the_last_of_them(before: int, count: int) -> None:
    asked = quest(trials=10)
    assert len(asked.next_values(tried(before))) == count
    assert len(asked.within_budget(tried(before))) == before


@pytest.mark.parametrize(("before", "count"), [(0, 4), (4, 4), (9, 4), (10, 0), (12, 0)])
def test_a_budget_of_seconds_ends_when_they_are_used_up(before: int, count: int) -> None:
    asked = quest(seconds=9.5)
    assert len(asked.next_values(tried(before))) == count
    assert len(asked.within_budget(tried(before))) == min(before, 10)


def test_a_budget_of_seconds_ends_however_quick_the_trials_are() -> None:
    assert len(quest(seconds=1).next_values(tried(MOST_TRIALS - 1, 0.0))) == 1
    assert not quest(seconds=1).next_values(tried(MOST_TRIALS, 0.0))


def test_a_trial_beyond_the_budget_is_not_chosen() -> None:
    asked = quest(seconds=2)
    late = [*tried(2), Tried({"lr": 0.1}, 0.0, 1.0)]
    found = Found(asked, asked.within_budget(late))
    assert found.best == 0
    assert found.chosen == Scratch(lr=0.001)
    assert found.told()["seconds"] == 2


def test_nothing_is_chosen_where_all_failed() -> None:
    asked = quest(trials=2)
    found = Found(asked, (Tried({"lr": 0.1}, None, 1.0), Tried({"lr": 0.2}, None, 1.0)))
    assert found.best is None
    assert found.chosen == Scratch(lr=0.01)


def test_what_is_stated_is_tried_first_unless_it_lies_outside() -> None:
    assert quest(trials=3).next_values([])[0] == {"lr": 0.01}
    asked = quest(trials=3)
    narrowed = Quest(
        "scratch", asked.stated, 1000, "all", {"lr": Span(0.1, 1.0, now=0.01)}, asked.settings
    )
    assert all(values["lr"] >= 0.1 for values in narrowed.next_values([]))
