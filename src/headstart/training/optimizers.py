"""PyTorch's optimisers from a phase, one parameter group a layer group."""

from typing import Any

import torch

from headstart.networks.groups import Network
from headstart.strategies.plan import Optimizer, Phase


def make_optimizer(network: Network, phase: Phase) -> torch.optim.Optimizer:
    """The optimiser of a phase.

    Args:
        network: Its parameters; those of frozen groups are left out, so nothing decays them.
        phase: Rates and options.

    Returns:
        An optimiser whose parameter groups carry ``lr`` and ``base_lr``.
    """
    groups = [
        {
            "params": list(network.group_parameters(name).values()),
            "lr": rate,
            "base_lr": rate,
        }
        for name, rate in phase.rates.items()
        if rate is not None
    ]
    filled = [group for group in groups if group["params"]]
    settings = phase.optimizer
    on_cpu = all(p.device.type == "cpu" for p in network.parameters())
    # The fused kernels update all numbers of a tensor in one pass over memory.
    options: dict[str, Any] = {"weight_decay": settings.weight_decay}
    if settings.name == "adadelta":
        return torch.optim.Adadelta(
            filled, rho=settings.rho, eps=settings.eps or 1e-6, foreach=True, **options
        )
    options["fused"] = on_cpu or None
    if settings.name == "sgd":
        return torch.optim.SGD(
            filled, momentum=settings.momentum, nesterov=settings.nesterov, **options
        )
    kind = torch.optim.Adam if settings.name == "adam" else torch.optim.AdamW
    return kind(filled, betas=settings.betas, eps=_eps(settings), **options)


def _eps(settings: Optimizer) -> float:
    return settings.eps if settings.eps is not None else 1e-8
