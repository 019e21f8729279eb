"""Where a phase enters the network.

A phase that leaves a first part of the network as it is sees the same numbers come out of that part
in every epoch. They can be kept, and the phase enters the network behind them.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from headstart.networks.groups import Network
from headstart.strategies.plan import Phase
from headstart.training.batches import Inputs


@dataclass(frozen=True)
class Entry:
    """What a phase trains through, and on what.

    Attributes:
        model: Inputs → logits, made of the network's own modules: what it learns, the network has.
        train: Labelled inputs to learn from.
        valid: Labelled inputs to choose with.
    """

    model: Callable[[Tensor], Tensor]
    train: Inputs
    valid: Inputs


Enter = Callable[[Network, Phase, Inputs, Inputs], Entry]
"""Tells, before a phase begins, where it enters a network, given pictures to train and choose with.

The network holds the weights that the phase starts from, and is in the phase's modes. Where a phase
changes its training pictures, they come as `headstart.training.augmented.ChangedPictures`: anew
every epoch (`Phase.augments`), so that the phase must enter at the pictures, or as fixed views
(`Phase.views`), which can be kept.
"""


def at_the_pictures(network: Network, phase: Phase, train: Inputs, valid: Inputs) -> Entry:
    """Enter at the pictures: nothing is kept."""
    del phase
    return Entry(network, train, valid)
