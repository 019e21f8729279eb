"""What makes a plan impossible to follow, or parts of it without effect."""

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from headstart.errors import NetworkError
from headstart.networks.groups import HEAD, Network
from headstart.networks.heads import solvable_layer
from headstart.networks.low_rank import check_adapters
from headstart.networks.selections import has_statistics, paced_statistics
from headstart.strategies.recipe import PLAIN
from headstart.strategies.regularisers import BSS, L2SP, CoTuning, Delta, StochNorm

if TYPE_CHECKING:
    from headstart.strategies.plan import Interpolation, Phase, Plan


def phase_problems(phase: "Phase", groups: Sequence[str]) -> Iterator[str]:
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
    yield from _contradictions(phase)


def _contradictions(phase: "Phase") -> Iterator[str]:
    """What one part of a phase says against another."""
    names = [regulariser.name for regulariser in phase.regularisers]
    for name in dict.fromkeys(name for name in names if names.count(name) > 1):
        yield f"has {name} twice: once is enough"
    body = [group for group, rate in phase.rates.items() if rate is not None and group != HEAD]
    for regulariser in phase.regularisers:
        decay = phase.optimizer.weight_decay
        if isinstance(regulariser, L2SP | Delta) and decay:
            yield (
                f"has weight_decay = {decay} and {regulariser.name}, which takes its place: leave "
                "one of them out"
            )
        if not isinstance(regulariser, L2SP) and not body:
            yield f"has {regulariser.name}, which has no effect while only the head learns"
        if isinstance(regulariser, StochNorm) and phase.batch_norm == "frozen":
            yield 'has stoch_norm, which has no effect with batch_norm = "frozen": use "live"'
    momentum = phase.batch_norm_momentum
    if momentum is not None and not 0 < momentum <= 1:
        yield f"has batch_norm_momentum = {momentum}: give more than 0, up to 1"
    elif momentum is not None and phase.batch_norm == "frozen":
        yield (
            'has batch_norm_momentum, which has no effect with batch_norm = "frozen": use "live", '
            "or leave it out"
        )
    if phase.only != "everything" and not body:
        yield f"trains only {phase.only} of the body, but no group of the body"
    if {"l2_sp", "delta"} <= set(names):
        yield "has l2_sp and delta, which both take the place of weight decay: choose one"
    if phase.low_rank is not None and (
        phase.only != "everything" or phase.regularisers or not body
    ):
        yield (
            "has adapters in the stead of the body's weights, so that a selection or a regulariser "
            "has no effect, and a body that is frozen leaves nothing to adapt"
        )
    if phase.solver is not None and body:
        yield f"solves the head, so that {', '.join(body)} cannot learn in it: freeze the body"
    told = phase.regularisers or phase.distilled
    if phase.solver is not None and (told or phase.recipe != PLAIN):
        yield (
            "solves the head, so that a recipe, a regulariser or a teacher has no effect: leave it "
            "out"
        )
    if phase.distilled is not None:
        if not 0 < phase.distilled.weight <= 1:
            yield f"listens to its teacher by {phase.distilled.weight}: give more than 0, up to 1"
        if not 0 < phase.distilled.temperature < math.inf:
            yield f"is distilled at temperature {phase.distilled.temperature}: give more than 0"


def start_problems(plan: "Plan", groups: Sequence[str]) -> Iterator[str]:
    """What does not go together with where a plan starts and how it ends."""
    body = [group for group in groups if group != HEAD]
    unknown = [group for group in plan.fresh if group not in body]
    if unknown:
        yield f"starts {unknown} fresh, which are no groups of the body; these are {body}"
    elif plan.fresh and plan.start == "random":
        yield "starts everything at random: naming groups that start fresh has no effect"
    elif body and set(plan.fresh) == set(body):
        yield "starts every group of the body fresh: nothing would be transferred"
    trained = plan.trained_groups()
    for group in plan.fresh:
        if plan.phases and group in body and group not in trained:
            yield f"starts {group!r} fresh but never trains it"
    if plan.own and plan.start != "own":
        yield "says how the target's own source is trained, but does not start from it"
    for phase in plan.own:
        yield from (f"own source {text}" for text in phase_problems(phase, groups))
    if plan.start == "random":
        for phase in plan.phases:
            near = [each.name for each in phase.regularisers if not isinstance(each, BSS)]
            if near:
                yield f"phase {phase.name!r} has {', '.join(near)}, but there is no source"
    if plan.fresh:
        for phase in plan.phases:
            if any(isinstance(each, CoTuning) for each in phase.regularisers):
                yield (
                    f"phase {phase.name!r} has co_tuning, but the source's head stood on "
                    f"{', '.join(plan.fresh)}, which starts fresh: leave it out"
                )
    if plan.interpolation is not None:
        yield from _interpolation_problems(plan.interpolation, [p.name for p in plan.phases])
    yield from _order_problems(plan)


def _order_problems(plan: "Plan") -> Iterator[str]:
    """What phases say of each other that cannot be, or has no effect."""
    names = [phase.name for phase in plan.phases]
    if plan.phases and plan.phases[0].restart:
        yield f"the first phase, {names[0]!r}, restarts: that has no effect"
    for number, phase in enumerate(plan.phases):
        teacher = None if phase.distilled is None else phase.distilled.teacher
        if teacher is not None and teacher not in names[:number]:
            yield f"phase {phase.name!r} learns from {teacher!r}, which is no phase before it"
    yield from _ends_problems("the soup is made of", plan.soup, names)
    yield from _ends_problems("the best is chosen of", plan.best_of, names)
    twice = sorted({name for name in plan.ends_needed() if names.count(name) > 1})
    if twice:
        yield f"the ends of {twice} are needed, but two phases are called so: rename one"
    if sum([bool(plan.soup), bool(plan.best_of), plan.interpolation is not None]) > 1:
        yield (
            "only one of a soup, the best of several and an interpolation can say what becomes of "
            "the weights: choose one"
        )


def _ends_problems(what: str, ends: Sequence[str], names: Sequence[str]) -> Iterator[str]:
    unknown = [name for name in ends if name not in names]
    if unknown:
        yield f"{what} {unknown}, which are no phases; these are {names}"
    elif ends and (len(set(ends)) < 2 or names[-1] not in ends):
        yield f"{what} {list(ends)}: name two phases at least, the last one among them"


def _interpolation_problems(between: "Interpolation", phases: Sequence[str]) -> Iterator[str]:
    if between.after not in phases[:-1]:
        yield f"interpolates from after {between.after!r}, which is no phase before the last"
    if between.alpha != "auto" and not 0 <= between.alpha <= 1:
        yield f"interpolates with alpha = {between.alpha}: give 0 to 1"


def network_problems(phase: "Phase", network: Network) -> Iterator[str]:
    """What a phase asks of a network that has nothing of the kind."""
    if phase.solver is not None and solvable_layer(network.head) is None:
        yield (
            "solves the head on the features in front of it, which takes a head of one linear "
            "layer, but this one has more: leave head.hidden out, or use frozen"
        )
    if phase.batch_norm_momentum is not None and not any(paced_statistics(network.modules())):
        yield "has batch_norm_momentum, but nothing in the network is a BatchNorm: leave it out"
    if phase.low_rank is not None:
        try:
            check_adapters(network, phase.low_rank)
        except NetworkError as error:
            yield from error.problems
            return
    co_tuned = any(isinstance(regulariser, CoTuning) for regulariser in phase.regularisers)
    if co_tuned and network.pretrained and network.source_head is None:
        yield (
            "has co_tuning, which needs the head that the source was trained with, but this source "
            "comes without one: leave it out, or take a source that brings its head"
        )
    learning = phase.learning(network)
    body = {name for name in learning if network.group_of(name) != HEAD}
    if phase.only != "everything" and not body:
        trained = [group for group in network.group_names if phase.trains(group) and group != HEAD]
        yield (
            f"trains only {phase.only} of the body, but {', '.join(trained)} has none: use another "
            "selection or another strategy"
        )
    if any(isinstance(regulariser, StochNorm) for regulariser in phase.regularisers):
        live = [
            name
            for name, module in network.named_modules()
            if has_statistics(module)
            and any(f"{name}.{own}" in body for own, _ in module.named_parameters(recurse=False))
        ]
        if not live:
            yield "has stoch_norm, but nothing that learns in the body is a BatchNorm: leave it out"
