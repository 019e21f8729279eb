"""What a network says of pictures, and how good that is."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headstart.networks.groups import Network
from headstart.networks.heads import loss, probabilities
from headstart.training.batches import Inputs

_SMALLEST = 1e-7  # where a probability is cut off in a logarithm, as Keras does


@contextmanager
def evaluating(network: Network) -> Iterator[None]:
    """Within it, dropout is off, statistics are fixed and no gradients are kept.

    Every module is put back into its own mode afterwards.
    """
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def predict_probabilities(
    network: Network, batches: Inputs, model: Callable[[Tensor], Tensor] | None = None
) -> NDArray[np.float32]:
    """Class probabilities, shape (N, classes), float32, with dropout off and statistics fixed.

    Of no pictures at all, as search trials have no test pictures, the shape is (0, 0).

    Args:
        network: Put into evaluation mode meanwhile.
        batches: What to predict.
        model: What the inputs go through; the network itself when omitted. Behind a kept part it
            is the rest of the network.
    """
    model = model or network
    with evaluating(network):
        parts = [probabilities(model(inputs)).cpu() for inputs, _ in batches.in_order()]
    values: NDArray[np.float32] = torch.cat(parts or [torch.empty(0, 0)]).numpy()
    return values


def evaluate_loss(
    network: Network, batches: Inputs, model: Callable[[Tensor], Tensor] | None = None
) -> tuple[float, float]:
    """Mean loss in nats, and accuracy, on labelled inputs; see `predict_probabilities`."""
    model = model or network
    total, right = 0.0, 0
    with evaluating(network):
        for inputs, labels in batches.in_order():
            assert labels is not None
            logits = model(inputs)
            total += float(loss(logits, labels)) * len(labels)
            right += int((probabilities(logits).argmax(dim=1) == labels).sum())
    return total / len(batches), right / len(batches)


def accuracy(predicted: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """The share of pictures whose most probable class is the label."""
    return float((predicted.argmax(axis=1) == labels).mean())


def log_loss(predicted: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """Mean negative log probability of the labels in nats, probabilities cut off at 1e-7."""
    chosen = predicted[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.log(np.clip(chosen, _SMALLEST, 1)).mean())
