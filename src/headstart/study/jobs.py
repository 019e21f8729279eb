"""Jobs: one source or one trial to train, stacks of them, and what may come of it.

A stack is done in the leading process or in a worker's; neither this file nor what it needs at once
imports PyTorch, so that a worker can say why it could not start.
"""

import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
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
class Stack:
    """Jobs that are done together: sources that are alike, or trials (`headstart.engine.stacks`).

    Attributes:
        jobs: At least one.
    """

    jobs: tuple[Job, ...]

    def __str__(self) -> str:
        more = len(self.jobs) - 1
        return f"{self.jobs[0]}" + (f", stacked with {more} more" if more else "")


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
    """A stack that has ended.

    Attributes:
        results: What came of its jobs, in their order.
        seconds: How long they were worked on, together.
        work: The same by the clock that estimates are told by, without features that were made.
        features: Cut → seconds of that clock that making its features took on the way.
    """

    results: "tuple[Result, ...]"
    seconds: float
    work: float = 0.0
    features: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def alike(cls, stack: Stack, result: "Result", seconds: float = 0.0) -> "Ended":
        """The same came of all jobs."""
        return cls((result,) * len(stack.jobs), seconds)


def perform(workplace: "Workplace", stack: Stack) -> Ended:
    """Do one stack; a mistake of its own is a result, too."""
    start, clock = time.monotonic(), workplace.clock
    begun = clock()
    try:
        results = tuple(_outcomes(workplace, stack))
    except RecordsError as error:
        results = Ended.alike(stack, Halt(error.problems)).results
    except HeadstartError as error:
        results = Ended.alike(stack, Failure(str(error))).results
    except Exception as error:  # whatever it is, it must not take the other trials with it
        results = Ended.alike(stack, Failure(explain(error))).results
    features = workplace.spent_on_features()
    work = max(0.0, clock() - begun - sum(features.values()))
    return Ended(results, time.monotonic() - start, work, features)


def _outcomes(workplace: "Workplace", stack: Stack) -> "Iterator[Result]":
    """What came of each job."""
    outcomes: Sequence[SourceOutcome | TrialOutcome | HeadstartError]
    trials = [job.trial for job in stack.jobs if job.trial is not None]
    if trials:
        outcomes = workplace.fit_trials(trials)
    else:
        outcomes = workplace.train_sources([job.seed for job in stack.jobs])
    for outcome in outcomes:
        yield Failure(str(outcome)) if isinstance(outcome, HeadstartError) else outcome


def explain(error: BaseException) -> str:
    """An unforeseen error in one line: its kind, what it says, and where it arose."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())}{place}"
