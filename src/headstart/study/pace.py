"""Pace: how long what is left of a study will take."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from statistics import median

from headstart.data.tasks import Budget
from headstart.study.jobs import Ended, Failure, Halt, Job, Stack
from headstart.study.runner import Runner
from headstart.study.workplace import Workplace

Kind = tuple[str | None, Budget]
"""A strategy and a label budget; no strategy for a source. Jobs of one kind cost the same."""

Took = dict[Kind | str, list[float]]
"""Kind of job, or the cut that pictures were brought to → what each one took.

Seconds of the clock that estimates are told by (`Workplace.clock`); of a stack, a job's share.
"""


class Pace:
    """Learns from jobs that have ended how long the others will take.

    A kind of job that has been seen takes its median; the others are judged by how many pictures
    they train on, at the pace of what was seen.

    Args:
        pictures: For each kind of job, how many pictures it trains on, epochs counted.
    """

    def __init__(self, pictures: Mapping[Kind, float]) -> None:
        self._pictures = pictures
        self._seen: defaultdict[Kind, list[float]] = defaultdict(list)

    def note(self, job: Job, seconds: float) -> None:
        """Take in how long a job took."""
        self._seen[kind(job)].append(seconds)

    def seconds_left(
        self, waiting: Iterable[Job], in_hand: Mapping[Job, float], slots: int
    ) -> float | None:
        """An estimate of the seconds until all is done, or None while nothing was seen.

        Args:
            waiting: The jobs that are not in hand yet.
            in_hand: The jobs that are, with the seconds since each was taken.
            slots: How many are done at a time.
        """
        if not self._seen:
            return None
        each = {one: self._expected(one) for one in self._pictures}
        numbers = Counter(map(kind, waiting))
        parts = [max(0.0, each[kind(job)] - spent) for job, spent in in_hand.items()]
        total = sum(parts) + sum(each[one] * number for one, number in numbers.items())
        return max(total / slots, *parts, *(each[one] for one in numbers), 0.0)

    def _expected(self, one: Kind) -> float:
        """The seconds of a job of some kind."""
        if one in self._seen:
            return median(self._seen[one])
        spent = sum(median(times) for times in self._seen.values())
        trained_on = sum(self._pictures[seen] for seen in self._seen)
        return spent / trained_on * self._pictures[one]


class TimedRunner:
    """A runner that notes how long jobs of each kind took.

    Args:
        runner: Does the jobs.

    Attributes:
        took: What each job that has ended with a result took, and each making of features.
    """

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self.took: Took = defaultdict(list)

    @property
    def slots(self) -> int:
        """How many stacks it can have in hand."""
        return self._runner.slots

    def submit(self, stack: Stack) -> None:
        """Take a stack in hand."""
        self._runner.submit(stack)

    def finished(self) -> Iterator[tuple[Stack, Ended]]:
        """Wait until at least one stack has ended; give all that have."""
        for stack, ended in self._runner.finished():
            self.note(ended.features)
            for job, result in zip(stack.jobs, ended.results, strict=True):
                if not isinstance(result, Failure | Halt):
                    self.took[kind(job)].append(ended.work / len(stack.jobs))
            yield stack, ended

    def note(self, features: Mapping[str, float]) -> None:
        """Take in what making features took, at each cut."""
        for cut, seconds in features.items():
            self.took[cut].append(seconds)

    def close(self) -> None:
        """Let go of everything."""
        self._runner.close()


def kind(job: Job) -> Kind:
    """The kind of a job."""
    return (None, "all") if job.trial is None else (job.trial.strategy, job.trial.labels)


def pictures_trained_on(workplace: Workplace) -> dict[Kind, float]:
    """For each kind of job in a study, how many pictures it trains on, epochs counted.

    Early stopping is not foreseen.
    """
    study = workplace.study
    seed = study.study.seeds[0]
    task = workplace.task(seed)
    network = workplace.network(task, seed)
    found: dict[Kind, float] = {}
    for name in study.strategy:
        phases = workplace.plan(name, network).phases
        for labels in study.study.labels:
            there = len(task.train_rows) if labels == "all" else int(labels)
            found[name, labels] = sum(
                phase.batch_size * phase.steps if phase.steps else there * (phase.epochs or 0)
                for phase in phases
            )
    if study.source is not None and study.source.trained_here:
        epochs, steps = study.source.training.duration
        there = len(workplace.source_task(seed).train_rows)
        batch = study.source.training.batch_size
        found[None, "all"] = batch * steps if steps else there * (epochs or 0)
    return found
