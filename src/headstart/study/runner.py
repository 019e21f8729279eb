"""The runner: does a study's jobs, in this process or in several, and tells what happens.

Whoever leads hands out at most as many stacks of jobs as there are slots, so that what is recorded
as running is what is in hand.
"""

import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from threading import current_thread, main_thread
from types import FrameType
from typing import Protocol, cast

from headstart.study.jobs import Ended, Failure, Stack, perform
from headstart.study.worker import READY, Warned, start_worker
from headstart.study.workplace import Workplace

_PATIENCE_SECONDS = 0.5  # how often waiting looks up, so that Ctrl-C is noticed everywhere
_FALSE_STARTS = 3  # so many workers in a row that never got ready, and no other is tried


class Runner(Protocol):
    """Does stacks of jobs somewhere. A cluster's runner would be another of these."""

    @property
    def slots(self) -> int:
        """How many stacks it can have in hand."""

    def submit(self, stack: Stack) -> None:
        """Take a stack in hand."""

    def finished(self) -> Iterator[tuple[Stack, Ended]]:
        """Wait until at least one stack has ended; give all that have."""

    def close(self) -> None:
        """Let go of everything, unfinished stacks too."""


@contextmanager
def _interruptible() -> Iterator[None]:
    """See to it that Ctrl-C within ends it, even where an extension in C swallows the exception.

    Such a call then fails with another one, which would be told as the failure of a trial.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler or current_thread() is not main_thread():
        yield
        return
    came = False

    def remember(number: int, frame: FrameType | None) -> None:
        nonlocal came
        came = True
        signal.default_int_handler(number, frame)

    signal.signal(signal.SIGINT, remember)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if came:
        raise KeyboardInterrupt


class InlineRunner:
    """Does each stack at once, in this process."""

    slots = 1

    def __init__(self, workplace: Workplace) -> None:
        self._workplace = workplace
        self._stack: Stack | None = None

    def submit(self, stack: Stack) -> None:
        """Take a stack in hand; it is done when asked for."""
        self._stack = stack

    def finished(self) -> Iterator[tuple[Stack, Ended]]:
        """Do the stack in hand."""
        if self._stack is not None:
            stack, self._stack = self._stack, None
            with _interruptible():
                ended = perform(self._workplace, stack)
            yield stack, ended

    def close(self) -> None:
        """Nothing to let go of."""


@dataclass(eq=False)
class _Worker:
    """A worker process, and the stack that it has in hand."""

    process: BaseProcess
    connection: Connection
    stack: Stack | None = None
    ready: bool = False

    def stop(self) -> None:
        """See to it that the process ends; it does by itself when its pipe is closed."""
        self.connection.close()
        self.process.join(5)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


class ProcessRunner:
    """Does stacks in worker processes, each with a workplace of its own and one stack at a time.

    A worker that dies takes only its own stack with it; the next stack starts a new one. When
    several in a row die before they are ready, no more are started, and what is left fails with the
    reason.
    """

    def __init__(self, workplace: Workplace, workers: int) -> None:
        self.slots = workers
        self._workplace = workplace
        self._workers: list[_Worker] = []
        self._ended: list[tuple[Stack, Ended]] = []
        self._false_starts = 0
        self._why_not = Failure("")
        self._told: set[str] = set()

    def start(self) -> None:
        """Start all workers at once; otherwise each starts with the first stack for it."""
        while len(self._workers) < self.slots:
            self._new()

    def submit(self, stack: Stack) -> None:
        """Hand a stack to a worker, a new one where none is idle."""
        if self._false_starts >= _FALSE_STARTS:
            self._ended.append((stack, Ended.alike(stack, self._why_not)))
            return
        worker = self._idle() or self._new()
        worker.stack = stack
        with suppress(BrokenPipeError, ConnectionResetError):  # its end is told by `finished`
            worker.connection.send(stack)

    def _idle(self) -> _Worker | None:
        """A worker with nothing to do; those that died meanwhile are let go."""
        for worker in [worker for worker in self._workers if worker.stack is None]:
            if worker.process.is_alive():
                return worker
            self._workers.remove(worker)
            worker.stop()
        return None

    def _new(self) -> _Worker:
        worker = _Worker(*start_worker())
        self._workers.append(worker)
        with suppress(BrokenPipeError, ConnectionResetError):
            worker.connection.send(self._workplace)
        return worker

    def finished(self) -> Iterator[tuple[Stack, Ended]]:
        """Wait for stacks; a worker that died makes the jobs of its own failures."""
        while not self._ended:
            busy = {w.connection: w for w in self._workers if w.stack is not None}
            if not busy:
                return
            for connection in wait(list(busy), _PATIENCE_SECONDS):
                self._hear(busy[cast(Connection, connection)])
        ended, self._ended = self._ended, []
        yield from ended

    def _hear(self, worker: _Worker) -> None:
        """Take in one message of a worker, or that it is gone."""
        try:
            message = worker.connection.recv()
        except (EOFError, OSError):
            message = _obituary(worker.process)
        if message == READY:
            worker.ready, self._false_starts = True, 0
        elif isinstance(message, Warned):
            if message.text not in self._told:  # every worker finds out by itself
                self._told.add(message.text)
                warnings.warn(message.text, stacklevel=2)
        elif isinstance(message, Ended):
            self._end_stack(worker, message)
        else:
            self._bury(worker, message)

    def _bury(self, worker: _Worker, why: Failure) -> None:
        """Give up a worker that died, or that could not start.

        A stack whose worker never got ready was not begun: another worker may have it.
        """
        self._workers.remove(worker)
        worker.stop()
        assert worker.stack is not None
        if worker.ready:
            self._end_stack(worker, Ended.alike(worker.stack, why))
        else:
            self._false_starts, self._why_not = self._false_starts + 1, why
            self.submit(worker.stack)

    def _end_stack(self, worker: _Worker, ended: Ended) -> None:
        assert worker.stack is not None
        self._ended.append((worker.stack, ended))
        worker.stack = None

    def close(self) -> None:
        """Stop the workers, whatever they are doing."""
        for worker in self._workers:
            worker.process.terminate()
        for worker in self._workers:
            worker.stop()
        self._workers = []


def _obituary(process: BaseProcess) -> Failure:
    """Why a worker is gone."""
    process.join(5)
    code = process.exitcode
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        hint = (
            "; the machine may be short of memory: try --retry-failed --jobs 1"
            if name == "SIGKILL"
            else ""
        )
        return Failure(f"its process was killed by {name}{hint}")
    return Failure(f"its process ended by itself (exit code {code})")
