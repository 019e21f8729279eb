"""Members of a stack, and the way each takes through its network."""

from collections.abc import Sequence
from dataclasses import MISSING, dataclass, fields, replace

import torch
from torch import Tensor, nn

from headstart.errors import TrainingError
from headstart.networks.groups import Network
from headstart.strategies.plan import Phase, Plan
from headstart.training.batches import Inputs, StoredInputs
from headstart.training.entry import Enter, Entry, at_the_pictures
from headstart.training.stacking.chain import (
    Dense,
    Link,
    Model,
    drops_first,
    links_of,
    modules_of,
)
from headstart.training.stacking.supply import can_supply, columns_of, drops_in_storage_order
from headstart.training.stacking.weights import Kind, Rates

_PLAN = frozenset({"fresh", "zero_head", "draw"})
_PHASE = frozenset({"recipe", "only", "batch_norm_momentum"})  # there is no BatchNorm in a stack


class NotStackableError(TrainingError):
    """A phase goes through something that a stack cannot do: its trials are fitted one by one."""


@dataclass(frozen=True)
class Member:
    """One trial of a stack: what `headstart.training.fit.fit` would be given for it alone."""

    network: Network
    plan: Plan
    train: Inputs
    valid: Inputs
    seed: int
    enter: Enter = at_the_pictures
    class_names: Sequence[str] = ()


@dataclass(frozen=True)
class Way:
    """Where a phase of one trial enters its network, and what lies behind.

    Attributes:
        entry: The inputs.
        modules: What they go through, one after the other.
        links: What that does.
        columns: How the first dense layer takes its inputs, see `columns_of`.
        learning: The layer groups of what learns, by dense layer and kind.
    """

    entry: Entry
    modules: list[nn.Module]
    links: tuple[Link, ...]
    columns: Tensor | None
    learning: dict[tuple[int, Kind], str]

    def is_like(self, other: "Way") -> bool:
        """Whether another trial's inputs go the same way."""
        ours, theirs = self.columns, other.columns
        if ours is None or theirs is None:
            return self.links == other.links and ours is theirs
        return self.links == other.links and torch.equal(ours, theirs)


def way_through(network: Network, phase: Phase, entry: Entry) -> Way | None:
    """The way of a trial through a phase; None if a stack cannot go it.

    Args:
        network: In the phase's modes.
        phase: What learns.
        entry: Where it enters.
    """
    if not (can_supply(entry.train) and can_supply(entry.valid)):
        return None
    dimensions = _dimensions(entry.train)
    found = chain_behind(network, phase, entry.model, dimensions)
    if found is None:
        return None
    if dimensions > 1 and drops_first(found[1]) and not drops_in_storage_order(entry.train):
        return None
    modules, links, learning = found
    return Way(entry, modules, links, columns_of(entry.train), learning)


def way_like(like: Way, entry: Entry) -> Way | None:
    """The way of a trial that shares its body with another; None if a stack cannot go it.

    Args:
        like: The other's way through the same phase.
        entry: Where it enters.
    """
    if not (can_supply(entry.train) and can_supply(entry.valid)):
        return None
    modules = modules_of(entry.model)
    if modules is None or links_of(modules, _dimensions(entry.train)) != like.links:
        return None
    return replace(like, entry=entry, modules=modules, columns=columns_of(entry.train))


def chain_behind(
    network: Network, phase: Phase, model: Model, dimensions: int
) -> tuple[list[nn.Module], tuple[Link, ...], dict[tuple[int, Kind], str]] | None:
    """Modules, links and what learns in a model of a network's; None if it cannot be stacked.

    Args:
        network: The whole.
        phase: What learns.
        model: Where the phase enters.
        dimensions: Of one picture's inputs there.
    """
    modules = modules_of(model)
    links = None if modules is None else links_of(modules, dimensions)
    if modules is None or links is None:
        return None
    names = {parameter: name for name, parameter in network.named_parameters()}
    wanted = set(phase.learning(network))
    learning: dict[tuple[int, Kind], str] = {}
    for number, link in enumerate(each for each in links if isinstance(each, Dense)):
        module, groups = modules[link.module], set[str]()
        for kind, parameter in module.named_parameters():
            name = names.get(parameter)
            if name is None:
                return None
            if name in wanted:
                wanted.remove(name)
                group = network.group_of(name)
                groups.add(group)
                learning[number, "weight" if kind == "weight" else "bias"] = group
        if len(groups) > 1:
            return None
    return (modules, links, learning) if learning and not wanted else None


def can_follow(plan: Plan) -> bool:
    """Whether a stack can do all that a plan asks for, whatever the network."""
    plain = _as_usual(plan, _PLAN) and plan.start != "own"
    return plain and all(_can_train(phase) for phase in plan.phases)


def _can_train(phase: Phase) -> bool:
    recipe = phase.recipe
    return (
        _as_usual(phase, _PHASE)
        and not (phase.augments or phase.views)
        and recipe.precision in ("auto", "float32")
        and phase.batch_size > 1
    )


def _as_usual(asked: Plan | Phase, known: frozenset[str]) -> bool:
    """Whether all options have their defaults, but for those that a stack knows."""
    return all(
        getattr(asked, option.name) == option.default
        for option in fields(asked)
        if option.default is not MISSING and option.name not in known
    )


def learning_rates(ways: Sequence[Way], phases: Sequence[Phase]) -> dict[tuple[int, Kind], Rates]:
    """For each parameter that learns, by dense layer and kind, a rate for each trial."""
    found: dict[tuple[int, Kind], Rates] = {}
    for place, group in ways[0].learning.items():
        rates = [phase.rates[group] for phase in phases]
        found[place] = tuple(rate for rate in rates if rate is not None)
        assert len(found[place]) == len(phases)
    return found


def _dimensions(inputs: Inputs) -> int:
    """How many one picture's inputs have."""
    assert isinstance(inputs, StoredInputs)
    return inputs.values.ndim - 1
