"""The crossed bootstrap: against resampling by hand and its known variance."""

import numpy as np
import pytest
from scipy import stats

from headstart.statistics.bootstrap import calibrated_interval, crossed_means
from headstart.statistics.variance import Estimate, estimate_mean, mean_squares, variance_split


def table(seeds: int = 8, pictures: int = 60) -> np.ndarray:
    random = np.random.default_rng(0)
    return np.asarray(
        random.normal(0, 0.3, (seeds, 1))
        + random.normal(0, 1, (1, pictures))
        + random.normal(0, 1, (seeds, pictures))
    )


def test_crossed_means_are_those_of_seeds_and_pictures_drawn_independently() -> None:
    scores, random = table(), np.random.default_rng(1)
    by_hand = [
        scores[np.ix_(random.integers(0, 8, 8), random.integers(0, 60, 60))].mean()
        for _ in range(20_000)
    ]

    resampled = crossed_means(scores, 20_000, seed=0)

    assert resampled.mean() == pytest.approx(np.mean(by_hand), abs=0.01)
    assert resampled.std() == pytest.approx(np.std(by_hand), rel=0.03)
    assert np.quantile(resampled, [0.05, 0.95]) == pytest.approx(
        np.quantile(by_hand, [0.05, 0.95]), abs=0.03
    )


def test_chunks_do_not_change_what_is_drawn_for_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = np.repeat(table()[:, :1], 60, axis=1)  # pictures all alike: only seeds count
    whole = crossed_means(scores, 500, seed=0)
    monkeypatch.setattr("headstart.statistics.bootstrap.CHUNK_CELLS", 60 * 7)

    assert crossed_means(scores, 500, seed=0) == pytest.approx(whole, abs=1e-5)


def test_calibration_gives_a_t_interval_when_the_bootstrap_is_normal() -> None:
    estimate = Estimate(mean=1.0, standard_error=0.2, degrees=9.0)
    normal = 1 + 0.15 * stats.norm.ppf((np.arange(100_000) + 0.5) / 100_000)

    low, high = calibrated_interval(estimate, normal, 0.95)

    assert (low, high) == pytest.approx(stats.t.interval(0.95, 9, loc=1, scale=0.2), abs=1e-4)


def test_calibration_keeps_the_bootstraps_lopsidedness() -> None:
    estimate = Estimate(mean=0.0, standard_error=1.0, degrees=20.0)
    lopsided = np.random.default_rng(0).exponential(1, 100_000) - 1

    low, high = calibrated_interval(estimate, lopsided, 0.95)

    assert high > 2 * -low


def test_far_out_the_interval_does_not_hang_on_a_handful_of_resamples() -> None:
    estimate = Estimate(mean=0.0, standard_error=1.0, degrees=50.0)
    random = np.random.default_rng(0)

    ends = [calibrated_interval(estimate, random.standard_normal(10_000), 0.9999) for _ in range(5)]

    assert np.ptp(ends, axis=0) == pytest.approx(0, abs=0.2)
    assert np.mean(ends, axis=0)[1] == pytest.approx(stats.t.ppf(0.99995, 50), abs=0.1)


def test_mean_squares_are_those_of_the_two_way_table() -> None:
    scores = table(6, 40)
    rows, columns, mean = scores.mean(1), scores.mean(0), scores.mean()
    rest = scores - rows[:, None] - columns[None] + mean

    squares = mean_squares(scores)

    assert squares.seeds[0, 0] == pytest.approx(40 * rows.var(ddof=1))
    assert squares.pictures[0, 0] == pytest.approx(6 * columns.var(ddof=1))
    assert squares.both[0, 0] == pytest.approx((rest**2).sum() / (5 * 39))


def test_a_contrast_of_two_tables_is_the_table_of_the_contrast() -> None:
    a, b = table(6, 40), table(6, 40) ** 2

    together = mean_squares(a, b).estimate(np.array([1.0, -0.7]))
    direct = estimate_mean(a - 0.7 * b)

    assert together.mean == pytest.approx(direct.mean)
    assert together.standard_error == pytest.approx(direct.standard_error)
    assert together.degrees == pytest.approx(direct.degrees)


def test_the_variance_split_finds_the_variances_that_made_the_table() -> None:
    random = np.random.default_rng(5)
    splits = [
        variance_split(
            random.normal(0, 0.5, (20, 1))
            + random.normal(0, 1.5, (1, 200))
            + random.normal(0, 1, (20, 200))
        )
        for _ in range(200)
    ]

    assert np.mean([split.seeds for split in splits]) == pytest.approx(0.25, rel=0.05)
    assert np.mean([split.pictures for split in splits]) == pytest.approx(2.25, rel=0.05)
    assert np.mean([split.both for split in splits]) == pytest.approx(1, rel=0.02)
    split = splits[0]
    assert sum(split.shares.values()) == pytest.approx(1)
    assert split.variance(40, 200) < split.variance() < split.variance(10, 200)


def test_the_standard_error_is_that_of_repeated_studies() -> None:
    random = np.random.default_rng(6)
    estimates = [
        estimate_mean(
            random.normal(0, 0.1, (10, 1))
            + random.normal(0, 1, (1, 300))
            + random.normal(0, 2, (10, 300))
        )
        for _ in range(600)
    ]

    actual = np.var([e.mean for e in estimates])
    claimed = np.mean([e.standard_error**2 for e in estimates])

    assert claimed == pytest.approx(actual, rel=0.15)
