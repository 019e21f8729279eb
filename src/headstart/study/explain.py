"""Explaining: what a study will do, what its trials share, and what that costs.

Costs are measured, not looked up: each distinct kind of step (a phase behind its cut, and the same
phase at the pictures) is taken twice on pictures of the right size, and counted out. That takes a
few seconds and holds on any machine.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from headstart.data.tasks import Budget
from headstart.engine.cuts import Cut
from headstart.engine.extract import block_size
from headstart.networks.groups import Network
from headstart.networks.heads import loss
from headstart.strategies.plan import Phase, Plan
from headstart.study.planner import staff
from headstart.study.workplace import Workplace
from headstart.training.devices import deterministic
from headstart.training.fit import set_modes

_EVALUATED = 16  # pictures that a forward pass is timed with


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
    """

    what: str
    count: int
    seconds: float
    naive_seconds: float
    bytes: int = 0
    below: tuple[str, ...] = ()


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
                    "seconds": job.seconds,
                    "naive_seconds": job.naive_seconds,
                    "bytes": job.bytes,
                    "below": list(job.below),
                }
                for job in self.jobs
            ],
        }


@dataclass
class _Clockwork:
    """Times steps and forward passes, each kind once."""

    workplace: Workplace
    known: dict[object, float] = field(default_factory=dict)

    def step(self, network: Network, phase: Phase, cut: Cut | None) -> float:
        """Seconds of an optimiser step, from the cut on."""
        model, inputs = self._entered(network, cut, phase.batch_size)
        labels = torch.arange(len(inputs), device=inputs.device) % 2
        set_modes(network, phase)
        learning = list(phase.learning(network).values())

        def once() -> None:
            torch.autograd.grad(loss(model(inputs), labels), learning, allow_unused=True)

        key = ("step", tuple(phase.rates.items()), phase.only, phase.batch_size, cut)
        return self._timed(key, once)

    def pictures(self, network: Network, cut: Cut | None) -> float:
        """Seconds that a picture takes, looked at in evaluation mode from the cut on."""
        model, inputs = self._entered(network, cut, _EVALUATED)
        network.eval()

        def once() -> None:
            with torch.inference_mode():
                model(inputs)

        return self._timed(("look", cut), once) / _EVALUATED

    def prefix(self, network: Network, cut: Cut) -> float:
        """Seconds that a picture takes up to the cut, with all processors."""
        size = block_size(self.workplace.images.picture_shape)
        halves = self.workplace.keeper.cuts(network).split(network, cut)
        inputs = self._pictures(size)
        network.eval()

        def once() -> None:
            with torch.inference_mode():
                halves.prefix(inputs)

        with deterministic(self.workplace.limits.processors, self.workplace.device):
            return self._timed(("prefix", cut), once) / size

    def _timed(self, key: object, once: Callable[[], None]) -> float:
        if key not in self.known:
            once()
            self._wait()
            started = time.perf_counter()
            once()
            self._wait()
            self.known[key] = time.perf_counter() - started
        return self.known[key]

    def _wait(self) -> None:
        """Let an accelerator finish what it was given."""
        if self.workplace.device.type == "cuda":
            torch.cuda.synchronize()

    def _entered(
        self, network: Network, cut: Cut | None, count: int
    ) -> tuple[Callable[[Tensor], Tensor], Tensor]:
        if cut is None:
            return network, self._pictures(count)
        halves = self.workplace.keeper.cuts(network).split(network, cut)
        return halves.suffix, torch.rand(count, *cut.shape, device=self.workplace.device)

    def _pictures(self, count: int) -> Tensor:
        height, width, channels = self.workplace.images.picture_shape
        values = torch.rand(count, channels, height, width, device=self.workplace.device)
        return values.contiguous(memory_format=torch.channels_last)


def explain(workplace: Workplace, jobs: int | None = None) -> Explanation:
    """What a study will do and what that costs.

    Args:
        workplace: A study that was found to be possible.
        jobs: How many trials are trained at a time; as many as there are processors when omitted.
    """
    study = workplace.study
    settings = study.study
    clockwork = _Clockwork(workplace)
    trials = len(study.strategy) * len(settings.seeds) * len(settings.labels)
    workers = staff(workplace, trials, jobs).workers
    lines: list[JobCost] = []
    with deterministic(settings.threads, workplace.device):
        lines += _sources(workplace, clockwork)
        seen: dict[Cut, None] = {}
        fits = [
            _fit(workplace, clockwork, name, labels, seen)
            for labels in settings.labels
            for name in study.strategy
        ]
        passes = [_pass(workplace, clockwork, cut) for cut in seen]
    lines += [*passes, *fits]
    alone = sum(job.seconds * job.count for job in lines if job not in passes)
    together = sum(job.seconds * job.count for job in passes)
    if not workplace.features_are_shared:  # then workers make them, each for its own seeds
        alone, together = alone + together, 0.0
    naive = sum(job.naive_seconds * job.count for job in lines)
    return Explanation(tuple(lines), trials, workers, together + alone / workers, naive / workers)


def _sources(workplace: Workplace, clockwork: _Clockwork) -> list[JobCost]:
    """The training of sources, where the study does that itself."""
    source = workplace.study.source
    if source is None or not source.trained_here:
        return []
    seed = workplace.study.study.seeds[0]
    task = workplace.source_task(seed)
    network = workplace.placed(workplace.network(task, seed))
    plan = workplace.source_plan(network)
    seconds = 0.0
    for phase in plan.phases:
        steps = _steps(phase, len(task.train_rows))
        looks = _epochs(phase, len(task.train_rows)) * len(task.valid_rows)
        seconds += steps * clockwork.step(network, phase, None)
        seconds += looks * clockwork.pictures(network, None)
    needing = sum(
        1 for strategy in workplace.study.strategy.values() if strategy.needs_source
    ) * len(workplace.study.study.labels)
    what = (
        f"train the source on {len(task.train_rows):,} pictures of {len(task.class_names)} classes"
    )
    return [JobCost(what, len(workplace.study.study.seeds), seconds, seconds * needing)]


def _fit(
    workplace: Workplace,
    clockwork: _Clockwork,
    name: str,
    labels: Budget,
    seen: dict[Cut, None],
) -> JobCost:
    """The trials of a strategy and budget; cuts that they enter behind are noted in `seen`."""
    seeds = workplace.study.study.seeds
    task = workplace.task(seeds[0])
    network = workplace.placed(workplace.making)
    plan = workplace.plan(name, network)
    count = len(task.train_rows) if labels == "all" else int(labels)
    keeper, rows = workplace.keeper, len(workplace.doorway(seeds[0]).rows)
    seconds = naive = 0.0
    below = []
    for phase in plan.phases:
        changes = not plan.copies or phase.augments or phase.views
        cut = None if changes else keeper.before(network, phase, rows)
        steps, looks = _steps(phase, count), _epochs(phase, count) * len(task.valid_rows)
        if phase.solver is not None:  # looks once at every picture, then solves
            steps, looks = 0, count + len(task.valid_rows)
        seconds += steps * clockwork.step(network, phase, cut)
        seconds += looks * clockwork.pictures(network, cut)
        naive += steps * clockwork.step(network, phase, None)
        naive += looks * clockwork.pictures(network, None)
        behind = "at the pictures" if cut is None else f"behind {cut.name}"
        how = (
            f"{steps:,} steps of {phase.batch_size}"
            if steps
            else "solved at once (solving is not in the estimate)"
        )
        below.append(f"{phase.name}: {how}, {behind}")
        if cut is not None:
            seen[cut] = None
    last = _last_look(plan, network, workplace)
    looks = len(task.valid_rows) + len(task.test.rows)
    seconds += looks * clockwork.pictures(network, last)
    naive += looks * clockwork.pictures(network, None)
    if last is not None:
        seen[last] = None
    what = f"fit {name}, {labels} labels"
    return JobCost(what, len(seeds), seconds, naive, below=tuple(below))


def _last_look(plan: Plan, network: Network, workplace: Workplace) -> Cut | None:
    if not plan.copies:
        return None
    rows = len(workplace.doorway(workplace.study.study.seeds[0]).rows)
    return workplace.keeper.unchanged(network, plan.trained_groups(), rows)


def _pass(workplace: Workplace, clockwork: _Clockwork, cut: Cut) -> JobCost:
    """One pass of the pictures up to a cut."""
    seeds = workplace.study.study.seeds
    count = 1 if workplace.features_are_shared else len(seeds)
    rows = len(workplace.doorway(seeds[0]).rows)
    seconds = rows * clockwork.prefix(workplace.placed(workplace.making), cut)
    numbers = math.prod(cut.shape)
    what = f"look once at {rows:,} pictures up to {cut.name} ({numbers:,} numbers each)"
    return JobCost(what, count, seconds, 0.0, 4 * numbers * rows)


def _steps(phase: Phase, pictures: int) -> int:
    return phase.steps or math.ceil(pictures / phase.batch_size) * (phase.epochs or 0)


def _epochs(phase: Phase, pictures: int) -> int:
    return phase.epochs or math.ceil((phase.steps or 0) * phase.batch_size / pictures)
