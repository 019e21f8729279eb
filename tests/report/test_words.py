"""Numbers as texts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.report import words
from headstart.report.content import Estimate


def test_shares_and_points() -> None:
    assert words.percent(0.97361) == "97.36%"
    assert words.percent(-0.005, 1) == "−0.5%"
    assert words.percent(None) == "–"
    assert words.points(0.0102) == "+1.02"
    assert words.points(-0.0102) == "−1.02"
    assert words.points(-0.000001) == "0.00"
    assert words.points_interval(Estimate(0.0, -0.0131, 0.0074)) == "−1.31 to +0.74"
    assert words.points_interval(Estimate(0.0, None, None)) == "–"
    assert words.percent_interval(Estimate(0.9, 0.89, 0.91)) == "89.00 to 91.00%"


def test_a_moment_has_its_time_zone() -> None:
    assert words.moment(0.0) == "1970-01-01 00:00 UTC"
    assert words.moment(1_795_332_719.5) == "2026-11-22 07:31 UTC"


def test_counts_and_budgets() -> None:
    assert words.whole(275808) == "275,808"
    assert words.counted(1, "trial") == "1 trial"
    assert words.counted(1200, "trial") == "1,200 trials"
    assert [words.labels(b) for b in (1, 200, "all")] == ["1 label", "200 labels", "all labels"]
    assert words.labels("all", 9936) == "all 9,936 labels"
    assert [words.budget(b) for b in (2000, "all")] == ["2,000", "all"]


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (0.4234, "0.42 s"),
        (9.999, "10.0 s"),
        (12.34, "12.3 s"),
        (59.99, "1 min 00 s"),
        (125.4, "2 min 05 s"),
        (4230, "1 h 10 min"),
        (None, "–"),
    ],
)
def test_durations(duration: float | None, text: str) -> None:
    assert words.seconds(duration).replace(words.NO_BREAK, " ") == text


def test_times_and_lists() -> None:
    assert [words.times(n) for n in (0, 1, 2, 1200)] == ["0 times", "once", "twice", "1,200 times"]
    assert [words.listed(list(n)) for n in ("a", "ab", "abc")] == ["a", "a and b", "a, b and c"]


def test_p_values() -> None:
    assert [words.p_value(p) for p in (None, 0.0004, 0.03125)] == ["–", "< 0.001", "0.031"]


def test_names_are_broken_where_they_may_be() -> None:
    assert words.wrapped("freeze_then_thaw", 13) == ["freeze_then_", "thaw"]
    assert words.wrapped("scratch", 13) == ["scratch"]
    assert words.wrapped("x" * 100, 10) == ["x" * 10, "x" * 10, "x" * 9 + "…"]
    assert words.wrapped("", 10) == [""]


@given(st.text(max_size=80), st.integers(4, 30))
def test_broken_names_fit_and_lose_nothing_before_the_cut(text: str, width: int) -> None:
    lines = words.wrapped(text, width)
    assert len(lines) <= 3
    assert all(len(line) <= width for line in lines)
    if not lines[-1].endswith("…"):
        assert "".join("".join(lines).split()) == "".join(text.split())


def test_cut() -> None:
    assert words.cut("Ankle boot", 20) == "Ankle boot"
    assert words.cut("Ankle boot, brown", 12) == "Ankle boot,…"
