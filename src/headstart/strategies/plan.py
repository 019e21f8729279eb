"""Plans: a strategy's decisions as data.

A plan is where the body starts and a tuple of phases. A phase says which layer groups learn at
which rate (`None` means frozen), for how long, with which optimiser. Everything else is derived.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal, Self

from pydantic import Field, StrictBool, model_validator
from torch import nn

from headstart.errors import StudyError
from headstart.networks.groups import HEAD, Network, count_parameters
from headstart.networks.low_rank import LowRank, adapted_parameters, count_adapters
from headstart.networks.selections import Selection, selected
from headstart.networks.taps import Tapping
from headstart.settings import Number, Positive, Settings
from headstart.strategies.head_solver import HeadSolver
from headstart.strategies.problems import network_problems, phase_problems, start_problems
from headstart.strategies.recipe import PLAIN, Recipe
from headstart.strategies.regularisers import Regulariser

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
        name: ``"constant"``; ``"cosine"`` and ``"linear"`` from 1 to `final`; ``"step"``: times
            `factor` after each of the `milestones`; ``"one_cycle"``: up from 1/25 to 1 over the
            share `rise`, then down to 1/250,000; ``"slanted_triangle"``: up to 1 until `cut`, then
            down again, both ends at 1 / `ratio`.
        warmup: Share of the phase's steps over which the factor first rises from 0, linearly.
        final: Where the cosine and the line end.
        rise: Share of the steps over which the one cycle rises.
        milestones: Shares of the phase at which ``"step"`` drops.
        factor: By how much it drops.
        cut: Share of the steps after which the slanted triangle turns.
        ratio: How many times its lowest rate is below its highest.
    """

    name: Literal["constant", "cosine", "linear", "step", "one_cycle", "slanted_triangle"] = (
        "constant"
    )
    warmup: Decay = 0.0
    final: Decay = 0.0
    rise: InnerShare = 0.3
    milestones: Annotated[tuple[InnerShare, ...], Field(min_length=1)] = (0.5, 0.75)
    factor: InnerShare = 0.1
    cut: InnerShare = 0.1
    ratio: Annotated[Number, Field(gt=1)] = 32.0

    @model_validator(mode="after")
    def _has_effect(self) -> Self:
        takes: dict[str, set[str]] = {
            "constant": {"warmup"},
            "cosine": {"warmup", "final"},
            "linear": {"warmup", "final"},
            "step": {"warmup", "milestones", "factor"},
            "one_cycle": {"rise"},
            "slanted_triangle": {"cut", "ratio"},
        }
        idle = idle_options(self, {"name"} | takes[self.name])
        if idle:
            raise ValueError(
                f"{', '.join(idle)} has no effect with the {self.name} schedule: leave it out"
            )
        return self


@dataclass(frozen=True)
class Distillation:
    """(1 − w) · cross-entropy + w · T² · KL(teacher ‖ student), both softened by T.

    Hinton, Vinyals & Dean 2015, *Distilling the knowledge in a neural network*.

    Attributes:
        teacher: The earlier phase as whose end the teacher is taken; it is at rest.
        weight: w, above 0 and up to 1.
        temperature: T.
    """

    teacher: str
    weight: float
    temperature: float


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
        recipe: What is done to pictures, labels, gradients and weights meanwhile.
        only: What of the body's learning groups learns; the rest of them is frozen, and with it
            the statistics of every module of which no parameter learns.
        rate_rule: ``"group"``: each group at its rate; ``"relative_gradient_norm"``: each tensor at
            its group's rate · r / max r, r = ‖gradient‖ / ‖weights‖ (Lee et al. 2023, Auto-RGN).
        regularisers: What keeps the body near its source.
        solver: How the head is solved on the features in front of it, with dropout off. Then
            nothing is trained step by step: only the head may learn, and its rate, the duration,
            the batches and the optimiser mean nothing.
        low_rank: Adapters that learn in the stead of the body's weights and are merged into them
            after the phase; the rest of the body is frozen, as with `only`.
        restart: Whether it begins with the weights that the plan starts from, not with those that
            the phase before ended with.
        distilled: The earlier phase that it learns from, beside the labels.
        batch_norm_momentum: By what share live statistics move toward those of a batch, a step;
            `None`: as the network has it.
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
    recipe: Recipe = PLAIN
    only: Selection = "everything"
    rate_rule: Literal["group", "relative_gradient_norm"] = "group"
    regularisers: tuple[Regulariser, ...] = ()
    solver: HeadSolver | None = None
    low_rank: LowRank | None = None
    restart: bool = False
    distilled: Distillation | None = None
    batch_norm_momentum: float | None = None

    def trains(self, group: str) -> bool:
        """Whether a layer group learns in this phase."""
        return self.rates[group] is not None

    @property
    def trains_body(self) -> bool:
        """Whether more than the head learns."""
        return any(rate is not None for group, rate in self.rates.items() if group != HEAD)

    @property
    def augments(self) -> bool:
        """Whether its training pictures differ from epoch to epoch, so that none can be kept.

        Where only the head learns, augmentation is off, or made of fixed `views`.
        """
        return self.recipe.augment.is_on and self.trains_body

    @property
    def views(self) -> int:
        """How many fixed views of each training picture it goes through, an epoch each; 0: none."""
        return 0 if self.trains_body else self.recipe.augment.views or 0

    @property
    def is_partial(self) -> bool:
        """Whether only a part of the layer groups with a rate learns."""
        return self.only != "everything" or self.low_rank is not None

    def learning(self, network: Network) -> dict[str, nn.Parameter]:
        """The parameters that learn in this phase, by qualified name.

        With adapters these are theirs while they are in the network, and else the weights that
        they will be merged into.
        """
        if self.low_rank is None:
            chosen = selected(network, self.only)
        else:
            chosen = adapted_parameters(network, self.low_rank)
        return {
            name: parameter
            for name, parameter in network.named_parameters()
            if name in chosen and self.trains(network.group_of(name))
        }


def count_learning(phases: Collection[Phase], network: Network) -> int:
    """How many numbers learn in at least one of the phases."""
    found: dict[str, nn.Parameter] = {}
    adapters = 0
    for phase in phases:
        learning = phase.learning(network)
        if phase.low_rank is not None:
            adapters += count_adapters(network, phase.low_rank)
            learning = {n: p for n, p in learning.items() if network.group_of(n) == HEAD}
        found.update(learning)
    return count_parameters(found.values()) + adapters


@dataclass(frozen=True)
class Interpolation:
    """θ = (1 − α) · θ₀ + α · θ₁ after the last phase, buffers included.

    Wortsman et al. 2022, *Robust fine-tuning of zero-shot models* (WiSE-FT).

    Attributes:
        after: The phase whose weights are θ₀; θ₁ are those of the last phase.
        alpha: α, from 0 to 1; ``"auto"`` takes the lowest validation loss among 0, 0.1, … 1.
    """

    after: str
    alpha: float | Literal["auto"]


@dataclass(frozen=True)
class Plan:
    """What a strategy decided for one network.

    Attributes:
        start: Where the body's weights come from: ``"random"``, ``"source"``, or ``"own"``, the
            target's own source: a network trained from scratch on the same pictures. The head
            always starts fresh.
        phases: In order.
        fresh: Body groups that start at random although the body starts from the source.
        zero_head: Whether the head's last layer starts at 0 instead of at random.
        interpolation: What is done with the weights after the last phase.
        own: The phases in which the target's own source is trained; only with ``"own"``.
        draw: Which of a seed's independent draws of initial weights and order it takes; pairs
            share the first, 0.
        soup: Phases whose ends are averaged after the last of them, greedily: from the one with
            the highest validation accuracy on, each joins if the average's does not fall.
        best_of: Phases of whose ends one is kept after the last of them: that with the highest
            validation accuracy, of equal ones the first.
        taps: How the network's body is tapped, where its features are to be what lies at many
            places of it; the network that is trained is then that of
            `headstart.networks.taps.with_taps`.
    """

    start: Literal["random", "source", "own"]
    phases: tuple[Phase, ...]
    fresh: tuple[str, ...] = ()
    zero_head: bool = False
    interpolation: Interpolation | None = None
    own: tuple[Phase, ...] = ()
    draw: int = 0
    soup: tuple[str, ...] = ()
    best_of: tuple[str, ...] = ()
    taps: Tapping | None = None

    def kept(self, best: str) -> "Plan":
        """What led to the one of `best_of` that was kept: it started where the plan does."""
        (phase,) = (phase for phase in self.phases if phase.name == best)
        return replace(self, phases=(phase,), best_of=())

    def ends_needed(self) -> frozenset[str]:
        """The phases whose ends are needed after later ones."""
        needed = {*self.soup, *self.best_of}
        needed.update(p.distilled.teacher for p in self.phases if p.distilled is not None)
        if self.interpolation is not None:
            needed.add(self.interpolation.after)
        return frozenset(needed)

    @property
    def copies(self) -> bool:
        """Whether the body starts from weights that were trained before."""
        return self.start != "random"

    def trained_groups(self) -> frozenset[str]:
        """The layer groups that learn in at least one phase."""
        return frozenset(
            group for phase in self.phases for group in phase.rates if phase.trains(group)
        )

    def learning(self, network: Network) -> dict[str, nn.Parameter]:
        """The parameters that learn in at least one phase, by qualified name."""
        found: dict[str, nn.Parameter] = {}
        for phase in self.phases:
            found.update(phase.learning(network))
        return found

    def count_learning(self, network: Network) -> int:
        """How many numbers learn in at least one phase; of low-rank changes, their factors'."""
        return count_learning(self.phases, network)

    def check(self, groups: Sequence[str]) -> None:
        """Refuse a plan that cannot be followed on a network with these layer groups.

        Raises:
            StudyError: Naming every phase and group concerned.
        """
        problems = [] if self.phases else ["a plan needs at least one phase"]
        for phase in self.phases:
            problems += [f"phase {phase.name!r} {text}" for text in phase_problems(phase, groups)]
        problems += start_problems(self, groups)
        if problems:
            raise StudyError(*problems)

    def check_network(self, network: Network) -> None:
        """Refuse a plan that this very network cannot take.

        Raises:
            StudyError: Naming every phase concerned.
        """
        self.check(network.group_names)
        problems = [
            f"phase {phase.name!r} {text}"
            for phase in self.phases
            for text in network_problems(phase, network)
        ]
        if problems:
            raise StudyError(*problems)
