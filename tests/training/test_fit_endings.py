"""How a fit ends: early with its best weights, or with a reason why it cannot go on."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from headstart.data.scaling import Scaling
from headstart.data.tasks import Examples
from headstart.errors import StudyError, TrainingError
from headstart.networks.groups import Network, chain
from headstart.strategies import FreezeThenThaw, Frozen, Plan, Scratch
from headstart.training.batches import Batches
from headstart.training.evaluate import evaluate_loss
from headstart.training.fit import Epoch, Fit, fit

Make = Callable[..., Any]


def recorded(
    network: Network, plan: Plan, train: Batches, valid: Batches
) -> tuple[Fit, list[dict[str, Tensor]]]:
    """A fit, and the weights after each of its epochs."""
    states: list[dict[str, Tensor]] = []

    def note(_: Epoch) -> None:
        states.append({key: value.clone() for key, value in network.state_dict().items()})

    return fit(network, plan, train, valid, 0, note), states


@pytest.fixture
def misleading(make_examples: Make) -> Batches:
    """Validation pictures a third of which are labelled wrongly, so that their loss rises soon."""
    examples = make_examples(30, seed=5)
    labels = (examples.labels + (np.arange(30) % 10 < 3)) % 3
    zero, byte = (np.full((1, 1, 1), value, dtype=np.float32) for value in (0, 255))
    return Batches(examples.pictures, labels, Scaling(zero, byte), torch.device("cpu"))


def stop_by_hand(losses: list[float], patience: int) -> tuple[int, int]:
    """How many epochs early stopping lets through, and which of them was best (from 1)."""
    for done in range(1, len(losses) + 1):
        best = min(range(done), key=lambda n: (losses[n], n)) + 1
        if done - best >= patience:
            return done, best
    return len(losses), min(range(len(losses)), key=lambda n: (losses[n], n)) + 1


@pytest.mark.parametrize("patience", [1, 2, 3, 12])
def test_early_stopping_restores_the_best_weights(
    patience: int, cnn: Make, make_batches: Make, misleading: Batches
) -> None:
    train, valid = make_batches(24), misleading
    values: dict[str, Any] = {"lr": 0.5, "epochs": 12, "batch_size": 8}
    plan = Scratch.model_validate(values).plan(cnn().group_names)
    through, states = recorded(cnn(), plan, train, valid)
    losses = [epoch.val_loss for epoch in through.epochs]
    done, best = stop_by_hand(losses, patience)
    assert 1 <= best < done  # else this would show nothing

    network = cnn()
    patient = Scratch.model_validate({**values, "patience": patience}).plan(network.group_names)
    result = fit(network, patient, train, valid, 0)
    assert [epoch.val_loss for epoch in result.epochs] == losses[:done]
    assert result.steps == 3 * done
    assert result.val_loss == losses[best - 1]
    assert result.val_accuracy == through.epochs[best - 1].val_accuracy
    for key, value in network.state_dict().items():
        assert torch.equal(value, states[best - 1][key]), key
    assert evaluate_loss(network, valid) == (result.val_loss, result.val_accuracy)


def test_without_patience_the_last_weights_are_kept(
    cnn: Make, make_batches: Make, misleading: Batches
) -> None:
    network = cnn()
    plan = Scratch(lr=0.5, epochs=12, batch_size=8).plan(network.group_names)
    result, states = recorded(network, plan, make_batches(24), misleading)
    assert result.val_loss == result.epochs[-1].val_loss > min(e.val_loss for e in result.epochs)
    for key, value in network.state_dict().items():
        assert torch.equal(value, states[-1][key])


def test_the_next_phase_goes_on_from_the_best_weights(
    cnn: Make, make_batches: Make, misleading: Batches
) -> None:
    train, valid = make_batches(24), misleading
    network = cnn()
    strategy = FreezeThenThaw(lr=1.5, freeze_epochs=20, epochs=1, patience=2, batch_size=8)
    plan = strategy.plan(network.group_names)
    result, states = recorded(network, plan, train, valid)
    first = [epoch for epoch in result.epochs if epoch.phase == "head"]
    done, best = stop_by_hand([epoch.val_loss for epoch in first], 2)
    assert best < done == len(first) < 20
    last = result.epochs[-1]
    assert (last.phase, last.epoch) == ("thawed", done + 1)
    # The second phase alone, from the best weights of the first and in the same order of pictures.
    again = cnn()
    again.load_state_dict(states[best - 1])
    # To get to the same epoch's order, a first phase so slow that nothing moves.
    rates = {group: rate and 1e-12 for group, rate in plan.phases[0].rates.items()}
    pause = dataclasses.replace(plan.phases[0], rates=rates, epochs=done, patience=None)
    after, _ = recorded(again, Plan("source", (pause, plan.phases[1])), train, valid)
    # Dropout has gone on drawing alike, so only rounding is left.
    assert after.epochs[-1].val_loss == pytest.approx(last.val_loss, rel=1e-5)


def test_a_loss_that_is_no_number_ends_the_fit_with_the_reason(
    mlp: Make, make_batches: Make
) -> None:
    network = mlp()
    plan = Scratch(lr=1e30, epochs=3, batch_size=8).plan(network.group_names)
    with pytest.raises(TrainingError) as caught:
        fit(network, plan, make_batches(30), make_batches(9), 0)
    assert str(caught.value) in (
        f"the loss became {value} in epoch 1 (phase 'train'): lower the learning rate, or scale "
        "the pictures"
        for value in ("nan", "inf")
    )


def test_weights_that_only_the_last_step_spoilt_are_noticed(mlp: Make, make_batches: Make) -> None:
    network = mlp()
    plan = Scratch(lr=1e30, steps=1, batch_size=8).plan(network.group_names)
    with pytest.raises(TrainingError, match="the validation loss became nan in epoch 1"):
        fit(network, plan, make_batches(30), make_batches(9), 0)


def test_a_failed_fit_leaves_the_random_state_alone(mlp: Make, make_batches: Make) -> None:
    network, state = mlp(), torch.get_rng_state()
    plan = Scratch(lr=1e30, epochs=3, batch_size=8).plan(network.group_names)
    with pytest.raises(TrainingError):
        fit(network, plan, make_batches(30), make_batches(9), 0)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("pictures", [1, 5])
def test_batch_norm_cannot_learn_from_single_pictures(
    cnn: Make, make_batches: Make, pictures: int
) -> None:
    train, valid = make_batches(pictures), make_batches(9)
    network = cnn()
    size = 1 if pictures > 1 else 8
    live = Scratch(epochs=1, batch_size=size).plan(network.group_names)
    with pytest.raises(TrainingError) as caught:
        fit(network, live, train, valid, 0)
    assert str(caught.value) == (
        "BatchNorm cannot learn from batches of one picture (phase 'train'): raise batch_size, or "
        'set batch_norm = "frozen"'
    )
    for strategy in (
        Frozen(epochs=1, batch_size=size),
        Scratch(epochs=1, batch_size=size, batch_norm="frozen"),
    ):
        plan = strategy.plan(network.group_names)
        assert fit(network, plan, train, valid, 0).steps == pictures


@pytest.mark.parametrize("part", ["training", "validation"])
@pytest.mark.parametrize("labelled", [True, False])
def test_nothing_to_learn_from_or_to_choose_with_is_refused(
    mlp: Make, make_batches: Make, make_examples: Make, part: str, labelled: bool
) -> None:
    network = mlp()
    plan = Frozen().plan(network.group_names)
    examples: Examples = make_examples(0 if labelled else 5)
    zero, one = (torch.full((1, 1, 1), value).numpy() for value in (0.0, 1.0))
    bad = Batches(
        examples.pictures, examples.labels if labelled else None, Scaling(zero, one),
        torch.device("cpu"),
    )  # fmt: skip
    good = make_batches(9)
    train, valid = (bad, good) if part == "training" else (good, bad)
    with pytest.raises(TrainingError, match=f"there are no labelled {part} pictures"):
        fit(network, plan, train, valid, 0)


def test_a_plan_for_another_network_is_refused_before_anything_moves(
    mlp: Make, cnn: Make, make_batches: Make
) -> None:
    network = mlp()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    plan = Scratch().plan(cnn().group_names)
    with pytest.raises(StudyError, match="phase 'train' says nothing of"):
        fit(network, plan, make_batches(9), make_batches(9), 0)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_the_loss_that_is_told_is_that_of_all_pictures(make_batches: Make) -> None:
    """With a network that always answers the same, the mean loss is known beforehand."""

    class Fixed(nn.Module):
        def forward(self, features: Tensor) -> Tensor:
            return self.scale * torch.tensor([0.0, math.log(2), math.log(5)]).repeat(
                len(features), 1
            )

        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))

    network = chain({"flatten": nn.Flatten()}, Fixed(), {})
    plan = Scratch(lr=1e-12, epochs=1, batch_size=8).plan(network.group_names)
    result = fit(network, plan, make_batches(30), make_batches(9), 0)
    expected = math.log(8) - (math.log(2) + math.log(5)) / 3
    assert result.epochs[0].train_loss == pytest.approx(expected, rel=1e-6)
    assert result.val_loss == pytest.approx(expected, rel=1e-6)
    assert result.val_accuracy == pytest.approx(1 / 3)
