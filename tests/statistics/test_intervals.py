"""Intervals of one strategy's accuracy, and of error reductions."""

import numpy as np
import pytest
from scipy import stats

from headstart.errors import RecordsError, StudyError
from headstart.statistics.error_reduction import error_reduction
from headstart.statistics.intervals import mean_interval, share_interval, spread_of_finite_test_set


def test_equal_seeds_give_wilsons_interval() -> None:
    row = (np.arange(400) < 380).astype(float)
    reference = stats.binomtest(380, 400).proportion_ci(0.95, method="wilson")

    interval = mean_interval(np.repeat(row[None], 6, axis=0))

    assert interval.mean == pytest.approx(0.95)
    assert interval.low == pytest.approx(reference.low, abs=0.003)
    assert interval.high == pytest.approx(reference.high, abs=0.003)


@pytest.mark.parametrize(("right", "count"), [(0, 7), (3, 7), (47, 80), (4000, 4000)])
@pytest.mark.parametrize("alpha", [0.25, 0.05, 0.001])
def test_a_share_has_wilsons_interval(right: int, count: int, alpha: float) -> None:
    reference = stats.binomtest(right, count).proportion_ci(1 - alpha, method="wilson")
    assert share_interval(right / count, count, alpha) == pytest.approx(
        (reference.low, reference.high), abs=1e-9
    )


@pytest.mark.parametrize("wrong", [(1.1, 8, 0.05), (0.5, 0, 0.05), (0.5, 8, 0.0)])
def test_a_share_of_nothing_is_refused(wrong: tuple[float, int, float]) -> None:
    with pytest.raises(StudyError, match="expected a share from 0 to 1"):
        share_interval(*wrong)


def test_all_right_is_not_certainty() -> None:
    interval = mean_interval(np.ones((10, 300)))

    assert (interval.mean, interval.high) == (1, 1)
    assert interval.low == pytest.approx(
        stats.binomtest(300, 300).proportion_ci(0.95, method="wilson").low, abs=1e-3
    )


def test_all_wrong_is_the_mirror_of_all_right() -> None:
    right, wrong = mean_interval(np.ones((10, 300))), mean_interval(np.zeros((10, 300)))

    assert right.low is not None
    assert wrong.high == pytest.approx(1 - right.low)


def test_one_seed_has_no_interval() -> None:
    interval = mean_interval(np.ones((1, 300)))

    assert (interval.low, interval.high) == (None, None)


def test_scores_that_are_not_right_or_wrong_get_the_t_interval_of_their_seeds() -> None:
    per_seed = np.random.default_rng(0).normal(3, 1, 12)

    interval = mean_interval(np.repeat(per_seed[:, None], 20, axis=1))

    low, high = stats.ttest_1samp(per_seed, 0).confidence_interval(0.95)
    assert interval.low == pytest.approx(low, abs=0.1)
    assert interval.high == pytest.approx(high, abs=0.1)


def test_the_finite_test_set_explains_the_spread_of_seeds_that_differ_by_chance_only() -> None:
    random = np.random.default_rng(0)
    observed, expected = spread_of_finite_test_set(random.random((200, 500)) < 0.9)

    assert expected == pytest.approx(np.sqrt(0.9 * 0.1 / 500), rel=0.02)
    assert observed == pytest.approx(expected, rel=0.15)
    with pytest.raises(RecordsError, match="one seed has no spread"):
        spread_of_finite_test_set(np.ones((1, 10)))


def test_error_reduction_is_fiellers_interval_when_only_seeds_vary() -> None:
    random = np.random.default_rng(0)
    a, b = random.normal(0.05, 0.01, 10), random.normal(0.10, 0.02, 10)
    reduction = error_reduction(
        np.repeat(a[:, None], 5, axis=1), np.repeat(b[:, None], 5, axis=1), 0.95
    )

    # Fieller's closed form: the roots of a quadratic in the ratio
    t2 = stats.t.ppf(0.975, 9) ** 2 / 10
    cov = np.cov(a, b)
    roots = np.roots(
        [
            b.mean() ** 2 - t2 * cov[1, 1],
            -2 * (a.mean() * b.mean() - t2 * cov[0, 1]),
            a.mean() ** 2 - t2 * cov[0, 0],
        ]
    )
    assert reduction.value == pytest.approx(1 - a.mean() / b.mean())
    assert (reduction.low, reduction.high) == pytest.approx((1 - roots.max(), 1 - roots.min()))


def test_error_reduction_has_no_lower_end_when_the_baseline_hardly_errs() -> None:
    errors_a, errors_b = np.zeros((6, 100)), np.zeros((6, 100))
    errors_b[0, 0] = errors_a[1, 1] = 1

    reduction = error_reduction(errors_a, errors_b, 0.95)

    assert reduction.value == 0
    assert reduction.low is None
    assert reduction.high is not None


def test_two_that_err_on_the_same_pictures_are_not_known_to_be_the_same() -> None:
    errors = np.tile(np.arange(200) % 4 == 0, (6, 1)).astype(float)

    reduction = error_reduction(errors, errors, 0.95)

    assert reduction.value == 0
    # ρ leaves the interval where |1 − ρ|·0.25 is beyond what two of 200 pictures allow
    reach = stats.t.ppf(0.975, np.inf) * np.sqrt(2) / 200 / 0.25
    assert reduction.low is not None
    assert reduction.high is not None
    assert -1.4 * reach < reduction.low < -0.9 * reach
    assert 0.9 * reach < reduction.high < 1.4 * reach


def test_error_reduction_is_nothing_without_errors_to_reduce() -> None:
    reduction = error_reduction(np.ones((6, 10)), np.zeros((6, 10)), 0.95)

    assert (reduction.value, reduction.low, reduction.high) == (None, None, None)


def test_an_arm_without_errors_reduces_all_and_the_interval_says_how_sure() -> None:
    random = np.random.default_rng(0)
    errors_b = (random.random((10, 500)) < 0.1).astype(float)

    reduction = error_reduction(np.zeros((10, 500)), errors_b, 0.95)

    assert (reduction.value, reduction.high) == (1, 1)
    assert reduction.low is not None
    assert 0.5 < reduction.low <= 1
