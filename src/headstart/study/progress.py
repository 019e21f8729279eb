"""What a study tells while it goes on, for whoever shows it."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """Where a study stands.

    Attributes:
        doing: What goes on now, in words: reading, checking, training, scoring.
        total: Trials asked for; 0 while that is not known yet.
        complete: Trials with a result, earlier calls included.
        failed: Trials that ended without one.
        running: What is in hand, in words.
        said: What just happened, in words; empty when nothing is worth a line.
        failure: Why what just happened is a failure; empty when it is none.
        detail: How far that is, where it goes on for long.
        seconds_left: An estimate, or None while there is nothing to estimate from.
    """

    doing: str
    total: int = 0
    complete: int = 0
    failed: int = 0
    running: tuple[str, ...] = ()
    said: str = ""
    failure: str = ""
    seconds_left: float | None = None
    detail: str = ""


Listener = Callable[[Progress], None]


def silent(progress: Progress) -> None:
    """Tell nobody."""
