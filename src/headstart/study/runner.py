"""The runner: does a study's jobs, in this process or in several, and tells what happens.

A job is one source or one trial. Whoever leads hands out at most as many jobs as there are
workers, so that what is recorded as running is what is in hand.
"""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Protocol

from headstart.errors import HeadstartError
from headstart.study.records import SourceOutcome, TrialKey, TrialOutcome
from headstart.study.workplace import Workplace

_PATIENCE_SECONDS = 0.5  # how often waiting looks up, so that Ctrl-C is noticed


@dataclass(frozen=True)
class Job:
    """One source (`trial` is None) or one trial.

    Attributes:
        seed: The seed whose source to train, or the trial's.
        trial: The trial.
        needs_source: Whether the seed's source must be there first.
    """

    seed: int
    trial: TrialKey | None = None
    needs_source: bool = False


@dataclass(frozen=True)
class Failure:
    """Why a job ended without a result."""

    reason: str


Result = SourceOutcome | TrialOutcome | Failure


class Runner(Protocol):
    """Does jobs somewhere. A cluster's runner would be another of these."""

    @property
    def slots(self) -> int:
        """How many jobs it can have in hand."""

    def submit(self, job: Job) -> None:
        """Take a job in hand."""

    def finished(self) -> Iterator[tuple[Job, Result]]:
        """Wait until at least one job has ended; give all that have."""

    def close(self) -> None:
        """Let go of everything, unfinished jobs too."""


def perform(workplace: Workplace, job: Job) -> Result:
    """Do one job; a mistake of its own is a result, too."""
    try:
        if job.trial is None:
            return workplace.train_source(job.seed)
        return workplace.fit_trial(job.trial)
    except HeadstartError as error:
        return Failure(str(error))
    except (RuntimeError, ValueError, MemoryError, OSError) as error:
        return Failure(f"{type(error).__name__}: {error}")


class InlineRunner:
    """Does each job at once, in this process."""

    slots = 1

    def __init__(self, workplace: Workplace) -> None:
        self._workplace = workplace
        self._job: Job | None = None

    def submit(self, job: Job) -> None:
        """Take a job in hand; it is done when asked for."""
        self._job = job

    def finished(self) -> Iterator[tuple[Job, Result]]:
        """Do the job in hand."""
        if self._job is not None:
            job, self._job = self._job, None
            yield job, perform(self._workplace, job)

    def close(self) -> None:
        """Nothing to let go of."""


class ProcessRunner:
    """Does jobs in worker processes, each with a workplace of its own."""

    def __init__(self, workplace: Workplace, workers: int) -> None:
        self.slots = workers
        self._workplace = workplace
        self._pool = self._new_pool()
        self._in_hand: dict[Future[Result], Job] = {}

    def _new_pool(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            self.slots,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_open_workplace,
            initargs=(self._workplace, os.getpid()),
        )

    def submit(self, job: Job) -> None:
        """Hand a job to a worker."""
        self._in_hand[self._pool.submit(_perform_here, job)] = job

    def finished(self) -> Iterator[tuple[Job, Result]]:
        """Wait for jobs; a worker that died makes the jobs in hand failures."""
        done: Iterable[Future[Result]] = ()
        while self._in_hand and not done:
            done, _ = wait(self._in_hand, _PATIENCE_SECONDS, return_when=FIRST_COMPLETED)
        broken = False
        for future in done:
            job = self._in_hand.pop(future)
            try:
                yield job, future.result()
            except BrokenProcessPool:
                broken = True
                yield job, _DIED
        if broken:
            lost, self._in_hand = list(self._in_hand.values()), {}
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = self._new_pool()
            yield from ((job, _DIED) for job in lost)

    def close(self) -> None:
        """Stop the workers, whatever they are doing."""
        workers = list((self._pool._processes or {}).values())
        self._pool.shutdown(wait=False, cancel_futures=True)
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.join(5)


_DIED = Failure("its process died; the machine may be short of memory (try --jobs 1)")

_here: Workplace | None = None


def _open_workplace(workplace: Workplace, leader: int) -> None:
    """Make ready in a worker; it leaves Ctrl-C to the leader and does not outlive it."""
    global _here
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with, args=(leader,), daemon=True).start()
    _here = workplace


def _leave_with(leader: int) -> None:
    while os.getppid() == leader:
        time.sleep(1)
    os._exit(1)


def _perform_here(job: Job) -> Result:
    assert _here is not None
    return perform(_here, job)
