"""A worker: a process that does one stack of jobs after another and never outlives its leader.

The two talk over one pipe. The leader sends a workplace, then stacks; the worker answers
`READY`, then for each stack what came of it, and warnings as they arise. When the leader's end of
the pipe closes, for whatever reason, the worker ends.
"""

import os
import queue
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import ModuleType
from typing import TYPE_CHECKING, Any

from headstart.study.jobs import Failure, Stack, explain, perform

if TYPE_CHECKING:
    from headstart.study.workplace import Workplace

READY = "ready"
CAN_FORK = sys.platform == "linux"  # elsewhere forking breaks system libraries, or is not there
_PRELOADED = "headstart.study.preloaded"
_OF_FORK_SERVER = {
    "OPENBLAS_NUM_THREADS": "1",  # NumPy would start others, and forking wants a single one
    "PYTHONSAFEPATH": "1",  # what lies in the current folder is no module of anybody's
}
_PREPARED = threading.Event()


@dataclass(frozen=True)
class Warned:
    """A warning that arose in a worker."""

    text: str


def prepare_workers(*, with_timm: bool = False) -> None:
    """Start, ahead of time, the process that workers are forked off; this one goes on meanwhile.

    It imports PyTorch, and what else every worker needs, once for all of them, and ends with this
    process. Where there is no such process, workers start from nothing, and this does nothing.

    Only for processes that are headstart's own: Python has one such process for everybody.

    Args:
        with_timm: Whether workers will need timm's networks.
    """
    if not CAN_FORK:
        return
    from multiprocessing import forkserver

    forkserver.set_forkserver_preload([_PRELOADED + ("_timm" if with_timm else "")])
    # Without it workers start from nothing.
    with _environment(_OF_FORK_SERVER), _without_interrupts(), suppress(OSError):
        forkserver.ensure_running()
        _PREPARED.set()


def workers_are_prepared() -> bool:
    """Whether a worker is there in no time, or will be sooner than if it were started now."""
    return _PREPARED.is_set()


def start_worker() -> tuple[BaseProcess, Connection]:
    """Start a worker; it waits for its workplace.

    Returns:
        The process, and the leader's end of the pipe.
    """
    if workers_are_prepared():
        with suppress(OSError, EOFError):  # what it would be forked off is gone
            return _started("forkserver")
    with _without_interrupts():
        return _started("spawn")


def _started(method: str) -> tuple[BaseProcess, Connection]:
    context: Any = get_context(method)  # typeshed has no processes in what all contexts share
    ours, theirs = context.Pipe()
    # What workers are forked off has the environment of the time when it was started.
    process = context.Process(target=work, args=(theirs, dict(os.environ)), daemon=True)
    with _main_set_aside():
        process.start()
    theirs.close()
    return process, ours


@contextmanager
def _environment(changes: Mapping[str, str]) -> Iterator[None]:
    """Other variables of the environment for a moment."""
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Let a process start that leaves Ctrl-C to its leader, from its first moment on.

    A blocked signal stays blocked in the new process; here it arrives a moment later.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # would be started now, and undo the mask
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _main_set_aside() -> Iterator[None]:
    """Let a process start without importing the user's script again.

    Python would do so to find what the script defines. A worker needs nothing of it, and a script
    without an ``if __name__ == "__main__":`` would start its study again in every worker.
    """
    script = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = script


def work(leader: Connection, environment: Mapping[str, str]) -> None:
    """Be a worker until the leader's end of the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in os.environ.keys() - environment.keys():
        del os.environ[name]
    os.environ.update(environment)
    try:
        workplace = _opened(leader)
    except EOFError:
        return
    except Exception as error:  # the leader must learn why, whatever it is
        _send(leader, Failure(f"a worker process could not start: {explain(error)}"))
        return
    stacks: queue.SimpleQueue[Stack] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(leader, stacks), daemon=True).start()
    _send(leader, READY)
    while True:
        _send(leader, perform(workplace, stacks.get()))


def _opened(leader: Connection) -> "Workplace":
    """The workplace, its pictures at hand."""

    def tell(message: Warning | str, *_: Any, **__: Any) -> None:
        _send(leader, Warned(str(message)))

    warnings.showwarning = tell
    workplace: Workplace = leader.recv()
    workplace.get_ready()
    return workplace


def _listen(leader: Connection, stacks: "queue.SimpleQueue[Stack]") -> None:
    """Take stacks in; end the process at once when the leader is gone or wants no more."""
    try:
        while True:
            stacks.put(leader.recv())
    except (EOFError, OSError):
        os._exit(0)


def _send(leader: Connection, message: object) -> None:
    """Tell the leader something; end at once when it is gone."""
    try:
        leader.send(message)
    except OSError:
        os._exit(0)
