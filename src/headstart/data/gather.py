"""Gathering a data set's files from mirrors, believing none of them."""

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

from headstart.data.facts import KnownFile, SetFacts
from headstart.data.formats import unpacked
from headstart.data.mirrors import FolderMirror
from headstart.data.progress import Meter
from headstart.data.transfer import MirrorError
from headstart.errors import DataError


def gather(facts: SetFacts, by_hand: Path, work: Path, damage: str | None = None) -> Path:
    """Bring all files of a data set together, each checked by size and SHA-256.

    Mirrors are tried in turn until nothing is missing; a file that is wrong is left to the next.

    Args:
        facts: What the set consists of.
        by_hand: Where a user may have put files himself; looked at first.
        work: An empty folder to work in.
        damage: Why the set has to be gathered again, if it was here; told if nothing comes.

    Returns:
        The folder in `work` where the files lie.

    Raises:
        DataError: If a file is missing in the end; it lists each mirror with its reason, and what
            to put where by hand.
    """
    gathered = work / "files"
    gathered.mkdir()
    missing = list(facts.files)
    reasons = [f"what was kept in {by_hand}: {damage}"] if damage else []
    with Meter(facts.title) as meter:
        for number, mirror in enumerate([FolderMirror(by_hand), *facts.mirrors]):
            into = work / f"mirror-{number}"
            into.mkdir()
            meter.begin(mirror.title)
            try:
                found = mirror.deliver([file.name for file in missing], into, meter)
                missing, problems = _take(missing, found, gathered, facts.archives)
            except (MirrorError, DataError) as error:
                problems = [str(error)]
            shutil.rmtree(into)
            if not missing:
                return gathered
            reasons.append(f"{mirror.title}: {'; '.join(problems)}")
    raise _nowhere(facts, by_hand, reasons)


def _take(
    missing: Sequence[KnownFile], found: Path, gathered: Path, archives: Sequence[str]
) -> tuple[list[KnownFile], list[str]]:
    """Take over the files that are right; returns those still missing, and why."""
    still, problems = [], []
    for file in missing:
        try:
            content = unpacked(found, file.name, file.bytes, archives)
            if content is None:
                raise DataError(f"{file.name} is not there")
            _check(file, content)
        except DataError as error:
            still.append(file)
            problems.append(str(error))
        else:
            (gathered / file.name).write_bytes(content)
    if len(still) > 1 and all(problem.endswith(" is not there") for problem in problems):
        problems = [f"none of the {len(still)} files is there"]
    return still, problems


def _check(file: KnownFile, content: bytes) -> None:
    if len(content) != file.bytes:
        told = "more" if len(content) > file.bytes else f"{len(content):,} bytes"
        raise DataError(f"{file.name} holds {told}, expected {file.bytes:,} bytes")
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise DataError(f"{file.name} has another SHA-256 than the catalogue")


def _nowhere(facts: SetFacts, by_hand: Path, reasons: Sequence[str]) -> DataError:
    packed = f" or inside {facts.archives[0]}" if facts.archives else ""
    return DataError(
        f"no mirror delivers the data set {facts.name!r}:",
        *(f"  {reason}" for reason in reasons),
        f"to put it there by hand, place these files in {by_hand} and ask again (gzipped{packed} "
        f"is fine too; size and SHA-256 are of the unpacked content; home: {facts.home}):",
        *(f"  {file.name}  {file.bytes:,} bytes  SHA-256 {file.sha256}" for file in facts.files),
    )
