"""What `fit` measures: a short list of strategies as a study, long enough and no longer."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headstart.data.folders import find_pictures
from headstart.data.image_set import ImageSet
from headstart.errors import StudyError, nearest
from headstart.study.spec import Study, study_from

AUTO = "auto"
CONTROL = "scratch"

_STEPS = 100  # of training a whole network, if there are not many pictures
_EPOCHS = (3, 20)
_FROZEN_EPOCHS = 100  # at most; of a head on kept features they take next to nothing
_BATCH_SIZE = 32
_VALID_SHARE = 0.2  # of what the test split leaves, where the pictures have none of their own
_TEST_SHARE = 0.2  # as in `headstart.data.splits`
_AFFORDABLE = 2e8
"""Pixels that training a control may take a seed, over all epochs: minutes on two cores."""


def strategy_tables(pictures: int, epochs: int | None = None) -> dict[str, dict[str, Any]]:
    """The short list, as a study's tables: probe, head then fine-tune, fine-tune, control.

    Small sets get more epochs, so that every strategy makes enough steps to get somewhere.

    Args:
        pictures: How many there are to train on, about.
        epochs: Instead of the number that follows from `pictures`, for all strategies.
    """
    steps = max(1, math.ceil(pictures / _BATCH_SIZE))
    whole = epochs or max(_EPOCHS[0], min(_EPOCHS[1], math.ceil(_STEPS / steps)))
    cosine = {"name": "cosine", "warmup": 0.1}
    return {
        "probe": {},
        "lp_ft": {"lr": 1e-4, "epochs": whole},
        "fine_tune": {"lr": 3e-4, "epochs": whole, "schedule": cosine},
        "scratch": {"lr": 1e-3, "epochs": whole, "schedule": cosine},
    }


def _settings(strategy: str, pictures: int, epochs: int | None) -> dict[str, Any]:
    """The settings of one strategy that is asked for.

    Raises:
        StudyError: If there is no such strategy.
    """
    from headstart.strategies import find_strategy, strategy_names

    tables = strategy_tables(pictures, epochs)
    if strategy in tables:
        return tables[strategy]
    kind = find_strategy(strategy)
    if kind is None:
        raise StudyError(
            f"there is no strategy {strategy!r}: {nearest(strategy, [AUTO, *strategy_names()])}"
        )
    if not kind.takes_training:
        return {}
    whole = tables[CONTROL]["epochs"]
    if strategy == "frozen":
        many = epochs or _FROZEN_EPOCHS
        return {"lr": 1e-3, "epochs": many, "patience": max(5, many // 10)}
    if strategy == "freeze_then_thaw":
        return {"lr": 1e-3, "freeze_epochs": whole, "thaw_lr": 1e-4, "epochs": whole}
    return {"lr": 3e-4, "epochs": whole}


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


@dataclass(frozen=True)
class Counted:
    """What is known of pictures before any is opened.

    Attributes:
        training: How many there will be to train on, about.
        has_valid: Whether they come with a validation split of their own.
    """

    training: int
    has_valid: bool


def count_pictures(pictures: Path | ImageSet) -> Counted:
    """Count pictures by split, without opening any.

    Raises:
        DataError: As `find_pictures`.
    """
    if isinstance(pictures, ImageSet):
        parts = {name: len(rows) for name, rows in pictures.parts.items()}
        total = len(pictures)
    else:
        labelled = [each for each in find_pictures(pictures).entries if each.label is not None]
        parts = dict(Counter(each.split for each in labelled if each.split is not None))
        total = len(labelled)
    left = parts.get("train") or total - sum(parts.values())
    has_valid = "valid" in parts
    share = (1.0 if "test" in parts else 1 - _TEST_SHARE) * (1.0 if has_valid else 1 - _VALID_SHARE)
    return Counted(round(left * share), has_valid)


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
    counted: Counted = Counted(0, False),
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
        counted: What is known of the pictures.
        control: Whether the short list has training from scratch as its control.

    Raises:
        StudyError: If there is no such strategy, or it cannot be used.
    """
    if strategy == AUTO:
        tables = strategy_tables(counted.training, epochs).items()
        chosen = {name: table for name, table in tables if control or name != CONTROL}
    else:
        chosen = {strategy: _settings(strategy, counted.training, epochs)}
    given = {"path": path, "image_size": image_size}
    source: Mapping[str, Any] = {"pretrained": model, "weights": weights}
    if keras is not None:
        source = {"keras": keras}
    values = {
        "question": f"Which strategy adapts {keras.name if keras else model} best?",
        "data": {key: value for key, value in given.items() if value is not None},
        "source": {key: value for key, value in source.items() if value is not None},
        "split": {} if counted.has_valid else {"valid": _VALID_SHARE},
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
