"""Intervals over pictures for one network, against SciPy and against simulated truth."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from headstart.errors import RecordsError, StudyError
from headstart.statistics.metrics import contributions
from headstart.statistics.one_network import all_intervals, metric_interval, score_interval


@given(st.integers(2, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_shares_have_wilsons_interval(case: tuple[int, int]) -> None:
    right, count = case
    expected = stats.binomtest(right, count).proportion_ci(method="wilson")
    found = score_interval(np.arange(count) < right)
    assert found.mean == right / count
    assert found.low == pytest.approx(expected.low, abs=1e-9)
    assert found.high == pytest.approx(expected.high, abs=1e-9)


def test_means_without_bounds_have_the_t_interval() -> None:
    losses = np.random.default_rng(0).exponential(2.0, 40)
    expected = stats.t.interval(0.9, 39, losses.mean(), stats.sem(losses))
    found = score_interval(losses, confidence=0.9, bounded=False)
    assert (found.low, found.high) == pytest.approx(expected)


def world(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    labels = rng.choice(3, count, p=[0.5, 0.3, 0.2])
    logits = rng.normal(0, 1, (count, 3)) + 1.2 * np.eye(3)[labels]
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), labels


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    names = ("accuracy", "balanced_accuracy", "f1_macro", "roc_auc", "log_loss")
    many, labels = world(300_000, np.random.default_rng(1))
    truth = {name: float(contributions(name, many[None], labels).mean()) for name in names}
    rng = np.random.default_rng(2)
    hits = dict.fromkeys(names, 0)
    for _ in range(200):
        probabilities, labels = world(250, rng)
        found = all_intervals(probabilities, labels)
        for name in names:
            low, high = found[name].low, found[name].high
            assert low is not None
            assert high is not None
            hits[name] += low <= truth[name] <= high
    # 200 tries at 95% give 180 to 198 with a chance of 99.7%.
    assert all(179 <= count <= 199 for count in hits.values()), hits


def test_pictures_that_belong_together_widen_the_interval() -> None:
    right = np.repeat(np.random.default_rng(3).integers(0, 2, 30), 10)
    alone, together = (
        score_interval(right, groups=groups) for groups in (None, np.repeat(np.arange(30), 10))
    )
    assert alone.low is not None
    assert together.low is not None
    assert together.low < alone.low - 0.05


def test_calibration_error_stands_alone_and_auc_needs_two_classes() -> None:
    probabilities, labels = world(50, np.random.default_rng(4))
    assert all_intervals(probabilities, labels)["ece"].low is None
    assert "roc_auc" not in all_intervals(probabilities, np.zeros(50, dtype=int))


def test_what_cannot_be_used_is_told() -> None:
    probabilities, labels = world(50, np.random.default_rng(5))
    with pytest.raises(RecordsError, match=r"shape \(pictures, classes\)"):
        metric_interval("accuracy", probabilities[None], labels)
    with pytest.raises(StudyError, match="no metric 'acuracy'"):
        metric_interval("acuracy", probabilities, labels)
    with pytest.raises(StudyError, match="confidence must be"):
        score_interval([0, 1], confidence=2)
    with pytest.raises(RecordsError, match="2 pictures"):
        score_interval([1])
