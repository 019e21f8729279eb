"""Pictures that belong together: on one side of every split, and drawn together."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from headstart.data.image_set import ImageSet
from headstart.report.results import Results
from headstart.statistics.intervals import mean_interval
from headstart.statistics.paired import compare_pairs
from headstart.study.spec import Study

Make = Callable[..., Study]
Compare = Callable[..., Results]


@pytest.fixture
def patients(digits: ImageSet) -> ImageSet:
    """Each picture three times with one pixel changed, as a patient's photographs."""
    rows = np.flatnonzero(digits.labels < 3)[:150].repeat(3)
    pictures = digits.pictures[rows].copy()
    pictures[:, 0, 0, 0] = np.arange(len(rows)) % 3
    labels = digits.labels[rows].astype(str)
    return ImageSet.from_arrays(pictures, labels, groups=np.arange(150).repeat(3))


def test_groups_are_kept_together_and_make_intervals_as_wide_as_they_must_be(
    small_study: Make, patients: ImageSet, folder: Path, compare: Compare
) -> None:
    study = small_study(
        source=None,
        strategy={"scratch": {}, "faster": {"kind": "scratch", "lr": 0.3}},
        study={"seeds": 6, "labels": ["all"]},
    )
    results = compare(study, folder, images=patients)

    groups = results.records.test_groups
    assert groups is not None
    assert (np.unique(groups, return_counts=True)[1] == 3).all()
    a, b = (results.records.answers[name, "all"].correct for name in ("faster", "scratch"))
    together = compare_pairs(a, b, groups=groups)
    (entry,) = results.summary["comparisons"]
    assert (entry["low"], entry["high"]) == (together.low, together.high)
    shown = results.summary["strategies"][0]["accuracy"]
    grouped, alone = mean_interval(b, groups=groups), mean_interval(b)
    assert (shown["low"], shown["high"]) == (grouped.low, grouped.high)
    assert grouped.low is not None
    assert alone.low is not None
    assert grouped.low < alone.low
