"""Low-rank adapters against the formula, and what they leave alone."""

import importlib.util
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from headstart.errors import NetworkError, StudyError
from headstart.networks.groups import Network, chain, count_parameters
from headstart.networks.low_rank import LowRank, adapted, adapter_targets, count_adapters
from headstart.strategies import Lora
from headstart.testing.ground import small_batches, small_network
from headstart.training.fit import fit


class Attention(nn.Module):
    """Attention as timm writes it."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(6, 18)
        self.proj = nn.Linear(6, 6)

    def forward(self, tokens: Tensor) -> Tensor:
        queries, keys, values = self.qkv(tokens).chunk(3, dim=-1)
        mixed: Tensor = self.proj(torch.softmax(queries @ keys.mT, dim=-1) @ values)
        return mixed


class Flat(nn.Module):
    def forward(self, tokens: Tensor) -> Tensor:
        return tokens.flatten(2).mT[:, :, :6].contiguous()


class Pooled(nn.Module):
    def forward(self, tokens: Tensor) -> Tensor:
        return tokens.mean(dim=1)


def with_attention() -> Network:
    torch.manual_seed(0)
    parts = {
        "stem": nn.Conv2d(3, 6, 4, 4),
        "tokens": Flat(),
        "attention": Attention(),
        "pool": Pooled(),
    }
    return chain(parts, nn.Linear(6, 3), {"stem": ["stem"], "top": ["tokens", "attention"]})


def depthwise() -> Network:
    parts = {"deep": nn.Conv2d(3, 3, 3, groups=3), "pool": nn.AdaptiveAvgPool2d(1),
             "flat": nn.Flatten()}  # fmt: skip
    return chain(parts, nn.Linear(3, 3), {"deep": ["deep"]})


@pytest.mark.parametrize(
    ("make", "targets", "layers"),
    [
        (small_network, "auto", ["body.conv_1", "body.conv_2", "body.dense_1"]),
        (small_network, "attention", []),
        (with_attention, "auto", ["body.attention.qkv"]),
        (with_attention, "all", ["body.stem", "body.attention.qkv", "body.attention.proj"]),
        (depthwise, "all", []),
    ],
)
def test_adapters_go_to_attention_or_to_all_that_multiplies(
    make: Callable[[], Network], targets: Any, layers: list[str]
) -> None:
    assert list(adapter_targets(make(), LowRank(targets=targets))) == layers


def dense_change(down: Tensor, up: Tensor) -> Tensor:
    """B · A as a weight; a convolution's A has the kernel, its B is 1 × 1."""
    if down.ndim == 2:
        return up @ down
    return torch.einsum("or,rikl->oikl", up[:, :, 0, 0], down)


@pytest.mark.parametrize("make", [small_network, with_attention])
def test_adapters_are_the_formula_and_are_merged_into_the_weights(
    make: Callable[[], Network],
) -> None:
    network, low_rank = make().eval(), LowRank(rank=3, alpha=6, targets="all")
    pictures = torch.randn(4, 3, 8, 8)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    plain = network(pictures)
    with adapted(network, low_rank):
        assert torch.equal(network(pictures), plain)
        held = dict(network.named_parameters())
        assert count_adapters(make(), low_rank) == count_parameters(
            value for name, value in held.items() if ".lora_" in name
        )
        expected = dict(before)
        for name in adapter_targets(make(), low_rank):
            down, up = (held[f"{name}.lora_{side}.lora.weight"] for side in "AB")
            up.data = torch.randn_like(up)
            expected[f"{name}.weight"] = before[f"{name}.weight"] + 2 * dense_change(down, up)
        while_in = network(pictures)
    after = network.state_dict()
    assert list(after) == list(before)
    for name, value in expected.items():
        assert torch.allclose(after[name], value, atol=1e-5), name
    assert torch.allclose(network(pictures), while_in, atol=1e-4)
    assert not hasattr(network.body, "peft_config")
    assert {type(module) for module in network.modules()} == {
        type(module) for module in make().modules()
    }


def test_training_changes_the_targets_by_low_rank_and_nothing_else_of_the_body() -> None:
    network = small_network()
    plan = Lora(rank=2, lr=0.1, epochs=3, batch_size=10).plan(network.group_names)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    assert plan.count_learning(network) == count_adapters(
        network, LowRank(rank=2)
    ) + count_parameters(network.head.parameters())
    fit(network, plan, small_batches(60, 0), small_batches(21, 1), 0)
    for key, value in network.state_dict().items():
        target = key in {f"{name}.weight" for name in adapter_targets(network, LowRank())}
        assert torch.equal(before[key], value) != (target or key.startswith("head.")), key
        if target:
            change = (value - before[key]).flatten(1)
            values = torch.linalg.svdvals(change)
            assert values[1] > 1e-5
            assert float(values[2:].sum()) < 1e-5


def test_what_cannot_take_adapters_is_told_before_training(monkeypatch: pytest.MonkeyPatch) -> None:
    for network, targets, wanted in (
        (small_network(), "attention", "projections to queries, keys and values"),
        (depthwise(), "all", "dense layers or convolutions"),
    ):
        plan = Lora.model_validate({"targets": targets}).plan(network.group_names)
        with pytest.raises(StudyError) as caught:
            plan.check_network(network)
        assert str(caught.value) == (
            f"phase 'adapters' lora finds no {wanted} in the body: use targets = \"all\", or "
            "another strategy"
        )
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    message = r"lora needs the package peft, .*pip install 'headstart\[lora\]'"
    with pytest.raises(NetworkError, match=message), adapted(small_network(), LowRank()):
        pass
