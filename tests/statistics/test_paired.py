"""Paired comparisons, against SciPy, brute force, and worlds whose truth is known."""

import time

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from headstart.errors import RecordsError, StudyError
from headstart.statistics.paired import compare_pairs
from headstart.statistics.variance import estimate_mean

Table = NDArray[np.float64]


def pairs(
    seeds: int, pictures: int, accuracy_a: float, accuracy_b: float, seed: int = 0
) -> tuple[Table, Table]:
    """Two arms that share how hard each picture is."""
    random = np.random.default_rng(seed)
    hard = 0.5 * random.standard_normal(pictures)
    a, b = (
        (random.standard_normal((seeds, pictures)) + hard < stats.norm.ppf(p) * np.sqrt(1.25))
        for p in (accuracy_a, accuracy_b)
    )
    return a.astype(float), b.astype(float)


def test_a_clear_gap_is_better_from_one_side_and_worse_from_the_other() -> None:
    a, b = pairs(10, 1000, 0.95, 0.90)

    forward, backward = compare_pairs(a, b), compare_pairs(b, a)

    assert forward.verdict == "better"
    assert backward.verdict == "worse"
    assert forward.difference == pytest.approx(a.mean() - b.mean())
    assert forward.low is not None
    assert forward.high is not None
    assert 0 < forward.low < forward.difference < forward.high
    assert backward.difference == -forward.difference
    assert forward.p_value == backward.p_value == pytest.approx(2 / 2**10)
    assert forward.pairs == 10
    assert forward.pictures == 1000


def test_the_sentence_says_what_the_numbers_allow() -> None:
    a, b = pairs(10, 1000, 0.95, 0.90)
    worse = compare_pairs(b, a)

    assert worse.low is not None
    assert worse.high is not None
    assert worse.sentence("frozen", "scratch") == (
        f"frozen is worse than scratch by {-100 * worse.difference:.1f} points "
        f"({-100 * worse.high:.1f} to {-100 * worse.low:.1f}), 10 pairs"
    )
    assert compare_pairs(a, b).sentence("x", "y").startswith("x is better than y by ")


def test_below_six_pairs_there_is_no_p_value_and_no_verdict_and_it_says_so() -> None:
    a, b = pairs(5, 2000, 0.99, 0.70)

    comparison = compare_pairs(a, b)

    assert comparison.p_value is None
    assert comparison.claim_p is None
    assert comparison.verdict == "undecided"
    assert "fewer than 6 pairs" in comparison.note
    assert comparison.sentence("x", "y").endswith("5 pairs; at least 6 pairs are needed")
    assert comparison.low is not None
    assert comparison.low > 0


def test_one_seed_has_a_difference_and_nothing_else() -> None:
    a, b = pairs(1, 500, 0.95, 0.90)

    comparison = compare_pairs(a, b)

    assert comparison.difference == pytest.approx(a.mean() - b.mean())
    assert (comparison.low, comparison.high, comparison.variance) == (None, None, None)
    assert comparison.relative_error_reduction.value is not None
    assert comparison.relative_error_reduction.low is None
    assert "one seed has no spread" in comparison.note
    assert "one pair says nothing of how the next would fall" in comparison.sentence("x", "y")


def test_arms_that_predict_the_same_are_equivalent_once_there_are_enough_pictures() -> None:
    few, many = np.ones((8, 200)), np.ones((8, 2000))

    undecided, equivalent = compare_pairs(few, few), compare_pairs(many, many)

    assert undecided.verdict == "undecided"
    assert equivalent.verdict == "equivalent"
    assert equivalent.low is not None
    assert equivalent.low < 0  # sameness on 2,000 pictures is not sameness on all pictures
    assert equivalent.p_value == 1
    assert equivalent.relative_error_reduction.value is None


def test_a_real_difference_below_the_margin_is_equivalent_and_names_who_is_ahead() -> None:
    a, b = pairs(20, 10_000, 0.9525, 0.95)

    comparison = compare_pairs(a, b, margin=0.005)

    assert comparison.verdict == "equivalent"
    assert comparison.low is not None
    assert comparison.low > 0
    sentence = comparison.sentence("fine_tune", "scratch")
    assert sentence.startswith("fine_tune and scratch are equivalent within 0.5 points: ")
    assert sentence.endswith("20 pairs; fine_tune is ahead, but by less than matters")


def test_equivalence_is_two_one_sided_t_tests() -> None:
    random = np.random.default_rng(3)
    gaps = np.repeat(random.normal(0.001, 0.002, (12, 1)), 50, axis=1)

    comparison = compare_pairs(gaps, np.zeros_like(gaps), margin=0.005)
    above = stats.ttest_1samp(gaps[:, 0], -0.005, alternative="greater").pvalue
    below = stats.ttest_1samp(gaps[:, 0], 0.005, alternative="less").pvalue

    assert comparison.equivalence is not None
    low, high = stats.ttest_1samp(gaps[:, 0], 0).confidence_interval(0.90)
    assert comparison.equivalence == pytest.approx((low, high))
    assert (comparison.verdict == "equivalent") == (max(above, below) < 0.05)


def test_where_only_seeds_vary_the_standard_error_and_p_are_the_paired_t_tests() -> None:
    random = np.random.default_rng(0)
    per_seed = random.normal(0.01, 0.02, 9)
    table = np.repeat(per_seed[:, None], 30, axis=1)

    estimate = estimate_mean(table)
    comparison = compare_pairs(table, np.zeros_like(table))
    reference = stats.ttest_1samp(per_seed, 0)

    assert estimate.standard_error == pytest.approx(stats.sem(per_seed))
    assert estimate.degrees == pytest.approx(8)
    assert comparison.p_interval == pytest.approx(reference.pvalue)


def test_where_seeds_are_all_equal_the_pictures_luck_remains() -> None:
    random = np.random.default_rng(1)
    row = random.choice([-1.0, 0.0, 1.0], p=[0.05, 0.85, 0.10], size=2000)
    table = np.repeat(row[None], 10, axis=0)

    estimate = estimate_mean(table)

    # the same seed ten times is no more than once; a thousandth is for rare differing pictures
    assert estimate.standard_error == pytest.approx(stats.sem(row), rel=0.02)
    assert compare_pairs(table, np.zeros_like(table)).variance is not None
    shares = compare_pairs(table, np.zeros_like(table)).variance.shares  # type: ignore[union-attr]
    assert shares["pictures"] == pytest.approx(1)


def test_the_interval_agrees_with_scipys_bootstrap_when_pictures_are_the_only_luck() -> None:
    random = np.random.default_rng(2)
    row = random.choice([-1.0, 0.0, 1.0], p=[0.05, 0.80, 0.15], size=1000)
    reference = stats.bootstrap(
        (row,), np.mean, method="percentile", rng=np.random.default_rng(0), batch=1000
    ).confidence_interval

    comparison = compare_pairs(np.repeat(row[None], 8, axis=0), np.zeros((8, 1000)))

    assert comparison.low == pytest.approx(reference.low, abs=0.002)
    assert comparison.high == pytest.approx(reference.high, abs=0.002)


def test_groups_of_copies_count_once() -> None:
    a, b = (np.repeat(arm[:1], 10, axis=0) for arm in pairs(1, 300, 0.95, 0.85))
    copies = np.repeat(np.arange(300), 4)

    alone = compare_pairs(a, b)
    copied = compare_pairs(a[:, copies], b[:, copies], groups=copies)
    fooled = compare_pairs(a[:, copies], b[:, copies])

    assert copied.standard_error == pytest.approx(alone.standard_error)
    assert copied.difference == pytest.approx(alone.difference)
    assert fooled.standard_error is not None
    assert alone.standard_error is not None
    assert fooled.standard_error < 0.6 * alone.standard_error


def test_the_same_seed_gives_the_same_numbers_and_order_of_pictures_does_not_matter() -> None:
    a, b = pairs(8, 400, 0.92, 0.90)
    order = np.random.default_rng(0).permutation(400)

    assert compare_pairs(a, b, seed=3) == compare_pairs(a, b, seed=3)
    mixed = compare_pairs(a[:, order], b[:, order])
    assert mixed.p_value == compare_pairs(a, b).p_value
    assert mixed.standard_error == pytest.approx(compare_pairs(a, b).standard_error)


def test_ten_thousand_resamples_of_forty_seeds_and_ten_thousand_pictures_take_seconds() -> None:
    a, b = pairs(40, 10_000, 0.95, 0.949)
    start = time.process_time()

    compare_pairs(a, b, resamples=10_000)

    assert time.process_time() - start < 5


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (np.ones((3, 4)), np.ones((2, 4)), "same seeds on the same test pictures"),
        (np.ones((3, 4)), np.full((3, 4), np.nan), "b holds scores that are not numbers"),
        (np.ones(4), np.ones((1, 4)), r"a must have shape \(seeds, pictures\)"),
        (np.ones((0, 4)), np.ones((0, 4)), "at least 1 seed and 2 pictures"),
        ([["x", "y"]], np.ones((1, 2)), "a must be a table of numbers"),
    ],
)
def test_tables_that_are_no_pairs_are_refused(a: Table, b: Table, message: str) -> None:
    with pytest.raises(RecordsError, match=message):
        compare_pairs(a, b)


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(RecordsError) as caught:
        compare_pairs(np.ones(4), np.full((3, 4), np.inf))
    assert len(caught.value.problems) == 2
    with pytest.raises(StudyError, match=r"confidence must be in(.|\n)*margin must be 0 or more"):
        compare_pairs(np.ones((3, 4)), np.ones((3, 4)), confidence=1.5, margin=-1)


def test_groups_of_the_wrong_length_are_refused() -> None:
    with pytest.raises(RecordsError, match="a group for each of the 4 pictures"):
        compare_pairs(np.ones((3, 4)), np.ones((3, 4)), groups=[0, 1, 2])
