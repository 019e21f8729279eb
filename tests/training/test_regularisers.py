"""Regularisers against their formulas, written out densely in a bare loop."""

import copy
import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from headstart.errors import TrainingError
from headstart.networks.groups import Network
from headstart.networks.heads import loss
from headstart.seeding import generator
from headstart.strategies import BSS, L2SP, Delta, FineTune, Phase, Plan, StochNorm
from headstart.strategies.regularisers import Regulariser
from headstart.training.batches import Inputs
from headstart.training.entry import Entry, at_the_pictures
from headstart.training.fit import fit, set_modes
from headstart.training.regularisers import (
    Regularisation,
    smallest_singular_values,
    starting_point,
)

Make = Callable[..., Any]
Penalty = Callable[[Network, Network, Tensor], Tensor]
STEPS = 5


def plan_of(network: Network, *regularisers: Regulariser, fresh: tuple[str, ...] = ()) -> Plan:
    (phase,) = FineTune(lr=0.2, steps=STEPS, batch_size=10).plan(network.group_names).phases
    return Plan("source", (dataclasses.replace(phase, regularisers=regularisers),), fresh)


def body_outputs(network: Network, inputs: Tensor) -> list[Tensor]:
    """What each layer group of the body puts out, module by module."""
    last = {group.modules[-1] for group in network.groups}
    values, found = inputs, []
    for name, module in network.body.named_children():
        values = module(values)
        if f"body.{name}" in last:
            found.append(values)
    return found


def l2_sp(network: Network, source: Network, _: Tensor) -> Tensor:
    near = sum(
        ((own - other) ** 2).sum()
        for own, other in zip(network.body.parameters(), source.body.parameters(), strict=True)
    )
    new = sum((own**2).sum() for own in network.head.parameters())
    return 0.3 / 2 * near + 0.4 / 2 * new  # type: ignore[return-value]


def l2_sp_on_a_fresh_top(network: Network, source: Network, _: Tensor) -> Tensor:
    total = torch.zeros(())
    for name, own in network.named_parameters():
        kept = network.group_of(name) == "dense_1"
        other = source.get_parameter(name) if kept else torch.zeros_like(own)
        total = total + (0.3 if kept else 0.4) / 2 * ((own - other) ** 2).sum()
    return total


def bss(network: Network, _: Network, inputs: Tensor) -> Tensor:
    features = network.body(inputs)
    squares: Tensor = torch.linalg.eigvalsh(features @ features.T)
    few = min(features.shape)
    return 0.5 * squares.flip(0)[:few][-2:].sum()


def delta(network: Network, source: Network, inputs: Tensor) -> Tensor:
    total = sum((own**2).sum() for own in network.head.parameters()) * 0.4 / 2
    with torch.no_grad():
        before = body_outputs(source.eval(), inputs)
    for now, then in zip(body_outputs(network, inputs), before, strict=True):
        for picture in range(len(inputs)):
            gap = (now[picture] - then[picture]) ** 2
            total = total + 0.3 * gap.sum() / (len(inputs) * gap.shape[0])
    return total  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("regularisers", "fresh", "penalty"),
    [
        ((L2SP(alpha=0.3, beta=0.4),), (), l2_sp),
        ((L2SP(alpha=0.3, beta=0.4),), ("dense_2",), l2_sp_on_a_fresh_top),
        ((BSS(eta=0.5, k=2),), (), bss),
        ((Delta(strength=0.3, beta=0.4),), (), delta),
        (
            (BSS(eta=0.5, k=2), L2SP(alpha=0.3, beta=0.4)),
            (),
            lambda *given: bss(*given) + l2_sp(*given),
        ),
    ],
    ids=["l2_sp", "l2_sp, fresh top", "bss", "delta", "two of them"],
)
def test_a_penalty_is_its_formula_step_by_step(
    regularisers: tuple[Regulariser, ...],
    fresh: tuple[str, ...],
    penalty: Penalty,
    mlp: Make,
    make_batches: Make,
) -> None:
    network = mlp(dropout=0.0)
    bare, source = copy.deepcopy(network), copy.deepcopy(network)
    train = make_batches(10)
    result = fit(network, plan_of(network, *regularisers, fresh=fresh), train, train, 0)
    optimizer, first = torch.optim.SGD(bare.parameters(), lr=0.2), 0.0
    for step in range(STEPS):
        rows = torch.from_numpy(generator(0, "order", step + 1).permutation(10))
        inputs, labels = train.inputs(rows), train.labels[rows]
        value = loss(bare(inputs), labels)
        optimizer.zero_grad()
        (value + penalty(bare, source, inputs)).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        first = first or float(value.detach())
    for mine, other in zip(network.parameters(), bare.parameters(), strict=True):
        assert torch.allclose(mine, other, atol=2e-6)
    assert result.epochs[0].train_loss == pytest.approx(first, abs=1e-6)


def test_delta_keeps_convolutions_with_batch_norm_near_the_source_at_rest(
    cnn: Make, make_batches: Make
) -> None:
    """The source is seen as it answers: by its own weights and running statistics, no dropout."""
    network, train = cnn(), make_batches(10)
    plan = plan_of(network, Delta(strength=0.3, beta=0))
    source = copy.deepcopy(network)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    set_modes(network, plan.phases[0])
    network.get_submodule("body.dropout_1").eval()
    bare = copy.deepcopy(network)
    origin = starting_point(network, plan)
    inputs = train.inputs(slice(0, 10))
    with Regularisation(network, plan.phases[0], network, origin) as near:
        logits = near(inputs)
        added = near.added_to(loss(logits, train.labels)) - loss(logits, train.labels)
    head = 0.4 / 2 * sum((p**2).sum() for p in bare.head.parameters())
    expected = (delta(bare, source, inputs) - head).detach()
    assert float(added.detach()) == pytest.approx(float(expected), rel=1e-4)
    assert network.get_submodule("body.batch_norm_1").training
    for key, value in network.state_dict().items():
        assert torch.equal(before[key], value) != ("running" in key or "tracked" in key), key


def test_the_smallest_singular_values_are_those_of_the_dense_decomposition() -> None:
    draw = torch.Generator().manual_seed(0)
    for shape in ((6, 9), (9, 6), (4, 3, 5), (1, 4)):
        features = torch.randn(shape, generator=draw)
        flat = features.flatten(1).double()
        few = min(flat.shape)
        squares = torch.linalg.eigvalsh(flat @ flat.T).flip(0)[:few]
        for k in (1, 2, few, few + 3):
            expected = float(squares[-k:].sum())
            assert float(smallest_singular_values(features, k)) == pytest.approx(expected, rel=1e-4)


def norm_network(cnn: Make) -> tuple[Network, nn.BatchNorm2d]:
    network: Network = cnn()
    norm = network.get_submodule("body.batch_norm_2")
    assert isinstance(norm, nn.BatchNorm2d)
    with torch.no_grad():
        assert norm.running_mean is not None
        norm.running_mean.add_(0.3)
        norm.weight.add_(0.1 * torch.arange(5))
    return network, norm


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_a_stochastic_norm_takes_each_channel_from_one_of_two(
    p: float, cnn: Make, make_batches: Make
) -> None:
    network, norm = norm_network(cnn)
    plan = plan_of(network, StochNorm(p=p))
    set_modes(network, plan.phases[0])
    plain = copy.deepcopy(norm)
    inputs = torch.randn(8, 5, 3, 3)
    from_batch, times = 0, 200
    with Regularisation(network, plan.phases[0], network, {}):
        for _ in range(times):
            assert norm.running_mean is not None
            assert norm.running_var is not None
            assert plain.running_mean is not None
            at_rest = functional.batch_norm(
                inputs, norm.running_mean.clone(), norm.running_var.clone(), norm.weight,
                norm.bias, training=False, eps=norm.eps,
            )  # fmt: skip
            of_batch, output = plain(inputs), norm(inputs)
            for channel in range(5):
                one = torch.allclose(output[:, channel], of_batch[:, channel], atol=1e-5)
                two = torch.allclose(output[:, channel], at_rest[:, channel], atol=1e-5)
                assert one or two
                from_batch += one and not two
            assert torch.equal(norm.running_mean, plain.running_mean)
            for each in (norm.running_mean, plain.running_mean):
                each.add_(0.5)  # so that the two stay apart
    assert from_batch / (5 * times) == pytest.approx(p, abs=0.06)


def test_a_stochastic_norm_leaves_evaluation_and_frozen_groups_alone(
    cnn: Make, make_batches: Make
) -> None:
    network, norm = norm_network(cnn)
    plan = plan_of(network, StochNorm())
    inputs = torch.randn(8, 5, 3, 3)
    network.eval()
    expected = norm(inputs)
    with Regularisation(network, plan.phases[0], network, {}):
        assert torch.equal(norm(inputs), expected)


@pytest.mark.parametrize("regulariser", [L2SP(), Delta(), BSS(), StochNorm()], ids=lambda r: r.name)
def test_regularisers_repeat_and_leave_nothing_behind(
    regulariser: Regulariser, cnn: Make, make_batches: Make
) -> None:
    ends = []
    for plan_takes_it in (True, True, False):
        network = cnn()
        plan = plan_of(network, *([regulariser] if plan_takes_it else []))
        fit(network, plan, make_batches(30), make_batches(9), 0)
        ends.append({key: value.clone() for key, value in network.state_dict().items()})
        for module in network.modules():
            assert not module._forward_hooks
            assert not module._forward_pre_hooks
    assert all(torch.equal(ends[0][key], ends[1][key]) for key in ends[0])
    assert not all(torch.equal(ends[0][key], ends[2][key]) for key in ends[0])


def test_what_watches_features_enters_at_the_pictures(mlp: Make, make_batches: Make) -> None:
    """A model of parts would not call the modules that are watched."""

    def parts_only(network: Network, phase: Phase, train: Inputs, valid: Inputs) -> Entry:
        entered.append(phase.name)
        return at_the_pictures(network, phase, train, valid)

    for regulariser, enters in ((Delta(), False), (BSS(), False), (L2SP(), True)):
        entered: list[str] = []
        network = mlp()
        plan = plan_of(network, regulariser)
        fit(network, plan, make_batches(30), make_batches(9), 0, enter=parts_only)
        assert bool(entered) == enters


def test_a_loss_that_explodes_is_told_as_such_whatever_is_decomposed(
    mlp: Make, make_batches: Make
) -> None:
    network = mlp()
    (phase,) = plan_of(network, BSS()).phases
    wild = dataclasses.replace(phase, rates=dict.fromkeys(network.group_names, 1e30))
    with pytest.raises(TrainingError, match="lower the learning rate"):
        fit(network, Plan("source", (wild,)), make_batches(30), make_batches(9), 0)
