"""Checkpoints: an interrupted fit ends with the same bits as one that was not."""

import copy
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from headstart.networks.groups import Network, weights_hash
from headstart.strategies import (
    Distil,
    FineTune,
    FreezeThenThaw,
    Frozen,
    Plan,
    Scratch,
    Soup,
    WiseFT,
)
from headstart.training.checkpoints import Checkpoints, Standing
from headstart.training.fit import Epoch, Fit, fit

Make = Callable[..., Any]
SHORT: dict[str, Any] = {"lr": 0.1, "batch_size": 8}
PLANS: list[Any] = [
    Scratch.model_validate({**SHORT, "epochs": 4, "optimizer": {"name": "sgd", "momentum": 0.9}}),
    Scratch.model_validate({**SHORT, "epochs": 4, "optimizer": "adam", "ema": 0.7}),
    Scratch.model_validate({**SHORT, "steps": 11, "optimizer": "adadelta", "schedule": "cosine"}),
    Scratch.model_validate({**SHORT, "lr": 0.5, "epochs": 8, "patience": 2, "ema": 0.5}),
    FineTune.model_validate({**SHORT, "epochs": 4, "augment": {"flip": 0.5, "mixup": 0.3}}),
    FreezeThenThaw.model_validate(
        {**SHORT, "freeze_epochs": 2, "epochs": 2, "thaw": 1, "optimizer": "adamw"}
    ),
    WiseFT.model_validate({**SHORT, "freeze_epochs": 2, "epochs": 2, "alpha": "auto"}),
    FineTune.model_validate({**SHORT, "epochs": 3, "regularisers": ["l2_sp", "stoch_norm"]}),
    Soup.model_validate({**SHORT, "epochs": 2, "optimizer": "adam"}),
    Distil.model_validate({**SHORT, "epochs": 2, "augment": {"flip": 0.5}}),
    Frozen.model_validate({**SHORT, "epochs": 5, "augment": {"crop": 0.5, "views": 2}}),
]


class InterruptedFitError(Exception):
    """As if the process had been killed."""


def run(
    network: Network, plan: Plan, make_batches: Make, stop_after: int = 0, **how: Any
) -> tuple[Fit, list[int]]:
    """A fit, and the epochs it told; interrupted after one of them if asked."""
    told: list[int] = []

    def on_epoch(epoch: Epoch) -> None:
        told.append(epoch.epoch)
        if epoch.epoch == stop_after:
            raise InterruptedFitError

    train, valid = make_batches(20), make_batches(15, seed=1)
    return fit(network, plan, train, valid, 3, on_epoch, **how), told


@pytest.mark.parametrize("strategy", PLANS, ids=lambda s: f"{s.kind} {s.optimizer.name}")
@pytest.mark.parametrize("kind", ["cnn", "mlp"])
def test_an_interrupted_fit_ends_with_the_same_bits(
    strategy: Any, kind: str, make_batches: Make, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """With dropout and BatchNorm, interrupted early and late."""
    if kind == "mlp" and getattr(strategy, "regularisers", None):  # it has no BatchNorm
        strategy = strategy.model_copy(update={"regularisers": strategy.regularisers[:1]})
    start: Network = request.getfixturevalue(kind)()
    plan = strategy.plan(start.group_names)
    whole = copy.deepcopy(start)
    expected, _ = run(whole, plan, make_batches)
    file = tmp_path / "checkpoints" / "one.safetensors"
    for stop_after in (2, len(expected.epochs)):
        # The checkpoint is written after an epoch was told, so it holds the epoch before.
        with pytest.raises(InterruptedFitError):
            run(copy.deepcopy(start), plan, make_batches, stop_after,
                checkpoints=Checkpoints(file, 0))  # fmt: skip
        assert file.is_file()
        (file.parent / f".{file.name}.123").touch()  # of a process that was killed meanwhile
        network = copy.deepcopy(start)
        result, told = run(network, plan, make_batches, checkpoints=Checkpoints(file, 0))
        assert told == list(range(stop_after, len(expected.epochs) + 1))
        assert weights_hash(network.state_dict()) == weights_hash(whole.state_dict())
        assert (result.steps, result.val_loss, result.val_accuracy) == (
            expected.steps, expected.val_loss, expected.val_accuracy,
        )  # fmt: skip
        assert curve(result) == curve(expected)
        seconds = [epoch.seconds for epoch in result.epochs]
        assert seconds == sorted(seconds)
        assert not file.parent.exists()


def curve(result: Fit) -> list[tuple[object, ...]]:
    return [(e.phase, e.epoch, e.train_loss, e.val_loss, e.val_accuracy) for e in result.epochs]


@pytest.fixture
def interrupted(mlp: Make, make_batches: Make, tmp_path: Path) -> Path:
    """The checkpoint of a fit of four epochs after its second."""
    file = tmp_path / "one.safetensors"
    (tmp_path / "two.safetensors").touch()  # another fit's: the folder stays
    network = mlp()
    with pytest.raises(InterruptedFitError):
        run(network, PLANS[0].plan(network.group_names), make_batches, 3,
            checkpoints=Checkpoints(file, 0))  # fmt: skip
    return file


def first_told(network: Network, strategy: Any, make_batches: Make, file: Path) -> int:
    plan = strategy.plan(network.group_names)
    return run(network, plan, make_batches, checkpoints=Checkpoints(file, 0))[1][0]


def test_the_checkpoint_of_another_fit_is_none(
    mlp: Make, make_batches: Make, interrupted: Path
) -> None:
    kept = interrupted.read_bytes()
    other = PLANS[0].model_copy(update={"lr": 0.2})
    for network, strategy in ((mlp(), other), (mlp(seed=1), PLANS[0])):
        assert first_told(network, strategy, make_batches, interrupted) == 1
        interrupted.write_bytes(kept)
    assert first_told(mlp(), PLANS[0], make_batches, interrupted) == 3


def test_a_damaged_checkpoint_is_none(mlp: Make, make_batches: Make, interrupted: Path) -> None:
    whole = interrupted.read_bytes()
    with safe_open(interrupted, "pt") as opened:
        note = dict(opened.metadata())
    tensors = load_file(interrupted)
    changed = {**tensors, "random": tensors["random"] ^ 1}
    save_file(changed, interrupted, metadata=note)
    others = [interrupted.read_bytes(), b"", whole[: len(whole) // 2], b"no safetensors" * 100]
    save_file(tensors, interrupted, metadata={**note, "facts": "{"})
    others.append(interrupted.read_bytes())
    for content in others:
        interrupted.write_bytes(content)
        assert first_told(mlp(), PLANS[0], make_batches, interrupted) == 1


def test_it_holds_no_code_and_nothing_half_written(interrupted: Path) -> None:
    assert sorted(path.name for path in interrupted.parent.iterdir()) == [
        "one.safetensors",
        "two.safetensors",
    ]
    with safe_open(interrupted, "pt") as opened:
        facts = json.loads(opened.metadata()["facts"])
    assert facts["phase"] == 0
    assert len(facts["done"]) == 2


def test_it_is_written_only_when_due(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    kept = Checkpoints(tmp_path / "one.safetensors", every_seconds=60)
    written = 0

    def standing() -> Standing:
        nonlocal written
        written += 1
        return Standing({"weights": torch.zeros(2)}, {})

    for seconds in (0, 59, 60, 61, 119, 121):
        now[0] = 100.0 + seconds
        kept.save_if_due("this", standing)
    assert written == 2
    found = kept.found("this")
    assert found is not None
    assert torch.equal(found.tensors["weights"], torch.zeros(2))
    assert kept.found("that") is None
    kept.remove()
    kept.remove()
    assert kept.found("this") is None


def test_a_fit_goes_on_where_no_checkpoint_can_be_written(
    mlp: Make, make_batches: Make, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    network = mlp()
    plan = Scratch.model_validate({**SHORT, "epochs": 1}).plan(network.group_names)
    blocked = Checkpoints(tmp_path / "file" / "one.safetensors", 0)
    with pytest.warns(UserWarning, match=r"one.safetensors cannot be written .* begins anew"):
        run(network, plan, make_batches, checkpoints=blocked)
