"""The training loop against a bare PyTorch loop, and its streams of random numbers."""

import copy
import itertools
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from headstart.data.scaling import Scaling
from headstart.data.tasks import Examples
from headstart.networks.groups import Network, weights_hash
from headstart.seeding import generator, stream_seed
from headstart.strategies import FineTune, FreezeThenThaw, Frozen, Plan, Scratch
from headstart.training.batches import Batches
from headstart.training.devices import deterministic
from headstart.training.fit import Epoch, Fit, fit

Make = Callable[..., Any]


class Bare:
    """What somebody would write by hand for one network: no groups, no plans, float pictures."""

    def __init__(self, network: nn.Module, examples: Examples, seed: int) -> None:
        self.network = network
        # Multiplied as in the loop under test: BatchNorm makes much of a last bit.
        self.pictures = torch.tensor(examples.pictures, dtype=torch.float32) * (1 / 255)
        self.labels = torch.tensor(examples.labels)
        self.seed = seed
        self.trace: list[dict[str, Tensor]] = []
        self.losses: list[float] = []
        self.epoch = 0
        torch.manual_seed(stream_seed(seed, "dropout"))

    def loss(self, rows: Tensor) -> Tensor:
        logits = self.network(self.pictures[rows].permute(0, 3, 1, 2))
        if logits.shape[1] == 1:
            return functional.binary_cross_entropy_with_logits(
                logits.squeeze(1), self.labels[rows].float()
            )
        return functional.cross_entropy(logits, self.labels[rows])

    def train(
        self,
        optimizer: torch.optim.Optimizer,
        epochs: int,
        batch_size: int,
        factor: Callable[[int, int], float] = lambda step, steps: 1.0,
    ) -> None:
        rates = [group["lr"] for group in optimizer.param_groups]
        count, step = len(self.labels), 0
        steps = epochs * math.ceil(count / batch_size)
        for _ in range(epochs):
            self.epoch += 1
            order = generator(self.seed, "order", self.epoch).permutation(count)
            summed = 0.0
            for start in range(0, count, batch_size):
                rows = torch.from_numpy(order[start : start + batch_size])
                for group, rate in zip(optimizer.param_groups, rates, strict=True):
                    group["lr"] = rate * factor(step, steps)
                self.trace.append(snapshot(self.network))
                value = self.loss(rows)
                optimizer.zero_grad()
                value.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                summed += value.item() * len(rows)
                step += 1
            self.losses.append(summed / count)


def snapshot(network: nn.Module) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in network.state_dict().items()}


def traced(network: Network, run: Callable[[], Fit]) -> tuple[list[dict[str, Tensor]], Fit]:
    """The weights before every training step of a fit, and what the fit left."""
    trace: list[dict[str, Tensor]] = []

    def note(module: nn.Module, _: object) -> None:
        if module.training:
            trace.append(snapshot(network))

    hook = network.register_forward_pre_hook(note)
    result = run()
    hook.remove()
    return trace, result


def assert_close(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor], where: str) -> None:
    for key, value in theirs.items():
        assert torch.allclose(ours[key], value, rtol=1e-5, atol=1e-6), f"{key} {where}"


def assert_same_course(
    network: Network, plan: Plan, train: Batches, valid: Batches, seed: int, bare: Bare,
) -> Fit:  # fmt: skip
    trace, result = traced(network, lambda: fit(network, plan, train, valid, seed))
    assert len(trace) == len(bare.trace) == result.steps
    for step, (ours, theirs) in enumerate(zip(trace, bare.trace, strict=True)):
        assert_close(ours, theirs, f"before step {step}")
    assert_close(network.state_dict(), bare.network.state_dict(), "at the end")
    assert [epoch.train_loss for epoch in result.epochs] == pytest.approx(bare.losses, abs=1e-5)
    return result


OPTIMIZERS: list[tuple[Any, Callable[..., torch.optim.Optimizer]]] = [
    ("sgd", lambda weights: torch.optim.SGD(weights, lr=0.1)),
    (
        {"name": "sgd", "momentum": 0.9, "nesterov": True},
        lambda weights: torch.optim.SGD(weights, lr=0.1, momentum=0.9, nesterov=True),
    ),
    ("adam", lambda weights: torch.optim.Adam(weights, lr=0.1)),
    (
        {"name": "adamw", "weight_decay": 0.1},
        lambda weights: torch.optim.AdamW(weights, lr=0.1, weight_decay=0.1),
    ),
    ("adadelta", lambda weights: torch.optim.Adadelta(weights, lr=0.1)),
]
SCHEDULES: list[tuple[Any, Callable[[int, int], float]]] = [
    ("constant", lambda step, steps: 1.0),
    ("cosine", lambda step, steps: (1 + math.cos(math.pi * step / steps)) / 2),
    (
        {"name": "step", "warmup": 0.25, "milestones": [0.5], "factor": 0.2},
        lambda step, steps: (
            (step + 1) / (steps / 4) if step < steps / 4 else 0.2 if step >= steps / 2 else 1.0
        ),
    ),
]


@pytest.mark.parametrize(("optimizer", "theirs"), OPTIMIZERS)
@pytest.mark.parametrize(("schedule", "factor"), SCHEDULES)
def test_every_step_is_that_of_a_bare_loop(
    mlp: Make, make_batches: Make, make_examples: Make,
    optimizer: Any, theirs: Any, schedule: Any, factor: Any,
) -> None:  # fmt: skip
    """With dropout, over four epochs of three batches, the last of which is not full."""
    network = mlp(seed=3)
    bare = Bare(copy.deepcopy(network), make_examples(40), seed=7)
    bare.train(theirs(bare.network.parameters()), 4, 16, factor)
    plan = Scratch.model_validate(
        {"optimizer": optimizer, "schedule": schedule, "lr": 0.1, "epochs": 4, "batch_size": 16}
    ).plan(network.group_names)
    assert_same_course(network, plan, make_batches(40), make_batches(20, seed=1), 7, bare)


@pytest.mark.parametrize("classes", [2, 3])
def test_a_convolutional_network_with_batch_norm_takes_the_same_course(
    cnn: Make, make_batches: Make, make_examples: Make, classes: int
) -> None:
    network = cnn(classes=classes)
    bare = Bare(copy.deepcopy(network), make_examples(40, classes), seed=1)
    bare.train(torch.optim.SGD(bare.network.parameters(), lr=0.1, momentum=0.9), 3, 16)
    plan = Scratch.model_validate(
        {"optimizer": {"name": "sgd", "momentum": 0.9}, "lr": 0.1, "epochs": 3, "batch_size": 16}
    ).plan(network.group_names)
    valid = make_batches(20, classes, seed=1)
    result = assert_same_course(network, plan, make_batches(40, classes), valid, 1, bare)
    # The learning curve ends with what the network left behind says of the validation pictures.
    checked = Bare(bare.network.eval(), make_examples(20, classes, seed=1), seed=0)
    assert result.val_loss == pytest.approx(checked.loss(torch.arange(20)).item(), abs=1e-5)
    assert (result.epochs[-1].val_loss, result.epochs[-1].val_accuracy) == (
        result.val_loss,
        result.val_accuracy,
    )


def test_phases_follow_each_other_as_by_hand(
    cnn: Make, make_batches: Make, make_examples: Make
) -> None:
    """Freeze, then thaw: the head alone with everything below in evaluation, then two rates."""
    network = cnn(seed=2)
    whole = copy.deepcopy(network)
    bare = Bare(whole, make_examples(40), seed=4)
    norms = [module for module in whole.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.eval()
    bare.train(torch.optim.Adam(whole.head.parameters(), lr=0.05), 2, 16)
    norms[1].train()
    thawed = [*whole.head.parameters()]
    for name in ("conv_2", "batch_norm_2", "dense_1"):
        thawed += whole.body.get_submodule(name).parameters()
    bare.train(torch.optim.Adam(thawed, lr=0.01), 3, 16)
    plan = FreezeThenThaw(
        optimizer={"name": "adam"}, lr=0.05, thaw=2, thaw_lr=0.01, freeze_epochs=2, epochs=3,
        batch_size=16,
    ).plan(network.group_names)  # fmt: skip
    result = assert_same_course(network, plan, make_batches(40), make_batches(20), 4, bare)
    assert [(epoch.phase, epoch.epoch) for epoch in result.epochs] == [
        ("head", 1), ("head", 2), ("thawed", 3), ("thawed", 4), ("thawed", 5),
    ]  # fmt: skip


def test_groups_learn_at_their_own_rates(
    mlp: Make, make_batches: Make, make_examples: Make
) -> None:
    network = mlp()
    bare = Bare(copy.deepcopy(network), make_examples(32), seed=0)
    body, head = bare.network.get_submodule("body"), bare.network.get_submodule("head")
    groups = [{"params": body.parameters(), "lr": 0.01}, {"params": head.parameters(), "lr": 0.3}]
    bare.train(torch.optim.SGD(groups), 2, 8)
    plan = FineTune(lr=0.3, backbone_lr=0.01, epochs=2, batch_size=8).plan(network.group_names)
    assert_same_course(network, plan, make_batches(32), make_batches(9), 0, bare)


def seen_by(network: Network, train: Batches, run: Callable[[], object]) -> list[list[int]]:
    """Which pictures each training step saw, by their place in the training set."""
    place = {picture.numpy().tobytes(): n for n, picture in enumerate(train.inputs(slice(None)))}
    steps: list[list[int]] = []

    def note(module: nn.Module, inputs: tuple[Tensor]) -> None:
        if module.training:
            steps.append([place[picture.numpy().tobytes()] for picture in inputs[0]])

    hook = network.register_forward_pre_hook(note)
    run()
    hook.remove()
    return steps


def test_all_strategies_of_one_seed_see_the_same_order(mlp: Make, make_batches: Make) -> None:
    train, valid = make_batches(30), make_batches(9)
    orders = []
    for strategy in (
        Scratch(epochs=3, batch_size=8),
        Frozen(epochs=3, batch_size=8),
        FineTune(epochs=3, batch_size=8, backbone_lr=0.1),
        FreezeThenThaw(freeze_epochs=1, epochs=2, batch_size=8),
    ):
        for network in (mlp(), mlp(seed=1, dropout=0.0)):
            plan = strategy.plan(network.group_names)
            orders.append(seen_by(network, train, partial(fit, network, plan, train, valid, 5)))
    assert all(order == orders[0] for order in orders)
    epochs = [[*itertools.chain(*orders[0][n : n + 4])] for n in (0, 4, 8)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(30))] * 3
    assert epochs[0] != epochs[1] != epochs[2]
    network = mlp()
    plan = Scratch(epochs=3, batch_size=8).plan(network.group_names)
    other = seen_by(network, train, lambda: fit(network, plan, train, valid, 6))
    assert other != orders[0]


def finished(network: Network, make_batches: Make, seed: int) -> str:
    plan = Scratch(lr=0.1, epochs=2, batch_size=8).plan(network.group_names)
    fit(network, plan, make_batches(30), make_batches(9), seed)
    return weights_hash(network.state_dict())


@pytest.mark.parametrize("kind", ["mlp", "cnn"])
def test_a_seed_gives_its_own_bits_whatever_was_drawn_outside(
    kind: str, make_batches: Make, request: pytest.FixtureRequest
) -> None:
    make = request.getfixturevalue(kind)
    torch.manual_seed(1)
    first = finished(make(), make_batches, 0)
    torch.manual_seed(2)
    np.random.default_rng(0).random(100)
    state = torch.get_rng_state()
    assert finished(make(), make_batches, 0) == first
    assert torch.equal(torch.get_rng_state(), state)
    assert finished(make(), make_batches, 1) != first


def test_every_device_that_is_here_gives_the_same_bits_again(
    cnn: Make, make_examples: Make
) -> None:
    scaling = Scaling(np.zeros((1, 1, 1), np.float32), np.full((1, 1, 1), 255, np.float32))
    here = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.mps.is_available()}
    for name in (name for name, is_here in here.items() if is_here):
        device = torch.device(name)
        hashes = []
        for _ in range(2):
            with deterministic(1, device):
                network = cnn().to(device)
                plan = Scratch(lr=0.1, epochs=2, batch_size=8).plan(network.group_names)
                train, valid = (
                    Batches.of(make_examples(n), scaling, device, channels_last=True)
                    for n in (30, 9)
                )
                fit(network, plan, train, valid, 0)
            hashes.append(weights_hash(network.state_dict()))
        assert hashes[0] == hashes[1], name


def test_dropout_has_a_stream_of_its_own(
    mlp: Make, make_batches: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    masks: list[Tensor] = []

    def masked(values: Tensor, *args: object, **options: object) -> Tensor:
        masks.append(torch.rand(values.shape))
        return values

    monkeypatch.setattr(functional, "dropout", masked)
    finished(mlp(), make_batches, 3)
    torch.manual_seed(stream_seed(3, "dropout"))
    assert torch.equal(masks[0], torch.rand(masks[0].shape))


def test_a_fit_ends_in_order(mlp: Make, make_batches: Make) -> None:
    network, told = mlp(), list[Epoch]()
    plan = Frozen(epochs=3, batch_size=8).plan(network.group_names)
    result = fit(network, plan, make_batches(30), make_batches(9), 0, told.append)
    assert tuple(told) == result.epochs
    assert [epoch.epoch for epoch in told] == [1, 2, 3]
    assert 0 < told[0].seconds < told[1].seconds < told[2].seconds <= result.seconds
    assert not any(module.training for module in network.modules())
    assert all(p.requires_grad and p.grad is None for p in network.parameters())


def test_steps_end_in_the_middle_of_an_epoch(
    mlp: Make, make_batches: Make, make_examples: Make
) -> None:
    network = mlp(dropout=0.0)
    start = copy.deepcopy(network)
    plan = Scratch(lr=0.1, steps=5, batch_size=8).plan(network.group_names)
    result = fit(network, plan, make_batches(30), make_batches(9), 0)
    assert result.steps == 5
    assert [epoch.epoch for epoch in result.epochs] == [1, 2]
    # The second epoch has one step, whose loss is that after the first epoch's four.
    whole = Scratch(lr=0.1, epochs=1, batch_size=8).plan(network.group_names)
    fit(start, whole, make_batches(30), make_batches(9), 0)
    rows = torch.from_numpy(generator(0, "order", 2).permutation(30)[:8])
    expected = Bare(start, make_examples(30), 0).loss(rows).item()
    assert result.epochs[1].train_loss == pytest.approx(expected, abs=1e-6)
