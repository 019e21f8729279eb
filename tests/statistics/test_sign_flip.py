"""The sign-flip test, against SciPy and by counting."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from headstart.statistics.sign_flip import sign_flip_p


def counted_by_hand(x: list[float]) -> float:
    observed = abs(sum(x))
    sums = [abs(sum(s * v for s, v in zip(signs, x, strict=True)))
            for signs in itertools.product([-1, 1], repeat=len(x))]  # fmt: skip
    return sum(value >= observed - 1e-9 for value in sums) / len(sums)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(-50, 50), min_size=1, max_size=9))
def test_p_is_the_share_of_sign_patterns_at_least_as_extreme(x: list[int]) -> None:
    assert sign_flip_p(x) == pytest.approx(counted_by_hand([float(v) for v in x]))


def test_p_agrees_with_scipy() -> None:
    x = np.random.default_rng(0).normal(0.4, 1, 12)
    reference = stats.permutation_test(
        (x, np.zeros(12)),
        lambda a, b, axis: np.mean(a - b, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=np.inf,
    )
    assert sign_flip_p(x) == pytest.approx(reference.pvalue)


def test_all_signs_alike_give_the_smallest_p_there_is() -> None:
    assert sign_flip_p(np.arange(1, 7)) == 2 / 2**6
    assert sign_flip_p(np.arange(1, 41)) == pytest.approx(2 / 2**40)


def test_no_difference_at_all_gives_one() -> None:
    assert sign_flip_p(np.zeros(8)) == 1
    assert sign_flip_p([0.1, -0.1, 0.3, -0.3]) == 1


def test_exact_and_random_patterns_agree() -> None:
    x = np.random.default_rng(4).normal(0.3, 1, 40)
    padded = np.concatenate([x, np.zeros(1)])  # 41 pairs: random patterns

    assert sign_flip_p(padded) == pytest.approx(sign_flip_p(x), abs=0.004)
    assert sign_flip_p(np.arange(1, 51) + 0.5) == 1 / 100_001


def test_whole_numbers_and_listed_patterns_agree() -> None:
    x = np.random.default_rng(5).integers(-30, 40, 24)

    assert sign_flip_p(x) == pytest.approx(sign_flip_p(x / 7), rel=1e-9)
    assert sign_flip_p(np.full(200, 3)) == pytest.approx(2 / 2**200)
