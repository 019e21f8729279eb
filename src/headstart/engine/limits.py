"""Limits: what a study may take of a machine, and what a process takes now."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from headstart.data.sizes import parse_size
from headstart.errors import StudyError


@dataclass(frozen=True)
class MachineLimits:
    """What a study may take of the machine; None where that is left open.

    They change how a study is done, not what it means.

    Attributes:
        memory: Bytes, of all processes together.
        disk: Bytes of features that are kept.
        threads: Of all processes together.
        disk_share: Bytes that one entry of features may take, as the leading process reckoned it
            from `disk` for the whole study; worker processes, and searches, keep to the same.
    """

    memory: int | None = None
    disk: int | None = None
    threads: int | None = None
    disk_share: int | None = None

    @classmethod
    def parsed(
        cls,
        memory: str | int | None = None,
        disk: str | int | None = None,
        threads: int | None = None,
    ) -> "MachineLimits":
        """Limits from words such as ``8GB``.

        Raises:
            StudyError: If they are none; all problems at once.
        """
        sizes: dict[str, int | None] = {}
        problems: list[str] = []
        for name, text in (("memory", memory), ("disk", disk)):
            try:
                sizes[name] = None if text is None else parse_size(text, f"--{name}")
            except StudyError as error:
                problems += error.problems
        if threads is not None and threads < 1:
            problems.append(f"--threads {threads}: expected at least 1")
        if problems:
            raise StudyError(*problems)
        return cls(sizes["memory"], sizes["disk"], threads)

    @property
    def processors(self) -> int:
        """How many threads may work at a time."""
        there = os.cpu_count() or 1
        return there if self.threads is None else min(there, self.threads)


NO_LIMITS = MachineLimits()


def resident_bytes() -> int:
    """What this process has in memory now; where the system does not tell, the most it ever had."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return peak_bytes()


def mapped_bytes() -> int:
    """What of mapped files this process has in memory now; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[2])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


def peak_bytes() -> int:
    """The most that this process ever had in memory; 0 where the system does not tell."""
    try:
        import resource
    except ImportError:  # there is none on Windows
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
