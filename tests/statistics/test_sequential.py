"""Looking as seeds come in: published boundaries, repeated intervals, stops."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import integrate, stats

from headstart.errors import RecordsError, StudyError
from headstart.statistics.always_valid import evidence
from headstart.statistics.boundaries import nominal_levels, obrien_fleming_spending
from headstart.statistics.sequential import declare, follow, take_look

Table = NDArray[np.float64]


def seed_table(per_seed: Table, pictures: int = 400) -> Table:
    """Differences that only seeds have; all pictures alike."""
    return np.repeat(per_seed[:, None], pictures, axis=1)


def test_boundaries_are_those_of_lan_and_demets() -> None:
    levels = nominal_levels((0.2, 0.4, 0.6, 0.8, 1.0), 0.05)

    published = [4.8769, 3.3569, 2.6803, 2.2898, 2.0310]  # Jennison and Turnbull 2000; ldbounds
    assert stats.norm.isf(np.array(levels) / 2) == pytest.approx(published, abs=2e-4)


def test_the_boundaries_are_left_with_the_spent_probability() -> None:
    fractions = (0.25, 0.5, 0.75, 1.0)
    bounds = stats.norm.isf(np.array(nominal_levels(fractions, 0.05)) / 2)
    random = np.random.default_rng(0)
    steps = random.standard_normal((400_000, 4)) * 0.5
    z = steps.cumsum(axis=1) / np.sqrt(fractions)

    left = np.cumsum([
        np.mean((np.abs(z[:, k]) > bounds[k]) & np.all(np.abs(z[:, :k]) <= bounds[:k], axis=1))
        for k in range(4)
    ])  # fmt: skip

    spent = [obrien_fleming_spending(fraction, 0.05) for fraction in fractions]
    assert left == pytest.approx(spent, abs=0.001)
    assert spent[-1] == pytest.approx(0.05)


def test_one_look_is_the_ordinary_t_test() -> None:
    random = np.random.default_rng(0)
    a = seed_table(random.normal(0.02, 0.03, 12))
    design = declare(12, first=12)

    look = take_look(design, a, np.zeros_like(a))

    reference = stats.ttest_1samp(a[:, 0], 0)
    assert design.claim_levels == pytest.approx((0.05,))
    assert look.p_value == pytest.approx(reference.pvalue)
    assert (look.low, look.high) == pytest.approx(tuple(reference.confidence_interval(0.95)))


def test_a_large_difference_stops_early_and_a_claim_is_an_interval_without_zero() -> None:
    random = np.random.default_rng(1)
    a = seed_table(random.normal(0.05, 0.01, 40))

    path = follow(declare(40), a, np.zeros_like(a))

    assert path.stop == path.verdict == "better"
    assert path.looks[-1].pairs < 20
    assert path.looks[-1].low > 0
    assert path.looks[-1].p_value <= path.looks[-1].level
    assert all(look.stop is None and look.low <= 0 for look in path.looks[:-1])
    assert follow(declare(40), np.zeros_like(a), a).verdict == "worse"


def test_sameness_stops_as_equivalent() -> None:
    random = np.random.default_rng(2)
    a = seed_table(random.normal(0, 0.002, 40))

    path = follow(declare(40, margin=0.005), a, np.zeros_like(a))

    assert path.verdict == "equivalent"
    low, high = path.looks[-1].equivalence
    assert -0.005 < low < high < 0.005


def test_where_pictures_are_the_trouble_it_stops_as_futile() -> None:
    random = np.random.default_rng(3)
    row = random.choice([-1.0, 0.0, 1.0], p=[0.2, 0.6, 0.2], size=100)
    a = np.repeat(row[None], 10, axis=0) + random.normal(0, 0.01, (10, 1))

    path = follow(declare(40), a, np.zeros_like(a))

    assert path.stop == "futile"
    assert path.looks[-1].chance < 0.1
    assert path.verdict == "undecided"
    assert follow(declare(40, futility=0), a, np.zeros_like(a)).stop is None


def test_the_last_look_ends_it() -> None:
    a = seed_table(np.array([0.01, -0.01, 0.03, -0.02, 0.02, -0.015, 0.01, 0.005]))

    path = follow(declare(8, futility=0), a, np.zeros_like(a))

    assert (path.stop, path.verdict, len(path.looks)) == ("maximum", "undecided", 3)


def test_before_the_first_look_nothing_is_said() -> None:
    path = follow(declare(20), np.ones((4, 10)), np.zeros((4, 10)))

    assert (path.looks, path.stop, path.verdict) == ((), None, "undecided")
    with pytest.raises(StudyError, match="no look at 4 pairs"):
        take_look(declare(20), np.ones((4, 10)), np.zeros((4, 10)))


def test_a_design_that_makes_no_sense_is_refused_with_every_reason() -> None:
    with pytest.raises(StudyError, match="at least 6 pairs") as caught:
        declare(4, first=5, every=0, alpha=0.9, margin=-1, futility=2)
    assert len(caught.value.problems) == 6


def test_the_e_value_is_the_bayes_factor_integrated_numerically() -> None:
    x = np.array([0.01, 0.03, 0.02, -0.005, 0.015, 0.012, 0.022])
    a = seed_table(x)
    t, n = float(stats.ttest_1samp(x, 0).statistic), len(x)

    def likelihood(effect: float) -> float:
        density = stats.nct.pdf(t, n - 1, effect * np.sqrt(n)) * stats.norm.pdf(effect)
        return float(density)

    by_hand = integrate.quad(likelihood, -8, 8)[0] / stats.t.pdf(t, n - 1)

    assert evidence(a, np.zeros_like(a)).e_value == pytest.approx(by_hand, rel=1e-4)


def test_the_always_valid_interval_holds_what_the_e_value_does_not_reject() -> None:
    x = np.random.default_rng(5).normal(0.02, 0.01, 10)
    a = seed_table(x)
    seen = evidence(a, np.zeros_like(a))

    edge = evidence(a - seen.low, np.zeros_like(a))

    assert edge.e_value == pytest.approx(20)
    assert (seen.low > 0) == (seen.e_value >= 20) == (seen.verdict == "better")


def test_evidence_of_one_pair_is_none_and_nonsense_is_refused() -> None:
    alone = evidence(np.ones((1, 5)), np.zeros((1, 5)))

    assert (alone.e_value, alone.verdict, alone.low) == (1, "undecided", -np.inf)
    with pytest.raises(StudyError, match="prior above 0"):
        evidence(np.ones((3, 5)), np.zeros((3, 5)), prior=0)
    with pytest.raises(RecordsError, match="not numbers"):
        evidence(np.full((3, 5), np.nan), np.zeros((3, 5)))
