"""The rates, refusals and beginnings of the strategies that thaw, choose, replace and average."""

from typing import Any

import pytest
from pydantic import ValidationError

from headstart.errors import StudyError
from headstart.settings import describe_problems
from headstart.strategies import (
    Auto,
    BitHyperRule,
    Gradual,
    Interpolation,
    Layerwise,
    NormsAndBiases,
    ReplaceTop,
    Schedule,
    Strategy,
    Surgical,
    TopGroups,
    Training,
    WiseFT,
)
from headstart.study.spec import study_from
from headstart.training.schedules import rate_factor

GROUPS = ("conv_1", "conv_2", "dense_1", "head")


def rates(strategy: Strategy) -> list[list[float | None]]:
    plan = strategy.plan(GROUPS)
    plan.check(GROUPS)
    return [[phase.rates[group] for group in GROUPS] for phase in plan.phases]


def refusal(strategy: Strategy, groups: tuple[str, ...] = GROUPS) -> str:
    with pytest.raises(StudyError) as caught:
        strategy.plan(groups)
    return str(caught.value)


def problem(strategy: type[Strategy], **values: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        strategy.model_validate(values)
    (only,) = describe_problems(caught.value, strategy, values=values)
    return only


def test_gradual_thaws_from_the_top_at_ulmfits_rates() -> None:
    strategy = Gradual(lr=1.0, epochs=7)
    falling = [pytest.approx(2.6**-depth) for depth in range(4)]
    assert rates(strategy) == [
        [None, None, None, 1.0],
        [None, None, falling[1], 1.0],
        [None, falling[2], falling[1], 1.0],
        [falling[3], falling[2], falling[1], 1.0],
    ]
    phases = strategy.plan(GROUPS).phases
    assert [phase.name for phase in phases] == ["head", "thaw dense_1", "thaw conv_2",
                                                "thaw conv_1"]  # fmt: skip
    assert [phase.epochs for phase in phases] == [1, 1, 1, 7]
    assert all(phase.schedule == Schedule(name="slanted_triangle") for phase in phases)


def test_gradual_can_be_set_and_wants_two_groups() -> None:
    strategy = Gradual.model_validate({"ratio": 2, "thaw_epochs": 3, "schedule": "cosine"})
    assert [phase.epochs for phase in strategy.plan(GROUPS).phases] == [3, 3, 3, 5]
    assert strategy.plan(GROUPS).phases[-1].rates["conv_1"] == pytest.approx(0.001 / 8)
    assert strategy.schedule.name == "cosine"
    assert refusal(Gradual(), ("dense_1", "head")) == (
        "gradual thaws group by group, but the body has 1 layer group: use freeze_then_thaw or "
        "fine_tune"
    )
    assert problem(Gradual, ratio=1) == "ratio: input should be greater than 1, got 1"


def test_the_slanted_triangle_is_ulmfits() -> None:
    """Howard & Ruder 2018, section 3.2, with T = 200, cut_frac = 0.1, ratio = 32."""
    schedule = Schedule(name="slanted_triangle")
    for step in range(200):
        cut = int(200 * 0.1)
        p = step / cut if step < cut else 1 - (step - cut) / (cut * (1 / 0.1 - 1))
        assert rate_factor(schedule, step, 200) == pytest.approx((1 + p * 31) / 32)
    for steps in range(1, 30):
        factors = [rate_factor(schedule, step, steps) for step in range(steps)]
        assert all(1 / 32 <= factor <= 1 for factor in factors)
        assert max(factors) > 0.99 or steps == 1
    with pytest.raises(ValidationError, match="warmup has no effect with the slanted_triangle"):
        Schedule(name="slanted_triangle", warmup=0.1)
    with pytest.raises(ValidationError, match="cut has no effect with the cosine"):
        Schedule(name="cosine", cut=0.2)


def test_layerwise_decays_toward_the_stem() -> None:
    expected = [pytest.approx(0.75**depth) for depth in (3, 2, 1)]
    assert rates(Layerwise(lr=1.0)) == [[*expected, 1.0]]
    assert rates(Layerwise(lr=1.0, decay=0.5)) == [[0.125, 0.25, 0.5, 1.0]]
    assert problem(Layerwise, decay=1) == "decay: input should be less than 1, got 1"
    assert refusal(Layerwise(), ("head",)) == (
        "layerwise trains the body, but the network is only a head: use frozen"
    )


def test_top_groups_leave_the_rest_frozen() -> None:
    assert rates(TopGroups(lr=0.1)) == [[None, None, 0.1, 0.1]]
    assert rates(TopGroups(lr=0.1, top=2)) == [[None, 0.1, 0.1, 0.1]]
    assert refusal(TopGroups(top=3)) == (
        "top = 3, but the body has 3 layer groups, so nothing would stay frozen: lower it, or use "
        "fine_tune"
    )


def test_surgery_takes_one_block_or_asks_the_gradients() -> None:
    assert rates(Surgical(lr=0.1, block="conv_1")) == [[0.1, None, None, 0.1]]
    assert rates(Surgical(lr=0.1)) == [[0.1, 0.1, 0.1, 0.1]]
    (automatic,), (named,) = (
        Surgical(block=block).plan(GROUPS).phases for block in ("auto", "conv_2")
    )
    assert automatic.rate_rule == "relative_gradient_norm"
    assert named.rate_rule == "group"
    assert refusal(Surgical(block="conv_3")) == (
        "block: no layer group 'conv_3'; did you mean 'conv_2'? Known: auto, conv_1, conv_2, "
        "dense_1"
    )


def test_norms_and_biases_are_a_selection() -> None:
    for parts in ("norms_and_biases", "norms", "biases"):
        strategy = NormsAndBiases(lr=0.1, parts=parts)
        assert rates(strategy) == [[0.1, 0.1, 0.1, 0.1]]
        assert [phase.only for phase in strategy.plan(GROUPS).phases] == [parts]
    assert problem(NormsAndBiases, parts="bias").startswith(
        "parts: 'bias' is not known; did you mean 'biases'?"
    )
    assert refusal(NormsAndBiases(), ("head",)).startswith("norms_and_biases trains the body")


def test_a_replaced_top_starts_fresh_and_learns_first() -> None:
    strategy = ReplaceTop(lr=1.0, top=2, freeze_epochs=3, epochs=9)
    assert rates(strategy) == [[None, 1.0, 1.0, 1.0], [0.1, 0.1, 0.1, 0.1]]
    plan = strategy.plan(GROUPS)
    assert (plan.start, plan.fresh) == ("source", ("conv_2", "dense_1"))
    assert [phase.epochs for phase in plan.phases] == [3, 9]
    assert rates(ReplaceTop(lr=1.0, thaw_lr=0.5))[1] == [0.5, 0.5, 0.5, 0.5]
    assert refusal(ReplaceTop(top=3)) == (
        "top = 3, but the body has 3 layer groups, so nothing of the source would be kept: lower "
        "it, or use scratch"
    )


def test_wise_ft_averages_with_the_source_and_its_fitted_head() -> None:
    strategy = WiseFT(lr=1.0, backbone_lr=0.5)
    assert rates(strategy) == [[None, None, None, 1.0], [0.5, 0.5, 0.5, 1.0]]
    assert strategy.plan(GROUPS).interpolation == Interpolation("head", 0.5)
    assert WiseFT(alpha="auto").plan(GROUPS).interpolation == Interpolation("head", "auto")
    for alpha in (0.0, 1.0, "al"):
        assert problem(WiseFT, alpha=alpha).startswith("alpha: expected ")


def test_the_hyperrule_is_bits_for_small_data() -> None:
    """Kolesnikov et al. 2020: 500 steps, 100 of warm-up, a tenth after 200, 300 and 400."""
    (phase,) = BitHyperRule().plan(GROUPS).phases
    assert (phase.steps, phase.epochs, phase.batch_size) == (500, None, 512)
    assert (phase.optimizer.name, phase.optimizer.momentum) == ("sgd", 0.9)
    assert phase.optimizer.weight_decay == 0
    assert set(phase.rates.values()) == {0.003}
    factors = [rate_factor(phase.schedule, step, 500) for step in range(500)]
    assert factors[0] == pytest.approx(0.01)
    at = {99: 1.0, 199: 1.0, 200: 0.1, 299: 0.1, 300: 0.01, 399: 0.01, 400: 0.001, 499: 0.001}
    assert {step: pytest.approx(factors[step]) for step in at} == at
    assert BitHyperRule().plan(GROUPS).zero_head
    assert BitHyperRule(steps=50).plan(GROUPS).phases[0].steps == 50
    assert BitHyperRule(epochs=3).plan(GROUPS).phases[0].epochs == 3


@pytest.mark.parametrize(
    ("size", "steps", "warm_up", "drops"),
    [("medium", 10_000, 500, (3000, 6000, 9000)), ("large", 20_000, 500, (6000, 12_000, 18_000))],
)
def test_the_hyperrule_knows_larger_data_too(
    size: str, steps: int, warm_up: int, drops: tuple[int, int, int]
) -> None:
    strategy = BitHyperRule.model_validate({"size": size})
    (phase,) = strategy.plan(GROUPS).phases
    assert phase.steps == steps
    assert phase.recipe.augment.mixup == 0.1
    for number, drop in enumerate(drops):
        around = [rate_factor(phase.schedule, step, steps) for step in (drop - 1, drop)]
        assert around == pytest.approx([0.1**number, 0.1 ** (number + 1)])
    rising = [rate_factor(phase.schedule, step, steps) for step in range(warm_up + 1)]
    assert [rising[0], *rising[-2:]] == pytest.approx([1 / warm_up, 1.0, 1.0])
    assert BitHyperRule.model_validate(strategy.model_dump(mode="json")) == strategy
    own = {"size": size, "epochs": 3, "augment": "none", "schedule": "constant"}
    (phase,) = BitHyperRule.model_validate(own).plan(GROUPS).phases
    assert (phase.epochs, phase.steps, phase.schedule.name) == (3, None, "constant")
    assert phase.recipe.augment.mixup == 0


DEEP = (*(f"block_{number}" for number in range(6)), "head")


@pytest.mark.parametrize(
    ("pictures", "groups", "phases"),
    [
        (50, DEEP, ["ridge: head"]),
        (999, DEEP, ["ridge: head"]),
        (999, GROUPS, ["lp_ft: head", "lp_ft: fine-tune"]),
        (1_000, DEEP, ["lp_ft: head", "lp_ft: fine-tune"]),
        (None, DEEP, ["lp_ft: head", "lp_ft: fine-tune"]),
        (20_000, GROUPS, ["bit_hyperrule: fine-tune"]),
        (500_000, DEEP, ["bit_hyperrule: fine-tune"]),
    ],
)
def test_a_starting_point_is_picked_by_the_number_of_pictures_and_says_which(
    pictures: int | None, groups: tuple[str, ...], phases: list[str]
) -> None:
    plan = Auto(pictures=pictures).plan(groups)
    plan.check(groups)
    assert [phase.name for phase in plan.phases] == phases
    if pictures and pictures >= 20_000:
        (phase,) = plan.phases
        assert phase.steps == {20_000: 10_000, 500_000: 20_000}[pictures]
        assert plan.zero_head


def test_a_preset_takes_no_training() -> None:
    assert problem(Auto, lr=0.1) == (
        "lr has no effect in auto, which is a preset: use the strategy that it picks"
    )


@pytest.mark.parametrize(
    ("labels", "own", "expected"),
    [([200, "all", 50], {}, 50), (300, {}, 300), ("all", {}, None), ([50], {"pictures": 7}, 7)],
)
def test_a_study_tells_auto_how_many_pictures_there_are(
    labels: Any, own: dict[str, Any], expected: int | None
) -> None:
    study = study_from(
        {
            "source": {},
            "network": {"kind": "mlp", "hidden": [5]},
            "training": {"lr": 0.5},
            "strategy": {"mine": {"kind": "auto", **own}},
            "study": {"labels": labels, "baseline": "mine"},
        }
    )
    mine = study.strategy["mine"]
    assert isinstance(mine, Auto)
    assert mine.pictures == expected


def test_what_keeps_near_the_source_is_part_of_the_phases_where_it_does_something() -> None:
    values = {"regularisers": ["bss", {"name": "l2_sp", "alpha": 0.1}, "stoch_norm"]}
    first, last = WiseFT.model_validate(values).plan(GROUPS).phases
    assert [near.name for near in first.regularisers] == ["l2_sp"]
    assert [near.name for near in last.regularisers] == ["bss", "l2_sp", "stoch_norm"]
    assert Training().phase("train", {"head": 0.1}).regularisers == ()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"regularisers": ["l2sp"]}, "regularisers.0: name = 'l2sp' is not known; did you mean "
         "'l2_sp'? Known: bss, co_tuning, delta, l2_sp, stoch_norm"),
        ({"regularisers": [{"name": "bss", "alpha": 1.0}]}, "regularisers.0.alpha: unknown key; "),
        ({"regularisers": ["bss", "bss"]}, "regularisers names bss twice: once is enough"),
        ({"regularisers": ["l2_sp", "delta"]}, "l2_sp and delta both take the place of weight "
         "decay: choose one"),
        ({"regularisers": ["l2_sp"], "optimizer": {"name": "sgd", "weight_decay": 0.1}},
         "l2_sp takes the place of weight decay, but weight_decay = 0.1: leave one of them out"),
        ({"regularisers": ["stoch_norm"], "batch_norm": "frozen"},
         'stoch_norm has no effect with batch_norm = "frozen": use "live", or leave it out'),
        ({"regularisers": [{"name": "stoch_norm", "p": 1.0}]},
         "regularisers.0.p: input should be less than 1, got 1.0"),
    ],
)  # fmt: skip
def test_regularisers_without_effect_or_sense_are_refused(
    values: dict[str, Any], message: str
) -> None:
    assert problem(Layerwise, **values).startswith(message)
