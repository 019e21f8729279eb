"""Per-seed statistics: the corrected resampled t test, TOST, and P(A > B)."""

import numpy as np
import pytest
from scipy import stats

from headstart.errors import RecordsError, StudyError
from headstart.statistics.resampled import (
    Resampling,
    compare_folds,
    mean_of_folds,
    nadeau_bengio,
    probability_of_improvement,
)
from headstart.statistics.variance import Estimate


def test_without_overlap_it_is_the_paired_t_test() -> None:
    x = np.random.default_rng(0).normal(0.3, 1, 10)

    result = nadeau_bengio(x, train=10**12, test=1)

    reference = stats.ttest_1samp(x, 0)
    assert result.p_value == pytest.approx(reference.pvalue)
    assert (result.low, result.high) == pytest.approx(tuple(reference.confidence_interval(0.95)))


def test_overlap_widens_by_the_formula() -> None:
    x = np.random.default_rng(0).normal(0.3, 1, 10)

    result = nadeau_bengio(x, train=900, test=100)

    assert result.standard_error == pytest.approx(np.sqrt((1 / 10 + 1 / 9) * x.var(ddof=1)))
    assert result.degrees == 9
    t = x.mean() / result.standard_error
    assert result.p_value == pytest.approx(2 * stats.t.sf(abs(t), 9))


def test_splits_all_alike_are_certain_of_nothing_but_their_value() -> None:
    same = nadeau_bengio([0.0, 0.0, 0.0], train=10, test=5)
    different = nadeau_bengio([0.1, 0.1, 0.1], train=10, test=5)

    assert (same.p_value, same.p_equivalence) == (1, 0)
    assert (different.p_value, different.p_equivalence) == pytest.approx((0, 1), abs=1e-9)


def test_overlapping_splits_fool_the_plain_t_test_but_not_the_corrected_one() -> None:
    """Two equally good rules (the sign of one of two equal features) on repeated random halves."""
    random = np.random.default_rng(0)
    plain = corrected = 0
    for _ in range(400):
        labels = random.choice([-1, 1], 100)
        x = labels[:, None] * 0.5 + random.standard_normal((100, 2))
        gaps = []
        for _ in range(15):
            order = random.permutation(100)
            train, test = order[:70], order[70:]
            bars = [np.mean(x[train, j]) for j in (0, 1)]
            right = [np.mean(np.sign(x[test, j] - bars[j]) == labels[test]) for j in (0, 1)]
            gaps.append(right[0] - right[1])
        plain += bool(stats.ttest_1samp(gaps, 0).pvalue < 0.05)
        corrected += nadeau_bengio(gaps, train=70, test=30).p_value < 0.05

    assert plain / 400 > 0.3
    assert corrected / 400 < 0.08


def test_folds_are_compared_by_the_corrected_t_test() -> None:
    random = np.random.default_rng(1)
    a, b = 0.9 + 0.02 * random.standard_normal(10), 0.85 + 0.02 * random.standard_normal(10)

    result = compare_folds(a, b, Resampling(train=160, test=40, pictures=200))

    reference = nadeau_bengio(a - b, train=160, test=40)
    assert (result.low, result.high) == pytest.approx((reference.low, reference.high))
    assert result.p_value == pytest.approx(reference.p_value)
    assert result.p_equivalence == pytest.approx(reference.p_equivalence)
    assert result.verdict == "better"
    assert result.sentence("frozen", "scratch").endswith("), 10 folds")
    # a ratio is in the interval where the corrected t test of errors_a − ratio·errors_b allows it
    reduction = result.relative_error_reduction
    assert reduction.value == pytest.approx(1 - (1 - a).mean() / (1 - b).mean())
    for end in (reduction.low, reduction.high):
        assert end is not None
        edge = nadeau_bengio((1 - a) - (1 - end) * (1 - b), train=160, test=40)
        assert edge.p_value == pytest.approx(0.05)


def test_fewer_than_six_folds_have_an_interval_and_no_verdict() -> None:
    a = np.array([0.91, 0.92, 0.9, 0.91, 0.93])

    result = compare_folds(a, a - 0.2, Resampling(train=160, test=40, pictures=200))

    assert (result.verdict, result.p_value) == ("undecided", None)
    assert result.low == pytest.approx(0.2, abs=0.02)
    assert result.note == "5 folds are too few for a verdict: ask for repeats"
    assert "at least 6 folds are needed" in result.sentence("frozen", "scratch")


def test_folds_that_agree_are_as_uncertain_as_so_few_pictures() -> None:
    same = np.full(10, 0.9)
    few = compare_folds(same, same, Resampling(train=40, test=10, pictures=50))
    many = compare_folds(same, same, Resampling(train=4000, test=1000, pictures=5000))

    assert (few.verdict, many.verdict) == ("undecided", "equivalent")
    assert few.high == pytest.approx(stats.t.ppf(0.975, 9) * np.sqrt(2) / 50)


def test_less_log_loss_is_better_and_its_interval_is_not_cut() -> None:
    loss = np.array([3.0, 3.1, 2.9, 3.2, 3.0, 3.1])
    result = compare_folds(
        loss - 2, loss, Resampling(train=500, test=100, pictures=600), metric="log_loss"
    )
    assert result.verdict == "better"
    assert result.difference == pytest.approx(-2)
    assert result.relative_error_reduction.value is None


def test_the_mean_of_folds_stays_a_share() -> None:
    interval = mean_of_folds([0.99, 1.0, 1.0, 0.97, 1.0, 1.0], Resampling(500, 100, 600))
    assert interval.mean == pytest.approx(0.99333, abs=1e-4)
    assert interval.high == 1.0
    assert interval.low is not None
    assert interval.low < 0.98


def test_equivalence_agrees_with_statsmodels() -> None:
    x = np.array([0.001, 0.004, -0.002, 0.003, 0.0, 0.002, -0.001, 0.0025])
    estimate = Estimate(float(x.mean()), float(stats.sem(x)), 7.0)

    # statsmodels 0.15.0: ttost_paired(x, 0, -0.005, 0.005)
    assert estimate.p_equivalence(0.005) == pytest.approx(0.0006185874147514487)


def test_probability_of_improvement_is_wilsons_share_of_wins() -> None:
    a, b = np.arange(20.0), np.arange(20.0)
    a[:14] += 1
    a[14:] -= 1

    improvement = probability_of_improvement(a, b)

    reference = stats.binomtest(14, 20).proportion_ci(0.95, method="wilson")
    assert improvement.probability == 0.7
    assert (improvement.low, improvement.high) == pytest.approx((reference.low, reference.high))
    assert not improvement.convincing
    assert probability_of_improvement(b + 1, b).convincing
    assert probability_of_improvement(b, b).probability == 0.5


def test_unusable_numbers_are_refused() -> None:
    with pytest.raises(RecordsError, match="at least 2 finite numbers"):
        nadeau_bengio([0.1], train=10, test=5)
    with pytest.raises(StudyError, match="at least 1 picture"):
        nadeau_bengio([0.1, 0.2], train=0, test=5)
    with pytest.raises(RecordsError, match="no pairs"):
        compare_folds([0.1, 0.2], [0.1, 0.2, 0.3], Resampling(10, 5, 15))
    with pytest.raises(RecordsError, match="no pairs"):
        probability_of_improvement([1, 2], [1, 2, 3])
    with pytest.raises(RecordsError, match="NaN or infinity"):
        probability_of_improvement([1, np.nan], [1, 2])
