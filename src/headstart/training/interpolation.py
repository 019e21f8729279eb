"""WiSE-FT: the straight line between two states of one network (Wortsman et al. 2022)."""

from collections.abc import Mapping

import torch
from torch import Tensor

from headstart.networks.groups import Network
from headstart.strategies.plan import Interpolation
from headstart.training.batches import Inputs
from headstart.training.evaluate import evaluate_loss

_TRIED = tuple(tenth / 10 for tenth in range(11))


def snapshot(network: Network) -> dict[str, Tensor]:
    """A copy of all weights and buffers."""
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}


def interpolate(
    network: Network, between: Interpolation, before: Mapping[str, Tensor], valid: Inputs
) -> tuple[float, float]:
    """Draw a network back toward what it was before.

    Args:
        network: Holds θ₁, and afterwards (1 − α) · θ₀ + α · θ₁. Numbers that only count, such as
            BatchNorm's steps, stay as they are.
        between: Tells α; with ``"auto"`` the one with the lowest validation loss, the smallest such
            where several have it.
        before: θ₀.
        valid: Labelled pictures to choose with.

    Returns:
        Validation loss in nats and accuracy of the network as it is left.
    """
    after = snapshot(network)
    tried = _TRIED if between.alpha == "auto" else (between.alpha,)
    found: list[tuple[float, float, float]] = []
    for alpha in tried:
        _mix(network, before, after, alpha)
        found.append((*evaluate_loss(network, valid), alpha))
    loss, accuracy, alpha = min(found, key=lambda each: (each[0], each[2]))
    _mix(network, before, after, alpha)
    return loss, accuracy


@torch.no_grad()
def _mix(
    network: Network, before: Mapping[str, Tensor], after: Mapping[str, Tensor], alpha: float
) -> None:
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point():
            tensor.copy_(torch.lerp(before[name], after[name], alpha))  # exact where both agree
        else:
            tensor.copy_(after[name])
