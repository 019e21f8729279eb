"""Axes, piles and labels: where things go."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.report.scales import apart, evenly, extent, piles

numbers = st.floats(-1e6, 1e6, allow_nan=False)


@given(st.lists(numbers, min_size=1, max_size=30), st.integers(3, 9))
def test_extent_holds_all_values_and_has_round_ticks_within(
    values: list[float], ticks: int
) -> None:
    room = extent(values, ticks=ticks)
    assert room.low <= min(values) <= max(values) <= room.high
    assert all(room.low <= tick <= room.high for tick in room.ticks)
    assert 1 <= len(room.ticks) <= 2 * ticks + 1
    if len(room.ticks) > 1:
        step = room.ticks[1] - room.ticks[0]
        assert round(step / 10 ** math.floor(math.log10(step * 1.0001)), 6) in (1, 2, 2.5, 5)


def test_extent_by_value() -> None:
    room = extent([0.82, 0.88], ticks=5)
    assert (round(room.low, 4), round(room.high, 4)) == (0.8164, 0.8836)
    assert room.ticks == (0.82, 0.84, 0.86, 0.88)
    assert (room.digits, room.percent_digits) == (2, 0)
    assert extent([0.970, 0.9785], ticks=5).percent_digits == 1
    assert room.scale(10, 100) == {
        "domain": [room.low, room.high],
        "range": [10, 100],
        "zero": False,
    }


def test_equal_values_get_some_room_and_no_tick_lies_above_the_ceiling() -> None:
    room = extent([1.0, 1.0, 1.0], ceiling=1.0)
    assert room.high - room.low >= 0.004
    assert max(room.ticks) == 1.0


def test_extent_passes_over_what_is_not_finite() -> None:
    assert extent([0.5, math.nan, math.inf, 0.7]) == extent([0.5, 0.7])
    assert extent([math.nan]).ticks


def test_dots_of_equal_value_are_piled_around_their_row() -> None:
    room = extent([0.0, 1.0])
    offsets = piles([0.2, 0.9, 0.2, 0.2], room, bins=50)
    assert offsets[1] == 0
    assert sorted([offsets[0], offsets[2], offsets[3]]) == pytest.approx([-1 / 3, 0, 1 / 3])
    assert piles([], room, bins=50) == []


@given(st.lists(numbers, max_size=60))
def test_piles_stay_within_their_row(values: list[float]) -> None:
    offsets = piles(values, extent(values), bins=40)
    assert len(offsets) == len(values)
    assert all(-1 <= offset <= 1 for offset in offsets)


@given(st.lists(st.floats(0, 100), max_size=12), st.floats(0.5, 10))
def test_labels_are_kept_apart_in_their_order(places: list[float], least: float) -> None:
    moved = apart(places, least)
    order = np.argsort(places, kind="stable")
    assert all(np.diff(np.array(moved)[order]) >= least - 1e-6)
    assert sum(moved) == pytest.approx(sum(places), abs=1e-6)


def test_labels_that_do_not_touch_stay_where_they_belong() -> None:
    assert apart([3.0, 50.0, 20.0], 5) == [3.0, 50.0, 20.0]
    assert apart([10.0, 11.0], 4) == [8.5, 12.5]


def test_evenly_takes_all_or_evenly_by_rank() -> None:
    assert evenly(3, 5) == [0, 1, 2]
    assert evenly(10, 5) == [1, 3, 5, 7, 9]
