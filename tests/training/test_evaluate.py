"""Evaluation: scikit-learn's numbers, and a network that is left in its own modes."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from headstart.networks.groups import Network, weights_hash
from headstart.training import batches as batches_module
from headstart.training.batches import Batches
from headstart.training.evaluate import (
    accuracy,
    evaluate_loss,
    log_loss,
    predict_probabilities,
)


@settings(max_examples=50)
@given(st.integers(2, 5), st.integers(1, 30), st.integers(0, 10**6))
def test_scores_are_scikit_learns(classes: int, count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.ones(classes), count).astype(np.float32)
    labels = rng.integers(0, classes, count)
    numbers = np.arange(classes)
    exact = probabilities.astype(np.float64)
    exact /= exact.sum(axis=1, keepdims=True)
    assert accuracy(probabilities, labels) == metrics.accuracy_score(labels, exact.argmax(axis=1))
    assert log_loss(probabilities, labels) == pytest.approx(
        metrics.log_loss(labels, exact, labels=numbers), rel=1e-5
    )


def test_a_sure_mistake_costs_a_finite_amount() -> None:
    sure = np.array([[1, 0], [1, 0]], dtype=np.float32)
    assert log_loss(sure, np.array([0, 1])) == pytest.approx(-np.log(1e-7) / 2)


@pytest.mark.parametrize("classes", [2, 3])
def test_predictions_are_the_networks_in_evaluation_mode(
    mlp: Callable[..., Network], make_batches: Callable[..., Batches], classes: int
) -> None:
    network, batches = mlp(classes=classes).train(), make_batches(25, classes)
    found = predict_probabilities(network, batches)
    with torch.no_grad():
        logits = network.eval()(batches.inputs(slice(None))).double()
    if classes == 2:
        of_second = 1 / (1 + torch.exp(-logits))
        expected = torch.cat([1 - of_second, of_second], dim=1)
    else:
        expected = logits.exp() / logits.exp().sum(dim=1, keepdim=True)
    assert found.dtype == np.float32
    assert found.shape == (25, classes)
    assert found == pytest.approx(expected.numpy(), abs=1e-6)


def test_losses_are_means_over_all_pictures_whatever_the_batches(
    cnn: Callable[..., Network],
    make_batches: Callable[..., Batches],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network, batches = cnn(), make_batches(29)
    assert batches.labels is not None
    whole = predict_probabilities(network, batches)
    monkeypatch.setattr(batches_module, "_EVALUATION_BATCH", 8)
    parts = predict_probabilities(network, batches)
    assert parts == pytest.approx(whole, abs=1e-6)
    value, share = evaluate_loss(network, batches)
    labels = batches.labels.numpy()
    assert value == pytest.approx(metrics.log_loss(labels, whole, labels=[0, 1, 2]), rel=1e-5)
    assert share == metrics.accuracy_score(labels, whole.argmax(axis=1))


@pytest.mark.parametrize("evaluate", [predict_probabilities, evaluate_loss])
def test_evaluation_leaves_no_trace(
    cnn: Callable[..., Network],
    make_batches: Callable[..., Batches],
    evaluate: Callable[[Network, Batches], object],
) -> None:
    network, batches = cnn().train(), make_batches(12)
    network.body.get_submodule("batch_norm_1").eval()  # as in a frozen group
    before = weights_hash(network.state_dict())
    modes = [module.training for module in network.modules()]
    state = torch.get_rng_state()
    evaluate(network, batches)
    assert [module.training for module in network.modules()] == modes
    assert weights_hash(network.state_dict()) == before
    assert torch.equal(torch.get_rng_state(), state)
    assert all(parameter.grad is None for parameter in network.parameters())


def test_modes_are_put_back_after_an_error_too(
    mlp: Callable[..., Network], make_batches: Callable[..., Batches]
) -> None:
    network = mlp().train()
    network.head.register_forward_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        predict_probabilities(network, make_batches(3))
    assert all(module.training for module in network.modules())
