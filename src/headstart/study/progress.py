"""What a study tells while it goes on, for whoever shows it."""

from collections.abc import Callable
from dataclasses import dataclass

from headstart.study.records import TrialKey


@dataclass(frozen=True)
class Progress:
    """Where a study stands.

    Attributes:
        total: Trials asked for.
        complete: Trials with a result, earlier calls included.
        failed: Trials that ended without one.
        running: What is in hand, in words.
        said: What just happened, in words; empty when nothing is worth a line.
        seconds_left: An estimate, or None while there is nothing to estimate from.
        trial: The trial that just ended, if one did.
    """

    total: int
    complete: int
    failed: int
    running: tuple[str, ...]
    said: str = ""
    seconds_left: float | None = None
    trial: TrialKey | None = None


Listener = Callable[[Progress], None]


def silent(progress: Progress) -> None:
    """Tell nobody."""
