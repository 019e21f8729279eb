"""The contract of strategies: what everybody's strategy can be held to, and ours are.

Use it from a test of your own::

    from headstart.testing import strategy_contract

    def test_mine_keeps_the_contract():
        strategy_contract(Mine(lr=0.1))

It trains small networks on small pictures, for seconds. Give your strategy few epochs.
"""

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace

import torch
from pydantic import ValidationError
from torch import Tensor

from headstart.engine.taps import find_taps
from headstart.errors import HeadstartError, StudyError, nearest
from headstart.networks.groups import Network
from headstart.networks.selections import has_statistics
from headstart.networks.taps import with_taps
from headstart.strategies import Phase, Plan, Strategy
from headstart.study.explain import explain
from headstart.study.records import TrialKey
from headstart.testing.ground import SHAPE, small_batches, small_network, small_study
from headstart.training.batches import Batches
from headstart.training.fit import fit

MakeNetwork = Callable[[int], Network]
Clause = Callable[[Strategy, MakeNetwork], Iterator[str]]

_STEPS = 6  # of each phase, enough for everything that learns to move
_RATE = 0.05
_ROUNDING = 1e-3  # of probabilities: batches of another size round otherwise


class ContractError(HeadstartError, AssertionError):
    """A strategy breaks the contract; every broken clause is told."""


def strategy_contract(
    strategy: Strategy,
    clauses: Collection[str] | None = None,
    network: MakeNetwork = small_network,
) -> None:
    """Hold a strategy to the contract.

    Args:
        strategy: Yours, with settings with which it takes little time.
        clauses: Names of `CLAUSES`; all of them when omitted.
        network: Makes a network for a seed: for three classes, of pictures (3, 8, 8). A small CNN
            when omitted; where the strategy needs another kind, give one with BatchNorm. Clauses
            that do whole trials always have the CNN.

    Raises:
        ContractError: With every clause that is broken, and how.
        StudyError: If there is no such clause.
    """
    wanted = list(CLAUSES) if clauses is None else list(clauses)
    unknown = [name for name in wanted if name not in CLAUSES]
    if unknown:
        raise StudyError(*(f"no clause {name!r}; {nearest(name, CLAUSES)}" for name in unknown))
    broken = []
    for name in wanted:
        try:
            found = list(CLAUSES[name](strategy, network))
        except HeadstartError as error:
            found = list(error.problems)
        broken += [f"{strategy.kind}, {name}: {problem}" for problem in found]
    if broken:
        raise ContractError(*broken)


def _tells_what_it_is(strategy: Strategy, _: MakeNetwork) -> Iterator[str]:
    kind = type(strategy)
    if not getattr(kind, "summary", ""):
        yield "summary is empty: say in one line what the strategy does"
    if not isinstance(kind.model_fields["kind"].default, str):
        yield "kind has no default: a class names itself"
    if kind.model_validate(strategy.model_dump(mode="json")) != strategy:
        yield "its settings are others after they were written and read"
    try:
        kind.model_validate({**strategy.model_dump(), "no_such_setting": 1})
    except ValidationError:
        return
    yield "it takes a setting that it does not have: unknown keys must be refused"


def _made(plan: Plan, make: MakeNetwork) -> Network:
    """A network as the plan wants it."""
    network = make(0)
    if plan.taps is None:
        return network
    return with_taps(network, find_taps(network, plan.taps, SHAPE))


def _plans_for_everything(strategy: Strategy, make: MakeNetwork) -> Iterator[str]:
    network = make(0)
    names = network.group_names
    plan = strategy.plan(names)
    plan.check_network(network)
    network = _made(plan, make)
    for phase in plan.phases:
        claims = [name for name, _ in network.named_parameters() if _claims(phase, network, name)]
        if len(claims) != len(dict(network.named_parameters())):
            yield f"phase {phase.name!r} does not say of every parameter what happens to it"
    if strategy.plan(names) != plan:
        yield "it makes another plan when it is asked again"
    if (plan.start == "source") != strategy.needs_source:
        yield f"needs_source is {strategy.needs_source}, but its plan starts from {plan.start}"


def _claims(phase: Phase, network: Network, parameter: str) -> bool:
    return list(phase.rates).count(network.group_of(parameter)) == 1


def _frozen_stays(strategy: Strategy, make: MakeNetwork) -> Iterator[str]:
    for phase, network, before in _each_phase(strategy, make):
        moving, after = _moving(phase, network), network.state_dict()
        for name, value in before.items():
            replaced = name not in after and phase.trains(network.group_of(name))
            if name not in moving and not replaced and _differs(after.get(name), value):
                yield f"{name} is frozen in phase {phase.name!r}, but it changed"


def _trained_moves(strategy: Strategy, make: MakeNetwork) -> Iterator[str]:
    for phase, network, before in _each_phase(strategy, make):
        for name in sorted(_moving(phase, network)):
            if not _differs(before.get(name), network.state_dict()[name]):
                yield f"{name} should learn in phase {phase.name!r}, but it did not change"


def _differs(one: Tensor | None, other: Tensor) -> bool:
    """Whether a tensor is another one, or was not there: a solved head may bring its own."""
    return one is None or not torch.equal(one, other)


def _each_phase(
    strategy: Strategy, make: MakeNetwork
) -> Iterator[tuple[Phase, Network, dict[str, Tensor]]]:
    """Each phase, a network after a few steps of it alone, and what that held before."""
    plan = strategy.plan(make(0).group_names)
    for phase in plan.phases:
        network = _made(plan, make)
        before = _held(network)
        alone = replace(_short(phase), restart=False, distilled=None)  # there is none before it
        fit(network, Plan(plan.start, (alone,), taps=plan.taps), *_pictures(), 0)
        yield phase, network, before


def _short(phase: Phase) -> Phase:
    """A phase of a few steps at rates at which everything moves in them."""
    rates = {group: None if rate is None else _RATE for group, rate in phase.rates.items()}
    return replace(phase, rates=rates, epochs=None, steps=_STEPS, batch_size=10, patience=None)


def _moving(phase: Phase, network: Network) -> set[str]:
    """What a phase should change: what it trains, and statistics that are live."""
    learning = phase.learning(network)
    moving = set(learning)
    for name, module in network.named_modules():
        own = [f"{name}.{key}" for key, _ in module.named_parameters(recurse=False)]
        if not has_statistics(module) or phase.batch_norm == "frozen":
            continue
        if not phase.is_partial or any(key in learning for key in own):
            buffers = [f"{name}.{key}" for key, _ in module.named_buffers(recurse=False)]
            moving.update(key for key in buffers if phase.trains(network.group_of(key)))
    return moving


def _repeats(strategy: Strategy, make: MakeNetwork) -> Iterator[str]:
    plan = strategy.plan(make(0).group_names)
    short = replace(plan, phases=tuple(_short(phase) for phase in plan.phases))
    ends = []
    for noise in (1, 2):
        network = _made(plan, make)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(noise)  # whatever was drawn before must not matter
            fit(network, short, *_pictures(), 0)
        ends.append(network.state_dict())
    different = [name for name in ends[0] if not torch.equal(ends[0][name], ends[1][name])]
    if different:
        yield f"the same seed gave other values of {', '.join(different)}"


def _leaves_the_source(strategy: Strategy, _: MakeNetwork) -> Iterator[str]:
    with small_study(strategy) as workplace:
        files = sorted((workplace.directory / "sources").iterdir())
        before = [file.read_bytes() for file in files]
        workplace.fit_trial(TrialKey("mine", 0, "all"))
        for file, content in zip(files, before, strict=True):
            if file.read_bytes() != content:
                yield f"the source's {file.name} was changed by a trial"


def _keeps_test_labels_shut(strategy: Strategy, _: MakeNetwork) -> Iterator[str]:
    hashes, said = [], []
    for shuffled in (False, True):
        with small_study(strategy, shuffle_test_labels=shuffled) as workplace:
            outcome = workplace.fit_trial(TrialKey("mine", 0, "all"))
            hashes.append(outcome.weights_hash)
            said.append(outcome.test_probabilities)
    if hashes[0] != hashes[1] or (said[0] != said[1]).any():
        yield "a trial ended otherwise when only the test labels were others: they were read"


def _planned_equals_naive(strategy: Strategy, _: MakeNetwork) -> Iterator[str]:
    said = []
    for naive in (False, True):
        with small_study(strategy, naive=naive) as workplace:
            said.append(workplace.fit_trial(TrialKey("mine", 0, "all")).test_probabilities)
    apart = float(abs(said[0] - said[1]).max())
    if apart > _ROUNDING:
        yield f"with features kept, a probability is {apart:.3g} off what it is without"


def _can_be_estimated(strategy: Strategy, _: MakeNetwork) -> Iterator[str]:
    with small_study(strategy) as workplace:
        found = explain(workplace, jobs=1)
    for what, seconds in (("cost", found.seconds), ("naive cost", found.naive_seconds)):
        if not 0 < seconds < math.inf:
            yield f"the {what} is estimated to be {seconds} seconds"


def _held(network: Network) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def _pictures() -> tuple[Batches, Batches]:
    """To learn from, and to choose with."""
    return small_batches(60, 0), small_batches(21, 1)


CLAUSES: Mapping[str, Clause] = {
    "tells what it is": _tells_what_it_is,
    "the plan covers every parameter once": _plans_for_everything,
    "frozen means bit-identical": _frozen_stays,
    "what trains changes": _trained_moves,
    "same seed, same result": _repeats,
    "the source is not changed": _leaves_the_source,
    "test labels are not read": _keeps_test_labels_shut,
    "planned equals naive": _planned_equals_naive,
    "the cost estimate is finite": _can_be_estimated,
}
"""Every clause by name; each is a function that yields what breaks it."""
