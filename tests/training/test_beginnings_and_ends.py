"""How plans begin and end: heads of zeros, groups that start fresh, averages of two networks."""

import copy
import dataclasses
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from headstart.errors import NetworkError
from headstart.networks.groups import take_groups
from headstart.networks.heads import zero_output
from headstart.strategies import BitHyperRule, Interpolation, Plan, WiseFT
from headstart.training.evaluate import evaluate_loss
from headstart.training.fit import fit

Make = Callable[..., Any]
SHORT: dict[str, Any] = {"lr": 0.3, "epochs": 2, "batch_size": 8}


def test_a_head_of_zeros_knows_nothing_at_first(mlp: Make, make_batches: Make) -> None:
    network = mlp()
    plan = BitHyperRule(steps=1, batch_size=30).plan(network.group_names)
    result = fit(network, plan, make_batches(30), make_batches(9), 0)
    assert result.epochs[0].train_loss == pytest.approx(math.log(3), abs=1e-6)
    with pytest.raises(NetworkError, match="the head has no dense layer that could start at zero"):
        zero_output(nn.Sequential(nn.ReLU()))


def test_groups_are_taken_from_another_network_weights_and_buffers(cnn: Make) -> None:
    network, other = cnn(), cnn(seed=1)
    with torch.no_grad():
        for buffer in other.buffers():
            buffer += 1
    before = copy.deepcopy(network).state_dict()
    take_groups(network, other, ("conv_2",))
    for key, value in network.state_dict().items():
        taken = network.group_of(key) == "conv_2"
        expected = other.state_dict() if taken else before
        assert torch.equal(value, expected[key]), key
        same_anyway = torch.equal(before[key], other.state_dict()[key])
        assert torch.equal(value, before[key]) != taken or same_anyway


def ends(cnn: Make, make_batches: Make, plan: Plan) -> dict[str, torch.Tensor]:
    network = cnn()
    fit(network, plan, make_batches(30), make_batches(9), 0)
    return {key: value.clone() for key, value in network.state_dict().items()}


def test_wise_ft_is_the_straight_line_between_its_two_networks(
    cnn: Make, make_batches: Make
) -> None:
    plan = WiseFT(alpha=0.3, **SHORT).plan(cnn().group_names)
    only_head = ends(cnn, make_batches, Plan("source", plan.phases[:1]))
    fine_tuned = ends(cnn, make_batches, dataclasses.replace(plan, interpolation=None))
    averaged = ends(cnn, make_batches, plan)
    for key, value in averaged.items():
        if value.is_floating_point():
            expected = only_head[key] + 0.3 * (fine_tuned[key] - only_head[key])
            assert torch.allclose(value, expected, atol=1e-6), key
        else:
            assert torch.equal(value, fine_tuned[key]), key


def test_alpha_can_be_chosen_by_the_validation_loss(cnn: Make, make_batches: Make) -> None:
    network, valid = cnn(), make_batches(9, seed=1)
    plan = WiseFT(**SHORT, freeze_epochs=3).plan(network.group_names)
    tried = []
    for tenth in range(11):
        between = Interpolation("head", tenth / 10)
        own = cnn()
        given = dataclasses.replace(plan, interpolation=between)
        result = fit(own, given, make_batches(30), valid, 0)
        assert (result.val_loss, result.val_accuracy) == evaluate_loss(own, valid)
        tried.append(result.val_loss)
    automatic = dataclasses.replace(plan, interpolation=Interpolation("head", "auto"))
    result = fit(network, automatic, make_batches(30), valid, 0)
    assert result.val_loss == min(tried)
    assert evaluate_loss(network, valid)[0] == min(tried)
    assert len(set(tried)) > 5
