"""Greedy soups: one network out of several that set out from one start (Wortsman et al. 2022)."""

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from headstart.networks.groups import Network
from headstart.training.batches import Inputs
from headstart.training.evaluate import evaluate_loss

State = Mapping[str, Tensor]


def greedy_soup(
    network: Network, ingredients: Iterable[State], valid: Inputs
) -> tuple[float, float, int]:
    """Average weights, greedily.

    From the ingredient with the highest validation accuracy on (of equals the one with the lowest
    loss), each is added to the average unless the average's validation accuracy falls.

    Args:
        network: Holds the soup afterwards, running statistics averaged too. Numbers that only
            count, such as BatchNorm's steps, are those of the first ingredient in it.
        ingredients: Weights and buffers by name.
        valid: Labelled pictures to choose with.

    Returns:
        Validation loss in nats and accuracy of the soup, and how many ingredients are in it.
    """
    judged = []
    for number, state in enumerate(ingredients):
        loss, accuracy = _judged(network, [state], valid)
        judged.append((-accuracy, loss, number, state))
    judged.sort(key=lambda each: each[:3])
    (first_accuracy, loss, _, first), *others = judged
    chosen, accuracy = [first], -first_accuracy
    for *_, state in others:
        found = _judged(network, [*chosen, state], valid)
        if found[1] >= accuracy:
            loss, accuracy = found
            chosen.append(state)
    _pour(network, chosen)
    return loss, accuracy, len(chosen)


def _judged(network: Network, states: Sequence[State], valid: Inputs) -> tuple[float, float]:
    _pour(network, states)
    return evaluate_loss(network, valid)


@torch.no_grad()
def _pour(network: Network, states: Sequence[State]) -> None:
    """Give a network the mean of some states."""
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point():
            tensor.copy_(torch.stack([state[name] for state in states]).mean(dim=0))
        else:
            tensor.copy_(states[0][name])
