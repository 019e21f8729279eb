"""A momentum for running statistics in studies: who gets it, what it means, and when one lacks."""

import dataclasses
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart.data.image_set import ImageSet
from headstart.errors import StudyError
from headstart.study.compare import open_workplace
from headstart.study.identity import identify, trial_configuration
from headstart.study.records import TrialKey
from headstart.study.spec import Study
from headstart.study.workplace import Workplace

Make = Callable[..., Any]
LAYERS = [{"conv": 4}, {"batch_norm": True}, {"conv": 5}, {"batch_norm": True}, {"dense": 6}]
NORMED: dict[str, Any] = {"network": {"kind": "cnn", "layers": LAYERS}}


def configuration(study: Study, name: str = "scratch") -> dict[str, Any]:
    return trial_configuration(study, name, 0, 60, "pictures", "weights")


def test_training_hands_it_down_to_all_whose_statistics_move(small_study: Make) -> None:
    study = small_study(
        **NORMED,
        training={"batch_norm_momentum": 0.3},
        strategy={
            "scratch": {},
            "fine_tune": {"batch_norm": "frozen"},
            "lp_ft": {},
            "awake": {"kind": "lp_ft", "batch_norm": "live"},
            "own": {"kind": "fine_tune", "batch_norm_momentum": 0.7},
            "ridge": {},
        },
    )
    found = {name: strategy.batch_norm_momentum for name, strategy in study.strategy.items()}
    assert found == {
        "scratch": 0.3, "fine_tune": None, "lp_ft": None, "awake": 0.3, "own": 0.7, "ridge": None,
    }  # fmt: skip
    assert study.source.training.batch_norm_momentum == 0.3


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"training": {"batch_norm": "frozen", "batch_norm_momentum": 0.3}},
         'training: batch_norm_momentum has no effect with batch_norm = "frozen": use "live", or'),
        ({"training": {"batch_norm": "frozen"},
          "strategy": {"scratch": {"batch_norm_momentum": 0.3}}},
         'strategy.scratch: batch_norm_momentum has no effect with batch_norm = "frozen"'),
        ({"strategy": {"lp_ft": {"batch_norm_momentum": 0.3}}},
         'strategy.lp_ft: batch_norm_momentum has no effect with batch_norm = "frozen"'),
        ({"strategy": {"ridge": {"batch_norm_momentum": 0.3}}},
         "strategy.ridge: batch_norm_momentum has no effect in ridge, whose head is solved"),
        ({"training": {"batch_norm_momentum": 0.0}},
         "training.batch_norm_momentum: input should be greater than 0, got 0.0"),
        ({"training": {"batch_norm_momentum": 1.5}},
         "training.batch_norm_momentum: input should be less than or equal to 1, got 1.5"),
        ({"training": {"batch_norm_momentum": "0.1"}},
         "training.batch_norm_momentum: input should be a number, got '0.1'"),
    ],
)  # fmt: skip
def test_a_momentum_that_moves_nothing_is_refused(
    changes: dict[str, Any], problem: str, small_study: Make
) -> None:
    with pytest.raises(StudyError) as caught:
        small_study(**NORMED, **changes)
    assert any(problem in found for found in caught.value.problems), caught.value.problems


def test_a_network_without_batch_norm_is_told_before_training(
    small_study: Make, digits: ImageSet
) -> None:
    study = small_study(training={"batch_norm_momentum": 0.3})
    with pytest.raises(StudyError) as caught:
        open_workplace(study, images=digits)
    assert caught.value.problems[0] == (
        "strategy.scratch: phase 'train' has batch_norm_momentum, but nothing in the network is a "
        "BatchNorm: leave it out"
    )


def test_it_makes_another_trial_but_its_absence_does_not(small_study: Make) -> None:
    """Records made before the key was there stay valid."""
    absent = configuration(small_study(**NORMED))
    assert "batch_norm_momentum" not in repr(absent)
    assert absent["strategy"]["patience"] is None  # other keys are told although they say nothing
    slow, fast = (
        configuration(small_study(**NORMED, training={"batch_norm_momentum": momentum}))
        for momentum in (0.1, 0.3)
    )
    assert fast["strategy"]["batch_norm_momentum"] == 0.3
    assert fast["source"]["training"]["batch_norm_momentum"] == 0.3
    assert len({identify(each) for each in (absent, slow, fast)}) == 3


def test_sharing_work_changes_nothing(small_study: Make, digits: ImageSet, folder: Path) -> None:
    """The groups behind what is frozen move their statistics as they do in a whole network."""
    study = small_study(
        **NORMED,
        training={"batch_norm_momentum": 0.5, "lr": 0.02},
        strategy={"scratch": {}, "top": {"kind": "top_groups", "top": 2}},
        study={"seeds": 1, "labels": [60]},
    )
    place = Workplace(study, lambda: digits, folder)
    place.train_source(0)
    alone = dataclasses.replace(place, naive=True)
    for name in study.strategy:
        ours, theirs = (each.fit_trial(TrialKey(name, 0, 60)) for each in (place, alone))
        assert ours.val_loss == pytest.approx(theirs.val_loss, rel=1e-4)
        np.testing.assert_allclose(ours.test_probabilities, theirs.test_probabilities, atol=2e-4)


def test_fresh_statistics_that_stay_stale_are_told_once(
    small_study: Make, digits: ImageSet
) -> None:
    study = small_study(
        **NORMED,
        training={"epochs": 2, "batch_size": 10},
        strategy={"scratch": {}, "fine_tune": {}, "mine": {"kind": "own_lower_groups"}},
    )
    with pytest.warns(UserWarning, match="running statistics") as caught:
        open_workplace(study, images=digits)
    assert [str(each.message) for each in caught] == [
        "scratch, mine, the own source of mine: after 12 steps at a momentum of 0.1, 28% of the "
        "running statistics of BatchNorm in fresh groups are still what they started from, and "
        "predictions are made by them: train longer, or set batch_norm_momentum = 0.32 in "
        "[training]"
    ]


def test_a_source_that_is_trained_here_is_told_of_too(small_study: Make, digits: ImageSet) -> None:
    study = small_study(
        **NORMED,
        source={"training": {"steps": 3}},
        training={"epochs": 30, "batch_size": 10},
        strategy={"fine_tune": {}},
        study={"baseline": "fine_tune"},
    )
    with pytest.warns(UserWarning, match=r"^the source: after 3 steps at a momentum of 0.1, 73%"):
        open_workplace(study, images=digits)


@pytest.mark.parametrize(
    "changes",
    [
        {"training": {"epochs": 2, "batch_size": 10, "batch_norm_momentum": 0.32}},
        {"training": {"epochs": 20, "batch_size": 10}},
        {"training": {"epochs": 1}, "network": {"kind": "mlp", "hidden": [8]}},
    ],
)
def test_nothing_is_told_where_statistics_come_to_the_pictures(
    changes: dict[str, Any], small_study: Make, digits: ImageSet
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        open_workplace(small_study(**{**NORMED, **changes}), images=digits)
