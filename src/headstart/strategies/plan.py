"""Plans: a strategy's decisions as data.

A plan is where the body starts and a tuple of phases. A phase says which layer groups learn at
which rate (`None` means frozen), for how long, with which optimiser. Everything else is derived.
"""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import Field, StrictBool, model_validator

from headstart.errors import StudyError
from headstart.settings import Number, Positive, Settings

OptimizerName = Literal["sgd", "adam", "adamw", "adadelta"]
Decay = Annotated[Number, Field(ge=0, lt=1)]
InnerShare = Annotated[Number, Field(gt=0, lt=1)]

_OPTIONS: Mapping[str, frozenset[str]] = {
    "sgd": frozenset({"momentum", "nesterov", "weight_decay"}),
    "adam": frozenset({"betas", "eps", "weight_decay"}),
    "adamw": frozenset({"betas", "eps", "weight_decay"}),
    "adadelta": frozenset({"rho", "eps", "weight_decay"}),
}


def idle_options(settings: Settings, takes: Collection[str]) -> list[str]:
    """The options that were changed from their default although nothing reads them."""
    return sorted(
        name
        for name, field in type(settings).model_fields.items()
        if name not in takes and getattr(settings, name) != field.default
    )


class Optimizer(Settings):
    """An optimiser by PyTorch's names; an option that it does not take is refused.

    Attributes:
        name: ``"sgd"``, ``"adam"``, ``"adamw"`` or ``"adadelta"``.
        momentum: Of SGD.
        nesterov: Nesterov's momentum, of SGD.
        betas: Of Adam and AdamW.
        rho: Of Adadelta.
        eps: Of all but SGD; PyTorch's default when left out.
        weight_decay: L2 penalty (SGD, Adam, Adadelta) or decoupled decay (AdamW).
    """

    name: OptimizerName = "sgd"
    momentum: Decay = 0.0
    nesterov: StrictBool = False
    betas: tuple[Decay, Decay] = (0.9, 0.999)
    rho: Decay = 0.9
    eps: Positive | None = None
    weight_decay: Annotated[Number, Field(ge=0)] = 0.0

    @model_validator(mode="after")
    def _has_effect(self) -> Self:
        idle = idle_options(self, {"name"} | _OPTIONS[self.name])
        if idle:
            raise ValueError(
                f"{', '.join(idle)} has no effect with {self.name}, which takes "
                f"{', '.join(sorted(_OPTIONS[self.name]))}: leave it out"
            )
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs momentum above 0")
        return self


class Schedule(Settings):
    """How the rates change over a phase: each is multiplied by a factor at every step.

    Attributes:
        name: ``"constant"``; ``"cosine"`` from 1 to `final`; ``"step"``: times `factor` after
            each of the `milestones`.
        warmup: Share of the phase's steps over which the factor first rises from 0, linearly.
        final: Where the cosine ends.
        milestones: Shares of the phase at which ``"step"`` drops.
        factor: By how much it drops.
    """

    name: Literal["constant", "cosine", "step"] = "constant"
    warmup: Decay = 0.0
    final: Decay = 0.0
    milestones: Annotated[tuple[InnerShare, ...], Field(min_length=1)] = (0.5, 0.75)
    factor: InnerShare = 0.1

    @model_validator(mode="after")
    def _has_effect(self) -> Self:
        takes: dict[str, set[str]] = {
            "constant": set(),
            "cosine": {"final"},
            "step": {"milestones", "factor"},
        }
        idle = idle_options(self, {"name", "warmup"} | takes[self.name])
        if idle:
            raise ValueError(
                f"{', '.join(idle)} has no effect with the {self.name} schedule: leave it out"
            )
        return self


@dataclass(frozen=True)
class Phase:
    """One stretch of training.

    Attributes:
        name: For curves and reports.
        rates: For each layer group its learning rate, or `None`: frozen.
        epochs: Passes over the training pictures; `None` when `steps` is given.
        steps: Optimiser steps; `None` when `epochs` is given.
        batch_size: Pictures a step.
        optimizer: Its kind and options; its state starts fresh in every phase.
        schedule: How the rates change over the phase.
        batch_norm: ``"live"``: BatchNorm in groups that train normalises by the batch and updates
            its running statistics; ``"frozen"``: it uses the running statistics as they are. In
            frozen groups they are always frozen.
        patience: Stop after this many epochs without a lower validation loss and go back to the
            best weights; `None`: train to the end and keep the last.
    """

    name: str
    rates: Mapping[str, float | None]
    epochs: int | None
    steps: int | None
    batch_size: int
    optimizer: Optimizer
    schedule: Schedule
    batch_norm: Literal["live", "frozen"]
    patience: int | None

    def trains(self, group: str) -> bool:
        """Whether a layer group learns in this phase."""
        return self.rates[group] is not None


@dataclass(frozen=True)
class Plan:
    """What a strategy decided for one network.

    Attributes:
        start: Where the body's weights come from: ``"random"`` or ``"source"``. The head always
            starts fresh.
        phases: In order.
    """

    start: Literal["random", "source"]
    phases: tuple[Phase, ...]

    def trained_groups(self) -> frozenset[str]:
        """The layer groups that learn in at least one phase."""
        return frozenset(
            group for phase in self.phases for group in phase.rates if phase.trains(group)
        )

    def check(self, groups: Sequence[str]) -> None:
        """Refuse a plan that cannot be followed on a network with these layer groups.

        Raises:
            StudyError: Naming every phase and group concerned.
        """
        problems = [] if self.phases else ["a plan needs at least one phase"]
        for phase in self.phases:
            problems += [f"phase {phase.name!r} {text}" for text in _problems(phase, groups)]
        if problems:
            raise StudyError(*problems)


def _problems(phase: Phase, groups: Sequence[str]) -> Iterator[str]:
    """What is wrong with a phase; each layer group must be told exactly once what happens to it."""
    missing = [group for group in groups if group not in phase.rates]
    unknown = [group for group in phase.rates if group not in groups]
    if missing or unknown:
        yield (
            f"says nothing of {missing} and names unknown {unknown}; the layer groups are "
            f"{list(groups)}"
        )
    rates = {group: rate for group, rate in phase.rates.items() if rate is not None}
    if not rates:
        yield "freezes everything: nothing would train"
    for group, rate in rates.items():
        if not 0 < rate < math.inf:
            yield f"has the rate {rate} for {group!r}: give more than 0, or None to freeze it"
    if (phase.epochs is None) == (phase.steps is None):
        yield f"has epochs = {phase.epochs} and steps = {phase.steps}: give one of them"
    for name in ("epochs", "steps", "batch_size", "patience"):
        count = getattr(phase, name)
        if count is not None and count < 1:
            yield f"has {name} = {count}: at least 1 is needed"
