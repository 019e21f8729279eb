"""Networks and their layer groups: every weight claimed once, every mistake in claims told."""

import hashlib
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from headstart.errors import NetworkError
from headstart.networks.groups import (
    LayerGroup,
    Network,
    chain,
    count_parameters,
    weights_hash,
)


def body() -> nn.Sequential:
    parts = nn.Sequential()
    parts.add_module("conv_1", nn.Conv2d(1, 2, 3))
    parts.add_module("norm_1", nn.BatchNorm2d(2))
    parts.add_module("flatten", nn.Flatten())
    parts.add_module("dense_1", nn.Linear(8, 4))
    return parts


def network(*groups: tuple[str, Sequence[str]]) -> Network:
    claims = [LayerGroup(name, tuple(modules)) for name, modules in groups]
    return Network(body(), nn.Linear(4, 3), claims)


def refused(*groups: tuple[str, Sequence[str]]) -> tuple[str, ...]:
    with pytest.raises(NetworkError) as caught:
        network(*groups)
    return caught.value.problems


LOW = ("low", ["body.conv_1", "body.norm_1"])
HIGH = ("high", ["body.flatten", "body.dense_1"])
TOP = ("head", ["head"])


def test_groups_share_every_weight_out() -> None:
    whole = network(LOW, HIGH, TOP)
    assert whole.group_names == ("low", "high", "head")
    found = [whole.group_parameters(name) for name in whole.group_names]
    assert [set(parameters) for parameters in found] == [
        {"body.conv_1.weight", "body.conv_1.bias", "body.norm_1.weight", "body.norm_1.bias"},
        {"body.dense_1.weight", "body.dense_1.bias"},
        {"head.weight", "head.bias"},
    ]
    assert sum(count_parameters(each.values()) for each in found) == 24 + 36 + 15
    assert whole.group_of("body.norm_1.running_var") == "low"
    assert whole.group_of("body.flatten") == "high"
    assert not whole.pretrained


def test_pictures_become_logits_through_body_and_head() -> None:
    whole = network(LOW, HIGH, TOP).eval()
    pictures = torch.rand(5, 1, 4, 4)
    assert torch.equal(whole(pictures), whole.head(whole.body(pictures)))
    assert whole(pictures).shape == (5, 3)


def test_everything_left_out_is_named_buffers_too() -> None:
    assert refused(("high", ["body.dense_1.weight"]), TOP) == (
        "no layer group claims 'body.conv_1.weight'",
        "no layer group claims 'body.conv_1.bias'",
        "no layer group claims 'body.norm_1.weight'",
        "no layer group claims 'body.norm_1.bias'",
        "no layer group claims 'body.dense_1.bias'",
        "no layer group claims 'body.norm_1.running_mean'",
        "no layer group claims 'body.norm_1.running_var'",
        "no layer group claims 'body.norm_1.num_batches_tracked'",
    )


def test_mistakes_in_claims_are_told_all_at_once() -> None:
    twice = ("high", ["body.norm_1", "body.dense_1", "body.dense_2"])
    assert refused(LOW, twice, TOP, ("high", [])) == (
        "the last layer group must be 'head', found ['low', 'high', 'head', 'high']",
        "layer group 'high' is there twice",
        "'body.norm_1' is claimed by two layer groups",
        "there is no 'body.dense_2' to claim",
    )
    assert "the last layer group must be 'head', found []" in refused()


def test_the_closest_claim_owns() -> None:
    whole = network(("low", ["body"]), ("high", ["body.dense_1", "body.conv_1.bias"]), TOP)
    assert whole.group_of("body.conv_1.weight") == "low"
    assert whole.group_of("body.conv_1.bias") == "high"
    assert whole.group_of("body.dense_1.weight") == "high"


def test_names_that_only_begin_alike_are_not_claimed() -> None:
    parts = {"dense_1": nn.Linear(2, 2), "dense_10": nn.Linear(2, 2)}
    whole = chain(parts, nn.Linear(2, 1), {"first": ["dense_1"], "tenth": ["dense_10"]})
    assert whole.group_of("body.dense_10.weight") == "tenth"
    with pytest.raises(NetworkError, match=r"no layer group claims 'body.dense_10.weight'"):
        chain(parts, nn.Linear(2, 1), {"first": ["dense_1"]})


def test_a_weight_used_twice_belongs_to_one_group() -> None:
    def tied() -> dict[str, nn.Module]:
        first, second = nn.Linear(4, 4), nn.Linear(4, 4)
        second.weight = first.weight
        return {"first": first, "second": second}

    with pytest.raises(NetworkError) as caught:
        chain(tied(), nn.Linear(4, 2), {"low": ["first"], "high": ["second"]})
    assert caught.value.problems == (
        "'body.first.weight' and 'body.second.weight' are one and the same, but belong to the "
        "layer groups 'low' and 'high': put both into one",
    )
    together = chain(tied(), nn.Linear(4, 2), {"all": ["first", "second"]})
    assert len(together.group_parameters("all")) == 3


def test_unknown_names_are_refused() -> None:
    whole = network(LOW, HIGH, TOP)
    with pytest.raises(NetworkError, match=r"no layer group owns 'body.conv_2.weight'"):
        whole.group_of("body.conv_2.weight")
    with pytest.raises(NetworkError) as caught:
        whole.group_parameters("hihg")
    assert str(caught.value) == (
        "there is no layer group 'hihg': did you mean 'high'? Known: head, high, low"
    )


@settings(max_examples=30)
@given(st.lists(st.integers(0, 5), min_size=6, max_size=6))
def test_any_partition_of_a_chain_is_a_network(owners: list[int]) -> None:
    parts = {f"dense_{n}": nn.Linear(2, 2) for n in range(6)}
    groups: dict[str, list[str]] = {}
    for name, owner in zip(parts, owners, strict=True):
        groups.setdefault(f"group {owner}", []).append(name)
    whole = chain(parts, nn.Linear(2, 1), groups)
    found = [key for name in whole.group_names for key in whole.group_parameters(name)]
    assert sorted(found) == sorted(dict(whole.named_parameters()))


def test_the_hash_is_sha256_of_names_shapes_types_and_bytes() -> None:
    state = {
        "b": torch.tensor([[1.0, 2.0]]),
        "a": torch.tensor(3, dtype=torch.int64),
        "c": torch.zeros(0, dtype=torch.float16),
    }
    digest = hashlib.sha256()
    digest.update(b"a()torch.int64" + (3).to_bytes(8, "little"))
    digest.update(b"b(1, 2)torch.float32" + bytes.fromhex("0000803f00000040"))
    digest.update(b"c(0,)torch.float16")
    assert weights_hash(state) == digest.hexdigest()


def test_the_hash_sees_every_change_but_not_the_layout() -> None:
    weight = torch.rand(3, 2, 4, 4)
    state = {"weight": weight, "bias": torch.zeros(3)}
    hashed = weights_hash(state)
    assert weights_hash(dict(reversed(state.items()))) == hashed
    assert weights_hash({**state, "weight": weight.to(memory_format=torch.channels_last)}) == hashed
    assert weights_hash({**state, "weight": nn.Parameter(weight)}) == hashed
    nudged = weight.clone()
    nudged[2, 1, 3, 3] = torch.nextafter(nudged[2, 1, 3, 3], torch.tensor(2.0))
    for changed in (
        {**state, "weight": nudged},
        {**state, "weight": weight.reshape(3, 2, 16)},
        {**state, "bias": torch.zeros(3, dtype=torch.float64)},
        {"weight": weight, "bia": torch.zeros(3)},
        {"weight": weight},
    ):
        assert weights_hash(changed) != hashed
