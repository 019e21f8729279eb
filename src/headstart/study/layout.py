"""The layout of a study: its networks layer by layer, and which phase trains what."""

from dataclasses import dataclass

import torch
from torch import nn

from headstart.networks.groups import Network, count_parameters
from headstart.strategies.plan import Phase, count_learning
from headstart.study.workplace import Workplace


@dataclass(frozen=True)
class LayerRow:
    """One layer of a network.

    Attributes:
        name: Its qualified name.
        kind: Its class.
        group: The layer group that it belongs to, or "" where it has no weights.
        output_shape: Of one picture, without the batch.
        parameters: How many numbers it learns at most.
    """

    name: str
    kind: str
    group: str
    output_shape: tuple[int, ...]
    parameters: int


@dataclass(frozen=True)
class StrategyRow:
    """One phase of one strategy: what happens to each layer group.

    Attributes:
        strategy: The strategy's name.
        phase: The phase's name.
        duration: In words.
        rates: Layer group → learning rate, None where frozen.
        trainable: Parameters that learn in this phase.
        pictures: How it sees the training pictures, in words; empty: as they are.
    """

    strategy: str
    phase: str
    duration: str
    rates: dict[str, float | None]
    trainable: int
    pictures: str = ""


@dataclass(frozen=True)
class Layout:
    """A study's network and what its strategies do to it.

    Attributes:
        layers: The target's network, stem first.
        groups: The names of its layer groups.
        phases: Every phase of every strategy.
        parameters: Of the whole network.
        source_units: Units of the source's head, None without a source trained here.
    """

    layers: tuple[LayerRow, ...]
    groups: tuple[str, ...]
    phases: tuple[StrategyRow, ...]
    parameters: int
    source_units: int | None


def layout(workplace: Workplace) -> Layout:
    """The layout of a study.

    Raises:
        HeadstartError: If the network cannot be built or a strategy does not fit it.
    """
    seed = workplace.study.study.seeds[0]
    task = workplace.task(seed)
    network = workplace.network(task, seed)
    phases = []
    for name in workplace.study.strategy:
        plan = workplace.plan(name, network)
        tapped = workplace.tapped.making(plan.taps)
        for phase in plan.phases:
            phases.append(
                StrategyRow(
                    strategy=name,
                    phase=phase.name,
                    duration=f"{phase.steps} steps" if phase.steps else f"{phase.epochs} epochs",
                    rates={group: phase.rates[group] for group in network.group_names},
                    trainable=count_learning([phase], tapped),
                    pictures=_pictures_words(phase),
                )
            )
    source = workplace.study.source
    units = None
    if source is not None and source.trained_here:
        units = len(workplace.source_task(seed).class_names)
    return Layout(
        layers=_layers(network, workplace.images.picture_shape),
        groups=network.group_names,
        phases=tuple(phases),
        parameters=count_parameters(network.parameters()),
        source_units=units,
    )


def _pictures_words(phase: Phase) -> str:
    """How a phase sees the training pictures; augmentation that is off is told, too."""
    if phase.augments:
        return "changed anew every epoch"
    if phase.views:
        return f"{phase.views} fixed views"
    return "as they are: no views" if phase.recipe.augment.is_on else ""


def _is_claimed(module: nn.Module, network: Network) -> bool:
    """Whether a layer group owns the module; layers without weights need no owner."""
    own = next(name for name, other in network.named_modules() if other is module)
    return any(
        own == claim or own.startswith(f"{claim}.")
        for group in network.groups
        for claim in group.modules
    )


def _is_layer(module: nn.Module) -> bool:
    """Whether a module has weights of its own, or does something and has no parts."""
    if any(True for _ in module.parameters(recurse=False)):
        return True
    return not any(True for _ in module.children()) and not isinstance(module, nn.Identity)


def _layers(network: Network, picture_shape: tuple[int, int, int]) -> tuple[LayerRow, ...]:
    """Every leaf module in the order in which one picture goes through them."""
    rows: list[LayerRow] = []
    names = {module: name for name, module in network.named_modules()}

    def note(module: nn.Module, _: object, output: torch.Tensor) -> None:
        rows.append(
            LayerRow(
                name=names[module],
                kind=type(module).__name__,
                group=network.group_of(names[module]) if _is_claimed(module, network) else "",
                output_shape=tuple(output.shape[1:]),
                parameters=count_parameters(module.parameters(recurse=False)),
            )
        )

    # Timm's normalisation has its own weights and an activation below it: it is a layer, too.
    leaves = [m for m in network.modules() if _is_layer(m)]
    hooks = [leaf.register_forward_hook(note) for leaf in leaves]
    try:
        height, width, channels = picture_shape
        with torch.inference_mode():
            network.eval()(torch.zeros(1, channels, height, width))
    finally:
        for hook in hooks:
            hook.remove()
    return tuple(rows)
