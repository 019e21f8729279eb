"""A study that is interrupted in the middle of a long trial goes on from there."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headstart.data.image_set import ImageSet
from headstart.report.results import Results
from headstart.study.spec import Study
from headstart.training import checkpoints, courses
from headstart.training.evaluate import evaluate_loss


def test_a_trial_goes_on_from_the_epoch_that_it_had_reached(
    small_study: Callable[..., Study],
    compare: Callable[..., Results],
    digits: ImageSet,
    folder: Path,
    fingerprint: Callable[[Path], list[tuple[object, ...]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Fits on several threads are not stacked; what is stacked is too short for checkpoints.
    study = small_study(training={"epochs": 4}, study={"seeds": 1, "labels": [60], "threads": 2})
    whole = folder.with_name("whole")
    compare(study, whole, images=digits, jobs=1)
    monkeypatch.setattr(checkpoints, "USUAL_SECONDS", 0.0)
    validated = 0

    def interrupting(*how: Any) -> tuple[float, float]:
        nonlocal validated
        validated += 1
        if validated in stops:
            raise KeyboardInterrupt
        return evaluate_loss(*how)

    monkeypatch.setattr(courses, "evaluate_loss", interrupting)
    stops = {3, 7}  # in the third epoch of the source, and then of the first trial
    for _ in stops:
        with pytest.raises(KeyboardInterrupt):
            compare(study, folder, images=digits, jobs=1)
        assert len(list((folder / "checkpoints").iterdir())) == 1
    compare(study, folder, images=digits, jobs=1)
    assert validated == 3 * 4 + len(stops)  # no epoch was done twice but those cut short
    assert fingerprint(folder) == fingerprint(whole)
    assert not (folder / "checkpoints").exists()
