"""Choosing features, against a plain proximal descent in NumPy and scikit-learn's heads."""

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from torch import Tensor

from headstart.errors import TrainingError
from headstart.training.solvers import fit_selected, relevance

Array = NDArray[np.float64]


def examples(count: int, numbers: int = 40, classes: int = 3, seed: int = 0) -> tuple[Tensor, Any]:
    """Features of which the first few tell the class, on scales of their own."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    features = rng.normal(size=(count, numbers))
    for place in range(6):
        features[:, place] += 1.5 * (labels == place % classes)
    features *= np.random.default_rng(9).uniform(0.5, 1.5, numbers)
    return torch.from_numpy(features.astype(np.float32)), torch.from_numpy(labels)


def plain_descent(features: Array, labels: Array, share: float, units: int) -> Array:
    """The lengths of the weights of a group lasso, by many small proximal steps."""
    count = len(labels)
    x = features - features.mean(axis=0)
    y = (labels[:, None] == (np.arange(units) if units > 1 else np.ones(1))).astype(np.float64)
    highest = float(np.linalg.norm(x.T @ (y.mean(axis=0) - y), axis=1).max()) / count
    step = 2 / max(float(np.linalg.norm(x, 2)) ** 2 / count, 1.0)
    weight, bias = np.zeros((x.shape[1], units)), np.zeros(units)
    for _ in range(5_000):
        logits = x @ weight + bias
        if units == 1:
            said = 1 / (1 + np.exp(-logits))
        else:
            said = np.exp(logits - logits.max(axis=1, keepdims=True))
            said /= said.sum(axis=1, keepdims=True)
        weight = weight - step * x.T @ (said - y) / count
        lengths = np.linalg.norm(weight, axis=1, keepdims=True)
        shorter = 1 - step * share * highest / np.maximum(lengths, 1e-300)
        weight *= shorter.clip(min=0)
        bias = bias - step * (said - y).mean(axis=0)
    found: Array = np.linalg.norm(weight, axis=1)
    return found


@pytest.mark.parametrize(("classes", "units"), [(2, 1), (2, 2), (3, 3)])
def test_relevance_is_that_of_a_plain_descent(classes: int, units: int) -> None:
    features, labels = examples(90, classes=classes)
    shares = (0.1, 0.4)
    found = relevance(features, labels, units, shares, tolerance=1e-6).numpy()
    for scores, share in zip(found, sorted(shares, reverse=True), strict=True):
        expected = plain_descent(features.double().numpy(), labels.numpy(), share, units)
        np.testing.assert_allclose(scores.clip(min=0), expected, atol=1e-5)
        assert 0 < (expected > 0).sum() < 40
        assert (scores[expected == 0] <= 1e-5).all()


def test_what_has_no_weights_is_ordered_by_what_it_misses() -> None:
    """A weaker penalty lets in first what was nearest to being let in."""
    features, labels = examples(60, numbers=400, seed=3)
    strong, weak = relevance(features, labels, 3, (0.6, 0.57), tolerance=1e-6)
    joined = ((strong <= 0) & (weak > 0)).nonzero()[:, 0]
    assert len(joined)
    outside = strong.where(strong <= 0, -torch.inf)
    assert set(joined.tolist()) <= set(outside.argsort(descending=True)[:5].tolist())


def test_few_join_at_a_time_and_all_that_should_have() -> None:
    """More features with weights than may join at once, of many more than pictures."""
    features, labels = examples(60, numbers=400, seed=3)
    found = relevance(features, labels, 3, (0.05,), tolerance=1e-5)[0]
    expected = plain_descent(features.double().numpy(), labels.numpy(), 0.05, 3)
    assert (expected > 0).sum() > 30
    np.testing.assert_allclose(found.numpy().clip(min=0), expected, atol=2e-3)


def test_the_head_is_the_best_of_scikit_learns_on_validation() -> None:
    (x, y), (vx, vy) = examples(120), examples(60, seed=1)
    penalties, fractions, shares = (0.1, 1.0, 100.0), (0.05, 0.2, 1.0), (0.5, 0.1)
    found = fit_selected((x, y), (vx, vy), 3, penalties, fractions, shares)
    best: tuple[float, Any, Any] = (np.inf, None, None)
    relevant = {share: plain_descent(x.double().numpy(), y.numpy(), share, 3) for share in shares}
    for share, fraction, penalty in product(shares, fractions, penalties):
        lengths = relevant[share]
        if (lengths > 0).sum() < round(40 * fraction) < 40:
            continue  # of those without weights, relevance orders more than a plain descent tells
        kept = np.sort(np.argsort(-lengths, kind="stable")[: round(40 * fraction)])
        model = LogisticRegression(C=1 / penalty, tol=1e-8, max_iter=10_000)
        model.fit(x.double().numpy()[:, kept], y.numpy())
        lost = log_loss(vy.numpy(), model.predict_proba(vx.double().numpy()[:, kept]))
        best = min(best, (lost, kept.tolist(), model), key=lambda each: each[0])
    assert found.kept.tolist() == best[1]
    assert len(best[1]) < 40
    scores = found.head.scores(vx)
    np.testing.assert_allclose(
        torch.softmax(scores, dim=1).numpy(),
        best[2].predict_proba(vx.numpy()[:, best[1]]),
        atol=1e-4,
    )
    left_out = np.setdiff1d(np.arange(40), best[1])
    assert not found.head.weight[:, left_out].any()


def test_only_validation_pictures_choose() -> None:
    """Whatever fits the training pictures best is not kept when it tells nothing of others."""
    (x, y), (vx, vy) = examples(120), examples(60, seed=1)
    found = fit_selected((x, y), (vx, vy), 3, (1e-4, 10.0), (0.15, 1.0), (0.2,))
    assert set(range(6)) <= set(found.kept.tolist())
    other = fit_selected((x, y), (vx, (vy + 1) % 3), 3, (1e-4, 1e4), (0.15, 1.0), (0.2,))
    assert other.head.weight.abs().max() < found.head.weight.abs().max() / 10


def test_one_feature_at_least_is_kept_and_dead_ones_do_no_harm() -> None:
    x, y = examples(60, classes=2)
    x = torch.cat([torch.zeros(60, 500), x], dim=1)
    found = fit_selected((x, y), (x, y), 1, (1.0,), (1e-4,), (0.5,))
    assert len(found.kept) == 1
    assert found.kept[0] >= 500
    assert found.head.weight.shape == (1, 540)
    dead = fit_selected((x[:, :500], y), (x[:, :500], y), 1, (1.0,), (0.01,), (0.5,))
    assert torch.isfinite(dead.head.weight).all()


def test_the_same_again_bit_by_bit() -> None:
    parts = examples(60), examples(30, seed=1)
    one, two = (fit_selected(*parts, 3, (1.0,), (0.1, 0.5), (0.3,)) for _ in range(2))
    assert torch.equal(one.head.weight, two.head.weight)
    assert torch.equal(one.kept, two.kept)


@pytest.mark.parametrize("shares", [(), (0.0,), (1.0,), (0.5, -0.1)])
def test_penalties_that_are_no_shares_are_refused(shares: tuple[float, ...]) -> None:
    with pytest.raises(TrainingError, match="shares between 0 and 1"):
        relevance(*examples(60), 3, shares)


def test_a_class_without_pictures_is_refused() -> None:
    features, labels = examples(60)
    with pytest.raises(TrainingError, match="no training picture of class 2"):
        relevance(features, labels.clamp_max(1), 3, (0.5,))
