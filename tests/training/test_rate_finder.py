"""The rate finder: what it suggests works, and it leaves no trace."""

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from headstart.errors import TrainingError
from headstart.networks.groups import Network
from headstart.strategies import (
    BitHyperRule,
    FineTune,
    Frozen,
    Layerwise,
    Optimizer,
    Plan,
    Scratch,
)
from headstart.training.evaluate import evaluate_loss
from headstart.training.fit import fit
from headstart.training.rate_finder import find_rate
from headstart.training.steps import Batch, Steps

Make = Callable[..., Any]


def scratch(network: Network, **settings: Any) -> Plan:
    return Scratch.model_validate({"batch_size": 8, **settings}).plan(network.group_names)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adadelta"])
def test_it_leaves_no_trace(optimizer: str, cnn: Make, make_batches: Make) -> None:
    network, train = cnn(), make_batches(30)
    network.train()
    network.get_submodule("body.batch_norm_1").eval()
    network.get_parameter("head.output.bias").requires_grad_(False)
    network.get_parameter("head.output.weight").grad = torch.ones_like(
        network.get_parameter("head.output.weight")
    )

    def everything() -> dict[str, Any]:
        numpys = np.random.get_state(legacy=False)
        return {
            "state": {key: value.clone() for key, value in network.state_dict().items()},
            "gradients": {
                name: (p.requires_grad, p.grad) for name, p in network.named_parameters()
            },
            "modes": {name: module.training for name, module in network.named_modules()},
            "python's": random.getstate(),
            "drawn": torch.get_rng_state(),
            "numpys": torch.from_numpy(numpys["state"]["key"].astype(np.int64)),
            "pictures": train.inputs(slice(0, 30)),
        }

    before = everything()
    plan = FineTune.model_validate(
        {"optimizer": optimizer, "regularisers": ["l2_sp", "bss", "stoch_norm"]}
    ).plan(network.group_names)
    curve = find_rate(network, plan, train, 0, steps=30)
    after = everything()
    for key, value in after.pop("state").items():
        assert torch.equal(before["state"][key], value), key
    for key in ("drawn", "numpys", "pictures"):
        assert torch.equal(before[key], after.pop(key)), key
    del before["state"], before["drawn"], before["numpys"], before["pictures"]
    assert before == after
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in network.modules())
    assert find_rate(network, plan, train, 0, steps=30) == curve


@pytest.mark.parametrize(
    "optimizer", [Optimizer(), Optimizer(name="sgd", momentum=0.9), Optimizer(name="adam")],
    ids=["sgd", "momentum", "adam"],
)  # fmt: skip
def test_what_it_suggests_learns_and_much_lower_rates_do_not(
    optimizer: Optimizer, mlp: Make, make_batches: Make
) -> None:
    train = make_batches(60)
    network = mlp(dropout=0.0)
    plan = scratch(network, lr=1e-9, optimizer=optimizer, epochs=10)
    suggestion = find_rate(network, plan, train, 0).suggestion
    assert suggestion is not None
    ends = []
    for rate in (suggestion, suggestion / 1000, suggestion * 1000):
        learner = mlp(dropout=0.0)
        rates = dict.fromkeys(network.group_names, rate)
        phases = (replace(plan.phases[0], rates=rates),)
        ends.append(fit(learner, Plan("random", phases), train, train, 0).val_loss)
    gained = [evaluate_loss(network, train)[0] - end for end in ends]
    assert gained[0] > max(0.01, 10 * gained[1], gained[2])


def test_rates_rise_evenly_and_groups_keep_their_ratios(mlp: Make, make_batches: Make) -> None:
    network, train = mlp(), make_batches(30)
    plan = Layerwise(lr=0.3, batch_size=8).plan(network.group_names)
    curve = find_rate(network, plan, train, 0, lowest=1e-4, highest=1e-2, steps=5)
    assert curve.rates == pytest.approx([1e-4, 10**-3.5, 1e-3, 10**-2.5, 1e-2])
    assert len(curve.gains) == 5
    assert curve.gains[0] == 0.0
    ten_times = replace(
        plan.phases[0],
        rates={group: 10 * (rate or 0) for group, rate in plan.phases[0].rates.items()},
    )
    again = find_rate(
        network, Plan("source", (ten_times,)), train, 0, lowest=1e-4, highest=1e-2, steps=5
    )
    assert again.gains == pytest.approx(curve.gains, abs=1e-6)


def test_the_test_ends_where_the_loss_explodes_or_nothing_is_suggested(
    mlp: Make, make_batches: Make
) -> None:
    network, train = mlp(dropout=0.0), make_batches(30)
    exploding = find_rate(network, scratch(network), train, 0, highest=1e8)
    assert len(exploding.rates) == len(exploding.gains) < 100
    assert all(np.isfinite(exploding.gains))
    tiny = find_rate(network, scratch(network), train, 0, lowest=1e-12, highest=1e-11, steps=20)
    assert tiny.suggestion is None
    assert len(tiny.rates) == 20


def test_it_starts_as_the_plan_does(
    mlp: Make, make_batches: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first loss under the BiT-HyperRule is that of a head of zeros."""
    seen: list[float] = []
    real = Steps.step

    def noting(steps: Steps, batch: Batch, factor: float) -> torch.Tensor:
        seen.append(float(real(steps, batch, factor)))
        return torch.tensor(seen[-1])

    monkeypatch.setattr(Steps, "step", noting)
    network = mlp()
    plan = BitHyperRule().plan(network.group_names)
    find_rate(network, plan, make_batches(30), 0, steps=2)
    assert seen[0] == pytest.approx(np.log(3), abs=1e-6)
    assert seen[0] == seen[1]


def test_ranges_without_sense_are_refused(mlp: Make, make_batches: Make) -> None:
    network = mlp()
    plan = Frozen().plan(network.group_names)
    for settings in ({"lowest": 0.0}, {"lowest": 2.0, "highest": 1.0}, {"steps": 1}):
        with pytest.raises(TrainingError, match="give 0 < lowest < highest, and at least 2 steps"):
            find_rate(network, plan, make_batches(9), 0, **settings)
