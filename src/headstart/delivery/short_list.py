"""What `fit` measures: a short list of strategies as a study, long enough and no longer."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headstart.data.folders import find_pictures
from headstart.errors import StudyError, nearest
from headstart.study.spec import Study, study_from

AUTO = "auto"
CONTROL = "scratch"

_STEPS, _PROBE_STEPS = 300, 1000  # of training whole networks, and of a head on kept features
_EPOCHS, _PROBE_EPOCHS = (3, 30), (10, 100)
_BATCH_SIZE = 32
_VALID_SHARE = 0.2
_TRAINING_SHARE = (1 - 0.2) * (1 - _VALID_SHARE)  # after the test split has had its fifth
_AFFORDABLE = 2e8
"""Pixels that training a control may take a seed, over all epochs: minutes on two cores."""


def strategy_tables(pictures: int, epochs: int | None = None) -> dict[str, dict[str, Any]]:
    """The strategies that `fit` knows settings for, as a study's tables.

    Small sets get more epochs, so that every strategy makes enough steps to get somewhere.

    Args:
        pictures: How many there are to train on, about.
        epochs: Instead of the number that follows from `pictures`, for all strategies.
    """
    steps = max(1, math.ceil(pictures / _BATCH_SIZE))
    whole = epochs or _within(math.ceil(_STEPS / steps), *_EPOCHS)
    probe = epochs or _within(math.ceil(_PROBE_STEPS / steps), *_PROBE_EPOCHS)
    return {
        "frozen": {"lr": 1e-3, "epochs": probe, "patience": max(5, probe // 5)},
        "freeze_then_thaw": {
            "lr": 1e-3,
            "freeze_epochs": max(1, probe // 4),
            "thaw_lr": 1e-4,
            "epochs": whole,
        },
        "fine_tune": {"lr": 3e-4, "epochs": whole, "schedule": {"name": "cosine", "warmup": 0.1}},
        "scratch": {"lr": 1e-3, "epochs": whole, "schedule": {"name": "cosine", "warmup": 0.1}},
    }


def is_affordable(pictures: int, size: tuple[int, int], epochs: int | None, device: str) -> bool:
    """Whether a control that is trained from scratch can be waited for.

    Args:
        pictures: How many there are to train on, about.
        size: Height and width in pixels.
        epochs: As for `strategy_tables`.
        device: Where it would be trained.
    """
    passes = pictures * strategy_tables(pictures, epochs)[CONTROL]["epochs"]
    return device != "cpu" or passes * math.prod(size) <= _AFFORDABLE


def training_pictures(path: Path) -> int:
    """About how many pictures there will be to train on, told without opening any.

    Raises:
        DataError: As `find_pictures`.
    """
    labelled = [entry for entry in find_pictures(path).entries if entry.label is not None]
    given = sum(entry.split == "train" for entry in labelled)
    return given or round(len(labelled) * _TRAINING_SHARE)


def fit_study(
    *,
    path: Path | None,
    model: str,
    weights: Path | None = None,
    keras: Path | None = None,
    strategy: str = AUTO,
    image_size: int | tuple[int, int] | None = None,
    seeds: int = 3,
    epochs: int | None = None,
    device: str = "cpu",
    threads: int = 1,
    pictures: int = 0,
    control: bool = True,
) -> Study:
    """The study behind a fit.

    Args:
        path: The pictures; None where they are given from Python.
        model: A network of timm's by name.
        weights: Where its weights lie, if not where they are looked for.
        keras: A Keras file instead of `model`.
        strategy: ``"auto"`` for the short list, or the kind of one.
        image_size: Height and width in pixels; what the weights were made for when omitted.
        seeds: How many.
        epochs: As for `strategy_tables`.
        device: Where to train.
        threads: CPU threads a trial.
        pictures: How many there are to train on, about.
        control: Whether the short list has training from scratch as its control.

    Raises:
        StudyError: If there is no such strategy, or it cannot be used.
    """
    tables = strategy_tables(pictures, epochs)
    if strategy == AUTO:
        chosen = {name: table for name, table in tables.items() if control or name != CONTROL}
    else:
        chosen = {strategy: tables.get(strategy, _other(tables, strategy))}
    given = {"path": path, "image_size": image_size}
    source: Mapping[str, Any] = {"pretrained": model, "weights": weights}
    if keras is not None:
        source = {"keras": keras}
    values = {
        "question": f"Which strategy adapts {keras.name if keras else model} best?",
        "data": {key: value for key, value in given.items() if value is not None},
        "source": {key: value for key, value in source.items() if value is not None},
        "split": {"valid": _VALID_SHARE},
        "training": {"optimizer": {"name": "adamw", "weight_decay": 0.01}},
        "strategy": chosen,
        "study": {
            "seeds": seeds,
            "baseline": next(name for name in (CONTROL, *chosen) if name in chosen),
            "device": device,
            "threads": threads,
        },
    }
    return study_from(values)


def _other(tables: Mapping[str, Mapping[str, Any]], strategy: str) -> dict[str, Any]:
    """Settings for a strategy that is not on the short list."""
    from headstart.strategies import strategy_names

    if strategy not in strategy_names():
        raise StudyError(
            f"there is no strategy {strategy!r}: {nearest(strategy, [AUTO, *strategy_names()])}"
        )
    return {"lr": 3e-4, "epochs": tables[CONTROL]["epochs"]}


def _within(value: int, least: int, most: int) -> int:
    return max(least, min(most, value))
