"""Recipes: named presets, what they come to in a phase, and options without effect."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from headstart.strategies import FineTune, FreezeThenThaw, Frozen, Scratch, Training
from headstart.strategies.augment import PRESETS, Augment
from headstart.strategies.recipe import PLAIN, Recipe

GROUPS = ("low", "high", "head")
BASE: dict[str, Any] = {"network": {"kind": "mlp", "hidden": [3]}, "source": {}}


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_a_preset_is_its_table(name: str) -> None:
    assert Training(augment=name).augment == Augment(**PRESETS[name])
    more = Augment.model_validate({"preset": name, "mixup": 0.2, "flip": 0.1})
    assert more == Augment(**{**PRESETS[name], "mixup": 0.2, "flip": 0.1})
    assert Augment.model_validate(more.model_dump()) == more


def test_nothing_happens_unless_asked_for() -> None:
    assert Training().recipe == Training(augment="none").recipe == PLAIN
    assert not PLAIN.augment.is_on
    for phase in Scratch().plan(GROUPS).phases:
        assert phase.recipe == PLAIN
        assert not phase.augments
        assert not phase.views


def test_a_phase_of_the_head_is_augmented_only_by_views() -> None:
    strategy = FreezeThenThaw.model_validate({"augment": "light", "ema": 0.5})
    head, thawed = strategy.plan(GROUPS).phases
    assert (head.augments, head.views, head.trains_body) == (False, 0, False)
    assert (thawed.augments, thawed.views, thawed.trains_body) == (True, 0, True)
    assert head.recipe == thawed.recipe == strategy.recipe
    strategy = FreezeThenThaw.model_validate({"augment": {"preset": "light", "views": 3}})
    head, thawed = strategy.plan(GROUPS).phases
    assert (head.augments, head.views) == (False, 3)
    assert (thawed.augments, thawed.views) == (True, 0)
    mixed = {"mixup": 0.2}
    assert FineTune.model_validate({"augment": mixed}).plan(GROUPS).phases[0].augments
    assert not Frozen.model_validate({"augment": mixed}).plan(GROUPS).phases[0].augments


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"augment": "lihgt"}, "there is no preset 'lihgt'; did you mean 'light'? Known: light, none"),
    ({"augment": {"preset": 3}}, "there is no preset 3; Known: light, none, standard, trivial"),
    ({"augment": {"operations": 3}}, 'operations has no effect without policy = "rand_augment"'),
    (
        {"augment": {"policy": "trivial_augment", "magnitude": 3}},
        'magnitude has no effect without policy = "rand_augment"',
    ),
    ({"augment": {"views": 2}}, "views = 2 has no effect, as nothing changes a single picture"),
    ({"augment": {"mixup": 1.0, "views": 2}}, "views = 2 has no effect"),
    ({"augment": {"crop": 0.0}}, "augment.crop: input should be greater than 0"),
    ({"augment": {"flip": 1.5}}, "augment.flip: input should be less than or equal to 1"),
    ({"augment": {"flipp": 0.5}}, "augment.flipp: unknown key; did you mean 'flip'?"),
    ({"augment": {"flip": True}}, "augment.flip: input should be a number"),
    ({"augment": {"policy": "auto"}}, "augment.policy"),
    ({"augment": ["flip"]}, "augment: input should be a table"),
    ({"label_smoothing": 1.0}, "label_smoothing: input should be less than 1"),
    ({"class_weights": {}}, "class_weights = {} weighs nothing"),
    ({"class_weights": {"cat": 0}}, "class_weights.cat: input should be greater than 0"),
    ({"class_weights": "balancd"}, "class_weights"),
    ({"ema": 1.0}, "ema: input should be less than 1"),
    ({"clip_norm": -1.0}, "clip_norm: input should be greater than or equal to 0"),
    ({"precision": "half"}, "precision: 'half' is not known; Known: auto, bfloat16"),
]


@pytest.mark.parametrize(("settings", "message"), WRONG, ids=[str(one) for one, _ in WRONG])
def test_bad_input_is_told_with_its_key(settings: dict[str, Any], message: str) -> None:
    from headstart.errors import StudyError
    from headstart.study.spec import study_from

    with pytest.raises(StudyError) as caught:
        study_from({**BASE, "training": settings, "strategy": {"scratch": {}}})
    assert message in str(caught.value)


@given(st.floats(max_value=0.0) | st.floats(min_value=1.0, exclude_min=True))
def test_a_share_of_the_area_lies_between(crop: float) -> None:
    with pytest.raises(ValidationError):
        Augment(crop=crop)


def test_a_strategy_switches_off_what_the_study_switched_on() -> None:
    from headstart.study.folder import resolved_toml
    from headstart.study.spec import parse_study, study_from

    on = {"augment": "standard", "class_weights": {"a": 2}, "ema": 0.9, "clip_norm": 1.0}
    off = {"augment": "none", "class_weights": "none", "ema": 0.0, "clip_norm": 0.0}
    strategies = {"scratch": off, "frozen": {"augment": {"preset": "light", "views": 2}}}
    study = study_from({**BASE, "training": on, "strategy": strategies})
    assert study.strategy["scratch"].recipe == PLAIN
    assert study.strategy["frozen"].recipe == Recipe.model_validate(
        {**on, "augment": {"preset": "light", "views": 2}}
    )
    assert parse_study(resolved_toml(study, {})) == study
