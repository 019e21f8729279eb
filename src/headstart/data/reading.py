"""Found pictures, read in order and worked on in parallel.

Threads, not processes: Pillow lets go of the interpreter's lock while it decodes and resizes, and
hashing does too. There is one thread more than processors, since one mostly waits for the lock. On
two cores (shared with others) 1 thread decoded 194 photographs a second, 2 threads 253, 3 threads
297, and 2 processes 336 once they had started; the last bit is not worth a second of start-up, nor
asking users' scripts for an ``if __name__ == "__main__"``. See benchmarks/decoding.py.
"""

import itertools
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence, Sized
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from itertools import groupby, islice
from pathlib import Path
from typing import TypeVar

from headstart.data.archives import read_members
from headstart.data.arrays import is_arrays, read_rows
from headstart.data.decode import Decoded, Payload, UnreadableError, decode
from headstart.data.entries import USUAL_LIMITS, Entry, Limits
from headstart.data.transforms import Preprocessing

Progress = Callable[[str, int, int], None]
"""Told what is being done, how many pictures are done, and how many there are."""

Result = TypeVar("Result")
Fetch = Callable[[], Payload]


def decode_pictures(
    entries: Sequence[Entry],
    preprocessing: Preprocessing,
    *,
    limits: Limits = USUAL_LIMITS,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Generator[Decoded | UnreadableError]:
    """Decode pictures in parallel, in constant memory.

    Args:
        entries: As `find_pictures` gave them.
        preprocessing: What to make of them.
        limits: What is refused for its size.
        workers: Threads; one more than there are processors when omitted.
        progress: Called after each picture; a bar on the terminal when omitted.

    Yields:
        For each entry in turn its pixels, or why it cannot be used.
    """
    work = partial(decode, preprocessing=preprocessing, limits=limits)
    return over_pictures(
        entries, work, "decoding", limits=limits, workers=workers, progress=progress
    )


def over_pictures(
    entries: Iterable[Entry],
    work: Callable[[Payload], Result],
    doing: str,
    *,
    total: int | None = None,
    limits: Limits = USUAL_LIMITS,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Generator[Result | UnreadableError]:
    """Read each picture's content and work on it, in parallel.

    Args:
        entries: As `find_pictures` gave them.
        work: From content to a result; may raise `UnreadableError`.
        doing: What is being done, one word for the progress bar.
        total: How many entries there are, where they have no length.
        limits: What is refused for its size.
        workers: Threads; one more than there are processors when omitted.
        progress: Called after each picture; a bar on the terminal when omitted.

    Yields:
        For each entry in turn its result, or why it has none.
    """
    threads = workers or processors() + 1
    count = len(entries) if isinstance(entries, Sized) else total or 0
    with (
        _shown(progress, count, doing) as show,
        ThreadPoolExecutor(threads, thread_name_prefix=f"headstart-{doing}") as pool,
        closing(_contents(entries, limits)) as contents,
    ):
        waiting: deque[Future[Result | UnreadableError]] = deque()
        try:
            for done in itertools.count(1):
                # A short queue keeps all threads busy and memory constant.
                for fetch in islice(contents, 4 * threads - len(waiting)):
                    waiting.append(pool.submit(_attempt, fetch, work))
                if not waiting:
                    break
                result = waiting.popleft().result()
                show(doing, done, max(done, count))
                yield result
        finally:
            for future in waiting:
                future.cancel()


def processors() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _attempt(fetch: Fetch, work: Callable[[Payload], Result]) -> Result | UnreadableError:
    try:
        return work(fetch())
    except UnreadableError as error:
        return error


def _contents(entries: Iterable[Entry], limits: Limits) -> Generator[Fetch]:
    """For each entry a function that gives its content or raises `UnreadableError`.

    Files are opened by the thread that works on them; archives and arrays are read here, one after
    the other, since a packed tar archive can only be read in its order.
    """
    for (path, packed), group in groupby(entries, key=lambda entry: (entry.path, _packed(entry))):
        if not packed:
            yield from (partial(_read_file, entry.path, limits) for entry in group)
            continue
        listed = list(group)
        if is_arrays(path):
            yield from (partial(_given, row) for row in read_rows(path, listed))
        else:
            members = [str(entry.member) for entry in listed]
            yield from (partial(_given, data) for data in read_members(path, members, limits))


def _packed(entry: Entry) -> bool:
    """Whether a picture lies inside an archive or an array."""
    return entry.member is not None or entry.row is not None


def _given(content: Payload | UnreadableError) -> Payload:
    if isinstance(content, UnreadableError):
        raise content
    return content


def _read_file(path: Path, limits: Limits) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(limits.file_bytes + 1)
    except OSError as error:
        reason = f"cannot be read: {error.strerror or error}"
        raise UnreadableError(reason, lasting=False) from error
    if len(data) > limits.file_bytes:
        raise UnreadableError(f"too large: above the limit of {limits.file_bytes / 1e6:.0f} MB")
    return data


@contextmanager
def _shown(progress: Progress | None, total: int, doing: str) -> Iterator[Progress]:
    """What to tell progress to: the caller's function, else a bar on a terminal."""
    if progress is not None:
        yield progress
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    if not console.is_terminal or not total:
        yield lambda _doing, _done, _total: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    rate = TextColumn("{task.fields[rate]}")
    with Bar(*columns, rate, TimeRemainingColumn(), console=console, transient=True) as bar:
        task = bar.add_task(f"{doing} pictures", total=total, rate="")

        def show(_doing: str, done: int, _total: int) -> None:
            speed = bar.tasks[0].finished_speed or bar.tasks[0].speed
            bar.update(task, completed=done, rate=f"{speed:.0f}/s" if speed else "")

        yield show
