"""What holds for the whole suite."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import settings
from numpy.typing import NDArray

if TYPE_CHECKING:
    from headstart.study.results import Answers, StudyRecords

# A busy machine is no failure, and the same code passes or fails every time. `make fuzz` draws
# other examples each time, to find what these miss.
settings.register_profile("headstart", deadline=None, derandomize=True)
settings.register_profile("fuzz", deadline=None, print_blob=True)
settings.load_profile("headstart")


@pytest.fixture(scope="session", autouse=True)
def _cache_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What the suite keeps is kept apart from the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADSTART_CACHE", str(tmp_path_factory.mktemp("kept")))
        yield


@pytest.fixture
def made_records() -> "Callable[..., StudyRecords]":
    """Records of a study that never was: ``made_records({("frozen", 50): correct, …})``.

    `correct` has the shape (seeds, test pictures). Strategies called ``scratch…`` train from
    scratch, the others transfer. More keywords go to the study's settings or replace records.
    """
    return _made_records


def _made_records(
    correct: Mapping[tuple[str, int | str], NDArray[Any]],
    *,
    seeds: Mapping[tuple[str, int | str], Sequence[int]] | None = None,
    training: int = 200,
    changes: Mapping[str, Any] | None = None,
    **study_settings: Any,
) -> "StudyRecords":
    from headstart.statistics.ledger import next_entry
    from headstart.study.results import StudyRecords
    from headstart.study.spec import study_from

    names = list(dict.fromkeys(name for name, _ in correct))
    budgets = list(dict.fromkeys(labels for _, labels in correct))
    by_seed = {key: list((seeds or {}).get(key, range(len(own)))) for key, own in correct.items()}
    study = study_from(
        {
            "question": "Does it help?",
            "task": {"classes": ["cat", "dog"]},
            "source": {},
            "network": {"kind": "mlp", "hidden": [16, 8]},
            "training": {"optimizer": "sgd", "lr": 0.1, "epochs": 2},
            "strategy": {
                name: {"kind": "scratch" if name.startswith("scratch") else "frozen"}
                for name in names
            },
            "study": {
                "seeds": sorted({seed for own in by_seed.values() for seed in own}),
                "labels": budgets,
                **study_settings,
            },
        }
    )
    pictures = next(iter(correct.values())).shape[1]
    truth = np.arange(pictures) % 2
    made: dict[str, Any] = {
        "study": study,
        "directory": Path("never-was"),
        "rows": [
            _row(name, labels, seed) for (name, labels), own in by_seed.items() for seed in own
        ],
        "curves": [],
        "sources": {},
        "test_labels": truth,
        "test_groups": None,
        "test_reads": [next_entry([], when="2026", split="a", reader="compare", purpose="score")],
        "design": None,
        "search": {},
        "gate": {},
        "fold_answers": {},
        "resampling": None,
        "answers": {
            key: _answers(key, by_seed[key], np.asarray(own, dtype=bool), truth)
            for key, own in correct.items()
        },
        "validation": {},
        "class_names": ("cat", "dog"),
        "examples": [],
        "mistakes": [],
        "class_counts": [("target", "train", name, training // 2) for name in ("cat", "dog")],
        "provenance": {},
    }
    return StudyRecords(**{**made, **(changes or {})})


def _row(name: str, labels: int | str, seed: int) -> dict[str, Any]:
    row = {"strategy": name, "seed": seed, "labels": str(labels), "state": "complete"}
    numbers = {"trainable_parameters": 10, "total_parameters": 20, "fit_seconds": 1.0, "epochs": 2}
    scores = {"val_accuracy": 0.5, "test_accuracy": 0.5, "test_log_loss": 0.7, "error": None}
    return {**row, **numbers, **scores}


def _answers(
    key: tuple[str, int | str], seeds: Sequence[int], right: NDArray[np.bool_], truth: NDArray[Any]
) -> "Answers":
    from headstart.study.results import Answers

    said = np.where(right, truth, 1 - truth)
    probabilities = np.where(said[..., None] == np.arange(2), 0.9, 0.1).astype(np.float32)
    name, labels = key
    return Answers(name, labels, tuple(seeds), probabilities, right)  # type: ignore[arg-type]
