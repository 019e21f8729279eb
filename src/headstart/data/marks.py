"""Marks: what tells whether a file changed, without reading it.

A file is taken to be unchanged when its length, inode, and its times of modification and of status
change are what they were, all in nanoseconds. The time of status change cannot be set by programs,
so a file that was overwritten and given its old date is noticed. What was found in files that had
just changed (within two seconds) is not to be remembered: clocks of file systems are that coarse.
"""

from pathlib import Path

_SETTLED_AFTER_NS = 2_000_000_000

Mark = list[int]
"""Length, inode, time of modification and time of status change, both in nanoseconds."""


def mark_of(path: Path) -> Mark:
    """The mark of a file; empty if it is not there."""
    try:
        facts = path.stat()
    except OSError:
        return []
    return [facts.st_size, facts.st_ino, facts.st_mtime_ns, facts.st_ctime_ns]


def is_settled(mark: Mark, now_ns: int) -> bool:
    """Whether a file is there and had not changed for a while, so that a change would show."""
    return bool(mark) and max(mark[2:]) < now_ns - _SETTLED_AFTER_NS
