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
        said: What just happened, in words; empty when nothing is worth a line. While there are no
            trials to count (`total` is 0), the whole of what is told.
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


def duration_words(seconds: float) -> str:
    """A duration: "0.42 s", "12.3 s", "2 min 05 s", "1 h 10 min"."""
    if seconds < 59.95:
        return f"{seconds:.2f} s" if seconds < 9.995 else f"{seconds:.1f} s"
    total = round(seconds)
    minutes = f"{total // 60} min {total % 60:02d} s"
    return minutes if total < 3600 else f"{total // 3600} h {total % 3600 // 60:02d} min"


Listener = Callable[[Progress], None]


def silent(progress: Progress) -> None:
    """Tell nobody."""
