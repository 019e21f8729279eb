"""A fresh test split in the same folder, for when the one before was read as often as it may be.

What was found on the split before stays as it was, in a folder of its own below the study's; only
the ledger of test reads goes on, so that it still tells everything that was ever looked at.
"""

from pathlib import Path

from headstart.errors import RecordsError
from headstart.study.database import FILE_NAME
from headstart.study.folder import WRITTEN
from headstart.study.records import Records
from headstart.study.spec import Study

_NEXT = f".{FILE_NAME}.next"
_MOVED = (
    *WRITTEN,
    "sources",
    "search",
    f"{FILE_NAME}-wal",
    f"{FILE_NAME}-shm",
    FILE_NAME,
)  # records last


def closed_folder(number: int) -> str:
    """Where, below the study's folder, a test split's records lie once another was named."""
    return f"split-{number}"


def enter_split(folder: Path, study: Study) -> None:
    """Bring a folder to the test split that the study names with ``split.number``.

    Killed in the middle, the same call ends what was begun.

    Args:
        folder: The study's folder, held by this process.
        study: What is asked.

    Raises:
        RecordsError: If the folder is on another split than this one or the one before it.
    """
    number = study.split.number
    if not (folder / FILE_NAME).exists():
        if (folder / _NEXT).exists():
            (folder / _NEXT).replace(folder / FILE_NAME)
        return
    now = _number_of(folder)
    if now is None or now == number:
        return
    if now > number:
        raise RecordsError(
            f"{folder} is on test split {now}; split {number} is closed, and what it showed lies "
            f"in {folder / closed_folder(number)}: state split.number = {now}, or give another "
            "--output"
        )
    if number > now + 1:
        raise RecordsError(
            f"{folder} is on test split {now}, so the next fresh one is {now + 1}: state "
            f"split.number = {now + 1}"
        )
    closed = folder / closed_folder(now)
    if (closed / FILE_NAME).exists():
        raise RecordsError(f"{closed} holds records already: rename it, and give the command again")
    _begin(folder)
    closed.mkdir(exist_ok=True)
    for name in _MOVED:
        if (folder / name).exists():
            (folder / name).replace(closed / name)
    (folder / _NEXT).replace(folder / FILE_NAME)


def _number_of(folder: Path) -> int | None:
    """The test split that a folder is on; None while it holds no trial."""
    records = Records.open(folder, create=True)
    try:
        studied = list(records.configurations().values())
    finally:
        records.close()
    return int(studied[0]["split"].get("number", 1)) if studied else None


def _begin(folder: Path) -> None:
    """Lay down the next split's records beside the old ones; only the ledger is carried over."""
    for left in folder.glob(f"{_NEXT}*"):
        left.unlink()
    before = Records.open(folder, create=True)
    try:
        entries = before.test_reads()
    finally:
        before.close()
    after = Records.at(folder / _NEXT)
    try:
        after.carry_test_reads(entries)
    finally:
        after.close()
