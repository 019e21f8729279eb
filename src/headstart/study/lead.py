"""Leading: hand out sources and trials, write down what comes back, tell how it goes."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from headstart.errors import NetworkError, RecordsError
from headstart.networks.sources import check_source
from headstart.study.jobs import Failure, Halt, Job, Stack
from headstart.study.lineup import LineUp
from headstart.study.pace import Pace, pictures_trained_on
from headstart.study.progress import Listener, Progress
from headstart.study.records import Records, SourceOutcome, State, TrialKey, TrialOutcome
from headstart.study.runner import Runner
from headstart.study.workplace import Workplace, source_file

if TYPE_CHECKING:
    from headstart.study.jobs import Result


class Lead:
    """Brings a study's waiting trials to an end.

    Args:
        workplace: The study and its folder.
        records: Where everything is written down.
        keys: The trials asked for.
        runner: Does the jobs.
        listener: Told how it goes.
    """

    def __init__(
        self,
        workplace: Workplace,
        records: Records,
        keys: Sequence[TrialKey],
        runner: Runner,
        listener: Listener,
    ) -> None:
        self._workplace = workplace
        self._records = records
        self._runner = runner
        self._listener = listener
        self._pace = Pace(pictures_trained_on(workplace))
        self._blocked: dict[int, list[Job]] = {}
        self._in_hand: dict[Stack, float] = {}
        states = records.states()
        self._states: dict[TrialKey, State] = {key: states[key] for key in keys}

    def go(self) -> None:
        """Do all that is waiting.

        Raises:
            RecordsError: If the study's folder cannot be written any more; what was written stays.
        """
        self._line_up()
        self._tell()
        while self._ready or self._in_hand:
            while self._ready and len(self._in_hand) < self._runner.slots:
                self._start(self._ready.take())
            for stack, ended in self._runner.finished():
                del self._in_hand[stack]
                for job, result in zip(stack.jobs, ended.results, strict=True):
                    self._take(job, result, ended.seconds / len(stack.jobs))

    def _line_up(self) -> None:
        """Find out what is ready, and what waits for a source."""
        ready: list[Job] = []
        at_hand = self._sources_at_hand()
        for key in (key for key, state in self._states.items() if state == "waiting"):
            job = self._job(key)
            if job.needs_source and job.seed not in at_hand:
                self._blocked.setdefault(job.seed, []).append(job)
            else:
                ready.append(job)
        sources = [Job(seed) for seed in self._blocked]
        blocked = [job for jobs in self._blocked.values() for job in jobs]
        alike, slots = self._workplace.alike, self._runner.slots
        self._ready = LineUp(alike, [*sources, *ready, *blocked], slots)
        self._ready.add([*sources, *ready])

    def _job(self, key: TrialKey) -> Job:
        study = self._workplace.study
        trained_here = study.source is not None and study.source.trained_here
        return Job(key.seed, key, trained_here and study.strategy[key.strategy].needs_source)

    def _sources_at_hand(self) -> set[int]:
        """Seeds whose source was trained before and is still as it was written down."""
        at_hand = set()
        for seed, row in self._records.sources().items():
            try:
                description = check_source(self._workplace.directory / source_file(seed))
            except NetworkError:
                continue
            if description.weights_hash == row["weights_hash"]:
                at_hand.add(seed)
        return at_hand

    def _start(self, stack: Stack) -> None:
        self._in_hand[stack] = time.monotonic()
        for trial in (job.trial for job in stack.jobs if job.trial is not None):
            self._records.start(trial)
            self._states[trial] = "running"
        self._runner.submit(stack)
        self._tell()

    def _take(self, job: Job, result: "Result", seconds: float) -> None:
        """Write down what came of a job that took so long."""
        if isinstance(result, Halt):
            raise RecordsError(*result.problems)
        if isinstance(result, Failure):
            self._fail(job, result.reason)
            return
        self._pace.note(job, seconds)
        if isinstance(result, SourceOutcome):
            self._records.add_source(job.seed, result)
            self._ready.add(self._blocked.pop(job.seed))
        elif job.trial is not None:
            self._records.complete(job.trial, result)
            self._states[job.trial] = "complete"
        self._tell(_outcome_words(job, result))

    def _fail(self, job: Job, reason: str) -> None:
        """Write down a failure; that of a source is one of each trial that needs it."""
        if job.trial is not None:
            trials, why = [job.trial], reason
        else:
            freed = self._blocked.pop(job.seed)
            trials = [other.trial for other in freed if other.trial is not None]
            why = f"the source of seed {job.seed} failed: {reason}"
        for key in trials:
            self._records.fail(key, why)
            self._states[key] = "failed"
        self._tell(f"{job} failed", reason)

    def _tell(self, said: str = "", failure: str = "") -> None:
        states = list(self._states.values())
        now = time.monotonic()
        waiting = [*self._ready, *(job for jobs in self._blocked.values() for job in jobs)]
        spent = {
            job: (now - taken) / len(stack.jobs)
            for stack, taken in self._in_hand.items()
            for job in stack.jobs
        }
        self._listener(
            Progress(
                doing="training",
                total=len(states),
                complete=states.count("complete"),
                failed=states.count("failed"),
                running=tuple(map(str, self._in_hand)),
                said=said,
                failure=failure,
                seconds_left=self._pace.seconds_left(waiting, spent, self._runner.slots),
            )
        )


def _outcome_words(job: Job, outcome: SourceOutcome | TrialOutcome) -> str:
    reached = "" if outcome.val_accuracy is None else f"{outcome.val_accuracy:.4f}, "
    return f"{job}: validation accuracy {reached}{outcome.fit_seconds:.1f} s"
