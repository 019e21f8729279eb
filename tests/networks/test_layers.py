"""Layers: drawn with the variance that theory asks for, and from our own stream alone."""

import math
from typing import get_args

import numpy as np
import pytest
import torch
from scipy import stats
from torch.nn import functional

from headstart.networks.layers import Activation, Initialisation, activation, convolution, dense

# fan_in → variance (Glorot & Bengio 2010, He et al. 2015, LeCun et al. 1998)
VARIANCE = {
    "glorot": lambda fan_in, fan_out: 2 / (fan_in + fan_out),
    "he": lambda fan_in, fan_out: 2 / fan_in,
    "lecun": lambda fan_in, fan_out: 1 / fan_in,
}


def check_draws(weights: torch.Tensor, init: str, fan_in: int, fan_out: int) -> None:
    family, shape = init.split("_")
    deviation = math.sqrt(VARIANCE[family](fan_in, fan_out))
    values = weights.detach().numpy().ravel().astype(np.float64)
    count = len(values)
    assert values.var() == pytest.approx(deviation**2, rel=5 * math.sqrt(2 / count))
    assert abs(values.mean()) < 5 * deviation / math.sqrt(count)
    if shape == "uniform":
        limit = math.sqrt(3) * deviation
        reference = stats.uniform(-limit, 2 * limit)
    else:  # Keras: a normal cut off at two of its deviations, stretched back to the variance
        stretched = deviation / stats.truncnorm(-2, 2).std()
        limit = 2 * stretched
        reference = stats.truncnorm(-2, 2, scale=stretched)
    assert np.abs(values).max() <= limit * (1 + 1e-6)
    assert stats.kstest(values, reference.cdf).pvalue > 1e-4


@pytest.mark.parametrize("init", get_args(Initialisation))
def test_dense_weights_have_the_variance_of_their_scheme(init: Initialisation) -> None:
    layer = dense(90, 170, init, np.random.default_rng(0))
    assert layer.weight.shape == (170, 90)
    check_draws(layer.weight, init, 90, 170)
    assert torch.equal(layer.bias, torch.zeros(170))


@pytest.mark.parametrize("init", get_args(Initialisation))
def test_convolutions_count_their_kernel_in(init: Initialisation) -> None:
    layer = convolution(12, 40, 5, 1, "valid", init, np.random.default_rng(1))
    assert layer.weight.shape == (40, 12, 5, 5)
    check_draws(layer.weight, init, 12 * 25, 40 * 25)
    assert layer.bias is not None
    assert torch.equal(layer.bias, torch.zeros(40))


def test_weights_come_from_the_given_stream_alone() -> None:
    state = torch.get_rng_state()
    first, again, other = (
        dense(5, 7, "glorot_normal", np.random.default_rng(seed)) for seed in (0, 0, 1)
    )
    convolution(1, 2, 3, 1, "same", "he_uniform", np.random.default_rng(0))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first.weight, again.weight)
    assert not torch.equal(first.weight, other.weight)
    assert first.weight.dtype == torch.float32
    assert first.weight.requires_grad


@pytest.mark.parametrize(
    ("padding", "stride", "size"), [("valid", 1, 6), ("valid", 2, 3), ("same", 1, 8)]
)
def test_convolutions_pad_and_stride(padding: str, stride: int, size: int) -> None:
    rng = np.random.default_rng(0)
    layer = convolution(3, 4, 3, stride, padding, "he_normal", rng)  # type: ignore[arg-type]
    pictures = torch.rand(2, 3, 8, 8)
    expected = functional.conv2d(
        pictures, layer.weight, layer.bias, stride, 1 if padding == "same" else 0
    )
    assert torch.allclose(layer(pictures), expected)
    assert expected.shape == (2, 4, size, size)


@pytest.mark.parametrize("name", get_args(Activation))
def test_activations_are_torchs_own(name: Activation) -> None:
    values = torch.linspace(-3, 3, 13)
    assert torch.equal(activation(name)(values), getattr(functional, name)(values))
