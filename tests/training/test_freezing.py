"""Frozen means bit-identical, buffers too; what trains changes; for every strategy and phase."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from headstart.networks.groups import Network, chain
from headstart.strategies import (
    FineTune,
    FreezeThenThaw,
    Frozen,
    Phase,
    Plan,
    Scratch,
    Strategy,
    Training,
)
from headstart.training.batches import Batches
from headstart.training.fit import fit, set_modes

Make = Callable[..., Any]
SHORT: dict[str, Any] = {"lr": 0.1, "epochs": 2, "batch_size": 8}
STRATEGIES = [
    Scratch(**SHORT),
    Frozen(**SHORT),
    FineTune(**SHORT, backbone_lr=0.05),
    FreezeThenThaw(**SHORT),
    FreezeThenThaw(**SHORT, thaw=1),
    FreezeThenThaw(**SHORT, thaw=("conv_2",)),
    FreezeThenThaw(**SHORT, thaw=("conv_1", "dense_1")),
]
OPTIMIZERS: list[dict[str, Any]] = [
    {"name": "sgd", "momentum": 0.9, "weight_decay": 0.1},
    {"name": "adam", "weight_decay": 0.1},
    {"name": "adamw", "weight_decay": 0.1},
    {"name": "adadelta", "weight_decay": 0.1},
]


def tensors(network: Network) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in network.state_dict().items()}


def is_statistic(key: str) -> bool:
    return key.endswith(("running_mean", "running_var", "num_batches_tracked"))


def assert_only_this_changed(
    network: Network, before: dict[str, Tensor], phase: Phase, *, statistics: bool
) -> None:
    """Bit by bit and in both directions, for every tensor of every group."""
    after = network.state_dict()
    for key, value in before.items():
        learns = phase.trains(network.group_of(key)) and (statistics or not is_statistic(key))
        assert torch.equal(value, after[key]) != learns, f"{key} in phase {phase.name}"


@pytest.mark.parametrize("strategy", STRATEGIES, ids=repr)
@pytest.mark.parametrize("batch_norm", ["live", "frozen"])
def test_each_phase_changes_exactly_its_groups(
    strategy: Strategy, batch_norm: str, cnn: Make, make_batches: Make
) -> None:
    strategy = strategy.model_copy(update={"batch_norm": batch_norm})
    train, valid = make_batches(30), make_batches(9, seed=1)
    network = cnn()
    for phase in strategy.plan(network.group_names).phases:
        before = tensors(network)
        fit(network, Plan("source", (phase,)), train, valid, 0)
        assert_only_this_changed(network, before, phase, statistics=batch_norm == "live")


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda options: options["name"])
def test_no_optimiser_decays_or_moves_what_is_frozen(
    optimizer: dict[str, Any], cnn: Make, make_batches: Make
) -> None:
    network = cnn()
    plan = FreezeThenThaw.model_validate({**SHORT, "optimizer": optimizer, "thaw": 1}).plan(
        network.group_names
    )
    before = tensors(network)
    fit(network, plan, make_batches(30), make_batches(9), 0)
    assert_only_this_changed(network, before, plan.phases[1], statistics=True)


class OwnNorm(nn.Module):
    """A normalisation that somebody wrote: nothing that headstart could know by its class."""

    running_scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(6))
        self.register_buffer("running_scale", torch.ones(6))
        self.drop = nn.Dropout(0.5)

    def forward(self, values: Tensor) -> Tensor:
        if self.training:
            self.running_scale = 0.9 * self.running_scale + 0.1 * values.detach().std(dim=0)
        normed: Tensor = self.drop(self.weight * values / self.running_scale)
        return normed


def network_of(*middle: nn.Module) -> Network:
    torch.manual_seed(0)
    parts = {"flatten": nn.Flatten(), "dense": nn.Linear(36, 6)}
    parts |= {f"part_{number}": module for number, module in enumerate(middle)}
    groups = {"low": ["dense", *(name for name in parts if name.startswith("part"))]}
    return chain(parts, nn.Linear(6, 3), groups)


@pytest.mark.parametrize(
    "middle",
    [
        (OwnNorm(),),
        (nn.BatchNorm1d(6),),
        (nn.BatchNorm1d(6, affine=False),),
        (nn.Unflatten(1, (2, 3)), nn.InstanceNorm1d(2, track_running_stats=True), nn.Flatten()),
        (parametrizations.spectral_norm(nn.Linear(6, 6)),),
        (nn.Sequential(nn.ReLU(), nn.Sequential(nn.BatchNorm1d(6))),),
    ],
    ids=["own", "batch", "without weights", "instance", "spectral", "nested"],
)
def test_buffers_of_any_module_stay_while_frozen(
    middle: tuple[nn.Module, ...], make_batches: Make
) -> None:
    network = network_of(*middle)
    train, valid = make_batches(30), make_batches(9)
    before = tensors(network)
    frozen = Frozen(**SHORT).plan(network.group_names)
    fit(network, frozen, train, valid, 0)
    assert_only_this_changed(network, before, frozen.phases[0], statistics=True)
    fit(network, Scratch(**SHORT).plan(network.group_names), train, valid, 0)
    # InstanceNorm has a counter that it never uses.
    buffers = [key for key, _ in network.named_buffers() if not key.endswith("tracked")]
    assert buffers
    assert not any(torch.equal(before[key], network.state_dict()[key]) for key in buffers)


def test_statistics_of_training_groups_can_be_frozen_whatever_their_class(
    make_batches: Make,
) -> None:
    network = network_of(OwnNorm(), nn.BatchNorm1d(6))
    plan = Scratch.model_validate({**SHORT, "batch_norm": "frozen"}).plan(network.group_names)
    before = tensors(network)
    fit(network, plan, make_batches(30), make_batches(9), 0)
    for key, value in network.state_dict().items():
        statistic = is_statistic(key) or "running" in key
        assert torch.equal(before[key], value) == statistic, key


def test_modules_without_weights_need_no_owner(make_batches: Make) -> None:
    parts = {
        "norm": nn.InstanceNorm2d(1),
        "plain": nn.BatchNorm2d(1, affine=False, track_running_stats=False),
        "flatten": nn.Flatten(),
        "dense": nn.Linear(36, 6),
    }
    network = chain(parts, nn.Linear(6, 3), {"dense": ["dense"]})
    result = fit(
        network, Frozen(**SHORT).plan(network.group_names), make_batches(30), make_batches(9), 0
    )
    assert result.steps == 8


def test_modes_and_gradients_of_a_phase(cnn: Make) -> None:
    network = cnn().eval()
    plan = FreezeThenThaw(thaw=("conv_2",)).plan(network.group_names)
    set_modes(network, plan.phases[1])
    learning = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    assert {network.group_of(name) for name in learning} == {"conv_2", "head"}
    assert len(learning) == 6
    modes = {name: module.training for name, module in network.body.named_children()}
    assert (modes["batch_norm_1"], modes["batch_norm_2"]) == (False, True)
    assert modes["dropout_1"]  # dropout belongs to the architecture and stays on


def test_dropout_within_a_frozen_own_module_stays_on() -> None:
    network = network_of(OwnNorm())
    phase = Training().phase("head", {"low": None, "head": 0.1})
    set_modes(network, phase)
    own = network.get_submodule("body.part_0")
    assert not own.training
    assert own.get_submodule("drop").training


def test_what_was_frozen_in_one_fit_can_learn_in_the_next(cnn: Make, make_batches: Make) -> None:
    network, batches = cnn(), make_batches(30)
    fit(network, Frozen(**SHORT).plan(network.group_names), batches, batches, 0)
    before = tensors(network)
    plan = FineTune(**SHORT).plan(network.group_names)
    fit(network, plan, batches, batches, 0)
    assert_only_this_changed(network, before, plan.phases[0], statistics=True)


def batches_seen(network: Network, train: Batches, plan: Plan, valid: Batches) -> list[int]:
    sizes: list[int] = []

    def note(module: nn.Module, inputs: tuple[Tensor]) -> None:
        if module.training:
            sizes.append(len(inputs[0]))

    hook = network.register_forward_pre_hook(note)
    fit(network, plan, train, valid, 0)
    hook.remove()
    return sizes


def test_a_lone_last_picture_joins_the_batch_before_it_where_statistics_are_taken(
    cnn: Make, mlp: Make, make_batches: Make
) -> None:
    train, valid = make_batches(17), make_batches(9)
    for strategy in (Scratch(**SHORT), Frozen(**SHORT)):
        for network, sizes in ((cnn(), [8, 9]), (mlp(), [8, 8, 1])):
            plan = strategy.plan(network.group_names)
            assert batches_seen(network, train, plan, valid) == sizes * 2
