"""The line-up: the jobs that are ready, and which of them are done together."""

import math
from collections import Counter, deque
from collections.abc import Iterable, Iterator

from headstart.study.jobs import Job, Stack
from headstart.study.together import Alike


class LineUp:
    """Jobs that wait for a slot.

    Sources come first, then trials that are fitted alone, then those that can be stacked: by then
    most of their like are there. Jobs that are alike are divided evenly over the slots.

    Args:
        alike: Tells which jobs are.
        jobs: All jobs to come, ready or not.
        slots: How many stacks are done at a time.
    """

    def __init__(self, alike: Alike, jobs: Iterable[Job], slots: int) -> None:
        self._kin: dict[Job, str | None] = {}
        self._most: dict[str, int] = {}
        for job in jobs:
            found = alike.source(job.seed) if job.trial is None else alike.trial(job.trial)
            self._kin[job] = kin = None if found is None else f"{job.trial is None} {found.key}"
            if found is not None and kin is not None:
                self._most[kin] = found.most
        for kin, count in Counter(filter(None, self._kin.values())).items():
            self._most[kin] = min(self._most[kin], math.ceil(count / slots))
        self._first: deque[Job] = deque()
        self._last: deque[Job] = deque()

    def __iter__(self) -> Iterator[Job]:
        yield from (*self._first, *self._last)

    def __bool__(self) -> bool:
        return bool(self._first or self._last)

    def add(self, jobs: Iterable[Job]) -> None:
        """Let jobs wait; those that none was waiting for so far come before the others."""
        jobs = list(jobs)
        self._first.extendleft(reversed([job for job in jobs if self._is_first(job)]))
        self._last.extend(job for job in jobs if not self._is_first(job))

    def _is_first(self, job: Job) -> bool:
        return job.trial is None or self._kin[job] is None

    def take(self) -> Stack:
        """The next job, with others that are alike."""
        queue = self._first or self._last
        kin = self._kin[queue[0]]
        if kin is None:
            return Stack((queue.popleft(),))
        others = [job for job in queue if self._kin[job] == kin]
        taken = others[: self._most[kin]]
        for job in taken:
            queue.remove(job)
        return Stack(tuple(taken))
