"""Choosing: on validation pictures, by records of studies that never were."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart.data.image_set import ImageSet
from headstart.delivery.choice import choose
from headstart.delivery.short_list import (
    Counted,
    count_pictures,
    fit_study,
    is_affordable,
    strategy_tables,
)
from headstart.errors import StudyError, TrainingError
from headstart.strategies import STRATEGIES
from headstart.study.results import StudyRecords, Validation

Made = Callable[..., StudyRecords]


def made(
    make: Made, rates: dict[str, float], seeds: int = 3, pictures: int = 200, each: int = 100
) -> StudyRecords:
    """Records of strategies that are right on their share of validation pictures."""
    rng = np.random.default_rng(0)
    luck = rng.uniform(0, 1, seeds * pictures)
    correct = np.stack([luck < rate for rate in rates.values()])
    validation = Validation(
        strategies=tuple(rates),
        seeds=tuple(range(seeds)),
        correct=correct,
        pictures=np.arange(seeds * pictures),
    )
    records = make({(name, "all"): np.ones((seeds, 20), dtype=bool) for name in rates})
    by_seed = correct.reshape(len(rates), seeds, pictures).mean(axis=2)
    rows = [
        {**row, "val_accuracy": by_seed[list(rates).index(row["strategy"]), row["seed"]]}
        for row in records.rows
    ]
    counts = [("target", "train", name, each) for name in ("cat", "dog")]
    changes = {"validation": {"all": validation}, "rows": rows, "class_counts": counts}
    return make(
        {(name, "all"): np.ones((seeds, 20), dtype=bool) for name in rates}, changes=changes
    )


def test_the_best_on_validation_pictures_is_chosen(made_records: Made) -> None:
    choice = choose(made(made_records, {"scratch": 0.6, "frozen": 0.9, "fine_tune": 0.8}))
    assert choice.strategy == "frozen"
    assert choice.corrected is not None
    assert choice.corrected["low"] < 0.9 < choice.corrected["high"]
    assert choice.corrected["estimate"] == pytest.approx(choice.measured["frozen"], abs=0.01)
    assert "frozen did best on validation pictures: 89.2%" in choice.why[0]
    assert "points ahead of fine_tune" in choice.why[0]
    assert "once its luck is taken off" in choice.why[1]
    assert "as the rule says" in choice.rule_of_thumb
    assert "100 a class: freeze the body" in choice.rule_of_thumb


def test_a_close_choice_is_called_close(made_records: Made) -> None:
    rng = np.random.default_rng(1)
    table = np.stack(
        [rng.random(300) < 0.5, *(rng.permutation(300) < rights for rights in (240, 241))]
    )
    validation = Validation(("scratch", "frozen", "fine_tune"), (0, 1, 2), table, np.arange(300))
    records = made_records(
        {(name, "all"): np.ones((3, 20), dtype=bool) for name in validation.strategies},
        changes={"validation": {"all": validation}},
    )
    assert "the choice was close" in choose(records).why[-1]


def test_the_median_seed_is_delivered_and_not_the_luckiest(made_records: Made) -> None:
    records = made(made_records, {"frozen": 0.7, "scratch": 0.5}, seeds=5, pictures=40)
    own = {row["seed"]: row["val_accuracy"] for row in records.rows if row["strategy"] == "frozen"}
    choice = choose(records)
    assert own[choice.seed] == np.median(list(own.values()))
    assert own[choice.seed] < max(own.values())


FROZEN_BEST = {"scratch": 0.4, "frozen": 0.9, "fine_tune": 0.5}
TRAINED_BEST = {"scratch": 0.4, "frozen": 0.5, "fine_tune": 0.9}


@pytest.mark.parametrize(
    ("each", "rates", "expected"),
    [
        (5000, FROZEN_BEST, "(large); measured: frozen, unlike what the rule says"),
        (5000, TRAINED_BEST, "measured: fine_tune, as the rule says"),
        (50, TRAINED_BEST, "measured: fine_tune, unlike what the rule says"),
    ],
)
def test_the_rule_of_thumb_stands_beside_what_was_measured(
    made_records: Made, each: int, rates: dict[str, float], expected: str
) -> None:
    assert expected in choose(made(made_records, rates, each=each)).rule_of_thumb


def test_one_strategy_is_not_chosen_but_asked_for(made_records: Made) -> None:
    choice = choose(made_records({("frozen", "all"): np.ones((3, 20), dtype=bool)}))
    assert choice.corrected is None
    assert "frozen was asked for" in choice.why[0]
    assert "nothing else was measured" in choice.rule_of_thumb


def test_failures_leave_nothing_to_deliver(made_records: Made) -> None:
    rows: list[dict[str, Any]] = [
        {"strategy": "frozen", "seed": 0, "labels": "all", "state": "failed", "error": "it burnt"}
    ]
    records = made_records(
        {("frozen", "all"): np.ones((1, 20), dtype=bool)}, changes={"rows": rows}
    )
    with pytest.raises(TrainingError, match="nothing to deliver\nit burnt"):
        choose(records)


class TestShortList:
    def test_auto_measures_the_list_and_a_control(self) -> None:
        study = fit_study(path=None, model="resnet18")
        assert set(study.strategy) == {"probe", "lp_ft", "fine_tune", "scratch"}
        assert study.study.baseline == "scratch"
        without = fit_study(path=None, model="resnet18", control=False)
        assert "scratch" not in without.strategy
        assert without.study.baseline == "probe"

    @pytest.mark.parametrize(
        "strategy", [name for name in STRATEGIES if name not in ("auto", "replace_top", "surgical")]
    )
    def test_every_strategy_can_be_asked_for_alone(self, strategy: str) -> None:
        study = fit_study(path=None, model="resnet18", strategy=strategy, seeds=4)
        assert list(study.strategy) == [strategy]
        assert study.study.seeds == (0, 1, 2, 3)

    def test_an_unknown_strategy_is_refused(self) -> None:
        with pytest.raises(StudyError, match="no strategy 'frosen': did you mean 'frozen'"):
            fit_study(path=None, model="resnet18", strategy="frosen")

    def test_small_sets_get_more_epochs(self) -> None:
        small, large = strategy_tables(100), strategy_tables(50_000)
        for name in ("lp_ft", "fine_tune", "scratch"):
            assert small[name]["epochs"] > large[name]["epochs"]
        assert strategy_tables(100, epochs=2)["fine_tune"]["epochs"] == 2

    def test_a_control_is_left_out_where_it_takes_hours(self) -> None:
        assert is_affordable(200, (96, 96), None, "cpu")
        assert not is_affordable(20_000, (224, 224), None, "cpu")
        assert is_affordable(20_000, (224, 224), None, "cuda")

    def test_pictures_are_counted_by_split(self, tmp_path: Path) -> None:
        for place, count in (("train/a", 8), ("train/b", 2), ("val/a", 3), ("test/a", 4)):
            for number in range(count):
                path = tmp_path / "split" / place / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
        assert count_pictures(tmp_path / "split") == Counted(10, has_valid=True)
        assert count_pictures(tmp_path / "split" / "train") == Counted(6, has_valid=False)
        pixels = np.zeros((30, 4, 4), dtype=np.uint8)
        images = ImageSet.from_arrays(
            pixels, ["a", "b"] * 15, test_pictures=pixels, test_labels=["a", "b"] * 15
        )
        assert count_pictures(images) == Counted(24, has_valid=False)

    def test_a_validation_split_of_its_own_is_used_whole(self) -> None:
        own = fit_study(path=None, model="resnet18", counted=Counted(100, has_valid=True))
        made = fit_study(path=None, model="resnet18", counted=Counted(100, has_valid=False))
        assert own.split.valid is None
        assert made.split.valid == 0.2
