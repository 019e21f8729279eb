"""One door: where networks that share a body, and differ in their heads only, enter.

Finding a way in takes a while: the cut, the halves of the network, the hash of the prefix. Where
the body is one and the same object, the way of the first network is that of all, up to the head.
"""

from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from torch import nn

from headstart.engine.keeper import Doorway, Model
from headstart.networks.groups import Network
from headstart.strategies.plan import Phase, Plan
from headstart.training.batches import Batches, Inputs, StoredInputs
from headstart.training.entry import Entry
from headstart.training.stacking.chain import modules_of


class Door(Protocol):
    """Where networks enter: a doorway, one for networks of one body, or `NO_DOOR`."""

    def enter(self, network: Network, phase: Phase, train: Inputs, valid: Inputs) -> Entry:
        """Where a phase enters (`headstart.training.entry.Enter`)."""

    def behind(
        self, network: Network, plan: Plan, *parts: Inputs
    ) -> tuple[Model, tuple[Inputs, ...]]:
        """Where predictions of a network that followed a plan enter, and with what."""


@dataclass(frozen=True)
class _Found:
    """How the first network entered: behind what, and with which inputs."""

    network: Network
    model: Model
    inputs: tuple[Inputs, ...]


@dataclass
class OneDoor:
    """A doorway for networks of which the first one's way is remembered.

    Networks with another body than the first one's enter by themselves.

    Attributes:
        door: Finds the way.
    """

    door: Doorway
    _found: dict[Hashable, _Found] = field(default_factory=dict)

    def enter(self, network: Network, phase: Phase, train: Inputs, valid: Inputs) -> Entry:
        """Where a phase enters (`headstart.training.entry.Enter`)."""
        key = repr(_ways_of_learning(phase))
        known = self._known(key, network, (train, valid))
        if known is not None:
            return Entry(known[0], *known[1])
        entry = self.door.enter(network, phase, train, valid)
        self._remember(key, network, entry.model, (entry.train, entry.valid))
        return entry

    def behind(
        self, network: Network, plan: Plan, *parts: Inputs
    ) -> tuple[Model, tuple[Inputs, ...]]:
        """Where predictions of a network that followed a plan enter, and with what."""
        key = ("behind", plan.copies, plan.trained_groups())
        known = self._known(key, network, parts)
        if known is not None:
            return known
        model, inputs = self.door.behind(network, plan, *parts)
        self._remember(key, network, model, inputs)
        return model, inputs

    def _remember(
        self, key: Hashable, network: Network, model: Model, inputs: tuple[Inputs, ...]
    ) -> None:
        if model is not network:  # at the pictures there is nothing to remember
            self._found.setdefault(key, _Found(network, model, inputs))

    def _known(
        self, key: Hashable, network: Network, parts: tuple[Inputs, ...]
    ) -> tuple[Model, tuple[Inputs, ...]] | None:
        """The first network's way with this one's head and pictures; None where it is another's."""
        found = self._found.get(key)
        if found is None or found.network.body is not network.body:
            return None
        model = _with_head_of(network, found)
        inputs = [self._kept_of(part, like) for part, like in zip(parts, found.inputs, strict=True)]
        kept = tuple(each for each in inputs if each is not None)
        return None if model is None or len(kept) < len(parts) else (model, kept)

    def _kept_of(self, part: Inputs, like: Inputs) -> Inputs | None:
        """Kept inputs of some pictures, as those of others are; None where they are not kept."""
        if not isinstance(part, Batches) or not isinstance(like, StoredInputs):
            return None
        rows = self.door.rows
        places = np.searchsorted(rows, part.rows)
        there = part.values is self.door.keeper.images.pictures and bool(
            (places < len(rows)).all() and (rows[places] == part.rows).all()
        )
        return type(like)(like.values, places, part.labels, part.device) if there else None


def _ways_of_learning(phase: Phase) -> Phase:
    """A phase without what does not touch where it enters: its name and how fast it learns."""
    learns = {group: None if rate is None else 1.0 for group, rate in phase.rates.items()}
    return replace(phase, name="", rates=learns)


def _with_head_of(network: Network, found: _Found) -> Model | None:
    """The first network's chain of modules with another's in place of those of its head."""
    modules = modules_of(found.model)
    if modules is None:
        return None
    pairs = zip(found.network.head.modules(), network.head.modules(), strict=True)
    own = dict(pairs)
    return nn.Sequential(*(own.get(module, module) for module in modules))
