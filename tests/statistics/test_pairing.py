"""Trials become pairs only where both arms have them on the same test split."""

import numpy as np
import pytest

from headstart.errors import RecordsError
from headstart.statistics.pairing import pair_trials


def test_trials_missing_in_one_arm_are_left_out_and_named() -> None:
    a = {3: [1, 0, 1], 1: [1, 1, 1], 7: [0, 0, 0]}
    b = {1: [0, 1, 1], 3: [1, 1, 1], 4: [1, 1, 1]}

    pairs = pair_trials(a, b, test_split_a="x", test_split_b="x", name_a="frozen", name_b="scratch")

    assert pairs.seeds == (1, 3)
    assert pairs.a.tolist() == [[1, 1, 1], [1, 0, 1]]
    assert pairs.b.tolist() == [[0, 1, 1], [1, 1, 1]]
    assert pairs.note == (
        "frozen: seed 7 left out, not in scratch; scratch: seed 4 left out, not in frozen"
    )


def test_two_different_test_splits_are_refused() -> None:
    with pytest.raises(RecordsError, match="mix the strategies with the pictures"):
        pair_trials({1: [1, 0]}, {1: [1, 0]}, test_split_a="x", test_split_b="y")


def test_no_common_seed_differing_lengths_and_nan_are_refused() -> None:
    with pytest.raises(RecordsError, match=r"no seed in common \(seeds 1 and 2\)"):
        pair_trials({1: [1, 0]}, {2: [1, 0]}, test_split_a="x", test_split_b="x")
    with pytest.raises(RecordsError, match="different numbers of pictures"):
        pair_trials({1: [1, 0]}, {1: [1, 0, 1]}, test_split_a="x", test_split_b="x")
    with pytest.raises(RecordsError, match="leave failed trials out"):
        pair_trials({1: [1, np.nan]}, {1: [1, 0]}, test_split_a="x", test_split_b="x")
