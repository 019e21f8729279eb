"""A study's folder: made, locked, begun anew, its files written whole or not at all."""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import filelock
import tomlkit

from headstart.errors import RecordsError
from headstart.study.database import FILE_NAME
from headstart.study.spec import Study

WRITTEN = ("study.toml", "splits.csv", "trials.csv", "summary.json", "report.html")
"""What a study leaves in its folder beside the records and the sources."""

_LOCK = ".lock"


@contextmanager
def study_folder(directory: Path, *, fresh: bool = False) -> Iterator[Path]:
    """Make and hold a study's folder; only one process can compare in it at a time.

    A folder that was made for nothing, because the study cannot be trained, is removed again.

    Args:
        directory: The folder; made when it is not there.
        fresh: Begin anew; what is there is kept under another name.

    Raises:
        RecordsError: If the folder cannot be written, is no study's, or is held by another process.
    """
    directory = directory.absolute()
    try:
        _check_is_ours(directory, fresh=fresh)
        is_new = not directory.exists()
        directory.mkdir(parents=True, exist_ok=True)
        if fresh and not is_new:
            with _held(directory):
                pass
            directory.rename(unused_name(directory))
            directory.mkdir()
        lock = _held(directory)
        lock.acquire()
    except filelock.Timeout:
        raise RecordsError(
            f"another process is comparing in {directory}: wait for it, or give another --output"
        ) from None
    except OSError as error:
        raise RecordsError(
            f"the folder {directory} cannot be written ({error.strerror}): give another --output"
        ) from error
    try:
        _sweep(directory)
        yield directory
    finally:
        lock.release()
        if is_new and {path.name for path in directory.iterdir()} <= {_LOCK}:
            shutil.rmtree(directory, ignore_errors=True)


def _held(directory: Path) -> filelock.BaseFileLock:
    return filelock.FileLock(directory / _LOCK, timeout=0)


def _check_is_ours(directory: Path, *, fresh: bool) -> None:
    """Refuse to move or overwrite what is not a study's."""
    there = sorted(path.name for path in directory.iterdir()) if directory.is_dir() else []
    if FILE_NAME in there or not set(there) - {_LOCK}:
        return
    if fresh:
        raise RecordsError(
            f"{directory} holds no records of a study ({FILE_NAME}), so --fresh leaves it alone: "
            "give another --output"
        )
    in_the_way = [name for name in there if name in WRITTEN]
    if in_the_way:
        raise RecordsError(
            f"{directory} holds {', '.join(in_the_way)} but no records of a study ({FILE_NAME}): "
            "give another --output, so that nothing is overwritten"
        )


def _sweep(directory: Path) -> None:
    """Remove half-written files that a killed process left; whoever holds the folder may."""
    for name in WRITTEN:
        for left in directory.glob(f".{name}.*"):
            left.unlink(missing_ok=True)
    for left in (directory / "sources").glob(".*"):
        left.unlink(missing_ok=True)


def unused_name(directory: Path) -> Path:
    """A name beside a folder for what it held until now.

    Raises:
        RecordsError: If there is none.
    """
    stamp = time.strftime("%Y-%m-%dT%H%M%S")
    for number in range(1000):
        name = directory.with_name(f"{directory.name}.{stamp}{f'-{number}' if number else ''}")
        if not name.exists():
            return name
    raise RecordsError(f"no unused name beside {directory}")


def write_whole(path: Path, content: str | bytes) -> Path:
    """Write a file whole or not at all.

    Raises:
        RecordsError: If it cannot be written; what was there is still there.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    data = content.encode() if isinstance(content, str) else content
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError as error:
        raise RecordsError(
            f"{path} cannot be written ({error.strerror}): make room on the disk and give the same "
            "command again (what was trained is kept), or give another --output"
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink()
    return path


def resolved_toml(study: Study, provenance: dict[str, str]) -> str:
    """A study with every default spelled out, as TOML that headstart reads again.

    Args:
        study: The study.
        provenance: Versions and the like, written as comments at the top.
    """
    document = tomlkit.document()
    for key, value in provenance.items():
        document.add(tomlkit.comment(" ".join(f"{key}: {value}".split())))
    values = study.model_dump(mode="json")
    if (
        study.source is not None
        and study.source.file
        and "scaling" not in study.data.model_fields_set
    ):
        del values["data"]["scaling"]  # it is the source's, whatever that is
    _leave_out_unset_batch_norm(study, values)
    for key, setting in _without_none(values).items():
        document[key] = setting
    return tomlkit.dumps(document)


def _leave_out_unset_batch_norm(study: Study, values: dict[str, Any]) -> None:
    """Where the network has no BatchNorm it would be refused, so that only what was set is told."""
    tables = [(study.training, values["training"])]
    tables += [(own, values["strategy"][name]) for name, own in study.strategy.items()]
    if study.source is not None:
        tables.append((study.source.training, values["source"]["training"]))
    for own, table in tables:
        if "batch_norm" not in own.model_fields_set:
            del table["batch_norm"]


def _without_none(value: object) -> dict[str, object]:
    """TOML has no null: what is None is left out."""

    def cleaned(item: object) -> object:
        if isinstance(item, dict):
            return {key: cleaned(inner) for key, inner in item.items() if inner is not None}
        if isinstance(item, list | tuple):
            return [cleaned(inner) for inner in item]
        return item

    result = cleaned(value)
    assert isinstance(result, dict)
    return result
