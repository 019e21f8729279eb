"""Errors that a user can mend: what happened, what was expected, how to go on.

Every error that headstart raises on purpose is a `HeadstartError`. The command line prints it
without a traceback and ends with exit code 2.
"""

import difflib
from collections.abc import Iterable, Sequence


class HeadstartError(Exception):
    """A mistake in what was asked for, told so that it can be mended.

    Several problems may be told at once: each is one line of the message.

    Attributes:
        problems: One sentence each, in the order found.
    """

    def __init__(self, *problems: str) -> None:
        self.problems: tuple[str, ...] = problems
        super().__init__("\n".join(problems))


class StudyError(HeadstartError):
    """A study file or a study's settings cannot be used as they stand."""


class DataError(HeadstartError):
    """Pictures, labels, classes, splits or their files are not usable."""


class NetworkError(HeadstartError):
    """A network, its weights or its head cannot be built, loaded or used."""


class RecordsError(HeadstartError):
    """A study's folder or its records cannot be read, continued or written."""


class TrainingError(HeadstartError):
    """A fit cannot go on, for example because its loss is no longer a number."""


def nearest(name: str, names: Iterable[str]) -> str:
    """The hint to add after an unknown name: the nearest valid one, and the whole list.

    Args:
        name: What was given.
        names: What would have been valid.

    Returns:
        For example ``"did you mean 'adam'? Known: adadelta, adam, adamw, sgd"``.
    """
    known: Sequence[str] = sorted(set(names))
    folded = {valid.casefold(): valid for valid in known}
    close = difflib.get_close_matches(name.casefold(), list(folded), n=1, cutoff=0.5)
    hint = f"did you mean {folded[close[0]]!r}? " if close else ""
    return f"{hint}Known: {', '.join(known) if known else '(none)'}"
