"""Strategies: the exact rates of each layer group in each phase."""

from typing import Any

import pytest
from pydantic import ValidationError

from headstart.errors import StudyError
from headstart.settings import describe_problems
from headstart.strategies import (
    STRATEGIES,
    FineTune,
    FreezeThenThaw,
    Frozen,
    Scratch,
    Strategy,
    TopGroups,
)

GROUPS = ("dense_1", "dense_2", "dense_3", "head")


def rates(strategy: Strategy, groups: tuple[str, ...] = GROUPS) -> list[list[float | None]]:
    plan = strategy.plan(groups)
    plan.check(groups)
    return [[phase.rates[group] for group in groups] for phase in plan.phases]


def refusal(strategy: Strategy) -> tuple[str, ...]:
    with pytest.raises(StudyError) as caught:
        strategy.plan(GROUPS)
    return caught.value.problems


def problems(strategy: type[Strategy], **values: Any) -> tuple[str, ...]:
    with pytest.raises(ValidationError) as caught:
        strategy.model_validate(values)
    return describe_problems(caught.value, strategy, values=values)


def test_scratch_trains_everything_from_random_weights() -> None:
    strategy = Scratch(lr=0.5)
    assert rates(strategy) == [[0.5, 0.5, 0.5, 0.5]]
    assert strategy.plan(GROUPS).start == "random"
    assert not Scratch.needs_source


def test_frozen_trains_the_head_on_the_sources_features() -> None:
    strategy = Frozen(lr=0.5)
    assert rates(strategy) == [[None, None, None, 0.5]]
    assert strategy.plan(GROUPS).start == "source"
    assert strategy.plan(GROUPS).trained_groups() == {"head"}


def test_fine_tuning_trains_everything_the_body_more_slowly_if_wished() -> None:
    assert rates(FineTune(lr=0.5)) == [[0.5, 0.5, 0.5, 0.5]]
    assert rates(FineTune(lr=0.5, backbone_lr=0.01)) == [[0.01, 0.01, 0.01, 0.5]]
    assert FineTune(lr=0.5).plan(GROUPS).start == "source"


def test_fine_tuning_freezes_as_many_groups_as_it_is_told_or_tries_each_depth() -> None:
    slow: dict[str, Any] = {"lr": 0.5, "backbone_lr": 0.01}
    assert rates(FineTune(**slow, freeze_depth=0)) == rates(FineTune(**slow))
    assert rates(FineTune(**slow, freeze_depth=2)) == [[None, None, 0.01, 0.5]]
    assert rates(FineTune(**slow, freeze_depth=3)) == rates(Frozen(lr=0.5))
    assert rates(FineTune(lr=0.5, freeze_depth=1)) == rates(TopGroups(lr=0.5, top=2))
    plan = FineTune(**slow, freeze_depth="auto").plan(GROUPS)
    assert rates(FineTune(**slow, freeze_depth="auto")) == [
        *rates(FineTune(**slow, freeze_depth=3)),
        *rates(FineTune(**slow, freeze_depth=2)),
        *rates(FineTune(**slow, freeze_depth=1)),
        *rates(FineTune(**slow)),
    ]
    assert [phase.restart for phase in plan.phases] == [False, True, True, True]
    assert plan.best_of == tuple(phase.name for phase in plan.phases)
    assert plan.kept("1 of 3 groups frozen").phases == (plan.phases[2],)


@pytest.mark.parametrize(
    ("depth", "groups", "told"),
    [
        (4, GROUPS, "freeze_depth = 4, but the body has 3 layer groups: lower it"),
        (2, ("stem", "head"), "freeze_depth = 2, but the body has 1 layer group: lower it"),
        ("auto", ("head",), "has nothing to choose: the network is only a head"),
    ],
)
def test_a_depth_that_there_is_not_is_refused(
    depth: Any, groups: tuple[str, ...], told: str
) -> None:
    with pytest.raises(StudyError, match=told):
        FineTune(freeze_depth=depth).plan(groups)


def test_a_depth_is_a_whole_number_or_auto() -> None:
    for wrong in (-1, 1.5, True, "deep"):
        (*_, problem) = problems(FineTune, freeze_depth=wrong)
        assert problem.startswith("freeze_depth: ")


@pytest.mark.parametrize(
    ("thaw", "thawed"),
    [
        ("all", [0.1, 0.1, 0.1, 0.1]),
        (3, [0.1, 0.1, 0.1, 0.1]),
        (1, [None, None, 0.1, 0.1]),
        (("dense_3",), [None, None, 0.1, 0.1]),
        (("dense_3", "dense_1"), [0.1, None, 0.1, 0.1]),
    ],
)
def test_the_head_learns_first_and_then_what_is_thawed(
    thaw: Any, thawed: list[float | None]
) -> None:
    strategy = FreezeThenThaw(lr=1.0, thaw=thaw, freeze_epochs=4, epochs=16)
    assert rates(strategy) == [[None, None, None, 1.0], thawed]
    plan = strategy.plan(GROUPS)
    assert plan.start == "source"
    assert [(phase.epochs, phase.steps) for phase in plan.phases] == [(4, None), (16, None)]
    assert [phase.name for phase in plan.phases] == ["head", "thawed"]


def test_the_rate_after_thawing_can_be_given() -> None:
    """As notebook 002 has it: Adam at 1e-3, then groups 3 and 4 at 1e-4."""
    strategy = FreezeThenThaw.model_validate(
        {"optimizer": "adam", "thaw": ["dense_2", "dense_3"], "thaw_lr": 0.0001}
    )
    assert rates(strategy) == [[None, None, None, 0.001], [None, 0.0001, 0.0001, 0.0001]]
    assert [phase.optimizer.name for phase in strategy.plan(GROUPS).phases] == ["adam", "adam"]


def test_steps_count_for_the_thawed_phase() -> None:
    plan = FreezeThenThaw(freeze_epochs=2, steps=70).plan(GROUPS)
    assert [(phase.epochs, phase.steps) for phase in plan.phases] == [(2, None), (None, 70)]


def test_groups_to_thaw_must_be_there() -> None:
    assert refusal(FreezeThenThaw(thaw=4)) == (
        "thaw = 4, but the body has 3 layer groups (dense_1, dense_2, dense_3): lower it or use "
        '"all"',
    )
    assert refusal(FreezeThenThaw(thaw=("dense_2", "dence_1", "dense_9"))) == (
        "thaw: no layer group 'dence_1'; did you mean 'dense_1'? Known: dense_1, dense_2, dense_3",
        "thaw: no layer group 'dense_9'; did you mean 'dense_3'? Known: dense_1, dense_2, dense_3",
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"thaw": []}, 'thaw = [] thaws nothing: use the strategy "frozen" instead'),
        ({"thaw": "al"}, "thaw: expected 'all', or an integer, or a list, got 'al'"),
        ({"thaw": 0}, "thaw: expected 'all', or greater than or equal to 1, or a list, got 0"),
        ({"thaw": True}, "thaw: expected 'all', or an integer, or a list, got True"),
        ({"thaw": ["a", 3]}, "thaw.1: input should be a string, got 3"),
        ({"freeze_epochs": 0}, "freeze_epochs: input should be greater than or equal to 1, got 0"),
        ({"thaw_lr": 0}, "thaw_lr: input should be greater than 0, got 0"),
        ({"backbone_lr": 0.1}, "backbone_lr: unknown key;"),
        ({"freeze_epoch": 3}, "freeze_epoch: unknown key; did you mean 'freeze_epochs'?"),
    ],
)
def test_thawing_that_makes_no_sense_is_refused(values: dict[str, Any], message: str) -> None:
    (problem,) = problems(FreezeThenThaw, **values)
    assert problem.startswith(message)


def test_a_strategy_takes_no_other_strategys_settings() -> None:
    for kind in (Scratch, Frozen):
        (problem,) = problems(kind, backbone_lr=0.1)
        assert problem.startswith("backbone_lr: unknown key;")
    (problem,) = problems(FineTune, kind="frozen")
    assert problem.startswith("kind: 'frozen' is not known; Known: fine_tune")


# The first three refuse a body of one layer group, all of them refuse none.
NEED_MORE = ["gradual", "top_groups", "replace_top", "layerwise", "surgical", "norms_and_biases",
             "lower_groups", "own_lower_groups", "wise_ft", "soup", "distil", "lp_ft", "lora",
             "auto"]  # fmt: skip


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("groups", [("head",), ("conv_1", "head"), GROUPS])
def test_every_strategy_plans_for_every_network_or_says_why_not(
    name: str, groups: tuple[str, ...]
) -> None:
    training = {"lr": 0.3, "batch_size": 7} if STRATEGIES[name].takes_training else {}
    strategy = STRATEGIES[name].model_validate({"kind": name, **training})
    assert strategy.summary
    assert strategy.paper
    assert type(strategy).model_validate(strategy.model_dump(mode="json")) == strategy
    if name in NEED_MORE[: 3 if len(groups) == 2 else None] and groups != GROUPS:
        with pytest.raises(StudyError, match="body"):
            strategy.plan(groups)
        return
    plan = strategy.plan(groups)
    plan.check(groups)
    assert "head" in plan.trained_groups()
    stepwise = [phase for phase in plan.phases if phase.solver is None]
    assert not training or all(phase.batch_size == 7 for phase in stepwise)
    assert (plan.start == "source") == strategy.needs_source
