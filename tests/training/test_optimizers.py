"""Optimisers: step by step what PyTorch's own classes do, group by group."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from headstart.errors import TrainingError
from headstart.networks.groups import Network, chain
from headstart.strategies import Optimizer, Phase, Training
from headstart.training.optimizers import PhaseOptimizer

CASES: list[tuple[dict[str, Any], Callable[..., torch.optim.Optimizer], dict[str, Any]]] = [
    ({"name": "sgd"}, torch.optim.SGD, {}),
    ({"name": "sgd", "weight_decay": 0.1}, torch.optim.SGD, {"weight_decay": 0.1}),
    ({"name": "sgd", "momentum": 0.9}, torch.optim.SGD, {"momentum": 0.9}),
    (
        {"name": "sgd", "momentum": 0.8, "nesterov": True, "weight_decay": 0.05},
        torch.optim.SGD,
        {"momentum": 0.8, "nesterov": True, "weight_decay": 0.05},
    ),
    ({"name": "adam"}, torch.optim.Adam, {}),
    (
        {"name": "adam", "betas": [0.5, 0.9], "eps": 1e-3, "weight_decay": 0.1},
        torch.optim.Adam,
        {"betas": (0.5, 0.9), "eps": 1e-3, "weight_decay": 0.1},
    ),
    ({"name": "adamw", "weight_decay": 0.2}, torch.optim.AdamW, {"weight_decay": 0.2}),
    ({"name": "adamw", "betas": [0.7, 0.8]}, torch.optim.AdamW,
     {"betas": (0.7, 0.8), "weight_decay": 0.0}),
    ({"name": "adadelta"}, torch.optim.Adadelta, {}),
    ({"name": "adadelta", "rho": 0.5, "eps": 1e-3, "weight_decay": 0.1}, torch.optim.Adadelta,
     {"rho": 0.5, "eps": 1e-3, "weight_decay": 0.1}),
]  # fmt: skip


def three_groups() -> Network:
    torch.manual_seed(0)
    parts = {"low": nn.Linear(4, 5), "high": nn.Linear(5, 3), "idle": nn.Linear(3, 3)}
    return chain(parts, nn.Linear(3, 2), {"low": ["low"], "high": ["high", "idle"]})


def phase_of(rates: dict[str, float | None], **options: Any) -> Phase:
    return Training(optimizer=Optimizer.model_validate(options)).phase("train", rates)


def set_gradients(network: Network, step: int) -> None:
    """Gradients of noise; now and then a weight has none, as where a branch is skipped."""
    noise = torch.Generator().manual_seed(step)
    for number, (name, parameter) in enumerate(network.named_parameters()):
        gradient = torch.randn(parameter.shape, generator=noise)
        skipped = ".idle." in name or (step + number) % 4 == 0
        parameter.grad = None if skipped else gradient


def values(network: Network) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in network.parameters()]


@pytest.mark.parametrize(("options", "kind", "theirs"), CASES)
def test_every_step_is_pytorchs(
    options: dict[str, Any], kind: Callable[..., torch.optim.Optimizer], theirs: dict[str, Any]
) -> None:
    ours, reference = three_groups(), three_groups()
    start = values(ours)
    ours_by_name = phase_of({"low": 0.05, "high": None, "head": 0.4}, **options)
    optimizer = PhaseOptimizer(ours, ours_by_name)
    plain = kind(
        [
            {"params": list(reference.group_parameters("low").values()), "lr": 0.05},
            {"params": list(reference.group_parameters("head").values()), "lr": 0.4},
        ],
        **theirs,
    )
    rates = [group["lr"] for group in plain.param_groups]
    for step in range(12):
        factor = 1 / (1 + step)
        for group, rate in zip(plain.param_groups, rates, strict=True):
            group["lr"] = rate * factor
        set_gradients(ours, step)
        set_gradients(reference, step)
        optimizer.step(factor)
        plain.step()
        for mine, other in zip(values(ours), values(reference), strict=True):
            assert torch.allclose(mine, other, rtol=1e-6, atol=1e-6)
    frozen = ours.group_parameters("high")
    for (name, parameter), before in zip(ours.named_parameters(), start, strict=True):
        assert torch.equal(parameter, before) == (name in frozen)


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "adadelta"])
def test_weights_without_a_gradient_are_neither_moved_nor_decayed(name: str) -> None:
    network = three_groups()
    idle = [p.clone() for n, p in network.named_parameters() if ".idle." in n]
    optimizer = PhaseOptimizer(
        network,
        phase_of({"low": 0.1, "high": 0.1, "head": 0.1}, name=name, weight_decay=0.5),
    )
    for step in range(3):
        set_gradients(network, step)
        optimizer.step(1.0)
    after = [p for n, p in network.named_parameters() if ".idle." in n]
    assert all(torch.equal(mine, other) for mine, other in zip(idle, after, strict=True))


def test_gradients_of_what_trains_are_forgotten() -> None:
    network = three_groups()
    set_gradients(network, 1)
    PhaseOptimizer(network, phase_of({"low": 0.1, "high": None, "head": 0.1})).zero_grad()
    for name in ("low", "head"):
        assert all(p.grad is None for p in network.group_parameters(name).values())


def test_state_starts_fresh_in_every_phase() -> None:
    twice, once = three_groups(), three_groups()
    phase = phase_of({"low": 0.1, "high": 0.1, "head": 0.1}, name="sgd", momentum=0.9)
    for number in range(2):
        set_gradients(twice, number)
        PhaseOptimizer(twice, phase).step(1.0)
        with torch.no_grad():
            for parameter in once.parameters():
                set_gradients(once, number)
                if parameter.grad is not None:
                    parameter.sub_(0.1 * parameter.grad)
    for mine, other in zip(values(twice), values(once), strict=True):
        assert torch.allclose(mine, other, atol=1e-6)


def test_a_phase_that_trains_nothing_but_weightless_layers_is_refused() -> None:
    parts = {"low": nn.Linear(4, 3), "bend": nn.ReLU()}
    network = chain(parts, nn.Linear(3, 2), {"low": ["low"], "bend": ["bend"]})
    with pytest.raises(TrainingError) as caught:
        PhaseOptimizer(network, phase_of({"low": None, "bend": 0.1, "head": None}))
    assert str(caught.value) == (
        "phase 'train' trains only bend, which has no weights: train another group"
    )
