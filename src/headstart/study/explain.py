"""Explaining: what a study will do, what its trials share, and what that costs.

Costs are put together from what is timed once on this machine (`headstart.study.timing`): steps of
each kind, looks at a picture, solved heads. What earlier jobs of a kind took corrects them.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from statistics import median

import numpy as np

from headstart.data.tasks import Budget, Task
from headstart.engine.cuts import Cut
from headstart.engine.measured import Measured
from headstart.networks.taps import Tapping
from headstart.strategies.plan import Phase, Plan
from headstart.study.pace import Kind
from headstart.study.planner import staff
from headstart.study.progress import duration_words
from headstart.study.quests import MOST_TRIALS, quests
from headstart.study.records import TrialKey
from headstart.study.timing import Clockwork
from headstart.study.worker import workers_are_prepared
from headstart.study.workplace import Workplace
from headstart.training.devices import deterministic

RATIO = "work-ratios"
"""What is remembered of how much longer jobs took than was timed, the last few times."""

_OPENING_S = {False: 0.5, True: 3.0}
"""What a worker takes to open the pictures and a network, and whether that is a ready-made one."""
_LOADING_S = 4.0
"""What it takes besides to load PyTorch."""

_LAST = 3  # times that are remembered
_DOUBT, _MORE_DOUBT = 0.5, 1.0  # times that jobs, or jobs of other kinds, took as long as timed


@dataclass(frozen=True)
class JobCost:
    """One line of the explanation: jobs of one kind.

    Attributes:
        what: In words.
        count: How many there are.
        seconds: Of one, on one worker.
        naive_seconds: Of one, if its trial did all of its work by itself; for jobs that only exist
            because work is shared it is 0.
        bytes: What one keeps on disk.
        below: What it consists of, in words.
        kind: Strategy and budget, or the cut that pictures are brought to; None where what it
            took is not told.
        stack: How many are trained together.
        own: Whether it is of the target's own sources.
        meaning: What its cost depends on, as text; earlier jobs of the same meaning correct it.
            Empty where jobs may do work that is no part of them, so that they correct nothing.
        factor: By what earlier jobs corrected it.
    """

    what: str
    count: int
    seconds: float
    naive_seconds: float
    bytes: int = 0
    below: tuple[str, ...] = ()
    kind: Kind | str | None = None
    stack: int = 1
    own: bool = False
    meaning: str = ""
    factor: float = 1.0


@dataclass(frozen=True)
class Explanation:
    """What a study will do.

    Attributes:
        jobs: In the order in which they are done.
        trials: How many trials there are.
        workers: How many are trained at a time.
        seconds: Estimated wall time.
        naive_seconds: The same, if every trial did all of its work by itself.
    """

    jobs: tuple[JobCost, ...]
    trials: int
    workers: int
    seconds: float
    naive_seconds: float

    def to_dict(self) -> dict[str, object]:
        """As plain data, for ``--json``."""
        return {
            "trials": self.trials,
            "workers": self.workers,
            "seconds": self.seconds,
            "naive_seconds": self.naive_seconds,
            "jobs": [
                {
                    "what": job.what,
                    "count": job.count,
                    "stack": job.stack,
                    "seconds": job.seconds,
                    "naive_seconds": job.naive_seconds,
                    "bytes": job.bytes,
                    "below": list(job.below),
                }
                for job in self.jobs
            ],
        }


def explain(
    workplace: Workplace,
    jobs: int | None = None,
    *,
    keys: Sequence[TrialKey] | None = None,
    anew: bool = False,
    with_naive: bool = True,
    prepared: bool | None = None,
) -> Explanation:
    """What a study will do and what that costs.

    Args:
        workplace: A study that was found to be possible.
        jobs: How many trials are trained at a time. When omitted, as many as there are processors,
            or one where worker processes would take longer to start than they save.
        keys: The trials that are to be done; all of the study's when omitted.
        anew: Time everything, even what is known of this machine.
        with_naive: Whether to time what it would cost without sharing; it is 0 otherwise.
        prepared: Whether workers will have what they load in common; when omitted, whether they do.
    """
    settings, whole = workplace.study.study, keys is None
    if keys is None:
        keys = [
            TrialKey(name, seed, labels)
            for seed in settings.seeds
            for labels in settings.labels
            for name in workplace.study.strategy
        ]
    workers, clockwork = staff(workplace, len(keys), jobs).workers, Clockwork(workplace, anew)

    def costs(workers: int) -> _Costs:
        return _Bill(workplace, clockwork, workers, with_naive).costs(keys, with_searches=whole)

    found = costs(workers)
    if jobs is None and workers > 1:
        known = workers_are_prepared() if prepared is None else prepared
        start = _OPENING_S[workplace.pictures.ready_made is not None] + (0 if known else _LOADING_S)
        if found.parted(1) - found.parted(workers) < start:
            workers, found = 1, costs(1)
    naive = sum(job.naive_seconds * job.count for job in found.lines)
    seconds = found.together + found.parted(workers)
    return Explanation(found.lines, len(keys), workers, seconds, naive / workers)


@dataclass(frozen=True)
class _Costs:
    """What jobs cost, in seconds.

    Attributes:
        lines: The jobs.
        together: What is done first, by all processors.
        alone: What is done on one processor each, in all.
        longest: The longest of it that cannot be parted.
    """

    lines: tuple[JobCost, ...]
    together: float
    alone: float
    longest: float

    def parted(self, workers: int) -> float:
        """What workers need for all that is not done together."""
        return max(self.alone / workers, self.longest)


@dataclass
class _Bill:
    """Puts the costs of jobs together.

    What trials enter behind is noted in `seen`: the cut, and for own sources the label budget; and
    how their networks are tapped.
    """

    workplace: Workplace
    clockwork: Clockwork
    workers: int
    with_naive: bool

    def __post_init__(self) -> None:
        self.seen: dict[tuple[Cut, Budget | None], Tapping | None] = {}
        self._measured = Measured.of(self.workplace.keeper.cache)
        if self.clockwork.anew:
            self._measured.forget(RATIO)
        self._shared_rows = self.workplace.doorway(self.workplace.study.study.seeds[0]).rows
        self._rows = len(self._shared_rows)

    def costs(self, keys: Sequence[TrialKey], *, with_searches: bool) -> _Costs:
        """What all of it costs, but for searches where they are done."""
        place = self.workplace
        with deterministic(place.study.study.threads, place.device):
            sources = [*self.sources(keys), *self.own_sources(keys)]
            counts = Counter((key.strategy, key.labels) for key in keys)
            fits = [self.fits(name, labels, count) for (name, labels), count in counts.items()]
            searches = self.searches() if with_searches else []
            passes = [self.one_pass(*each) for each in self.seen]
        alone = sum(job.seconds * job.count for job in (*sources, *searches, *fits))
        # Passes for all seeds come first; the others workers make, each for its own seeds.
        together = sum(job.seconds for job in passes if place.features_are_shared and not job.own)
        alone += sum(job.seconds * job.count for job in passes) - together
        lines = (*sources, *passes, *searches, *fits)
        longest = max((job.seconds * job.stack for job in lines), default=0.0)
        return _Costs(lines, together, alone, longest)

    def sources(self, keys: Sequence[TrialKey]) -> list[JobCost]:
        """The training of sources, where the study does that itself."""
        place, source = self.workplace, self.workplace.study.source
        needing = [key for key in keys if place.study.strategy[key.strategy].needs_source]
        seeds = {key.seed for key in needing}
        if source is None or not source.trained_here or not seeds:
            return []
        seed = place.study.study.seeds[0]
        task = place.source_task(seed)
        plan = place.source_plan(place.network(task, seed))
        stack = self._stack(None, len(seeds))
        seconds = self.clockwork.beginning(plan) + sum(
            self._phase(plan, phase, None, len(task.train_rows), task, stack)
            for phase in plan.phases
        )
        what = (
            f"train the source on {len(task.train_rows):,} pictures of "
            f"{len(task.class_names)} classes"
        )
        line = JobCost(
            what, len(seeds), seconds, seconds * len(needing) / len(seeds),
            kind=(None, "all"), stack=stack or 1, meaning=self._meaning(plan, task, "all", stack),
        )  # fmt: skip
        return [self._corrected(line)]

    def own_sources(self, keys: Sequence[TrialKey]) -> list[JobCost]:
        """The target's own sources: one a seed, label budget and way of training it."""
        place, network = self.workplace, self.clockwork.network
        needing: dict[str, list[TrialKey]] = {}
        for key in keys:
            plan = place.plan(key.strategy, network)
            if plan.start == "own":
                needing.setdefault(f"{plan.own!r} {key.labels}", []).append(key)
        lines = []
        for arms in needing.values():
            plan, labels = place.plan(arms[0].strategy, network), arms[0].labels
            task = place.task(arms[0].seed)
            learns = len(task.train_rows) if labels == "all" else int(labels)
            seconds = self.clockwork.beginning(plan) + sum(
                self._phase(plan, phase, None, learns, task, None) for phase in plan.own
            )
            count = len({key.seed for key in arms})
            what = f"train the own source, {labels} labels"
            naive = seconds * len(arms) / count
            lines.append(self._corrected(JobCost(what, count, seconds, naive)))
        return lines

    def fits(self, name: str, labels: Budget, count: int) -> JobCost:
        """The trials of a strategy and budget."""
        place = self.workplace
        task = place.task(place.study.study.seeds[0])
        network = self.clockwork.network
        plan = place.plan(name, network)
        clock = self.clockwork.of(plan.taps)
        network = clock.network
        learns = len(task.train_rows) if labels == "all" else int(labels)
        stack = self._stack(TrialKey(name, place.study.study.seeds[0], labels), count)
        seconds = naive = clock.beginning(plan)
        below = []
        for phase in plan.phases:
            shared = plan.copies and not (phase.augments or phase.views or place.naive)
            cut = clock.keeper.before(network, phase, self._rows) if shared else None
            seconds += self._phase(plan, phase, cut, learns, task, stack)
            naive += self._phase(plan, phase, None, learns, task, None) if self.with_naive else 0.0
            behind = "at the pictures" if cut is None else f"behind {cut.name}"
            how = (
                "solved at once"
                if phase.solver is not None
                else f"{_steps(phase, learns):,} steps of {phase.batch_size}"
            )
            below.append(f"{phase.name}: {how}, {behind}")
            self._see(cut, plan, labels)
        last = None
        if plan.copies and not place.naive:
            last = clock.keeper.unchanged(network, plan.trained_groups(), self._rows)
        looks = len(task.valid_rows) + len(task.test.rows)
        seconds += looks * clock.look(last)
        naive += looks * clock.look(None) if self.with_naive else 0.0
        self._see(last, plan, labels)
        meaning = "" if plan.start == "own" else self._meaning(plan, task, labels, stack)
        line = JobCost(
            f"fit {name}, {labels} labels", count, seconds, naive, below=tuple(below),
            kind=(name, labels), stack=stack or 1, meaning=meaning,
        )  # fmt: skip
        return self._corrected(line)

    def searches(self) -> list[JobCost]:
        """The search trials, as dear as trials of what is stated."""
        asked, found = self.workplace.study.search, []
        counts = Counter((quest.strategy, quest.labels) for quest in quests(self.workplace.study))
        for (name, labels), count in counts.items():
            assert asked is not None
            trials = asked.trials
            if trials is None:
                each = self.fits(name, labels, asked.together).seconds
                trials = min(MOST_TRIALS, math.ceil((asked.seconds or 0.0) / each))
            line = self.fits(name, labels, count * trials)
            found.append(replace(line, what=f"search for {name}, {labels} labels", kind=None))
        return found

    def one_pass(self, cut: Cut, own: Budget | None) -> JobCost:
        """One pass of the pictures up to a cut, through the source or an own source."""
        place, seeds = self.workplace, self.workplace.study.study.seeds
        rows = self._shared_rows
        if own is not None:
            task = place.task(seeds[0])
            stored = place.study.study.label_order == "stored"
            learns = task.budget_rows(own, seeds[0], stored=stored)
            rows = np.unique(np.concatenate([learns, task.valid_rows, task.test.rows]))
        count = 1 if own is None and place.features_are_shared else len(seeds)
        numbers = math.prod(cut.shape)
        clock = self.clockwork.of(self.seen[cut, own])
        seconds = clock.one_pass(cut, rows, self._nearest(cut, own))
        doing = "take from the cache the features of" if seconds is None else "look once at"
        what = f"{doing} {len(rows):,} pictures up to {cut.name} ({numbers:,} numbers each)"
        told = own is None and self.seen[cut, own] is None  # by the study's own keeper
        line = JobCost(
            what, count, seconds or 0.0, 0.0, 4 * numbers * len(rows),
            kind=cut.name if told else None, own=own is not None,
            meaning=self._meaning_of("pass", cut, len(rows)) if told else "",
        )  # fmt: skip
        return self._corrected(line)

    def _nearest(self, cut: Cut, own: Budget | None) -> Cut | None:
        """The best cut from whose features those of another one are computed; None if none."""
        taps = self.seen[cut, own]
        seen = [c for (c, whose), how in self.seen.items() if (whose, how) == (own, taps)]
        before = [each for each in seen if 0 <= each.position < cut.position]
        return max(before, key=lambda each: each.saving, default=None)

    def _phase(
        self, plan: Plan, phase: Phase, cut: Cut | None, learns: int, task: Task, stack: int | None
    ) -> float:
        """Seconds of one phase of one trial, its looks at the validation pictures included."""
        clock = self.clockwork.of(plan.taps)
        look = clock.look(cut)
        if phase.solver is not None:
            seconds = clock.solving(plan, phase, cut, learns)
            return seconds + len(task.valid_rows) * look
        looks = _epochs(phase, learns) * len(task.valid_rows)
        steps = _steps(phase, learns)
        return steps * clock.step(plan, phase, cut, stack) + looks * look

    def _stack(self, key: TrialKey | None, count: int) -> int | None:
        """How many of so many trials alike, or of sources, are trained together; None: alone."""
        place = self.workplace
        seed = place.study.study.seeds[0]
        found = place.alike.source(seed) if key is None else place.alike.trial(key)
        return None if found is None else max(1, min(found.most, math.ceil(count / self.workers)))

    def _see(self, cut: Cut | None, plan: Plan, labels: Budget) -> None:
        if cut is not None:
            self.seen[cut, labels if plan.start == "own" else None] = plan.taps

    def _meaning(self, plan: Plan, task: Task, labels: Budget, stack: int | None) -> str:
        return self._meaning_of(
            repr(plan), labels, stack, len(task.train_rows), len(task.valid_rows)
        )

    def _meaning_of(self, *parts: object) -> str:
        parts = (self.clockwork.making, self.workers, self.workplace.naive, *parts)
        return sha256("\n".join(map(str, parts)).encode()).hexdigest()

    def _corrected(self, line: JobCost) -> JobCost:
        """A line as earlier jobs of the same meaning, or any, correct it."""
        alike = self._measured.recall(RATIO, line.meaning) if line.meaning else None
        others = self._measured.recall(RATIO, "any") or []
        factor = _damped(alike, _DOUBT) if alike else _damped(others, _MORE_DOUBT)
        seconds, naive = line.seconds * factor, line.naive_seconds * factor
        return replace(line, seconds=seconds, naive_seconds=naive, factor=factor)


def _damped(ratios: Sequence[float], doubt: float) -> float:
    """The geometric mean of some ratios and so many ones.

    How busy the machine was is in every ratio, and passes: so few of them count by less.
    """
    return math.exp(sum(map(math.log, ratios)) / (len(ratios) + doubt))


def learn_from(
    workplace: Workplace, found: Explanation, took: Mapping[Kind | str, Sequence[float]]
) -> None:
    """Remember by how much jobs took longer than estimated, to correct later estimates.

    Args:
        workplace: The study.
        found: What was estimated.
        took: For each kind of job the seconds of those that were done.
    """
    measured = Measured.of(workplace.keeper.cache)
    lines = {job.kind: job for job in found.jobs if job.kind in took and job.seconds > 0}
    ratios: dict[str, float] = {}
    for kind, job in lines.items():
        assert kind is not None
        if job.meaning and (seconds := median(took[kind])) > 0:
            ratios[job.meaning] = seconds / job.seconds * job.factor
    if ratios:
        ratios["any"] = median(ratios.values())
    for meaning, ratio in ratios.items():
        last = measured.recall(RATIO, meaning) or []
        measured.remember([*last, ratio][-_LAST:], RATIO, meaning)


def estimate_words(found: Explanation) -> str:
    """What is expected, in a line."""
    trials = "1 trial" if found.trials == 1 else f"{found.trials:,} trials"
    return f"{trials}, {found.workers} at a time: about {duration_words(found.seconds)} of training"


def outcome_words(found: Explanation, took: float) -> str:
    """What came of an estimate, in a line."""
    estimate = duration_words(found.seconds)
    return f"training took {duration_words(took)}, against an estimate of {estimate}"


def _steps(phase: Phase, pictures: int) -> int:
    return phase.steps or math.ceil(pictures / phase.batch_size) * (phase.epochs or 0)


def _epochs(phase: Phase, pictures: int) -> int:
    return phase.epochs or math.ceil((phase.steps or 0) * phase.batch_size / pictures)
