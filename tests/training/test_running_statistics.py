"""How fast running statistics move, and what fresh ones forget."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from headstart.errors import StudyError, TrainingError
from headstart.networks.groups import HEAD, Network
from headstart.strategies import FineTune, FreezeThenThaw, LowerGroups, Scratch
from headstart.strategies.plan import Plan
from headstart.training.fit import fit
from headstart.training.rate_finder import find_rate
from headstart.training.running_statistics import stale_statistics

Make = Callable[..., Any]
SHORT: dict[str, Any] = {"lr": 0.05, "epochs": 2, "batch_size": 8}


def norms(network: Network) -> list[nn.BatchNorm2d]:
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]


def scratch(network: Network, **settings: Any) -> Plan:
    return Scratch.model_validate({**SHORT, **settings}).plan(network.group_names)


@pytest.mark.parametrize("momentum", [0.01, 0.6, 1.0])
def test_statistics_move_by_the_momentum_that_is_set(
    momentum: float, cnn: Make, make_batches: Make
) -> None:
    train, valid = make_batches(30), make_batches(9, seed=1)
    ours, theirs = cnn(), cnn()
    for module in norms(theirs):
        module.momentum = momentum
    fit(ours, scratch(ours, batch_norm_momentum=momentum), train, valid, 0)
    fit(theirs, scratch(theirs), train, valid, 0)
    for key, value in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[key], value), key
    assert [module.momentum for module in norms(ours)] == [0.1, 0.1]


def test_the_networks_own_momentum_is_put_back_after_a_failure(
    cnn: Make, make_batches: Make
) -> None:
    network = cnn()
    plan = scratch(network, batch_norm_momentum=0.7, lr=1e30)
    with pytest.raises(TrainingError, match="lower the learning"):
        fit(network, plan, make_batches(30), make_batches(9), 0)
    assert [module.momentum for module in norms(network)] == [0.1, 0.1]


def test_what_is_frozen_does_not_move_at_any_momentum(cnn: Make, make_batches: Make) -> None:
    network = cnn()
    first, last = norms(network)
    before = [(norm.running_mean.clone(), norm.running_var.clone()) for norm in (first, last)]  # type: ignore[union-attr]
    strategy = FreezeThenThaw.model_validate(
        {**SHORT, "thaw": ["conv_2", "dense_1"], "batch_norm_momentum": 1.0}
    )
    fit(network, strategy.plan(network.group_names), make_batches(30), make_batches(9), 0)
    for norm, (mean, variance), moves in zip((first, last), before, (False, True), strict=True):
        assert norm.running_mean is not None
        assert norm.running_var is not None
        assert torch.equal(norm.running_mean, mean) != moves
        assert torch.equal(norm.running_var, variance) != moves


def test_testing_rates_moves_statistics_likewise(cnn: Make, make_batches: Make) -> None:
    """Seen where channels are normalised by the running statistics while training, too."""
    network, train = cnn(), make_batches(30)
    curves = []
    for momentum in (0.01, 1.0):
        settings = {**SHORT, "regularisers": ["stoch_norm"], "batch_norm_momentum": momentum}
        plan = FineTune.model_validate(settings).plan(network.group_names)
        curves.append(find_rate(network, plan, train, 0, steps=10).gains)
    assert curves[0] != curves[1]
    assert [module.momentum for module in norms(network)] == [0.1, 0.1]


def test_a_momentum_is_refused_where_nothing_has_statistics(mlp: Make) -> None:
    network = mlp()
    with pytest.raises(StudyError) as caught:
        scratch(network, batch_norm_momentum=0.5).check_network(network)
    assert caught.value.problems == (
        "phase 'train' has batch_norm_momentum, but nothing in the network is a BatchNorm: leave "
        "it out",
    )


@pytest.mark.parametrize(
    ("settings", "pictures", "steps", "momentum"),
    [
        ({"steps": 20}, 100, 20, 0.1),
        ({"epochs": 4, "batch_size": 10}, 41, 16, 0.1),  # the last picture joins a batch
        ({"epochs": 5, "batch_size": 10}, 41, 20, 0.1),
        ({"steps": 30, "batch_norm_momentum": 0.05}, 100, 30, 0.05),
    ],
)
def test_stale_statistics_are_those_that_fit_leaves(
    settings: dict[str, Any],
    pictures: int,
    steps: int,
    momentum: float,
    cnn: Make,
    make_batches: Make,
) -> None:
    network = cnn()
    plan = Scratch.model_validate({"lr": 1e-12, **settings}).plan(network.group_names)
    stale = stale_statistics(network, plan, pictures)
    assert stale is not None
    assert (stale.steps, stale.momentum) == (steps, momentum)
    assert stale.left == pytest.approx((1 - momentum) ** steps)
    assert (1 - stale.enough) ** steps == pytest.approx(0.01)
    for norm in norms(network):  # what they start from can be told from any batch's mean
        assert norm.running_mean is not None
        norm.running_mean.fill_(1e9)
    fit(network, plan, make_batches(pictures), make_batches(9), 0)
    assert norms(network)[0].running_mean == pytest.approx(1e9 * stale.left, rel=1e-4)


@pytest.mark.parametrize(
    ("plan", "is_stale"),
    [
        (lambda groups: Scratch(steps=21).plan(groups), True),
        (lambda groups: Scratch(steps=22).plan(groups), False),
        (lambda groups: Scratch(steps=5, batch_norm_momentum=0.4).plan(groups), False),
        (lambda groups: Scratch(steps=5, batch_norm_momentum=1.0).plan(groups), False),
        (lambda groups: FineTune(steps=5).plan(groups), False),  # they start from the source's
        (lambda groups: LowerGroups(steps=5, copied=1).plan(groups), True),
        (lambda groups: LowerGroups(steps=5, copied=2).plan(groups), False),  # no BatchNorm above
        (lambda groups: LowerGroups(steps=5, copied=3).plan(groups), False),
    ],
)
def test_only_statistics_of_fresh_groups_can_be_stale(
    plan: Callable[[tuple[str, ...]], Plan], is_stale: bool, cnn: Make
) -> None:
    network = cnn()
    assert network.group_names == ("conv_1", "conv_2", "dense_1", HEAD)
    assert (stale_statistics(network, plan(network.group_names), 100) is not None) == is_stale


def test_a_mean_over_all_batches_is_never_stale(cnn: Make) -> None:
    network = cnn()
    for norm in norms(network):
        norm.momentum = None
    assert stale_statistics(network, scratch(network, epochs=1), 8) is None
