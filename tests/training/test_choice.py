"""The best of several ends, against each of them fitted and scored by hand."""

import copy
import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from headstart.networks.groups import HEAD
from headstart.strategies import FineTune
from headstart.training.evaluate import evaluate_loss, predict_probabilities
from headstart.training.fit import fit

Make = Callable[..., Any]


def test_the_depth_that_is_right_most_often_is_kept(cnn: Make, make_batches: Make) -> None:
    strategy = FineTune.model_validate(
        {"lr": 0.05, "epochs": 2, "batch_size": 10, "freeze_depth": "auto"}
    )
    network, train, valid = cnn(), make_batches(30), make_batches(60, seed=1)
    start = copy.deepcopy(network)
    plan = strategy.plan(network.group_names)
    result = fit(network, plan, train, valid, 0)

    ends = []
    for count in range(1, len(plan.phases) + 1):
        own = copy.deepcopy(start)
        fit(own, dataclasses.replace(plan, phases=plan.phases[:count], best_of=()), train, valid, 0)
        ends.append(own)
    scores = [evaluate_loss(own, valid)[1] for own in ends]
    best = scores.index(max(scores))

    assert len(set(scores)) > 1  # so that there is something to choose
    assert result.choice is not None
    assert (result.choice.chosen, result.choice.name) == (best, plan.phases[best].name)
    assert (result.val_loss, result.val_accuracy) == evaluate_loss(network, valid)
    assert result.val_accuracy == scores[best]
    for name, value in ends[best].state_dict().items():
        assert torch.equal(network.state_dict()[name], value), name
    labels = valid.labels.numpy()
    for own, right in zip(ends, result.choice.correct, strict=True):
        assert np.array_equal(right, predict_probabilities(own, valid).argmax(axis=1) == labels)
    (kept,) = plan.kept(result.choice.name).phases
    for name, value in start.state_dict().items():
        if not kept.trains(network.group_of(name)):
            assert torch.equal(network.state_dict()[name], value), name


def test_each_depth_sets_out_from_the_same_weights(mlp: Make, make_batches: Make) -> None:
    """With one step a phase and no dropout nothing is drawn in which they could differ."""
    strategy = FineTune.model_validate(
        {"lr": 0.1, "steps": 1, "batch_size": 64, "freeze_depth": "auto"}
    )
    network, train, valid = mlp(), make_batches(30), make_batches(20, seed=1)
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    start = copy.deepcopy(network)
    plan = strategy.plan(network.group_names)
    fit(network, dataclasses.replace(plan, best_of=()), train, valid, 0)
    alone = FineTune.model_validate({"lr": 0.1, "steps": 1, "batch_size": 64})
    fit(start, alone.plan(start.group_names), train, valid, 0)
    for name, value in start.state_dict().items():
        assert torch.allclose(network.state_dict()[name], value, atol=1e-6), name


def test_of_equally_good_ones_the_most_frozen_is_kept(mlp: Make, make_batches: Make) -> None:
    """A rate so low that no answer changes leaves them all equal."""
    strategy = FineTune.model_validate({"lr": 1e-12, "steps": 1, "freeze_depth": "auto"})
    network = mlp()
    result = fit(
        network, strategy.plan(network.group_names), make_batches(30), make_batches(20, seed=1), 0
    )
    assert result.choice is not None
    assert result.choice.chosen == 0
    body = len(network.group_names) - 1
    assert HEAD in network.group_names
    assert result.choice.candidates == tuple(
        f"{depth} of {body} groups frozen" for depth in range(body, -1, -1)
    )
