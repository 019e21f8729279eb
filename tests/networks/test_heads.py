"""Heads: what they put out follows from the task, and contradictions are told."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pydantic import ValidationError
from torch import nn

from headstart.errors import NetworkError
from headstart.networks.heads import HeadSettings, build_head, loss, output_units, probabilities
from headstart.settings import describe_problems

LOGITS = st.floats(-80, 80, width=32)


def head(classes: int, features: int = 6, seed: int = 0, **settings: Any) -> nn.Sequential:
    made = HeadSettings.model_validate(settings)
    return build_head(made, features, classes, np.random.default_rng(seed))


def problems(**settings: Any) -> tuple[str, ...]:
    with pytest.raises(ValidationError) as caught:
        HeadSettings.model_validate(settings)
    return describe_problems(caught.value, HeadSettings, values=settings)


@pytest.mark.parametrize(
    ("classes", "settings", "units"),
    [
        (2, {}, 1),
        (3, {}, 3),
        (10, {}, 10),
        (2, {"output": "sigmoid"}, 1),
        (2, {"output": "sigmoid", "units": 1}, 1),
        (2, {"output": "softmax"}, 2),
        (2, {"output": "softmax", "units": 2}, 2),
        (8, {"output": "softmax"}, 8),
        (8, {"units": 8}, 8),
    ],
)
def test_units_follow_from_the_task(classes: int, settings: dict[str, Any], units: int) -> None:
    assert output_units(HeadSettings.model_validate(settings), classes) == units
    logits = head(classes, **settings)(torch.rand(4, 6))
    assert logits.shape == (4, units)
    found = probabilities(logits)
    assert found.shape == (4, classes)
    assert found.sum(dim=1).detach().numpy() == pytest.approx(np.ones(4))


def test_a_softmax_over_one_unit_cannot_be_built_and_the_error_says_why() -> None:
    (problem,) = problems(output="softmax", units=1)
    assert "a softmax over one unit is always 1" in problem
    assert "the same for every picture whatever it learned" in problem
    assert 'use output = "sigmoid" with one unit, or leave output and units out' in problem
    with pytest.raises(NetworkError) as caught:
        head(2, output="softmax", units=3)
    assert str(caught.value) == (
        "head.units = 3, but 2 classes with output = 'softmax' need 2: leave units out"
    )


@pytest.mark.parametrize(
    ("classes", "settings", "message"),
    [
        (3, {"output": "sigmoid"}, 'head.output = "sigmoid" tells two classes apart, but the task '
                                   'has 3: use "softmax" or "auto"'),
        (3, {"units": 1}, "head.units = 1, but 3 classes with output = 'auto' need 3: leave units "
                          "out"),
        (2, {"units": 2}, "head.units = 2, but 2 classes with output = 'auto' need 1: leave units "
                          "out"),
        (1, {}, "a head tells at least two classes apart, but the task has 1"),
    ],
)  # fmt: skip
def test_what_contradicts_the_task_is_refused(
    classes: int, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(NetworkError) as caught:
        head(classes, **settings)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"output": "sigmoid", "units": 2}, "a sigmoid is one unit, but units = 2"),
        ({"dropout": 0.5}, "dropout has no effect in a head without hidden layers"),
        ({"activation": "selu", "dropout": 0.5}, "activation, dropout has no effect"),
        ({"hidden": [8, 0]}, "hidden.1: input should be greater than or equal to 1, got 0"),
        ({"hidden": [8], "dropout": 1}, "dropout: input should be less than 1, got 1"),
        ({"output": "softmx"}, "output: 'softmx' is not known; did you mean 'softmax'?"),
        ({"units": 0}, "units: input should be greater than or equal to 1, got 0"),
        ({"hiden": [8]}, "hiden: unknown key; did you mean 'hidden'?"),
    ],
)
def test_settings_that_contradict_themselves_are_refused(
    settings: dict[str, Any], message: str
) -> None:
    (problem,) = problems(**settings)
    assert problem.startswith(message)


def test_a_plain_head_is_one_dense_layer() -> None:
    top = head(2, features=50)
    assert [name for name, _ in top.named_children()] == ["output"]
    assert sum(parameter.numel() for parameter in top.parameters()) == 51
    features = torch.rand(3, 50)
    weight = top.state_dict()["output.weight"]
    assert torch.allclose(top(features), features @ weight.T)  # biases start at 0


def test_a_hidden_head_has_layers_activations_and_dropout() -> None:
    top = head(3, hidden=[8, 4], activation="selu", dropout=0.3, init="he_normal")
    assert [name for name, _ in top.named_children()] == [
        "dense_1", "selu_1", "dropout_1", "dense_2", "selu_2", "dropout_2", "output",
    ]  # fmt: skip
    assert [tuple(p.shape) for p in top.parameters() if p.ndim == 2] == [(8, 6), (4, 8), (3, 4)]
    assert [m.p for m in top.modules() if isinstance(m, nn.Dropout)] == [0.3, 0.3]
    assert not any("dropout" in name for name, _ in head(3, hidden=[8]).named_children())
    features = torch.rand(5, 6)
    first, second, last = (top.get_submodule(name) for name in ("dense_1", "dense_2", "output"))
    expected = last(torch.selu(second(torch.selu(first(features)))))
    assert torch.allclose(top.eval()(features), expected)


def test_a_head_is_drawn_from_its_stream() -> None:
    first, again, other = (head(3, seed=seed, hidden=[4]) for seed in (0, 0, 1))
    for key, value in first.state_dict().items():
        assert torch.equal(value, again.state_dict()[key])
    assert not torch.equal(first.state_dict()["output.weight"], other.state_dict()["output.weight"])


@settings(max_examples=40)
@given(arrays.arrays(np.float32, (7, 4), elements=LOGITS), st.integers(0, 10**6))
def test_the_loss_of_many_classes_is_the_cross_entropy(logits: np.ndarray, seed: int) -> None:
    labels = np.random.default_rng(seed).integers(0, 4, 7)
    exact = logits.astype(np.float64)
    shifted = exact - exact.max(axis=1, keepdims=True)
    log_softmax = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    expected = -log_softmax[np.arange(7), labels].mean()
    given_logits = torch.from_numpy(logits)
    assert float(loss(given_logits, torch.from_numpy(labels))) == pytest.approx(expected, abs=1e-4)
    assert probabilities(given_logits).numpy() == pytest.approx(np.exp(log_softmax), abs=1e-6)


@settings(max_examples=40)
@given(arrays.arrays(np.float32, 7, elements=LOGITS), st.integers(0, 10**6))
def test_one_unit_is_the_logit_of_the_second_class(logits: np.ndarray, seed: int) -> None:
    labels = np.random.default_rng(seed).integers(0, 2, 7)
    exact = logits.astype(np.float64)
    expected = np.logaddexp(0, np.where(labels == 1, -exact, exact)).mean()
    one = torch.from_numpy(logits)[:, None]
    assert float(loss(one, torch.from_numpy(labels))) == pytest.approx(expected, abs=1e-4)
    of_second = 1 / (1 + np.exp(-exact))
    assert probabilities(one)[:, 1].numpy() == pytest.approx(of_second, abs=1e-6)
    # The same as a softmax over two units, the first of which is always 0.
    two = torch.cat([torch.zeros_like(one), one], dim=1)
    assert torch.allclose(probabilities(one), probabilities(two), atol=1e-6)
    assert float(loss(two, torch.from_numpy(labels))) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("size", [1e4, 3e38])
def test_sure_answers_stay_finite(size: float) -> None:
    one = torch.tensor([[size], [-size]])
    assert float(loss(one, torch.tensor([1, 0]))) == 0
    assert probabilities(one).tolist() == [[0, 1], [1, 0]]
    assert float(loss(torch.tensor([[size / 2, -size / 2]]), torch.tensor([0]))) == 0


def test_small_probabilities_of_the_first_class_are_not_lost() -> None:
    """1 − sigmoid(20) would be 2.1e-9 only by half its digits in float32."""
    found = probabilities(torch.tensor([[20.0]]))[0, 0]
    assert float(found) == pytest.approx(1 / (1 + np.exp(20)), rel=1e-6)
