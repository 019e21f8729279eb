"""A study small enough to be compared in a second."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from headstart.data.image_set import ImageSet
from headstart.study.spec import Study, study_from

SMALL: dict[str, Any] = {
    "question": "Do other digits help?",
    "split": {"valid": 0.2, "test": 0.3},
    "task": {"classes": ["0", "1", "2"]},
    "source": {},
    "network": {"kind": "mlp", "hidden": [16, 8]},
    "training": {"optimizer": "sgd", "lr": 0.1, "epochs": 2},
    "strategy": {"scratch": {}, "frozen": {}},
    "study": {"seeds": 2, "labels": [60, "all"]},
}


@pytest.fixture(scope="session")
def digits() -> ImageSet:
    bunch = load_digits()
    return ImageSet.from_arrays(np.rint(bunch.images * 15).astype(np.uint8), bunch.target)


@pytest.fixture
def small_study() -> Callable[..., Study]:
    """The small study with tables changed: ``small_study(training={"epochs": 1})``."""

    def make(**changes: Any) -> Study:
        values = {key: SMALL[key] for key in SMALL}
        for key, change in changes.items():
            merges = isinstance(change, dict) and key not in ("strategy", "network")
            values[key] = {**values.get(key, {}), **change} if merges else change
        return study_from({key: value for key, value in values.items() if value is not None})

    return make


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "answers"
