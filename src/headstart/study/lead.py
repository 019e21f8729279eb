"""Leading: hand out sources and trials, write down what comes back, tell how it goes."""

import time
from collections.abc import Sequence

from headstart.errors import NetworkError
from headstart.networks.sources import check_source
from headstart.study.progress import Listener, Progress
from headstart.study.records import Records, SourceOutcome, TrialKey, TrialOutcome
from headstart.study.runner import Failure, Job, Result, Runner
from headstart.study.workplace import Workplace, source_file


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
        self._keys = keys
        self._runner = runner
        self._listener = listener
        self._in_hand: dict[Job, float] = {}
        self._sources = self._sources_at_hand()
        self._started = time.monotonic()
        self._spent: list[float] = []

    def go(self) -> None:
        """Do all that is waiting."""
        states = self._records.states()
        waiting = [self._job(key) for key in self._keys if states[key] == "waiting"]
        needed = dict.fromkeys(job.seed for job in waiting if job.needs_source)
        ready = [Job(seed) for seed in needed if seed not in self._sources]
        # Sources first: trials that need none fill the gaps at the end.
        ready += [job for job in waiting if not job.needs_source or job.seed in self._sources]
        blocked = [job for job in waiting if job not in ready]
        self._tell("")
        while ready or self._in_hand:
            while ready and len(self._in_hand) < self._runner.slots:
                self._start(ready.pop(0))
            for job, result in self._runner.finished():
                self._spent.append(time.monotonic() - self._in_hand.pop(job))
                self._finish(job, result)
                if job.trial is None:
                    freed = [other for other in blocked if other.seed == job.seed]
                    blocked = [other for other in blocked if other.seed != job.seed]
                    if isinstance(result, Failure):
                        self._fail_all(freed, result)
                    else:
                        ready = freed + ready

    def _job(self, key: TrialKey) -> Job:
        study = self._workplace.study
        trained_here = study.source is not None and study.source.file is None
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

    def _start(self, job: Job) -> None:
        self._in_hand[job] = time.monotonic()
        if job.trial is not None:
            self._records.start(job.trial)
        self._runner.submit(job)
        self._tell("")

    def _finish(self, job: Job, result: Result) -> None:
        if isinstance(result, SourceOutcome):
            self._records.add_source(job.seed, result)
            self._sources.add(job.seed)
            self._tell(
                f"source, seed {job.seed}: validation accuracy {result.val_accuracy:.4f}, "
                f"{result.fit_seconds:.1f} s"
            )
        elif isinstance(result, TrialOutcome):
            assert job.trial is not None
            self._records.complete(job.trial, result)
            self._tell(
                f"{describe(job)}: validation accuracy {result.val_accuracy:.4f}, "
                f"{result.fit_seconds:.1f} s"
            )
        elif job.trial is not None:
            self._records.fail(job.trial, result.reason)
            self._tell(f"{describe(job)} failed: {result.reason}")
        else:
            self._tell(f"{describe(job)} failed: {result.reason}")

    def _fail_all(self, jobs: Sequence[Job], failure: Failure) -> None:
        for job in jobs:
            assert job.trial is not None
            self._records.fail(job.trial, f"the source of seed {job.seed} failed: {failure.reason}")
        self._tell(f"{len(jobs)} trials failed for want of their source")

    def _tell(self, said: str) -> None:
        states = self._records.states()
        asked = [states[key] for key in self._keys]
        to_do = sum(state in ("waiting", "running") for state in asked)
        seconds_left = None
        if self._spent:
            missing = {key.seed for key in self._keys} - self._sources
            to_do += len(missing) if self._workplace.study.source is not None else 0
            pace = sum(self._spent) / len(self._spent) / self._runner.slots
            seconds_left = pace * to_do
        self._listener(
            Progress(
                total=len(asked),
                complete=asked.count("complete"),
                failed=asked.count("failed"),
                running=tuple(describe(job) for job in self._in_hand),
                said=said,
                seconds_left=seconds_left,
            )
        )


def describe(job: Job) -> str:
    """A job in words."""
    if job.trial is None:
        return f"source, seed {job.seed}"
    labels = "all labels" if job.trial.labels == "all" else f"{job.trial.labels} labels"
    return f"{job.trial.strategy}, seed {job.seed}, {labels}"
