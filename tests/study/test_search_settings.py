"""What a study says of its search: read, written again, and refused where it cannot be had."""

from collections.abc import Callable
from typing import Any

import pytest

from headstart.errors import StudyError
from headstart.strategies import STRATEGIES, FineTune, LowerGroups, OwnLowerGroups, Soup
from headstart.strategies.search_space import Span, settings_by_path, with_values
from headstart.study.folder import resolved_toml
from headstart.study.search_settings import SearchSettings, space_of
from headstart.study.spec import Study, parse_study, study_from

Make = Callable[..., Study]
RANGES: dict[str, Any] = {
    "lr": [1e-4, 1],
    "label_smoothing": [0, 0.2],
    "optimizer": {"weight_decay": [1e-6, 1e-2]},
    "regularisers": {"bss": {"eta": [1e-4, 1e-2]}},
}
TUNED = {"kind": "fine_tune", "regularisers": ["bss"]}


def problems(make: Make, **changes: Any) -> tuple[str, ...]:
    with pytest.raises(StudyError) as caught:
        make(**changes)
    return caught.value.problems


def test_what_is_not_stated_has_a_default(small_study: Make) -> None:
    search = small_study(search={"trials": 20}).search
    assert search == SearchSettings(
        trials=20, seconds=None, sampler="tpe", seed=1000, each="study", together=8
    )
    assert small_study().search is None


def test_a_search_is_written_so_that_it_can_be_read_again(small_study: Make) -> None:
    study = small_study(
        strategy={"scratch": {}, "near": TUNED}, search={"seconds": 30, "near": RANGES}
    )
    again = parse_study(resolved_toml(study, {}))
    assert again.search == study.search
    assert again == study


def test_ranges_take_the_place_of_what_the_strategy_finds_worth_searching(
    small_study: Make,
) -> None:
    study = small_study(
        strategy={"scratch": {}, "near": TUNED, "top_groups": {}},
        search={"trials": 2, "near": RANGES, "top_groups": {"top": [1, 3]}},
    )
    assert study.search is not None
    space = space_of(study.search, "near", study.strategy["near"])
    assert space == {
        "lr": Span(1e-4, 1, log=True, now=0.1),
        "label_smoothing": Span(0, 0.2, log=False, now=0.0),
        "optimizer.weight_decay": Span(1e-6, 1e-2, log=True, now=0.0),
        "regularisers.bss.eta": Span(1e-4, 1e-2, log=True, now=0.001),
    }
    assert not space["optimizer.weight_decay"].holds_now
    assert space_of(study.search, "top_groups", study.strategy["top_groups"]) == {
        "top": Span(1, 3, log=False, whole=True, now=1)
    }
    usual = space_of(study.search, "scratch", study.strategy["scratch"])
    assert usual == study.strategy["scratch"].search_space()


def test_all_that_is_wrong_with_a_search_is_told_at_once(small_study: Make) -> None:
    said = problems(
        small_study,
        strategy={"scratch": {}, "fine_tune": {}, "layerwise": {}},
        search={
            "trials": 10,
            "fine_tuned": {"lr": [0.1, 1]},
            "fine_tune": {"backbon_lr": [0.1, 1], "epochs": [1, 5], "batch_norm": [0, 1]},
            "layerwise": {"decay": [0.5, 2]},
        },
    )
    assert len(said) == 6
    start = "search.fine_tuned: there is no strategy 'fine_tuned' in this study; did you mean"
    assert said[0].startswith(f"{start} 'fine_tune'? Known: ")
    start = "search.fine_tune.backbon_lr: fine_tune has no such setting; did you mean"
    assert said[1].startswith(f"{start} 'backbone_lr'? ")
    assert said[2] == (
        "search.fine_tune.epochs: every trial lasts as long as the strategy states: leave it out"
    )
    assert said[3].startswith("search.fine_tune.batch_norm: 0 cannot be taken: 0 is not known")
    assert said[4].startswith("search.fine_tune.batch_norm: 1 cannot be taken: 1 is not known")
    assert said[5].startswith("search.layerwise.decay: 2 cannot be taken: input should be less")


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("freeze_then_thaw", "freeze_epochs"),
        ("wise_ft", "freeze_epochs"),
        ("replace_top", "freeze_epochs"),
        ("gradual", "thaw_epochs"),
        ("scratch", "steps"),
    ],
)
def test_no_search_buys_more_training(kind: str, path: str, small_study: Make) -> None:
    (said,) = problems(
        small_study, strategy={"it": {"kind": kind}}, search={"trials": 2, "it": {path: [1, 5]}},
        study={"baseline": "it"},
    )  # fmt: skip
    assert said == (
        f"search.it.{path}: every trial lasts as long as the strategy states: leave it out"
    )


def test_a_second_rate_is_searched_about_what_it_is_when_left_out() -> None:
    assert Soup(lr=0.3).search_space()["backbone_lr"] == Span(0.01, 9.0, now=0.3)
    learns = OwnLowerGroups(thaw=True, lr=0.3)
    assert learns.search_space()["copied_lr"] == Span(0.01, 9.0, now=0.3)
    slow = LowerGroups(thaw=True, copied_lr=0.03)
    assert slow.search_space()["copied_lr"].now == 0.03
    assert set(LowerGroups().search_space()) == {"lr"}


@pytest.mark.parametrize(
    "value", [[1, 0.1], [0.1, 0.1], [0.1], [], 0.1, "0.1", ["0.1", "1"], [True, 2], [1, None]]
)
def test_a_range_is_two_rising_numbers(value: Any, small_study: Make) -> None:
    (said,) = problems(small_study, search={"trials": 2, "scratch": {"lr": value}})
    assert said == (
        f"search.scratch.lr: expected [from, to], two numbers, the lower one first; got {value!r}"
    )


@pytest.mark.parametrize(
    ("search", "said"),
    [
        ({}, "search.trials: it is missing: give one budget, trials = 20 or seconds = 300"),
        (
            {"trials": 2, "seconds": 2},
            "search.trials: trials and seconds both say it: give one budget, trials = 20 or "
            "seconds = 300",
        ),
        ({"trails": 20}, "search.trails: unknown key; did you mean 'trials'? Known: "),
        ({"trials": 0}, "search.trials: input should be greater than or equal to 1, got 0"),
        ({"trials": 2.5}, "search.trials: input should be a valid integer"),
        ({"seconds": 0}, "search.seconds: input should be greater than 0, got 0"),
        ({"trials": 2, "sampler": "tpee"}, "search.sampler: 'tpee' is not known; did you mean"),
        ({"trials": 2, "seed": 1}, "search.seed: search.seed = 1 is one of the study's seeds"),
    ],
)
def test_a_search_that_cannot_be_had_is_refused(
    search: dict[str, Any], said: str, small_study: Make
) -> None:
    assert problems(small_study, search=search)[0].startswith(said.replace("a valid", "an"))


def test_with_folds_each_fold_searches_for_itself() -> None:
    values: dict[str, Any] = {
        "split": {"folds": 3},
        "network": {"kind": "mlp", "hidden": [8]},
        "strategy": {"scratch": {}},
        "search": {"trials": 2},
    }
    search = study_from(values).search
    assert search is not None
    assert search.each == "seed"
    values["search"]["each"] = "study"
    with pytest.raises(StudyError, match=r"search\.each: with split.folds the training pictures"):
        study_from(values)


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_can_take_both_ends_of_what_it_finds_worth_searching(name: str) -> None:
    strategy = STRATEGIES[name](kind=name)
    space = strategy.search_space()
    solved = not strategy.takes_training
    assert bool(space) != (solved or name == "bit_hyperrule")
    for path, span in space.items():
        assert path in settings_by_path(strategy)
        assert span.holds_now
        for end in (span.low, span.high):
            assert settings_by_path(with_values(strategy, {path: end}))[path] == end


def test_strengths_that_are_stated_are_searched_and_others_are_not_brought_in() -> None:
    decay = {"name": "adamw", "weight_decay": 0.01}
    assert set(STRATEGIES["scratch"](kind="scratch", optimizer=decay).search_space()) == {
        "lr",
        "optimizer.weight_decay",
    }
    near = FineTune.model_validate({"regularisers": ["l2_sp"], "lr": 0.3})
    space = near.search_space()
    assert set(space) == {
        "lr", "backbone_lr", "regularisers.l2_sp.alpha", "regularisers.l2_sp.beta",
    }  # fmt: skip
    assert space["lr"] == Span(0.01, 9.0, now=0.3)
    values = {"regularisers.l2_sp.alpha": 0.5, "backbone_lr": 0.1}
    changed = with_values(near, values)
    assert settings_by_path(changed) == settings_by_path(near) | values
