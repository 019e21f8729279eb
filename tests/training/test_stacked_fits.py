"""Stacked fits: each trial as if it had been fitted alone, whoever else is in the stack."""

import copy
import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from torch import Tensor

from headstart.data.scaling import Scaling
from headstart.data.tasks import Examples
from headstart.errors import TrainingError
from headstart.networks.builders import NetworkSettings, build_network
from headstart.networks.groups import Network, weights_hash
from headstart.networks.heads import HeadSettings
from headstart.strategies import FineTune, FreezeThenThaw, Frozen, Plan, Scratch
from headstart.strategies.plan import Phase
from headstart.training.batches import Batches, Inputs, StoredInputs
from headstart.training.entry import Entry, at_the_pictures
from headstart.training.fit import Fit, fit
from headstart.training.stacking.fit import fit_stacked
from headstart.training.stacking.members import Member, NotStackableError

COLOURS = (4, 5, 3)
OPTIMIZERS: list[dict[str, Any]] = [
    {"optimizer": "sgd", "lr": 0.1},
    {"optimizer": {"name": "sgd", "momentum": 0.9, "nesterov": True}, "lr": 0.01},
    {"optimizer": {"name": "sgd", "weight_decay": 0.01}, "lr": 0.1},
    {"optimizer": {"name": "adam", "betas": (0.8, 0.99), "eps": 1e-5}, "lr": 0.003},
    {"optimizer": {"name": "adamw", "weight_decay": 0.1, "eps": 1e-5}, "lr": 0.003},
    {"optimizer": "adadelta", "lr": 0.5},
]
RECIPES: list[dict[str, Any]] = [
    {},
    {"label_smoothing": 0.1},
    {"class_weights": "balanced"},
    {"class_weights": {"1": 3.0}, "label_smoothing": 0.2},
    {"ema": 0.7},
    {"clip_norm": 0.05},
    {"order": "by_class"},
    {"schedule": {"name": "cosine", "warmup": 0.2}},
]
ACTIVATIONS = ["relu", "selu", "elu", "gelu", "silu", "tanh", "sigmoid", "leaky_relu"]
KINDS: dict[str, Callable[..., Any]] = {
    "scratch": Scratch,
    "fine_tune": FineTune,
    "frozen": Frozen,
    "freeze_then_thaw": FreezeThenThaw,
}


def pictures(count: int, classes: int, seed: int) -> Examples:
    """Noise with a bright row that tells the class; one class has more pictures than others."""
    rng = np.random.default_rng(seed)
    labels = np.minimum(rng.integers(0, classes + 1, count), classes - 1)
    found = rng.integers(0, 120, (count, *COLOURS), dtype=np.uint8)
    found[np.arange(count), labels] += 90
    return Examples(found, labels)


def member(
    seed: int,
    plan: Callable[[Network], Plan],
    *,
    hidden: tuple[int, ...] = (9, 7),
    activation: str = "relu",
    dropout: float = 0.3,
    classes: int = 3,
    counts: tuple[int, int] = (37, 20),
) -> Member:
    """A trial with pictures, scaling and weights of its own."""
    body = TypeAdapter(NetworkSettings).validate_python(
        {"kind": "mlp", "hidden": hidden, "activation": activation}
    )
    head = HeadSettings(hidden=(6,), dropout=dropout, activation=activation)
    network = build_network(body, head, COLOURS, classes, seed)
    network.pretrained = True
    shift = np.full((1, 1, 3), 100 + seed, np.float32)
    scaling = Scaling(shift, np.full((1, 1, 3), 40, np.float32))
    train, valid = (
        Batches.of(pictures(count, classes, seed + 100 * part), scaling, torch.device("cpu"))
        for part, count in enumerate(counts)
    )
    return Member(network, plan(network), train, valid, seed, class_names=["0", "1", "2"])


def copied(members: list[Member]) -> list[Member]:
    return [dataclasses.replace(each, network=copy.deepcopy(each.network)) for each in members]


def alone(one: Member) -> Fit:
    return fit(one.network, one.plan, one.train, one.valid, one.seed, class_names=one.class_names)


def state(one: Member) -> dict[str, Tensor]:
    return {name: each.clone() for name, each in one.network.state_dict().items()}


def trembling(one: Member) -> Member:
    """The same trial from weights that differ by as little as rounding makes them differ."""
    (other,) = copied([one])
    generator = torch.Generator().manual_seed(one.seed)
    with torch.no_grad():
        for each in other.network.parameters():
            each.mul_(1 + 1e-6 * torch.randn(each.shape, generator=generator))
    return other


def is_well_conditioned(one: Member) -> bool:
    """Whether rounding stays as small as it is: a rate that is too high makes it grow each step,
    and then no two orders of summation agree, stacked or not."""
    fits = []
    for each in (*copied([one]), trembling(one)):
        try:
            fits.append(alone(each))
        except TrainingError:
            return False
    first, second = fits
    same = first.steps == second.steps and first.val_accuracy == second.val_accuracy
    return same and all(
        getattr(ours, loss) == pytest.approx(getattr(theirs, loss), rel=2e-5)
        for ours, theirs in zip(first.epochs, second.epochs, strict=True)
        for loss in ("train_loss", "val_loss")
    )


@given(
    kind=st.sampled_from(sorted(KINDS)),
    optimizer=st.sampled_from(OPTIMIZERS),
    recipe=st.sampled_from(RECIPES),
    activation=st.sampled_from(ACTIVATIONS),
    hidden=st.lists(st.integers(2, 12), min_size=1, max_size=3),
    dropout=st.sampled_from([0.0, 0.3]),
    classes=st.sampled_from([2, 3]),
    pictures=st.integers(6, 40),
    batch_size=st.sampled_from([2, 5, 8, 64]),
    patience=st.sampled_from([None, 1]),
    rates=st.lists(st.sampled_from([0.3, 1.0, 1.7]), min_size=1, max_size=4),
)
@example(  # a last batch of one picture, and one unit
    kind="scratch", optimizer=OPTIMIZERS[0], recipe={}, activation="gelu", hidden=[4], dropout=0.3,
    classes=2, pictures=9, batch_size=8, patience=None, rates=[1.0, 1.0, 0.3],
)  # fmt: skip
@settings(max_examples=50, deadline=None)
def test_stacked_and_separate_fits_agree(
    kind: str,
    optimizer: dict[str, Any],
    recipe: dict[str, Any],
    activation: str,
    hidden: list[int],
    dropout: float,
    classes: int,
    pictures: int,
    batch_size: int,
    patience: int | None,
    rates: list[float],
) -> None:
    def plan(share: float) -> Callable[[Network], Plan]:
        options = {**optimizer, **recipe, "lr": optimizer["lr"] * share, "epochs": 3}
        options |= {"batch_size": batch_size, "patience": patience}
        return lambda network: KINDS[kind](**options).plan(network.group_names)

    # Drawn splits give some seeds a picture more, for as many batches of the same room.
    more = pictures % batch_size > 0 and pictures != 32
    stacked = [
        member(
            seed, plan(share), hidden=tuple(hidden), activation=activation, dropout=dropout,
            classes=classes, counts=(pictures + more * (seed % 2), 20 - seed % 2),
        )
        for seed, share in enumerate(rates)
    ]  # fmt: skip
    assume(all(is_well_conditioned(each) for each in stacked))
    separate = copied(stacked)
    first, again = copied(stacked[:1]), copied(stacked[::-1])

    results = fit_stacked(stacked)

    for one, other, result in zip(stacked, separate, results, strict=True):
        theirs = alone(other)
        assert isinstance(result, Fit)
        assert result.steps == theirs.steps
        assert result.val_loss == pytest.approx(theirs.val_loss, rel=1e-4)
        assert result.val_accuracy == theirs.val_accuracy
        for ours, their in zip(result.epochs, theirs.epochs, strict=True):
            assert (ours.phase, ours.epoch) == (their.phase, their.epoch)
            assert ours.train_loss == pytest.approx(their.train_loss, rel=1e-4)
        for name, tensor in state(other).items():
            torch.testing.assert_close(one.network.state_dict()[name], tensor, atol=1e-4, rtol=1e-4)
    fit_stacked(first)
    fit_stacked(again)
    assert weights_hash(state(first[0])) == weights_hash(state(stacked[0]))
    for one, other in zip(stacked, again[::-1], strict=True):
        assert weights_hash(state(one)) == weights_hash(state(other))


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda each: str(each["optimizer"])[:40])
@pytest.mark.parametrize("steps", [1, 2, 5, 8])
def test_they_agree_step_by_step(optimizer: dict[str, Any], steps: int) -> None:
    def plan(network: Network) -> Plan:
        return Scratch(**optimizer, steps=steps, batch_size=7).plan(network.group_names)

    stacked = [member(seed, plan, activation="tanh") for seed in range(3)]
    separate = copied(stacked)
    fit_stacked(stacked)
    for one, other in zip(stacked, separate, strict=True):
        alone(other)
        for name, tensor in state(other).items():
            torch.testing.assert_close(one.network.state_dict()[name], tensor, atol=1e-5, rtol=0)


def test_each_has_its_own_patience_rates_and_decay() -> None:
    def plan(rate: float, decay: float) -> Callable[[Network], Plan]:
        optimizer = {"name": "adamw", "weight_decay": decay}
        options = {"optimizer": optimizer, "lr": rate, "epochs": 12, "patience": 2}
        return lambda network: Scratch(**options).plan(network.group_names)

    asked = [(0.0003, 0.5), (0.003, 0.01), (0.03, 0.1), (0.3, 0.2)]
    stacked = [member(seed, plan(*each)) for seed, each in enumerate(asked)]
    separate = copied(stacked)
    lengths = set()
    for result, other in zip(fit_stacked(stacked), separate, strict=True):
        theirs = alone(other)
        assert isinstance(result, Fit)
        lengths.add(len(result.epochs))
        assert len(result.epochs) == len(theirs.epochs)
        assert result.val_loss == min(epoch.val_loss for epoch in result.epochs)
        assert result.val_loss == pytest.approx(theirs.val_loss, rel=1e-3)
    assert len(lengths) > 1


def test_phases_of_other_lengths_see_the_pictures_in_their_own_order() -> None:
    """A trial whose first phase ended early counts its epochs on from there."""

    def plan(rate: float) -> Callable[[Network], Plan]:
        options: dict[str, Any] = {"freeze_epochs": 8, "epochs": 2, "lr": rate, "patience": 1}
        return lambda network: FreezeThenThaw(**options).plan(network.group_names)

    stacked = [member(seed, plan(rate)) for seed, rate in enumerate([0.003, 1.0, 0.3])]
    separate = copied(stacked)
    firsts = set()
    for result, other in zip(fit_stacked(stacked), separate, strict=True):
        theirs = alone(other)
        assert isinstance(result, Fit)
        assert [(e.phase, e.epoch) for e in result.epochs] == [
            (e.phase, e.epoch) for e in theirs.epochs
        ]
        firsts.add(len([e for e in result.epochs if e.phase == result.epochs[0].phase]))
        assert result.val_loss == pytest.approx(theirs.val_loss, rel=1e-4)
    assert len(firsts) > 1


@pytest.mark.parametrize("optimizer", [OPTIMIZERS[0], OPTIMIZERS[3]], ids=["sgd", "adam"])
def test_a_trial_that_diverges_fails_and_disturbs_no_other(optimizer: dict[str, Any]) -> None:
    def plan(rate: float) -> Callable[[Network], Plan]:
        options = {**optimizer, "lr": rate, "epochs": 3}
        return lambda network: Scratch(**options).plan(network.group_names)

    rates = [optimizer["lr"], 1e30, optimizer["lr"] / 2]
    stacked = [member(seed, plan(rate)) for seed, rate in enumerate(rates)]
    undisturbed, separate = copied([stacked[0], stacked[2]]), copied([stacked[1]])
    results = fit_stacked(stacked)
    fit_stacked(undisturbed)

    with pytest.raises(TrainingError) as theirs:
        alone(separate[0])
    assert isinstance(results[1], TrainingError)
    assert str(results[1]) == str(theirs.value)
    assert "lower the learning rate, or scale the pictures" in str(results[1])
    for one, other in zip([stacked[0], stacked[2]], undisturbed, strict=True):
        assert weights_hash(state(one)) == weights_hash(state(other))
    assert isinstance(results[0], Fit)
    assert len(results[0].epochs) == 3


def test_what_is_frozen_stays_bit_identical_and_the_rest_changes() -> None:
    stacked = [
        member(seed, lambda network: Frozen(epochs=2, lr=0.1).plan(network.group_names))
        for seed in range(3)
    ]
    before = [state(one) for one in stacked]
    fit_stacked(stacked)
    for one, were in zip(stacked, before, strict=True):
        for name, tensor in state(one).items():
            assert torch.equal(tensor, were[name]) == (one.network.group_of(name) != "head")


def test_a_network_that_is_no_chain_is_refused(cnn: Callable[..., Network]) -> None:
    one = member(0, lambda network: Scratch(epochs=1).plan(network.group_names))
    network = cnn()
    plan = Scratch(epochs=1).plan(network.group_names)
    with pytest.raises(TrainingError, match="cannot be trained in a stack: fit its trials one by"):
        fit_stacked([dataclasses.replace(one, network=network, plan=plan)])


def behind_the_body(network: Network, phase: Phase, train: Inputs, valid: Inputs) -> Entry:
    """Where a head is trained on kept features."""
    del phase
    device, kept = torch.device("cpu"), []
    with torch.no_grad():
        for part in (train, valid):
            features = network.body(part.inputs(slice(None))).numpy()
            kept.append(StoredInputs(features, np.arange(len(part)), part.labels, device))
    return Entry(network.head, *kept)


def frozen(network: Network) -> Plan:
    return Frozen(epochs=2, lr=0.1).plan(network.group_names)


def test_trials_that_enter_at_different_places_are_no_stack() -> None:
    """One may have found no room for features that the one before could keep."""
    stacked = [member(seed, frozen) for seed in range(2)]
    stacked[0] = dataclasses.replace(stacked[0], enter=behind_the_body)
    assert isinstance(fit_stacked(copied(stacked[:1]))[0], Fit)
    with pytest.raises(NotStackableError, match="at different places: fit them one by one"):
        fit_stacked(stacked)


@pytest.mark.parametrize("kind", ["frozen", "freeze_then_thaw"])
def test_a_trial_that_cannot_enter_fails_and_disturbs_no_other(kind: str) -> None:
    def plan(network: Network) -> Plan:
        made: Plan = KINDS[kind](epochs=2, lr=0.1).plan(network.group_names)
        return made

    def refuse(network: Network, phase: Phase, train: Inputs, valid: Inputs) -> Entry:
        if phase is network_plan.phases[-1]:
            raise TrainingError("features at flatten are not finite")
        return at_the_pictures(network, phase, train, valid)

    stacked = [member(seed, plan) for seed in range(3)]
    network_plan = stacked[1].plan
    stacked[1] = dataclasses.replace(stacked[1], enter=refuse)
    undisturbed, lone = copied([stacked[0], stacked[2]]), copied(stacked[1:2])
    results = fit_stacked(stacked)
    fit_stacked(undisturbed)
    assert "not finite" in str(results[1])
    assert [isinstance(each, TrainingError) for each in results] == [False, True, False]
    for one, other in zip([stacked[0], stacked[2]], undisturbed, strict=True):
        assert weights_hash(state(one)) == weights_hash(state(other))
    (alone_result,) = fit_stacked(lone)
    assert isinstance(alone_result, TrainingError)


def test_the_time_is_shared() -> None:
    plan = lambda network: Scratch(epochs=2).plan(network.group_names)  # noqa: E731
    results = fit_stacked([member(seed, plan) for seed in range(4)])
    seconds = {result.seconds for result in results if isinstance(result, Fit)}
    assert len(seconds) == 1  # the stack's, divided
    for result in results:
        assert isinstance(result, Fit)
        assert 0 < result.epochs[0].seconds < result.epochs[1].seconds <= result.seconds
