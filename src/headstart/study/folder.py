"""A study's folder: made, locked, begun anew, its files written whole or not at all."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock
import tomlkit

from headstart.errors import RecordsError
from headstart.study.spec import Study


@contextmanager
def study_folder(directory: Path, *, fresh: bool) -> Iterator[Path]:
    """Make and hold a study's folder; only one process can compare in it at a time.

    Args:
        directory: The folder; made when it is not there.
        fresh: Begin anew; what is there is kept under another name.

    Raises:
        RecordsError: If the folder cannot be written, is no study's, or is held by another process.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(directory.parent / f".{directory.name}.lock", timeout=0)
        with lock:
            if fresh and any(directory.iterdir()):
                _check_is_study(directory)
                directory.rename(_unused(directory))
                directory.mkdir()
            yield directory
    except filelock.Timeout:
        raise RecordsError(
            f"another process is comparing in {directory}: wait for it, or give another --output"
        ) from None
    except (PermissionError, NotADirectoryError, FileExistsError) as error:
        raise RecordsError(
            f"the folder {directory} cannot be written ({error.strerror}): give another --output"
        ) from error


def _check_is_study(directory: Path) -> None:
    """Refuse to move a folder away that is not ours."""
    if not any((directory / name).exists() for name in ("study.sqlite", "study.toml")):
        raise RecordsError(
            f"{directory} is not a study's folder, so --fresh leaves it alone: give another "
            "--output"
        )


def _unused(directory: Path) -> Path:
    """A name beside a folder for what it held until now."""
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
            f"{path} cannot be written ({error.strerror}): make room on the disk, or give another "
            "--output"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
    return path


def resolved_toml(study: Study, provenance: dict[str, str]) -> str:
    """A study with every default spelled out, as TOML that headstart reads again.

    Args:
        study: The study.
        provenance: Versions and the like, written as comments at the top.
    """
    document = tomlkit.document()
    for key, value in provenance.items():
        document.add(tomlkit.comment(f"{key}: {value}"))
    for key, setting in _without_none(study.model_dump(mode="json")).items():
        document[key] = setting
    return tomlkit.dumps(document)


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
