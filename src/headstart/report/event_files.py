"""TensorBoard's event files: every trial's learning curves and hyperparameters.

TensorBoard is for looking at curves, not for claims: test accuracies are not written, so that
nobody chooses by them.
"""

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from headstart.errors import RecordsError, StudyError
from headstart.strategies import Strategy
from headstart.study.results import StudyRecords

FOLDER = "tensorboard"

_ALWAYS = ("kind", "lr", "optimizer.name", "epochs", "steps", "batch_size")
_CURVES = {
    "loss/train": "train_loss",
    "loss/validation": "val_loss",
    "accuracy/validation": "val_accuracy",
}
_KEPT = "kept/accuracy of validation"


def need_tensorboard() -> None:
    """Refuse to go on without the package that event files need.

    Raises:
        StudyError: If it is not installed.
    """
    try:
        import torch.utils.tensorboard  # noqa: F401
    except ModuleNotFoundError as error:
        raise StudyError(
            f"--tensorboard needs {error.name}, which is not installed: "
            "pip install 'headstart[tensorboard]', or leave --tensorboard out"
        ) from error


def write_event_files(records: StudyRecords) -> Path:
    """Write the event files of all finished trials into the study's folder, anew.

    Args:
        records: The study's records.

    Returns:
        The folder for ``tensorboard --logdir``. In it, a trial is a folder
        ``STRATEGY/labels-BUDGET/seed-SEED``.

    Raises:
        StudyError: If TensorBoard is not installed.
        RecordsError: If they cannot be written; what was there is still there.
    """
    need_tensorboard()
    target = records.directory / FOLDER
    making = target.with_name(f".{FOLDER}.{os.getpid()}")
    for left in records.directory.glob(f".{FOLDER}.*"):
        shutil.rmtree(left, ignore_errors=True)  # half-written by a process that was killed
    shown = _varied(list(records.study.strategy.values()))
    try:
        for row in records.rows:
            if row["state"] == "complete":
                settings = _flat(records.study.strategy[row["strategy"]].model_dump(mode="json"))
                chosen = {key: value for key, value in settings.items() if key in shown}
                _write_trial(making / trial_folder(row), row, chosen, _curve(records, row))
        making.mkdir(exist_ok=True)  # also when no trial is finished yet
        shutil.rmtree(target, ignore_errors=True)
        making.rename(target)
    except OSError as error:
        raise RecordsError(f"{target} cannot be written ({error.strerror})") from error
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return target


def trial_folder(row: Mapping[str, Any]) -> Path:
    """A trial's folder below the event files; a strategy's name may hold any character."""
    name = quote(str(row["strategy"]), safe=" ").replace(".", "%2E")
    return Path(name, f"labels-{row['labels']}", f"seed-{row['seed']}")


def _write_trial(
    folder: Path,
    row: Mapping[str, Any],
    settings: Mapping[str, str | float | bool],
    curve: Sequence[Mapping[str, Any]],
) -> None:
    from torch.utils.tensorboard import SummaryWriter
    from torch.utils.tensorboard.summary import hparams

    trial = {"strategy": row["strategy"], "seed": row["seed"], "labels": str(row["labels"])}
    writer: Any = SummaryWriter(str(folder))
    try:
        for summary in hparams({**trial, **settings}, {_KEPT: 0}):  # type: ignore[no-untyped-call]
            writer.file_writer.add_summary(summary)
        for epoch in curve:
            for tag, column in _CURVES.items():
                writer.add_scalar(tag, epoch[column], epoch["epoch"])
        if row["val_accuracy"] is not None:
            last = curve[-1]["epoch"] if curve else 0
            writer.add_scalar(_KEPT, row["val_accuracy"], last)
    finally:
        writer.close()


def _curve(records: StudyRecords, row: Mapping[str, Any]) -> list[dict[str, Any]]:
    trial = ("strategy", "seed", "labels")
    return [each for each in records.curves if all(each[key] == row[key] for key in trial)]


def _varied(strategies: Sequence[Strategy]) -> set[str]:
    """The settings worth showing: a few always, and those that some strategy sets by itself."""
    shown = set(_ALWAYS)
    for strategy in strategies:
        shown.update(_flat(strategy.model_dump(mode="json", exclude_defaults=True)))
    return shown


def _flat(settings: Mapping[str, Any]) -> dict[str, str | float | bool]:
    """Settings as one level of names and plain values; what is not set is left out."""
    return dict(_leaves(settings, ""))


def _leaves(settings: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str | float | bool]]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        elif isinstance(value, str | int | float):
            yield f"{prefix}{key}", value
        elif value is not None:
            yield f"{prefix}{key}", ", ".join(map(str, value))
