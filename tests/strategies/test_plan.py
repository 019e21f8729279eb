"""Plans and their settings: what cannot be followed or has no effect is refused."""

import dataclasses
import math
from typing import Any

import pytest
from pydantic import ValidationError

from headstart.errors import StudyError
from headstart.settings import Settings, describe_problems
from headstart.strategies import (
    BSS,
    L2SP,
    CoTuning,
    Delta,
    Distillation,
    Interpolation,
    Optimizer,
    Phase,
    Plan,
    Schedule,
    StochNorm,
    Training,
)

GROUPS = ("stem", "top", "head")
PHASE = Phase(
    name="train",
    rates={"stem": None, "top": 0.1, "head": 0.2},
    epochs=3,
    steps=None,
    batch_size=32,
    optimizer=Optimizer(),
    schedule=Schedule(),
    batch_norm="live",
    patience=None,
)

LAST = dataclasses.replace(PHASE, name="last")


def problems(model: type[Settings], **values: Any) -> tuple[str, ...]:
    with pytest.raises(ValidationError) as caught:
        model.model_validate(values)
    return describe_problems(caught.value, model, values=values)


def plan_of(*changes: dict[str, Any]) -> Plan:
    return Plan("source", tuple(dataclasses.replace(PHASE, **change) for change in changes))


def refusal(*changes: dict[str, Any]) -> tuple[str, ...]:
    with pytest.raises(StudyError) as caught:
        plan_of(*changes).check(GROUPS)
    return caught.value.problems


def test_a_plan_says_what_trains() -> None:
    plan = plan_of({}, {"rates": {"stem": None, "top": None, "head": 0.1}})
    plan.check(GROUPS)
    assert plan.trained_groups() == {"top", "head"}
    assert PHASE.trains("top")
    assert not PHASE.trains("stem")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rates": {"stem": 0.1, "top": 0.1}}, "phase 'train' says nothing of ['head'] and names "
         "unknown []; the layer groups are ['stem', 'top', 'head']"),
        ({"rates": {**PHASE.rates, "neck": 0.1}}, "phase 'train' says nothing of [] and names "
         "unknown ['neck']; the layer groups are ['stem', 'top', 'head']"),
        ({"rates": dict.fromkeys(GROUPS)}, "phase 'train' freezes everything: nothing would train"),
        ({"rates": {**PHASE.rates, "top": 0.0}}, "phase 'train' has the rate 0.0 for 'top': give "
         "more than 0, or None to freeze it"),
        ({"rates": {**PHASE.rates, "top": -1.0}}, "phase 'train' has the rate -1.0 for 'top'"),
        ({"rates": {**PHASE.rates, "top": math.nan}}, "phase 'train' has the rate nan for 'top'"),
        ({"rates": {**PHASE.rates, "top": math.inf}}, "phase 'train' has the rate inf for 'top'"),
        ({"epochs": None}, "phase 'train' has epochs = None and steps = None: give one of them"),
        ({"steps": 5}, "phase 'train' has epochs = 3 and steps = 5: give one of them"),
        ({"epochs": 0}, "phase 'train' has epochs = 0: at least 1 is needed"),
        ({"epochs": None, "steps": -2}, "phase 'train' has steps = -2: at least 1 is needed"),
        ({"batch_size": 0}, "phase 'train' has batch_size = 0: at least 1 is needed"),
        ({"patience": 0}, "phase 'train' has patience = 0: at least 1 is needed"),
    ],
)  # fmt: skip
def test_a_plan_that_cannot_be_followed_is_refused(changes: dict[str, Any], message: str) -> None:
    (problem,) = refusal(changes)
    assert problem.startswith(message)


def test_every_problem_of_every_phase_is_told() -> None:
    found = refusal(
        {"name": "first", "rates": {"top": None}, "batch_size": 0},
        {},
        {"name": "last", "epochs": 0},
    )
    assert [text.split("'")[1] for text in found] == ["first", "first", "first", "last"]
    with pytest.raises(StudyError, match="a plan needs at least one phase"):
        Plan("random", ()).check(GROUPS)


def test_plans_are_data_that_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        PHASE.epochs = 4  # type: ignore[misc]
    assert dataclasses.replace(PHASE) == PHASE


@pytest.mark.parametrize(
    "values",
    [
        {"name": "sgd", "momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
        {"name": "adam", "betas": [0.5, 0.9], "eps": 1e-6, "weight_decay": 0.1},
        {"name": "adamw", "betas": [0.5, 0.9], "eps": 1e-6, "weight_decay": 0.1},
        {"name": "adadelta", "rho": 0.95, "eps": 1e-6, "weight_decay": 0.1},
    ],
)
def test_optimisers_take_their_own_options(values: dict[str, Any]) -> None:
    made = Optimizer.model_validate(values)
    assert made.model_dump(include=set(values), mode="json") == values


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "adam", "momentum": 0.9},
         "momentum has no effect with adam, which takes betas, eps, weight_decay: leave it out"),
        ({"name": "sgd", "betas": [0.5, 0.9], "rho": 0.5},
         "betas, rho has no effect with sgd, which takes momentum, nesterov, weight_decay"),
        ({"name": "sgd", "eps": 1e-3}, "eps has no effect with sgd"),
        ({"name": "adadelta", "betas": [0.5, 0.9]}, "betas has no effect with adadelta"),
        ({"name": "sgd", "nesterov": True}, "nesterov needs momentum above 0"),
        ({"name": "admm"}, "name: 'admm' is not known; did you mean 'adam'? Known: adadelta, adam, "
                           "adamw, sgd"),
        ({"momentum": 1.0}, "momentum: input should be less than 1, got 1.0"),
        ({"weight_decay": -0.1}, "weight_decay: input should be greater than or equal to 0"),
        ({"name": "adam", "betas": [1.5, 0.9]}, "betas.0: input should be less than 1, got 1.5"),
        ({"name": "adam", "eps": 0}, "eps: input should be greater than 0, got 0"),
        ({"nesterov": 1}, "nesterov: input should be a boolean, got 1"),
        ({"momentun": 0.9}, "momentun: unknown key; did you mean 'momentum'?"),
    ],
)  # fmt: skip
def test_optimiser_options_without_effect_or_sense_are_refused(
    values: dict[str, Any], message: str
) -> None:
    (problem,) = problems(Optimizer, **values)
    assert problem.startswith(message)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "constant", "final": 0.1}, "final has no effect with the constant schedule"),
        ({"name": "cosine", "milestones": [0.1]}, "milestones has no effect with the cosine"),
        ({"name": "step", "final": 0.5}, "final has no effect with the step schedule"),
        ({"name": "cosine", "factor": 0.5}, "factor has no effect with the cosine schedule"),
        ({"name": "cosin"}, "name: 'cosin' is not known; did you mean 'cosine'?"),
        ({"warmup": 1}, "warmup: input should be less than 1, got 1"),
        ({"name": "step", "milestones": [0.0]}, "milestones.0: input should be greater than 0"),
        ({"name": "step", "milestones": []}, "milestones: tuple should have at least 1 item"),
    ],
)
def test_schedule_options_without_effect_or_sense_are_refused(
    values: dict[str, Any], message: str
) -> None:
    (problem,) = problems(Schedule, **values)
    assert problem.startswith(message)


def test_a_phase_takes_over_what_training_says() -> None:
    training = Training.model_validate(
        {
            "optimizer": {"name": "sgd", "momentum": 0.9},
            "schedule": "cosine",
            "batch_size": 8,
            "steps": 50,
            "batch_norm": "frozen",
            "patience": 3,
        }
    )
    rates = {"stem": None, "top": None, "head": 0.5}
    assert training.phase("last", rates) == Phase(
        name="last",
        rates=rates,
        epochs=None,
        steps=50,
        batch_size=8,
        optimizer=Optimizer(name="sgd", momentum=0.9),
        schedule=Schedule(name="cosine"),
        batch_norm="frozen",
        patience=3,
    )
    own = training.phase("first", rates, epochs=2)
    assert (own.epochs, own.steps) == (2, None)


@pytest.mark.parametrize(
    ("values", "duration"),
    [({}, (5, None)), ({"epochs": 3}, (3, None)), ({"steps": 70}, (None, 70))],
)
def test_training_lasts_epochs_or_steps(
    values: dict[str, Any], duration: tuple[int | None, int | None]
) -> None:
    training = Training.model_validate(values)
    assert training.duration == duration
    phase = training.phase("train", {"head": 0.1})
    assert (phase.epochs, phase.steps) == duration


def test_optimisers_and_schedules_can_be_named_for_short() -> None:
    short = Training.model_validate({"optimizer": "adadelta", "schedule": "step"})
    assert short.optimizer == Optimizer(name="adadelta")
    assert short.schedule == Schedule(name="step")


def test_every_problem_of_training_is_told_at_once() -> None:
    assert problems(Training, lr=0, epochs=-1, batch_size=0, patience=0, optimizer="addam") == (
        "optimizer: 'addam' is not known; did you mean 'adam'? Known: adadelta, adam, adamw, sgd",
        "lr: input should be greater than 0, got 0",
        "epochs: input should be greater than or equal to 1, got -1",
        "batch_size: input should be greater than or equal to 1, got 0",
        "patience: input should be greater than or equal to 1, got 0",
    )
    assert problems(Training, epochs=3, steps=4) == (
        "epochs and steps contradict each other: give one of them",
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": True}, "epochs: input should be an integer, got True"),
        ({"epochs": "5"}, "epochs: input should be an integer, got '5'"),
        ({"epochs": 2.5}, "epochs: input should be an integer, got 2.5"),
        ({"lr": "0.1"}, "lr: input should be a number, got '0.1'"),
        ({"lr": math.inf}, "lr: input should be a finite number, got inf"),
        ({"batch_norm": "froze"}, "batch_norm: 'froze' is not known; did you mean 'frozen'?"),
        ({"schedule": 3}, "schedule: input should be a table, got 3"),
        ({"lerning_rate": 0.1}, "lerning_rate: unknown key;"),
    ],
)
def test_training_takes_numbers_for_numbers(values: dict[str, Any], message: str) -> None:
    (problem,) = problems(Training, **values)
    assert problem.startswith(message)


CONTRADICTIONS: list[tuple[dict[str, Any], str]] = [
    ({"regularisers": (BSS(), BSS())}, "phase 'train' has bss twice: once is enough"),
    ({"regularisers": (L2SP(), Delta())}, "phase 'train' has l2_sp and delta, which both take"),
    ({"regularisers": (L2SP(),), "optimizer": Optimizer(weight_decay=0.1)},
     "phase 'train' has weight_decay = 0.1 and l2_sp, which takes its place: leave one of them"),
    ({"regularisers": (StochNorm(),), "batch_norm": "frozen"},
     "phase 'train' has stoch_norm, which has no effect with batch_norm = \"frozen\""),
    ({"regularisers": (BSS(),), "rates": {"stem": None, "top": None, "head": 0.1}},
     "phase 'train' has bss, which has no effect while only the head learns"),
    ({"only": "biases", "rates": {"stem": None, "top": None, "head": 0.1}},
     "phase 'train' trains only biases of the body, but no group of the body"),
    ({"regularisers": (CoTuning(),), "rates": {"stem": None, "top": None, "head": 0.1}},
     "phase 'train' has co_tuning, which has no effect while only the head learns"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "message"), CONTRADICTIONS)
def test_a_phase_that_contradicts_itself_is_refused(changes: dict[str, Any], message: str) -> None:
    (problem,) = refusal(changes)
    assert problem.startswith(message)


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (Plan("source", (PHASE,), fresh=("neck",)), "starts ['neck'] fresh, which are no groups"),
        (Plan("random", (PHASE,), fresh=("top",)), "starts everything at random: naming groups"),
        (Plan("source", (PHASE,), fresh=("stem",)), "starts 'stem' fresh but never trains it"),
        (Plan("source", (PHASE, dataclasses.replace(PHASE, rates=dict.fromkeys(GROUPS, 0.1))),
              fresh=("stem", "top")), "starts every group of the body fresh: nothing would be"),
        (Plan("random", (dataclasses.replace(PHASE, regularisers=(L2SP(),)),)),
         "phase 'train' has l2_sp, but there is no source"),
        (Plan("source", (PHASE,), interpolation=Interpolation("train", 0.5)),
         "interpolates from after 'train', which is no phase before the last"),
        (Plan("source", (PHASE, dataclasses.replace(PHASE, name="last")),
              interpolation=Interpolation("train", 1.5)),
         "interpolates with alpha = 1.5: give 0 to 1"),
        (Plan("source", (dataclasses.replace(PHASE, restart=True),)),
         "the first phase, 'train', restarts: that has no effect"),
        (Plan("source", (dataclasses.replace(PHASE, distilled=Distillation("train", 0.5, 2.0)),)),
         "phase 'train' learns from 'train', which is no phase before it"),
        (Plan("source", (PHASE,), soup=("train", "more")), "the soup is made of ['more'], which"),
        (Plan("source", (PHASE,), soup=("train",)), "the soup is made of ['train']: name"),
        (Plan("source", (PHASE, dataclasses.replace(PHASE, name="b"), LAST), soup=("train", "b")),
         "the soup is made of ['train', 'b']: name two phases at least, the last one among them"),
        (Plan("source", (PHASE,), best_of=("train", "x")), "the best is chosen of ['x'], which"),
        (Plan("source", (PHASE, LAST), best_of=("last",)), "the best is chosen of ['last']: name"),
        (Plan("source", (PHASE, LAST), soup=("train", "last"), best_of=("train", "last")),
         "only one of a soup, the best of several and an interpolation can say what becomes of"),
        (Plan("source", (PHASE, PHASE, LAST), soup=("train", "last")),
         "the ends of ['train'] are needed, but two phases are called so: rename one"),
        (Plan("source", (PHASE, LAST), interpolation=Interpolation("train", 0.5),
              soup=("train", "last")), "only one of a soup, the best of several and an"),
    ],
)  # fmt: skip
def test_a_plan_whose_start_or_end_makes_no_sense_is_refused(plan: Plan, message: str) -> None:
    with pytest.raises(StudyError) as caught:
        plan.check(GROUPS)
    (problem,) = caught.value.problems
    assert problem.startswith(message)
