"""Phases that solve the head: what the network holds afterwards, and what was looked at."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.neighbors import KNeighborsClassifier
from torch import nn

from headstart.errors import StudyError, TrainingError
from headstart.networks.groups import Network, chain
from headstart.networks.heads import solvable_layer
from headstart.networks.neighbours import NeighbourHead
from headstart.settings import describe_problems
from headstart.strategies import KNN, LDA, LPFT, STRATEGIES, NearestMean, Probe, Ridge, Strategy
from headstart.training.batches import Batches
from headstart.training.evaluate import evaluate_loss, evaluating, predict_probabilities
from headstart.training.fit import Fit, fit

Make = Callable[..., Any]
SOLVED: list[Strategy] = [
    Probe(),
    Ridge(),
    Ridge(choose="left_out"),
    LDA(),
    NearestMean(),
    KNN(neighbours=(1, 3, 7)),
]
each_solved = pytest.mark.parametrize("strategy", SOLVED, ids=lambda strategy: strategy.kind)


def solve(strategy: Strategy, network: Network, train: Batches, valid: Batches) -> Fit:
    return fit(network, strategy.plan(network.group_names), train, valid, 0)


def features(network: Network, batches: Batches) -> np.ndarray[Any, Any]:
    with evaluating(network):
        return torch.cat([network.body(x) for x, _ in batches.in_order()]).double().numpy()


def labels(batches: Batches) -> np.ndarray[Any, Any]:
    assert batches.labels is not None
    return batches.labels.numpy()


@each_solved
@pytest.mark.parametrize("classes", [2, 3])
def test_only_the_head_is_another_and_tells_more(
    strategy: Strategy, classes: int, cnn: Make, make_batches: Make
) -> None:
    network = cnn(classes=classes)
    train, valid = make_batches(150, classes), make_batches(60, classes, seed=1)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    told: list[Any] = []
    result = fit(network, strategy.plan(network.group_names), train, valid, 0, on_epoch=told.append)
    after = network.state_dict()
    body = [key for key in before if key.startswith("body.")]
    assert all(torch.equal(before[key], after[key]) for key in body)
    assert not torch.equal(*(next(iter(head)) for head in (_head(before), _head(after))))
    assert result.val_accuracy > 1.2 / classes
    assert (result.val_loss, result.val_accuracy) == pytest.approx(evaluate_loss(network, valid))
    (epoch,) = result.epochs
    assert told == [epoch]
    assert (epoch.phase, epoch.epoch, epoch.val_loss) == ("head", 1, result.val_loss)
    assert epoch.train_loss == pytest.approx(evaluate_loss(network, train)[0])
    assert result.steps == 0
    said = predict_probabilities(network, valid)
    assert said.shape == (60, classes)
    np.testing.assert_allclose(said.sum(axis=1), 1, rtol=1e-5)


def _head(state: Mapping[str, torch.Tensor]) -> list[torch.Tensor]:
    return [value for key, value in state.items() if key.startswith("head.")]


def test_the_probe_is_the_best_logistic_regression_on_validation(
    cnn: Make, make_batches: Make
) -> None:
    network, train, valid = cnn(), make_batches(60), make_batches(40, seed=1)
    strategy = Probe(penalties=(1e-6, 0.001, 0.03, 1.0, 100.0))
    result = solve(strategy, network, train, valid)
    x, q = features(network, train), features(network, valid)
    losses, said = [], []
    for penalty in strategy.penalties:
        model = LogisticRegression(C=1 / penalty, solver="newton-cholesky", tol=1e-12)
        said.append(model.fit(x, labels(train)).predict_proba(q))
        losses.append(-np.log(said[-1][np.arange(40), labels(valid)]).mean())
    best = int(np.argmin(losses))
    assert 0 < best < 4, "the test should choose in the middle"
    np.testing.assert_allclose(predict_probabilities(network, valid), said[best], atol=1e-4)
    assert result.val_loss == pytest.approx(losses[best], abs=1e-4)


def test_ridge_can_choose_without_looking_at_validation(cnn: Make, make_batches: Make) -> None:
    network, train, valid = cnn(classes=2), make_batches(60, 2), make_batches(40, 2, seed=1)
    wrong = make_batches(40, 2, seed=1)
    wrong.labels = 1 - valid.labels
    hashes = []
    for choose, seen in [("left_out", valid), ("left_out", wrong), ("validation", wrong)]:
        own = cnn(classes=2)
        solve(Ridge.model_validate({"choose": choose}), own, train, seen)
        hashes.append(own.head.output.weight.sum().item())
    assert hashes[0] == hashes[1] != hashes[2]
    solve(Ridge(penalties=(3.0,)), network, train, valid)
    x, q = features(network, train), features(network, valid)
    model = RidgeClassifier(alpha=3.0).fit(x, labels(train))
    with evaluating(network):
        scores = network.head(torch.from_numpy(q).float())[:, 0].numpy()
    factors = scores / model.decision_function(q)
    np.testing.assert_allclose(factors, factors[0], rtol=1e-3)
    assert factors[0] > 0


def test_neighbours_are_chosen_by_accuracy_and_remembered(cnn: Make, make_batches: Make) -> None:
    network, train, valid = cnn(), make_batches(60), make_batches(40, seed=1)
    result = solve(KNN(neighbours=(1, 5, 20, 1000)), network, train, valid)
    x, q = features(network, train), features(network, valid)
    models = [KNeighborsClassifier(k).fit(x, labels(train)) for k in (1, 5, 20)]
    rights = [model.score(q, labels(valid)) for model in models]
    assert result.val_accuracy == pytest.approx(max(rights))
    head = network.head.output
    assert isinstance(head, NeighbourHead)
    assert int(head.nearest) in [k for k, right in zip((1, 5, 20), rights, strict=True)
                                 if right == max(rights)]  # fmt: skip
    assert {"head.output.known", "head.output.votes"} <= network.state_dict().keys()
    best = models[[1, 5, 20].index(int(head.nearest))]
    np.testing.assert_allclose(
        predict_probabilities(network, valid), best.predict_proba(q), atol=1e-4
    )


@each_solved
def test_the_same_pictures_give_the_same_bits_in_any_order_of_fits(
    strategy: Strategy, cnn: Make, make_batches: Make
) -> None:
    train, valid = make_batches(60), make_batches(30, seed=1)
    ends = []
    for noise in (1, 2):
        torch.manual_seed(noise)
        network = cnn()
        solve(strategy, network, train, valid)
        ends.append(network.state_dict())
    assert all(torch.equal(value, ends[1][key]) for key, value in ends[0].items())


def test_everything_learns_from_the_probe_on(cnn: Make, make_batches: Make) -> None:
    train, valid = make_batches(60), make_batches(30, seed=1)
    probed, tuned = cnn(), cnn()
    solve(Probe(), probed, train, valid)
    strategy = LPFT(epochs=1, lr=1e-9)
    result = solve(strategy, tuned, train, valid)
    assert [epoch.phase for epoch in result.epochs] == ["head", "fine-tune"]
    assert [epoch.epoch for epoch in result.epochs] == [1, 2]
    torch.testing.assert_close(tuned.head.output.weight, probed.head.output.weight)
    assert result.steps == 1
    moved = LPFT(epochs=2, lr=0.05, backbone_lr=0.01)
    network = cnn()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    solve(moved, network, train, valid)
    for key, value in network.state_dict().items():
        assert torch.equal(value, before[key]) == ("running" in key or "tracked" in key), key


def test_the_paper_of_lp_ft_sets_its_defaults() -> None:
    tune = LPFT().plan(("conv_1", "head")).phases[1]
    assert (tune.optimizer.name, tune.optimizer.momentum, tune.optimizer.weight_decay) == (
        "sgd",
        0.9,
        0.0,
    )
    assert (tune.batch_size, tune.epochs, tune.schedule.name) == (64, 20, "cosine")
    assert tune.batch_norm == "frozen"
    assert LPFT(steps=5).plan(("conv_1", "head")).phases[1].steps == 5


@each_solved
def test_a_head_with_hidden_layers_is_refused_before_anything_trains(
    strategy: Strategy, mlp: Make, make_batches: Make
) -> None:
    network = mlp()
    with pytest.raises(StudyError) as caught:
        strategy.plan(network.group_names).check_network(network)
    assert caught.value.problems == (
        "phase 'head' solves the head on the features in front of it, which takes a head of one "
        "linear layer, but this one has more: leave head.hidden out, or use frozen",
    )
    with pytest.raises(StudyError):
        solve(strategy, network, make_batches(9), make_batches(9))


def test_which_heads_can_be_solved() -> None:
    linear = nn.Linear(4, 3)
    assert solvable_layer(linear) == ""
    assert solvable_layer(nn.Sequential(nn.Flatten(), nn.Dropout(), linear)) == "2"
    assert solvable_layer(nn.Sequential(linear, nn.Softmax(1))) is None
    assert solvable_layer(nn.Sequential(nn.Linear(4, 4), linear)) is None
    assert solvable_layer(nn.Sequential(nn.LayerNorm(4), linear)) is None
    assert solvable_layer(nn.Linear(4, 3, bias=False)) is None
    assert solvable_layer(nn.Flatten()) is None


def test_dropout_in_front_of_the_layer_is_off(make_batches: Make) -> None:
    torch.manual_seed(0)
    head = nn.Sequential(nn.Dropout(0.9), nn.Linear(36, 3))
    network = chain({"flatten": nn.Flatten()}, head, {"flatten": ["flatten"]})
    train, valid = make_batches(40), make_batches(20, seed=1)
    solve(Probe(penalties=(1.0,)), network, train, valid)
    x = features(network, train)
    model = LogisticRegression(solver="newton-cholesky", tol=1e-12).fit(x, labels(train))
    np.testing.assert_allclose(
        predict_probabilities(network, train), model.predict_proba(x), atol=1e-4
    )
    solve(KNN(neighbours=(3,)), network, train, valid)
    assert isinstance(head[1], NeighbourHead)


@each_solved
def test_a_class_without_pictures_is_told(
    strategy: Strategy, cnn: Make, make_batches: Make
) -> None:
    train = make_batches(40)
    assert train.labels is not None
    train.labels[train.labels == 1] = 2
    with pytest.raises(TrainingError, match="no training picture of class 1 \\(of 3\\)"):
        solve(strategy, cnn(), train, make_batches(9))


@pytest.mark.parametrize("kind", ["probe", "ridge", "lda", "nearest_mean", "knn"])
def test_settings_of_training_have_no_effect_and_are_refused(kind: str) -> None:
    strategy = STRATEGIES[kind]
    values = {"lr": 0.1, "epochs": 3, "augment": "light"}
    with pytest.raises(ValidationError) as caught:
        strategy.model_validate(values)
    (problem,) = describe_problems(caught.value, strategy, values=values)
    assert problem == (
        f"augment, epochs, lr has no effect in {kind}, whose head is solved and not trained: "
        "leave it out"
    )
    assert strategy.model_validate({}).model_dump()["lr"] == 0.001


@pytest.mark.parametrize(
    ("strategy", "values", "message"),
    [
        (Probe, {"penalties": []}, "penalties"),
        (Probe, {"penalties": [1.0, 0.0]}, "penalties.1: input should be greater than 0, got 0.0"),
        (LDA, {"shrinkages": [0.0]}, "shrinkages.0: input should be greater than 0, got 0.0"),
        (LDA, {"shrinkages": [1.5]}, "shrinkages.0: input should be less than or equal to 1"),
        (KNN, {"neighbours": [0]}, "neighbours.0: input should be greater than or equal to 1"),
        (KNN, {"neighbors": [1]}, "neighbors: unknown key; did you mean 'neighbours'?"),
        (Ridge, {"choose": "test"}, "choose: 'test' is not known; "),
    ],
)
def test_choices_that_make_no_sense_are_refused(
    strategy: type[Strategy], values: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        strategy.model_validate(values)
    (problem,) = describe_problems(caught.value, strategy, values=values)
    assert problem.startswith(message)
