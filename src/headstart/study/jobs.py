"""Jobs: one source or one trial to train, and what may come of it.

A job is done in the leading process or in a worker's; neither this file nor what it needs at once
imports PyTorch, so that a worker can say why it could not start.
"""

import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from headstart.errors import HeadstartError, RecordsError

if TYPE_CHECKING:
    from headstart.study.records import SourceOutcome, TrialKey, TrialOutcome
    from headstart.study.workplace import Workplace


@dataclass(frozen=True)
class Job:
    """One source (`trial` is None) or one trial.

    Attributes:
        seed: The seed whose source to train, or the trial's.
        trial: The trial.
        needs_source: Whether the seed's source must be there first.
    """

    seed: int
    trial: "TrialKey | None" = None
    needs_source: bool = False

    def __str__(self) -> str:
        if self.trial is None:
            return f"source, seed {self.seed}"
        labels = "all labels" if self.trial.labels == "all" else f"{self.trial.labels} labels"
        return f"{self.trial.strategy}, seed {self.seed}, {labels}"


@dataclass(frozen=True)
class Failure:
    """Why a job ended without a result; the others go on."""

    reason: str


@dataclass(frozen=True)
class Halt:
    """Why no job can go on, for example because the study's folder cannot be written."""

    problems: tuple[str, ...]


if TYPE_CHECKING:
    Result: TypeAlias = SourceOutcome | TrialOutcome | Failure | Halt


@dataclass(frozen=True)
class Ended:
    """A job that has ended.

    Attributes:
        result: What came of it.
        seconds: How long it was worked on.
    """

    result: "Result"
    seconds: float


def perform(workplace: "Workplace", job: Job) -> Ended:
    """Do one job; a mistake of its own is a result, too."""
    start = time.monotonic()
    result: Result
    try:
        if job.trial is None:
            result = workplace.train_source(job.seed)
        else:
            result = workplace.fit_trial(job.trial)
    except RecordsError as error:
        result = Halt(error.problems)
    except HeadstartError as error:
        result = Failure(str(error))
    except Exception as error:  # whatever it is, it must not take the other trials with it
        result = Failure(explain(error))
    return Ended(result, time.monotonic() - start)


def explain(error: BaseException) -> str:
    """An unforeseen error in one line: its kind, what it says, and where it arose."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())}{place}"
