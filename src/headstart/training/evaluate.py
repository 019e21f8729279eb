"""What a network says of pictures, and how good that is."""

import numpy as np
import torch
from numpy.typing import NDArray

from headstart.networks.groups import Network
from headstart.networks.heads import probabilities
from headstart.training.batches import Batches

_SMALLEST = 1e-7  # where a probability is cut off in a logarithm, as Keras does


def predict_probabilities(network: Network, batches: Batches) -> NDArray[np.float32]:
    """Class probabilities, shape (N, classes), float32, with dropout off and statistics fixed."""
    was_training = network.training
    network.eval()
    with torch.inference_mode():
        parts = [probabilities(network(inputs)).cpu() for inputs, _ in batches.in_order()]
    network.train(was_training)
    values: NDArray[np.float32] = torch.cat(parts).numpy()
    return values


def accuracy(predicted: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """The share of pictures whose most probable class is the label."""
    return float((predicted.argmax(axis=1) == labels).mean())


def log_loss(predicted: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """Mean negative log probability of the labels in nats, probabilities cut off at 1e-7."""
    chosen = predicted[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.log(np.clip(chosen, _SMALLEST, 1)).mean())
