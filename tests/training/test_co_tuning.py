"""Co-Tuning against its formula, written out densely in a bare loop."""

import copy
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from headstart.errors import StudyError
from headstart.networks.groups import Network, SourceHead, weights_hash
from headstart.networks.heads import loss
from headstart.seeding import generator
from headstart.strategies import CoTuning, FineTune, Gradual, Plan, ReplaceTop
from headstart.training.checkpoints import Checkpoints
from headstart.training.fit import Epoch, fit
from headstart.training.rate_finder import find_rate
from headstart.training.source_side import SourceSide, relationship, source_side

Make = Callable[..., Any]
KIND = CoTuning(strength=1.7, temperature=2.0)


def with_source_head(network: Network, units: int = 4) -> Network:
    """The network as one that came from a source with a head of so many units."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        width = next(m for m in network.head.modules() if isinstance(m, nn.Linear)).in_features
        head = nn.Linear(width, units)
        nn.init.normal_(head.weight, std=2.0)  # so that it has something to say
    network.source_head, network.pretrained = SourceHead(head), True
    return network


def co_tuned(network: Network, **training: Any) -> Plan:
    values = {"lr": 0.2, "steps": 5, "batch_size": 10, **training}
    return FineTune.model_validate({**values, "regularisers": [KIND]}).plan(network.group_names)


def wide(logits: Tensor) -> Tensor:
    """Of one unit, both classes' logits."""
    return torch.stack([0 * logits[:, 0], logits[:, 0]], 1) if logits.shape[1] == 1 else logits


@pytest.mark.parametrize(("units", "classes"), [(4, 3), (1, 3), (4, 2)])
def test_the_source_head_learns_beside_the_new_one_step_by_step(
    units: int, classes: int, mlp: Make, make_batches: Make
) -> None:
    network = with_source_head(mlp(dropout=0.0, classes=classes), units)
    train = make_batches(10, classes)
    bare = copy.deepcopy(network)
    assert bare.source_head is not None
    head = bare.source_head.module
    inputs, expected = train.inputs(slice(0, 10)), torch.zeros(classes, max(units, 2))
    said = torch.softmax(wide(head(bare.body(inputs))) / 2.0, dim=1).detach()
    for number in range(classes):
        expected[number] = said[train.labels == number].mean(dim=0)
    fit(network, co_tuned(network), train, train, 0)
    optimizer = torch.optim.SGD([*bare.parameters(), *head.parameters()], lr=0.2)
    for step in range(5):
        rows = torch.from_numpy(generator(0, "order", step + 1).permutation(10))
        inputs, labels = train.inputs(rows), train.labels[rows]
        features = bare.body(inputs)
        others = functional.cross_entropy(wide(head(features)), expected[labels])
        optimizer.zero_grad()
        (loss(bare.head(features), labels) + 1.7 * others).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    for mine, other in zip(network.parameters(), bare.parameters(), strict=True):
        assert torch.allclose(mine, other, atol=2e-6)


def test_the_relationship_is_what_the_source_says_of_each_class() -> None:
    said = torch.softmax(torch.randn(7, 5, generator=torch.Generator().manual_seed(0)), dim=1)
    labels = torch.tensor([0, 2, 2, 0, 2, 0, 0])
    found = relationship(said, labels, 4)
    assert torch.allclose(found[0], (said[0] + said[3] + said[5] + said[6]) / 4)
    assert torch.allclose(found[2], (said[1] + said[2] + said[4]) / 3)
    for without_pictures in (1, 3):
        assert torch.allclose(found[without_pictures], said.mean(dim=0))
    assert torch.allclose(found.sum(dim=1), torch.ones(4))


def test_mixed_pictures_are_expected_to_be_mixed() -> None:
    relation = torch.tensor([[0.9, 0.1], [0.2, 0.8]])
    head = nn.Linear(3, 2)
    features, labels = torch.randn(3, 3), torch.tensor([0, 1, 1])
    shares = torch.tensor([1.0, 0.25, 0.5])
    expected = torch.stack(
        [relation[0], 0.25 * relation[1] + 0.75 * relation[0], relation[1]]
    )  # each with the picture before it; the third's is of its own class
    found = SourceSide(head, {1.0: relation}).gap(features, labels, shares, 1.0)
    assert torch.allclose(found, functional.cross_entropy(head(features), expected))


def test_it_repeats_and_leaves_the_source_head_as_it_was(cnn: Make, make_batches: Make) -> None:
    ends = []
    for regularised in (True, True, False):
        network = with_source_head(cnn())
        assert network.source_head is not None
        before = copy.deepcopy(network.source_head.module.state_dict())
        plan = co_tuned(network) if regularised else FineTune(lr=0.2, steps=5, batch_size=10).plan(
            network.group_names
        )  # fmt: skip
        fit(network, plan, make_batches(30), make_batches(9), 0)
        after = network.source_head.module.state_dict()
        assert all(torch.equal(before[key], after[key]) for key in before)
        assert not any("source" in key for key in network.state_dict())
        ends.append(weights_hash(network.state_dict()))
    assert ends[0] == ends[1] != ends[2]


def test_it_learns_in_mixed_precision(cnn: Make, make_batches: Make) -> None:
    network = with_source_head(cnn())
    plan = co_tuned(network)
    halved = plan.phases[0].recipe.model_copy(update={"precision": "bfloat16"})
    phase = dataclasses.replace(plan.phases[0], recipe=halved)
    result = fit(network, Plan("source", (phase,)), make_batches(30), make_batches(9), 0)
    assert result.val_loss > 0


def test_it_learns_at_the_highest_rate_of_the_body_with_every_rate_rule(
    mlp: Make, make_batches: Make
) -> None:
    """A head that learns much faster than the body does not drag the source's along."""
    network = with_source_head(mlp(dropout=0.0))
    plan = co_tuned(network, backbone_lr=1e-12)
    seen = source_side(network, plan, make_batches(10))
    assert seen is not None
    before = {key: value.clone() for key, value in network.body.state_dict().items()}
    fit(network, plan, make_batches(10), make_batches(10), 0)
    for key, value in network.body.state_dict().items():
        assert torch.allclose(value, before[key], atol=1e-8)
    by_gradient = dataclasses.replace(plan.phases[0], rate_rule="relative_gradient_norm")
    fit(network, Plan("source", (by_gradient,)), make_batches(10), make_batches(10), 0)


def test_a_rate_can_be_found_for_it_without_a_trace(cnn: Make, make_batches: Make) -> None:
    network = with_source_head(cnn())
    assert network.source_head is not None
    before = weights_hash({**network.state_dict(), **network.source_head.module.state_dict()})
    curve = find_rate(network, co_tuned(network), make_batches(30), 0, steps=30)
    assert len(curve.rates) > 10
    assert before == weights_hash(
        {**network.state_dict(), **network.source_head.module.state_dict()}
    )


class InterruptedFitError(Exception):
    """As if the process had been killed."""


def test_an_interrupted_fit_ends_with_the_same_bits(
    cnn: Make, make_batches: Make, tmp_path: Path
) -> None:
    """Over several phases, in each of which the source's head goes on from where it was."""

    def stop(epoch: Epoch) -> None:
        if epoch.epoch == 4:
            raise InterruptedFitError

    start = with_source_head(cnn())
    strategy = Gradual.model_validate(
        {"lr": 0.1, "epochs": 2, "batch_size": 8, "regularisers": ["co_tuning"], "ema": 0.5}
    )
    plan = strategy.plan(start.group_names)
    train, valid = make_batches(20), make_batches(15, seed=1)
    whole = copy.deepcopy(start)
    fit(whole, plan, train, valid, 3)
    file = tmp_path / "one.safetensors"
    with pytest.raises(InterruptedFitError):
        fit(copy.deepcopy(start), plan, train, valid, 3, stop, checkpoints=Checkpoints(file, 0))
    network = copy.deepcopy(start)
    fit(network, plan, train, valid, 3, checkpoints=Checkpoints(file, 0))
    assert weights_hash(network.state_dict()) == weights_hash(whole.state_dict())


def test_a_source_without_a_head_is_refused_before_anything_trains(
    cnn: Make, make_batches: Make
) -> None:
    network = cnn()
    before = weights_hash(network.state_dict())
    for pretrained, message in (
        (True, "phase 'fine-tune' has co_tuning, which needs the head that the source was trained"),
        (False, "co_tuning needs the head that the source was trained with, but there is none"),
    ):
        network.pretrained = pretrained
        with pytest.raises(StudyError) as caught:
            fit(network, co_tuned(network), make_batches(9), make_batches(9), 0)
        assert caught.value.problems[0].startswith(message)
    assert weights_hash(network.state_dict()) == before


def test_a_body_of_which_a_part_starts_fresh_is_refused(cnn: Make) -> None:
    network = with_source_head(cnn())
    plan = ReplaceTop.model_validate({"regularisers": ["co_tuning"]}).plan(network.group_names)
    with pytest.raises(StudyError) as caught:
        plan.check_network(network)
    assert "has co_tuning, but the source's head stood on dense_1, which starts fresh" in str(
        caught.value
    )
