"""Selections finer than a layer group: what is a norm, what a bias, and that the head is whole."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from headstart.networks.groups import Network, chain
from headstart.networks.selections import Selection, is_norm, selected


class ChannelNorm(nn.Module):
    """A normalisation that somebody wrote, known by its name."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(4))

    def forward(self, values: Tensor) -> Tensor:
        return values * self.scale


class NormalBlock(nn.Module):
    """Its name says norm too, but it holds a matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.eye(4))

    def forward(self, values: Tensor) -> Tensor:
        return values @ self.matrix


class Attention(nn.Module):
    """Timm calls some biases q_bias and v_bias."""

    def __init__(self) -> None:
        super().__init__()
        self.q_bias = nn.Parameter(torch.zeros(4))

    def forward(self, values: Tensor) -> Tensor:
        return values + self.q_bias


def network() -> Network:
    parts = {
        "dense": nn.Linear(4, 4),
        "norm": nn.BatchNorm1d(4),
        "inner": nn.Sequential(nn.LayerNorm(4), ChannelNorm(), NormalBlock(), Attention()),
    }
    head = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    return chain(parts, head, {"low": ["dense", "norm"], "top": ["inner"]})


HEAD = {"head.0.weight", "head.0.bias", "head.1.weight", "head.1.bias"}
NORMS = {"norm.weight", "norm.bias", "inner.0.weight", "inner.0.bias", "inner.1.scale"}
BIASES = {"dense.bias", "norm.bias", "inner.0.bias", "inner.3.q_bias"}


@pytest.mark.parametrize(
    ("selection", "body"),
    [
        ("norms", NORMS),
        ("biases", BIASES),
        ("norms_and_biases", NORMS | BIASES),
        ("everything", NORMS | BIASES | {"dense.weight", "inner.2.matrix"}),
    ],
)
def test_a_selection_is_of_the_body_and_the_head_is_whole(
    selection: Selection, body: set[str]
) -> None:
    assert selected(network(), selection) == {f"body.{name}" for name in body} | HEAD


@pytest.mark.parametrize(
    ("module", "norm"),
    [
        (nn.BatchNorm2d(3), True),
        (nn.InstanceNorm2d(3, affine=True), True),
        (nn.GroupNorm(1, 4), True),
        (nn.LayerNorm((3, 4)), True),
        (nn.RMSNorm(4), True),
        (nn.Linear(3, 4), False),
        (parametrizations.weight_norm(nn.Linear(3, 4)), False),
        (nn.Sequential(nn.LayerNorm(3)), False),
        (nn.ReLU(), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_norms_are_known_whoever_wrote_them(module: nn.Module, norm: bool) -> None:
    assert is_norm(module) == norm
