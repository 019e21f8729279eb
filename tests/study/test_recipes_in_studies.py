"""Recipes in a study file: followed from there, refused before anything is trained."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headstart.data.image_set import ImageSet
from headstart.errors import StudyError
from headstart.report.results import Results
from headstart.study.spec import Study

Make = Callable[..., Study]
Compare = Callable[..., Results]
RECIPE: dict[str, Any] = {
    "augment": {"shift": 0.1, "mixup": 0.2, "views": 2},
    "label_smoothing": 0.1,
    "ema": 0.5,
    "clip_norm": 1.0,
    "precision": "float32",
    "schedule": "one_cycle",
}
SHORT: dict[str, Any] = {"labels": [60], "seeds": 1}
PLAIN: dict[str, Any] = {"training": {"augment": "none", "epochs": 1}}


def test_a_study_follows_its_recipe_and_goes_on_with_it(
    small_study: Make,
    compare: Compare,
    digits: ImageSet,
    folder: Path,
    fingerprint: Callable[[Path], list[tuple[object, ...]]],
) -> None:
    weights = {"scratch": {"class_weights": {"1": 2.0}}, "frozen": {"class_weights": "balanced"}}
    study = small_study(training=RECIPE, strategy=weights, study=SHORT, source=PLAIN)
    results = compare(study, folder, images=digits, jobs=1)
    assert not results.failed
    again = compare(study, folder.with_name("again"), images=digits, jobs=1)
    assert fingerprint(folder) == fingerprint(again.directory)
    plain = compare(small_study(study=SHORT), folder.with_name("plain"),
                    images=digits, jobs=1)  # fmt: skip
    assert fingerprint(plain.directory) != fingerprint(folder)


def test_what_cannot_be_followed_is_told_before_anything_is_trained(
    small_study: Make, compare: Compare, digits: ImageSet, folder: Path
) -> None:
    study = small_study(
        source={"training": {"class_weights": {"0": 2.0}}},
        strategy={
            "scratch": {"class_weights": {"11": 2.0, "1": 1.5}},
            "frozen": {"precision": "float16"},
        },
    )
    with pytest.raises(StudyError) as caught:
        compare(study, folder, images=digits)
    assert caught.value.problems == (
        "strategy.scratch: class_weights: there is no class '11'; did you mean '1'? Known: 0, 1, 2",
        'strategy.frozen: precision = "float16" gains nothing on a CPU, and its small numbers '
        'vanish: use "auto", "bfloat16" or "float32", or device = "cuda"',
        "source.training: class_weights: there is no class '0'; Known: 3, 4, 5, 6, 7, 8, 9",
    )
    assert not folder.exists()
