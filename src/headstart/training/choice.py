"""The best of several networks that set out from one start, chosen on validation pictures."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from headstart.networks.groups import Network
from headstart.training.batches import Inputs
from headstart.training.checkpoints import copy_into
from headstart.training.evaluate import evaluate_loss, predict_probabilities


@dataclass(frozen=True, eq=False)
class Choice:
    """What was chosen, and from what.

    Attributes:
        candidates: The phases whose ends there were to choose from.
        chosen: The chosen one's place among them.
        correct: Whether each candidate was right on each validation picture, shape (candidates,
            pictures). The chosen one's mean is too good, as the largest of several draws.
    """

    candidates: tuple[str, ...]
    chosen: int
    correct: NDArray[np.bool_]

    @property
    def name(self) -> str:
        """The chosen phase."""
        return self.candidates[self.chosen]


def best_end(
    network: Network, ends: Mapping[str, Mapping[str, Tensor]], valid: Inputs
) -> tuple[float, float, Choice]:
    """Leave a network with the weights and buffers that are right most often.

    Args:
        network: Holds the chosen ones afterwards.
        ends: Weights and buffers by name, for each phase. Of equally good ones the first is taken.
        valid: Labelled pictures to choose with.

    Returns:
        Validation loss in nats and accuracy of the network as it is left, and the choice.
    """
    right = []
    for end in ends.values():
        copy_into(network.state_dict(), end)
        right.append(_right(network, valid))
    correct = np.stack(right)
    chosen = int(correct.mean(axis=1).argmax())
    copy_into(network.state_dict(), list(ends.values())[chosen])
    return *evaluate_loss(network, valid), Choice(tuple(ends), chosen, correct)


def _right(network: Network, valid: Inputs) -> NDArray[np.bool_]:
    assert valid.labels is not None
    said = predict_probabilities(network, valid).argmax(axis=1)
    return np.asarray(said == valid.labels.cpu().numpy())
