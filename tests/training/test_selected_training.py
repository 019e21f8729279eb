"""Trainability finer than a layer group, and rates by relative gradient norm."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from headstart.errors import StudyError
from headstart.networks.groups import Network, chain
from headstart.networks.selections import Selection
from headstart.strategies import FineTune, Optimizer, Plan
from headstart.strategies.regularisers import StochNorm
from headstart.training.fit import fit, set_modes
from headstart.training.optimizers import PhaseOptimizer

Make = Callable[..., Any]
SHORT: dict[str, Any] = {"lr": 0.1, "epochs": 2, "batch_size": 8}


def plan_of(network: Network, **changes: Any) -> Plan:
    (phase,) = FineTune(**SHORT).plan(network.group_names).phases
    return Plan("source", (dataclasses.replace(phase, **changes),))


@pytest.mark.parametrize("selection", ["norms_and_biases", "norms", "biases"])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("batch_norm", ["live", "frozen"])
def test_only_the_selection_moves_bit_by_bit(
    selection: Selection, optimizer: str, batch_norm: str, cnn: Make, make_batches: Make
) -> None:
    network = cnn()
    decaying = Optimizer.model_validate({"name": optimizer, "weight_decay": 0.1})
    plan = plan_of(network, only=selection, optimizer=decaying, batch_norm=batch_norm)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    learning = set(plan.phases[0].learning(network))
    fit(network, plan, make_batches(30), make_batches(9), 0)
    for key, value in network.state_dict().items():
        statistic = "running" in key or "tracked" in key
        changes = batch_norm == "live" if statistic else key in learning
        assert torch.equal(before[key], value) != changes, key


def test_statistics_stay_where_no_parameter_of_their_module_learns(cnn: Make) -> None:
    network = cnn()
    rates = dict.fromkeys(network.group_names, 0.1) | {"conv_2": None}
    set_modes(network, plan_of(network, only="norms", rates=rates).phases[0])
    modes = {name: module.training for name, module in network.body.named_children()}
    assert (modes["batch_norm_1"], modes["batch_norm_2"]) == (True, False)
    parts = {"norm": nn.BatchNorm1d(4, affine=False), "dense": nn.Linear(4, 4)}
    other = chain(parts, nn.Linear(4, 2), {"low": ["norm", "dense"]})
    set_modes(other, plan_of(other, only="biases").phases[0])
    assert not other.get_submodule("body.norm").training


def test_what_a_network_lacks_is_told_before_training() -> None:
    parts = {"flatten": nn.Flatten(), "dense": nn.Linear(4, 4, bias=False)}
    network = chain(parts, nn.Linear(4, 2), {"low": ["flatten", "dense"]})
    for changes, message in (
        ({"only": "norms"}, "phase 'fine-tune' trains only norms of the body, but low has none"),
        ({"only": "biases"}, "phase 'fine-tune' trains only biases of the body, but low has none"),
        ({"regularisers": (StochNorm(),)},
         "phase 'fine-tune' has stoch_norm, but nothing that learns in the body is a BatchNorm"),
    ):  # fmt: skip
        with pytest.raises(StudyError) as caught:
            plan_of(network, **changes).check_network(network)
        assert str(caught.value).startswith(message)
    plan_of(network).check_network(network)


def test_rates_follow_the_relative_gradient_norm() -> None:
    """Step by step against plain SGD, each tensor at rate · mean r / max of mean r.

    The head's bias begins with zeros: it takes the whole rate, and the others do not wait for it.
    """
    torch.manual_seed(0)
    parts = {"low": nn.Linear(4, 5), "high": nn.Linear(5, 3)}
    network = chain(parts, nn.Linear(3, 2), {"low": ["low"], "high": ["high"]})
    with torch.no_grad():
        network.get_parameter("head.bias").zero_()
    plan = plan_of(network, rate_rule="relative_gradient_norm")
    optimizer = PhaseOptimizer(network, plan.phases[0])
    expected = {key: value.detach().clone() for key, value in network.named_parameters()}
    sums = dict.fromkeys(expected, 0.0)
    for step in range(4):
        for parameter in network.parameters():
            parameter.grad = torch.randn_like(parameter)
        for key, parameter in network.named_parameters():
            assert parameter.grad is not None
            if key != "head.bias":
                sums[key] += float(parameter.grad.norm() / expected[key].norm())
        largest = max(sums.values())
        for key, parameter in network.named_parameters():
            assert parameter.grad is not None
            share = 1.0 if key == "head.bias" else sums[key] / largest
            expected[key] -= 0.1 / (1 + step) * share * parameter.grad
        optimizer.step(1 / (1 + step))
        for key, parameter in network.named_parameters():
            assert torch.allclose(parameter, expected[key], atol=1e-6), key
