"""Our strategies keep the contract, and each clause is broken by what it is about."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

import pytest
import torch

from headstart.errors import StudyError
from headstart.networks.groups import HEAD, Network, SourceHead
from headstart.strategies import STRATEGIES, FineTune, Frozen, Plan, Strategy
from headstart.study.explain import Explanation, explain
from headstart.study.records import TrialKey, TrialOutcome
from headstart.study.workplace import Workplace
from headstart.testing import CLAUSES, ContractError, strategy_contract
from headstart.testing.ground import small_network
from headstart.training.fit import fit

SHORT: dict[str, Any] = {"epochs": 1, "lr": 0.05, "batch_size": 10}
FEW: dict[str, Any] = {"fractions": [0.1, 1.0], "group_penalties": [0.1], "penalties": [0.1]}
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "freeze_then_thaw": [{}, {"thaw": 1}, {"thaw": ["conv_1"]}],
    "fine_tune": [
        {},
        {"regularisers": ["l2_sp", "bss", "stoch_norm"]},
        {"regularisers": ["delta"], "batch_norm": "frozen"},
        {"optimizer": {"name": "adamw", "weight_decay": 0.1}, "patience": 1},
    ],
    "scratch": [{}, {"batch_norm_momentum": 0.9}],
    "surgical": [{}, {"block": "conv_2"}],
    "norms_and_biases": [{}, {"parts": "biases"}, {"parts": "norms", "batch_norm": "frozen"}],
    "wise_ft": [{}, {"alpha": "auto"}],
    "ridge": [{}, {"choose": "left_out"}],
}


def short(name: str) -> dict[str, Any]:
    """Settings with which a strategy takes little time; what is solved takes none of training."""
    if name == "multi_depth_probe":
        return FEW
    return SHORT if getattr(STRATEGIES[name], "takes_training", True) else {}


OURS = [
    (STRATEGIES[name].model_validate({**short(name), **values}), not values)
    for name in STRATEGIES
    for values in VARIANTS.get(name, [{}])
]
WHOLE_TRIALS = {
    "the source is not changed",
    "test labels are not read",
    "planned equals naive",
    "the cost estimate is finite",
}


@pytest.mark.parametrize(("strategy", "wholly"), OURS, ids=lambda value: getattr(value, "kind", ""))
def test_our_strategies_keep_the_contract(strategy: Strategy, wholly: bool) -> None:
    """Those with other settings than their own do no whole trials again, which take longest."""
    strategy_contract(strategy, [name for name in CLAUSES if wholly or name not in WHOLE_TRIALS])


def test_co_tuning_keeps_the_contract_where_there_is_a_source_head() -> None:
    def with_head(seed: int) -> Network:
        network = small_network(seed)
        network.source_head = SourceHead(torch.nn.Linear(7, 4))
        return network

    torch.manual_seed(0)
    for extra in ({}, {"augment": {"mixup": 0.5}, "ema": 0.5, "clip_norm": 1.0}):
        values = {**SHORT, **extra, "regularisers": ["co_tuning", "l2_sp"]}
        strategy = FineTune.model_validate(values)
        clauses = [c for c in CLAUSES if not extra or c not in WHOLE_TRIALS]
        clauses.remove("same seed, same result")  # its head is drawn anew here
        strategy_contract(strategy, clauses, with_head)


class Mine(Strategy):
    """Somebody's: the head learns, and the last group of the body."""

    kind: Literal["mine"] = "mine"
    summary: ClassVar[str] = "the head and the last group"

    def plan(self, groups: Sequence[str]) -> Plan:
        rates = {group: 0.05 if group in (HEAD, groups[-2]) else None for group in groups}
        return Plan("source", (self.phase("only", rates, epochs=1),))


class Silent(Mine):
    """Tells nothing about itself."""

    summary: ClassVar[str] = ""


class Nameless(Mine):
    """Has no name of its own."""

    kind: str  # type: ignore[assignment]


class Lenient(Mine):
    """Takes any setting."""

    model_config: ClassVar[Any] = {"extra": "ignore", "frozen": True}


class Forgetful(Mine):
    """Says nothing of the stem."""

    def plan(self, groups: Sequence[str]) -> Plan:
        plan = super().plan(groups)
        rates = {name: rate for name, rate in plan.phases[0].rates.items() if name != groups[0]}
        return Plan("source", (replace(plan.phases[0], rates=rates),))


class Fickle(Mine):
    """Makes another plan each time."""

    asked: ClassVar[list[int]] = []

    def plan(self, groups: Sequence[str]) -> Plan:
        self.asked.append(1)
        return Plan("source", (self.phase("only", dict.fromkeys(groups, 0.1 * len(self.asked))),))


class Boastful(Mine):
    """Claims to need no source."""

    needs_source: ClassVar[bool] = False


@pytest.mark.parametrize(
    ("strategy", "clause", "message"),
    [
        (Silent(), "tells what it is", "summary is empty: say in one line"),
        (Nameless(kind="mine"), "tells what it is", "kind has no default: a class names itself"),
        (Lenient(), "tells what it is", "it takes a setting that it does not have"),
        (Forgetful(), "the plan covers every parameter once",
         "phase 'only' says nothing of ['conv_1'] and names unknown []"),
        (Fickle(), "the plan covers every parameter once", "it makes another plan when it"),
        (Boastful(), "the plan covers every parameter once",
         "needs_source is False, but its plan starts from source"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Strategy) else "",
)  # fmt: skip
def test_a_strategy_that_breaks_a_clause_is_told_which(
    strategy: Strategy, clause: str, message: str
) -> None:
    with pytest.raises(ContractError) as caught:
        strategy_contract(strategy, [clause])
    (problem,) = caught.value.problems
    assert problem.startswith(f"mine, {clause}: {message}")


def test_somebodys_own_strategy_keeps_it() -> None:
    strategy_contract(Mine())


def test_training_that_breaks_a_clause_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def moving_what_is_frozen(network: Any, *given: Any) -> None:
        fit(network, *given)
        network.get_buffer("body.batch_norm_1.running_mean")[0] += 1e-6

    def leaving_what_trains(network: Any, *given: Any) -> None:
        del network, given

    def drawing_from_outside(network: Any, *given: Any) -> None:
        fit(network, *given)
        network.get_parameter("head.output.bias").data += torch.rand(1)

    for broken, clause, message in (
        (moving_what_is_frozen, "frozen means bit-identical",
         "body.batch_norm_1.running_mean is frozen in phase 'head', but it changed"),
        (leaving_what_trains, "what trains changes",
         "head.output.bias should learn in phase 'head', but it did not change"),
        (drawing_from_outside, "same seed, same result",
         "the same seed gave other values of head.output.bias"),
    ):  # fmt: skip
        monkeypatch.setattr("headstart.testing.contract.fit", broken)
        with pytest.raises(ContractError) as caught:
            strategy_contract(Frozen(), [clause])
        assert caught.value.problems[0] == f"frozen, {clause}: {message}"


def test_trials_that_break_a_clause_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Workplace.fit_trial

    def writing_to_the_source(workplace: Workplace, key: TrialKey) -> TrialOutcome:
        with (workplace.directory / "sources" / "seed-0.json").open("a") as file:
            file.write(" ")
        return real(workplace, key)

    def reading_test_labels(workplace: Workplace, key: TrialKey) -> TrialOutcome:
        labels = workplace.task(key.seed).test.open_labels("cheat", lambda *_: None)
        return replace(real(workplace, key), weights_hash=str(labels.tolist()))

    def sharing_too_much(workplace: Workplace, key: TrialKey) -> TrialOutcome:
        outcome = real(workplace, key)
        off = outcome.test_probabilities + (0 if workplace.naive else 0.01)
        return replace(outcome, test_probabilities=off)

    for broken, clause, message in (
        (writing_to_the_source, "the source is not changed",
         "the source's seed-0.json was changed by a trial"),
        (reading_test_labels, "test labels are not read", "a trial ended otherwise when only"),
        (sharing_too_much, "planned equals naive",
         "with features kept, a probability is 0.01 off what it is without"),
    ):  # fmt: skip
        monkeypatch.setattr(Workplace, "fit_trial", broken)
        with pytest.raises(ContractError) as caught:
            strategy_contract(Frozen(epochs=1), [clause])
        assert caught.value.problems[0].startswith(f"frozen, {clause}: {message}")


def test_an_estimate_that_is_none_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def endless(workplace: Workplace, jobs: int | None = None) -> Explanation:
        return replace(explain(workplace, jobs), naive_seconds=math.inf)

    monkeypatch.setattr("headstart.testing.contract.explain", endless)
    with pytest.raises(ContractError) as caught:
        strategy_contract(Frozen(epochs=1), ["the cost estimate is finite"])
    assert caught.value.problems == (
        "frozen, the cost estimate is finite: the naive cost is estimated to be inf seconds",
    )


def test_clauses_can_be_chosen_by_name() -> None:
    with pytest.raises(StudyError) as caught:
        strategy_contract(FineTune(), ["same seed, same results"])
    assert str(caught.value).startswith(
        "no clause 'same seed, same results'; did you mean 'same seed, same result'? Known: "
    )
    assert len(CLAUSES) == 9
