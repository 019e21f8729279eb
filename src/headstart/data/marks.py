"""Marks: what tells whether a file changed, without reading it.

A file is taken to be unchanged when its length, inode, and its times of modification and of status
change are what they were, all in nanoseconds. The time of status change cannot be set by programs,
so a file that was overwritten and given its old date is noticed. What was found in files that had
just changed is not to be remembered, as another change may bear the same times: clocks of some file
systems go by two seconds. Where times are finer than a millisecond, a tenth of a second is enough.
"""

import os
from pathlib import Path

_SETTLED_AFTER_NS = 2_000_000_000
_FINE_SETTLED_AFTER_NS = 100_000_000

Mark = list[int]
"""Length, inode, time of modification and time of status change, both in nanoseconds."""


def mark_of(path: Path) -> Mark:
    """The mark of a file; empty if it is not there."""
    try:
        facts = path.stat()
    except OSError:
        return []
    return mark_from(facts)


def mark_from(facts: os.stat_result) -> Mark:
    """The mark of a file from what the system says of it."""
    return [facts.st_size, facts.st_ino, facts.st_mtime_ns, facts.st_ctime_ns]


def is_settled(mark: Mark, now_ns: int) -> bool:
    """Whether a file is there and had not changed for a while, so that a change would show."""
    times = mark[2:]
    is_fine = all(each % 1_000_000 for each in times)
    after = min(_FINE_SETTLED_AFTER_NS, _SETTLED_AFTER_NS) if is_fine else _SETTLED_AFTER_NS
    return bool(mark) and max(times) < now_ns - after
