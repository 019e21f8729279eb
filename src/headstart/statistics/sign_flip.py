"""The sign-flip test over seeds: exact, and without any assumption about the spread's shape."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headstart.seeding import generator

MIN_PAIRS = 6
"""Fewer pairs cannot reach p < 0.05: the smallest two-sided p is 2 / 2**pairs."""

EXACT_PAIRS = 40
EXACT_STEPS = 200_000_000
"""Additions that the exact distribution of whole numbers may cost (about a second)."""

MONTE_CARLO_FLIPS = 100_000


def sign_flip_p(differences: ArrayLike, *, seed: int = 0) -> float:
    """Two-sided p-value of the sign-flip test.

    Null hypothesis: each pair's difference is as likely to be +x as −x, given x (for two
    strategies that are the same, true by symmetry). Pairing: one difference a seed. Assumption:
    pairs are independent of each other. It speaks of *these* test pictures, not of others.
    Multiplicity: none; correct several p-values with `headstart.statistics.multiplicity`.

    Three ways, the first that fits:

    - whole numbers (sums of 0/1 scores): the exact distribution of the sum over all 2**S sign
      patterns, one pair after the other, for any number of pairs;
    - up to 40 pairs: all patterns counted exactly. The sums of both halves of the pairs are
      listed, and for each of one half a binary search counts those of the other ("meet in the
      middle");
    - else 100,000 random patterns and the observed one are counted (the +1 rule, Phipson and
      Smyth 2010), which keeps the test valid.

    Args:
        differences: One a pair, shape (S,); for accuracies whole numbers of pictures are best,
            since ties are then exact.
        seed: Of the random patterns beyond 40 pairs.

    Returns:
        p in (0, 1].
    """
    signed = np.asarray(differences, dtype=np.float64)
    x = np.abs(signed)
    observed = abs(float(signed.sum()))
    # sums that are equal on paper may differ in their last bits
    threshold = observed - 1e-9 * float(x.sum())
    if threshold <= 0:
        return 1.0
    if float(x.sum()) * len(x) <= EXACT_STEPS and bool(np.all(x == np.round(x))):
        return _whole_numbers(x.astype(np.int64), round(observed))
    if len(x) <= EXACT_PAIRS:
        return _meet_in_the_middle(x, threshold)
    return _random_patterns(x, threshold, seed)


def _whole_numbers(x: NDArray[np.int64], observed: int) -> float:
    """Both tails of the sum's distribution, built by adding one pair at a time.

    Entry k is the probability that the pairs with a plus sign sum to k; the signed sum is then
    2k − total.
    """
    total = int(x.sum())
    probability = np.zeros(total + 1)
    probability[0] = 1.0
    for value in x:
        plus = np.zeros_like(probability)
        plus[value:] = probability[: total + 1 - value]
        probability = (probability + plus) / 2
    lower_tail = float(probability[: (total - observed) // 2 + 1].sum())
    return min(1.0, 2 * lower_tail)


def _meet_in_the_middle(x: NDArray[np.float64], threshold: float) -> float:
    half = (len(x) + 1) // 2
    left = _all_sums(x[:half])
    right = np.sort(_all_sums(x[half:]))
    # sums of flipped signs mirror each other, so one tail counted is the other too
    at_least = len(right) - np.searchsorted(right, np.sort(threshold - left), side="left")
    return min(1.0, 2 * float(at_least.sum()) / 2.0 ** len(x))


def _random_patterns(x: NDArray[np.float64], threshold: float, seed: int) -> float:
    random = generator(seed, "sign flips")
    extreme = 0
    for _ in range(10):
        signs = random.integers(0, 2, (MONTE_CARLO_FLIPS // 10, len(x)), dtype=np.int8) * 2 - 1
        extreme += int(np.count_nonzero(np.abs(signs @ x) >= threshold))
    return (extreme + 1) / (MONTE_CARLO_FLIPS + 1)


def _all_sums(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """The sums of x under all sign patterns, shape (2**len(x),)."""
    sums = np.zeros(1)
    for value in x:
        sums = np.concatenate([sums + value, sums - value])
    return sums
