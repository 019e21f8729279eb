"""Every read of the test split, in a chain that cannot be mended unnoticed.

Each entry holds the hash of the one before it, so an entry that is changed, dropped or slipped in
breaks the chain from there on. These are pure functions on entries; where they are kept is for
the records to decide. Appending at the end is allowed by design; to notice that the *end* was cut
off, keep the last digest elsewhere too (the report prints it).
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from headstart.errors import RecordsError

START = "0" * 64


@dataclass(frozen=True)
class Entry:
    """One read of a test split.

    Attributes:
        number: 0, 1, 2 … in order.
        when: Time in UTC, ISO 8601.
        split: What identifies the test split, its content hash.
        reader: What read it, for example the command.
        purpose: What for, for example "frozen against scratch, 200 labels".
        reads: How many comparisons it served; that is what a budget counts.
        previous: Digest of the entry before, 64 zeros for the first.
        digest: SHA-256 over all the rest, in hex.
    """

    number: int
    when: str
    split: str
    reader: str
    purpose: str
    reads: int
    previous: str
    digest: str


def next_entry(
    entries: Sequence[Entry], *, when: str, split: str, reader: str, purpose: str, reads: int = 1
) -> Entry:
    """The entry to append after these.

    Args:
        entries: The chain so far, in order.
        when: Time in UTC, ISO 8601.
        split: What identifies the test split.
        reader: What reads it.
        purpose: What for.
        reads: Comparisons served, at least 1.

    Raises:
        RecordsError: If the chain so far is broken, or `reads` is below 1.
    """
    check_chain(entries)
    if reads < 1:
        raise RecordsError(f"an entry must count at least 1 read, not {reads}")
    entry = Entry(
        number=len(entries),
        when=when,
        split=split,
        reader=reader,
        purpose=purpose,
        reads=reads,
        previous=entries[-1].digest if entries else START,
        digest="",
    )
    return Entry(**{**asdict(entry), "digest": _digest(entry)})


def check_chain(entries: Sequence[Entry]) -> None:
    """Refuse a chain that was tampered with.

    Raises:
        RecordsError: Naming the first entry that does not fit.
    """
    previous = START
    for position, entry in enumerate(entries):
        if entry.number != position:
            problem = f"is numbered {entry.number}: an entry was dropped or slipped in"
        elif entry.previous != previous:
            problem = "does not follow the one before it: an entry was dropped or slipped in"
        elif entry.digest != _digest(entry):
            problem = "does not match its own digest: it was changed after it was written"
        else:
            previous = entry.digest
            continue
        raise RecordsError(
            f"the ledger of test reads is broken: entry {position} ({entry.when}, "
            f"{entry.purpose}) {problem}; the reads of this test split can no longer be trusted, "
            "name a fresh one"
        )


def reads_of(entries: Sequence[Entry], split: str) -> int:
    """How many comparisons this test split has served."""
    return sum(entry.reads for entry in entries if entry.split == split)


def _digest(entry: Entry) -> str:
    content = {key: value for key, value in asdict(entry).items() if key != "digest"}
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
