"""Soups and distillation against what they are made of, done by hand."""

import copy
import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from headstart.networks.groups import Network
from headstart.networks.heads import loss
from headstart.seeding import generator
from headstart.strategies import Distil, Plan, Soup
from headstart.training.evaluate import evaluate_loss
from headstart.training.fit import fit
from headstart.training.regularisers import soft_gap
from headstart.training.soup import greedy_soup

Make = Callable[..., Any]
State = dict[str, Tensor]


def state_of(network: Network) -> State:
    return {key: value.clone() for key, value in network.state_dict().items()}


def averaged(network: Network, states: list[State]) -> Network:
    """A copy of the network with the mean of the weights; counters are the first one's."""
    made = copy.deepcopy(network)
    made.load_state_dict(
        {
            key: sum(state[key] for state in states) / len(states)
            if value.is_floating_point()
            else value
            for key, value in states[0].items()
        }
    )
    return made


def test_every_ingredient_sets_out_from_the_same_weights(cnn: Make, make_batches: Make) -> None:
    """All but the order of its pictures, an ingredient is a fine-tuning of its own."""
    strategy = Soup.model_validate({"lr": 0.1, "epochs": 1, "batch_size": 40, "factors": [1, 0.5]})
    network = cnn()
    plan = strategy.plan(network.group_names)
    assert [phase.rates["head"] for phase in plan.phases] == [0.1, 0.05]
    network.get_submodule("body.dropout_1").p = 0.0
    alone, second = copy.deepcopy(network), copy.deepcopy(network)
    fit(second, dataclasses.replace(plan, soup=()), make_batches(30), make_batches(9), 0)
    lonely = dataclasses.replace(plan.phases[1], restart=False)
    fit(alone, Plan("source", (lonely,)), make_batches(30), make_batches(9), 0)
    for key, value in second.state_dict().items():
        assert torch.allclose(value, alone.state_dict()[key], atol=1e-6), key


def test_a_soup_is_greedy_by_validation_accuracy(cnn: Make, make_batches: Make) -> None:
    """Against all its averages, tried by hand."""
    strategy = Soup.model_validate(
        {"lr": 0.05, "epochs": 3, "batch_size": 10, "factors": [1, 30, 0.3, 3]}
    )
    network, train, valid = cnn(), make_batches(30), make_batches(60, seed=1)
    start = copy.deepcopy(network)
    plan = strategy.plan(network.group_names)
    result = fit(network, plan, train, valid, 0)
    assert result.steps == 4 * 3 * 3
    ends = []
    for count in range(1, 5):
        own = copy.deepcopy(start)
        fit(own, dataclasses.replace(plan, phases=plan.phases[:count], soup=()), train, valid, 0)
        ends.append(state_of(own))
    scores = [evaluate_loss(averaged(start, [state]), valid) for state in ends]
    order = sorted(range(4), key=lambda n: (-scores[n][1], scores[n][0]))
    chosen, best = [ends[order[0]]], scores[order[0]][1]
    for number in order[1:]:
        tried = evaluate_loss(averaged(start, [*chosen, ends[number]]), valid)[1]
        if tried >= best:
            chosen, best = [*chosen, ends[number]], tried
    expected = averaged(start, chosen)
    assert 1 < len(chosen) < 4  # so that both happen
    assert result.val_accuracy == best
    assert (result.val_loss, result.val_accuracy) == evaluate_loss(network, valid)
    for key, value in network.state_dict().items():
        assert torch.allclose(value, expected.state_dict()[key], atol=1e-6), key


def test_an_average_that_is_as_good_joins_and_a_worse_one_does_not(
    mlp: Make, make_batches: Make
) -> None:
    network, train, valid = mlp(), make_batches(30), make_batches(30, seed=1)
    good = copy.deepcopy(network)
    fit(good, Soup(lr=0.3, epochs=20).plan(network.group_names), train, valid, 0)
    states = [state_of(good), state_of(good)]
    found = greedy_soup(network, states, valid)
    assert found == (*evaluate_loss(good, valid), 2)
    wrecked = {key: torch.zeros_like(value) - 3 * value for key, value in states[0].items()}
    *_, count = greedy_soup(network, [wrecked, states[0]], valid)
    assert count == 1
    for key, value in network.state_dict().items():
        assert torch.equal(value, states[0][key])


@pytest.mark.parametrize(("kind", "classes"), [("mlp", 2), ("mlp", 3), ("cnn", 3)])
def test_the_student_learns_from_its_teacher_step_by_step(
    kind: str, classes: int, make_batches: Make, request: pytest.FixtureRequest
) -> None:
    """The CNN's BatchNorm is live in the student, and at rest in the teacher."""
    network, train = request.getfixturevalue(kind)(classes=classes), make_batches(10, classes)
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    strategy = Distil(lr=0.2, epochs=4, batch_size=10, weight=0.7, temperature=3.0)
    plan = strategy.plan(network.group_names)
    teacher, bare = copy.deepcopy(network), copy.deepcopy(network)
    fit(teacher, Plan("source", plan.phases[:1]), train, train, 0)
    result = fit(network, plan, train, train, 0)
    assert [epoch.phase for epoch in result.epochs] == ["teacher"] * 4 + ["student"] * 4

    def soft(logits: Tensor) -> Tensor:
        both = torch.cat([0 * logits, logits], 1) if classes == 2 else logits
        return torch.softmax(both / 3.0, dim=1)

    optimizer = torch.optim.SGD(bare.train().parameters(), lr=0.2)
    for epoch in range(5, 9):
        rows = torch.from_numpy(generator(0, "order", epoch).permutation(10))
        inputs, labels = train.inputs(rows), train.labels[rows]
        logits, wanted = bare(inputs), soft(teacher(inputs)).detach()
        gap = functional.kl_div(soft(logits).log(), wanted, reduction="batchmean")
        optimizer.zero_grad()
        (0.3 * loss(logits, labels) + 0.7 * 9 * gap).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    for key, value in bare.state_dict().items():
        assert torch.allclose(network.state_dict()[key], value, atol=5e-6), key


def test_a_student_that_agrees_has_nothing_to_learn_from_its_teacher() -> None:
    logits = torch.randn(6, 4)
    assert float(soft_gap(logits, logits + 2.0, 1.5)) == pytest.approx(0, abs=1e-6)
    assert float(soft_gap(logits, logits.roll(1, 0), 1.5)) > 0.1


def test_the_teacher_is_at_rest_and_stays_as_it_was(cnn: Make, make_batches: Make) -> None:
    """With dropout and BatchNorm; neither its statistics nor its weights move."""
    ends = []
    for _ in range(2):
        network = cnn()
        plan = Distil(lr=0.1, epochs=2, batch_size=10).plan(network.group_names)
        fit(network, plan, make_batches(30), make_batches(9), 0)
        ends.append(state_of(network))
        assert all(parameter.requires_grad for parameter in network.parameters())
    assert all(torch.equal(ends[0][key], ends[1][key]) for key in ends[0])
