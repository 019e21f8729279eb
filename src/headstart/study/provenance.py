"""Provenance: with what a study was made, and which pictures were in which split."""

import csv
import hashlib
import io
import platform
from importlib import metadata

import numpy as np
from numpy.typing import NDArray

from headstart.data.image_set import ImageSet
from headstart.data.tasks import Task
from headstart.study.spec import Study
from headstart.study.workplace import Workplace
from headstart.training.devices import choose_device, describe_device

_PACKAGES = ("headstart", "torch", "numpy", "scipy", "scikit-learn")


def data_hash(images: ImageSet) -> str:
    """SHA-256 over the pictures' content hashes, labels, class names and parts, 16 hex digits."""
    digest = hashlib.sha256()
    digest.update(images.hashes.tobytes())
    digest.update(images.labels.astype("<i8").tobytes())
    digest.update("\x1f".join(images.class_names).encode())
    if images.groups is not None:
        digest.update(images.groups.astype("<i8").tobytes())
    for name in sorted(images.parts):
        digest.update(name.encode() + images.parts[name].astype("<i8").tobytes())
    return digest.hexdigest()[:16]


def provenance(study: Study, images: ImageSet, content_hash: str) -> dict[str, str]:
    """Versions, machine, data and seeds, in words."""
    versions = {name: metadata.version(name) for name in _PACKAGES}
    settings = study.study
    return {
        **{f"{name} version": version for name, version in versions.items()},
        "Python version": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "device": describe_device(choose_device(settings.device)),
        "threads a trial": str(settings.threads),
        "data": f"{images.name}, {len(images)} pictures, content hash {content_hash}",
        "data from": images.origin,
        ("folds, by number" if study.split.folds else "seeds"): ", ".join(map(str, settings.seeds)),
    }


def class_counts(workplace: Workplace) -> list[tuple[str, str, str, int]]:
    """Rows of (task, split, class name, pictures) for the first seed.

    The test split is counted from the pictures' own labels, which needs no look at what a trial
    said of them.
    """
    seed = workplace.study.study.seeds[0]
    tasks = {"target": workplace.task(seed)}
    source = workplace.study.source
    if source is not None and source.trained_here:
        tasks["source"] = workplace.source_task(seed)
    rows = []
    for name, task in tasks.items():
        parts = {"train": task.train_rows, "valid": task.valid_rows}
        if name == "target":
            parts["test"] = task.test.rows
        for part, picked in parts.items():
            rows += [(name, part, label, n) for label, n in _count(task, picked)]
    return rows


def _count(task: Task, rows: NDArray[np.int64]) -> list[tuple[str, int]]:
    numbers = np.bincount(task.numbers(rows), minlength=len(task.class_names))
    return list(zip(task.class_names, numbers.tolist(), strict=True))


def splits_csv(workplace: Workplace) -> str:
    """Which picture was in which split, as CSV: row, content hash, and a column a seed.

    Where the order is as stored there is one column, ``split``, for all seeds; where the study is
    cross-validated a column each (repeat, fold).
    """
    study, images = workplace.study, workplace.images
    seeds = study.study.seeds
    columns = {}
    folds = study.split.folds
    if study.split.order == "stored":
        columns["split"] = _split_column(workplace, seeds[0])
    elif folds:
        names = {n: f"repeat_{n // folds}_fold_{n % folds}" for n in seeds}
        columns = {name: _split_column(workplace, number) for number, name in names.items()}
    else:
        columns = {f"seed_{seed}": _split_column(workplace, seed) for seed in seeds}
    used = np.any([column != "" for column in columns.values()], axis=0)
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["picture", "content_hash", *columns])
    picked = np.flatnonzero(used)
    hashes = images.hashes[picked].astype(str)
    writer.writerows(
        zip(picked.tolist(), hashes.tolist(), *(c[picked].tolist() for c in columns.values()),
            strict=True)
    )  # fmt: skip
    return buffer.getvalue()


def _split_column(workplace: Workplace, seed: int) -> NDArray[np.str_]:
    split = workplace.split(seed)
    column = np.full(len(workplace.images), "", dtype="U5")
    for name in ("train", "valid", "test"):
        column[getattr(split, name)] = name
    return column
