"""Timing: seconds of a step, a look, a solved head, each kind measured once and remembered.

What is timed is the training loop itself, on a few real pictures (behind a cut: on noise of the
features' shape). It is remembered by machine and content, so that the same kind is not timed
again: not in this study, nor in another one with the same network.
"""

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headstart.engine.costs import Rates, calibrated, solving_flops
from headstart.engine.cuts import Cut
from headstart.engine.extract import Features, a_block
from headstart.engine.feature_store import Wanted, rehearse
from headstart.engine.keeper import Keeper, is_channels_last, stored_shape
from headstart.engine.measured import Measured, work_clock
from headstart.networks.groups import HEAD, Network, weights_hash
from headstart.networks.heads import solvable_layer
from headstart.networks.taps import Tapping
from headstart.strategies.plan import Phase, Plan
from headstart.study.workplace import Workplace
from headstart.training.batches import (
    Batches,
    ChannelsLastInputs,
    Inputs,
    StoredInputs,
    evaluation_batch,
)
from headstart.training.devices import deterministic
from headstart.training.entry import Entry
from headstart.training.fit import fit
from headstart.training.stacking.fit import fit_stacked
from headstart.training.stacking.members import Member

_EVALUATED = 16  # pictures that a look is timed with
_QUICK_S = 0.005  # for so many; then as many are tried as are looked at together
_SOLVED_WITH = 400  # pictures that solving is timed with, at most
_LONG_S = 1.0  # what takes longer is not timed a second time
_ENOUGH_S = 0.15  # of steps, so that what is around them does not count
_FEW_STEPS, _MOST_STEPS = 6, 200


@dataclass
class Clockwork:
    """Times what a study consists of, each kind once.

    Attributes:
        workplace: The study, its pictures at hand.
        anew: Time everything, even what is known.
        taps: How the networks are tapped that are timed.
    """

    workplace: Workplace
    anew: bool = False
    taps: Tapping | None = None
    _known: dict[tuple[str, ...], float] = field(default_factory=dict)
    _others: "dict[Tapping | None, Clockwork]" = field(default_factory=dict)

    @cached_property
    def rates(self) -> Rates:
        """What this machine does in a second."""
        return calibrated(self.workplace.keeper.cache, anew=self.anew)

    @cached_property
    def network(self) -> Network:
        """The network that is looked at; what trains on trial is a copy of it."""
        return self.workplace.placed(self.workplace.tapped.making(self.taps))

    @property
    def keeper(self) -> Keeper:
        """Has the features of such networks."""
        return self.workplace.tapped.keeper(self.taps)

    def of(self, taps: Tapping | None) -> "Clockwork":
        """Times networks that are tapped in a way."""
        if taps == self.taps:
            return self
        return self._others.setdefault(taps, Clockwork(self.workplace, self.anew, taps))

    @cached_property
    def making(self) -> str:
        """What timings depend on beside what is timed."""
        place, threads = self.workplace, self.workplace.study.study.threads
        parts = (repr(self.network), place.images.picture_shape, place.device, threads)
        return sha256("\n".join([*map(str, parts), torch.__version__]).encode()).hexdigest()

    def step(self, plan: Plan, phase: Phase, cut: Cut | None, stack: int | None = None) -> float:
        """Seconds of an optimiser step from the cut on, its batch and its update included.

        Args:
            plan: What the phase is of.
            phase: With batches and what learns.
            cut: Where it enters the network; None: at the pictures.
            stack: How many trials are trained together; the seconds are one's share. None: it is
                fitted alone, which is not the same as a stack of one.
        """
        phase = replace(phase, epochs=1, steps=None)

        def measure() -> float:
            first = self._fitted(plan, phase, cut, 1, stack)  # warms up
            if first > _LONG_S:
                return first / (stack or 1)
            one = min(first, self._fitted(plan, phase, cut, 1, stack))
            more = _FEW_STEPS
            some = self._fitted(plan, phase, cut, 1 + more, stack)
            # What comes before the first step takes as long as many steps of a small network.
            enough = _ENOUGH_S / max((some - one) / more, 1e-6)
            if enough > more:
                more = min(_MOST_STEPS, math.ceil(enough))
                some = self._fitted(plan, phase, cut, 1 + more, stack)
            # On a busy machine a single step may seem to take longer than many.
            return max((some - one) / more, some / (1 + more) / 2) / (stack or 1)

        counted = 3 * self._flops(cut) * phase.batch_size / self.rates.flops
        return self._timed(measure, "step", _kind(phase), _name(cut), str(stack), counted=counted)

    def solving(self, plan: Plan, phase: Phase, cut: Cut | None, pictures: int) -> float:
        """Seconds that solving a head takes, the looks at the pictures included."""
        assert phase.solver is not None
        name = solvable_layer(self.network.head)
        layer = self.network.head.get_submodule(name) if name else self.network.head
        numbers, units = int(layer.in_features), int(layer.out_features)  # type: ignore[arg-type]
        count = min(pictures, _SOLVED_WITH)
        whole, part = (
            solving_flops(phase.solver, each, numbers, max(2, units)) for each in (pictures, count)
        )

        def measure() -> float:
            return self._fitted(plan, replace(phase, batch_size=count), cut, 1, None)

        counted = (part + count * self._flops(cut)) / self.rates.flops
        key = ("solving", _kind(phase), _name(cut), str(count))
        seconds = self._timed(measure, *key, counted=counted)
        return seconds * whole / part

    def look(self, cut: Cut | None) -> float:
        """Seconds that a picture takes, looked at in evaluation mode from the cut on."""
        model, inputs = self._entered(cut, _EVALUATED)
        read = 0.0 if cut is None else 4 * math.prod(cut.shape) / self.rates.copied
        few, count = self._forward(model, inputs, "look", _name(cut)), _EVALUATED
        if few < _QUICK_S:  # then most of it is what comes before and behind a batch
            count = evaluation_batch(4 * math.prod(inputs.shape[1:]))
            model, inputs = self._entered(cut, count)
            few = self._forward(model, inputs, "look", _name(cut), str(count))
        return few / count + read

    def one_pass(
        self, cut: Cut, rows: NDArray[np.int64], nearer: Cut | None = None
    ) -> float | None:
        """Seconds of the pass of some pictures up to a cut, written too.

        None if that was done before: its features are there.

        Args:
            cut: Where the features are taken.
            rows: Of the pictures.
            nearer: A cut whose features will be there, so that it begins there.
        """
        place, study = self.workplace, self.workplace.study.study
        seed, network, threads = study.seeds[0], self.network, study.threads
        source = self._source(seed) if place.features_are_shared else None
        if source is not None:  # then the weights are there, and all processors work
            network, threads = source, place.limits.processors
        with deterministic(threads, place.device):
            pictures = self._batches(place.task(seed).train_rows)
            blocks, seconds = self.keeper.cost(network, cut, pictures, rows)
            if not blocks:
                return None
            key = (_name(cut), str(self.keeper.block), str(threads))
            block, cuts = self.keeper.block, self.keeper.cuts(network)
            if nearer is not None:
                features = torch.rand(block, *nearer.shape, device=place.device)
                between = cuts.between(network, nearer, cut)
                seconds = self._forward(between, features, "between", _name(nearer), *key)
                seconds += self._kept(nearer, pictures, rows)  # they are read, about as long
            elif not seconds:  # such as on a GPU, or where nothing can be remembered
                prefix = cuts.split(network, cut).prefix
                seconds = self._forward(prefix, self._pictures(block), "block", *key)
            looked_up = self._timed(
                lambda: self._seconds(lambda: self.keeper.cost(network, cut, pictures, rows)),
                "looking up", *key,
            )  # fmt: skip
            kept = self._kept(cut, pictures, rows)
        return looked_up + blocks * (seconds + kept)

    def _kept(self, cut: Cut, pictures: Batches, rows: NDArray[np.int64]) -> float:
        """Seconds that a block takes beside the network: its pictures picked, its features kept."""
        block, images = self.keeper.block, self.workplace.images
        rows = np.resize(rows, block)
        features = np.zeros((block, *stored_shape(cut, pictures)), dtype=np.float32)
        wanted = Wanted("", images.hashes_of(rows), features.shape[1:])

        def fill(_: NDArray[np.int64]) -> Iterator[Features]:
            a_block(pictures.of_rows(rows), 0, block)
            yield features

        def measure() -> float:
            return min(self._seconds(lambda: rehearse(wanted, fill)) for _ in range(3))

        return self._timed(measure, "keeping", _name(cut), str(block))

    def _seconds(self, work: Callable[[], object]) -> float:
        """Seconds that something takes on the threads that work now."""
        kind = self.workplace.device.type
        clock = work_clock(torch.get_num_threads() if kind == "cpu" else 0)
        started = clock()
        work()
        if kind == "cuda":
            torch.cuda.synchronize()
        elif kind == "mps":
            torch.mps.synchronize()
        return clock() - started

    def _source(self, seed: int) -> Network | None:
        """A network that holds the source's weights; None if no strategy takes them."""
        place = self.workplace
        plans = (place.plan(name, self.network) for name in place.study.strategy)
        alike = (plan for plan in plans if plan.start == "source" and plan.taps == self.taps)
        plan = next(alike, None)
        return None if plan is None else place.placed(place.start(place.task(seed), seed, plan))

    def beginning(self, plan: Plan) -> float:
        """Seconds until a trial trains: its network is made, split and named by its weights."""
        place, seed = self.workplace, self.workplace.study.study.seeds[0]

        def begin() -> None:
            plain = place.network(place.task(seed), seed)
            network = place.placed(place.tapped.network(plain, self.taps))
            cuts = self.keeper.cuts(network)
            for _ in plan.phases:
                if cuts.cuts:
                    cuts.split(network, cuts.cuts[-1])
            weights_hash(network.state_dict())

        return self._timed(lambda: self._seconds(begin), "beginning", str(len(plan.phases)))

    def _forward(self, model: Callable[[Tensor], Tensor], inputs: Tensor, *key: str) -> float:
        self.network.eval()

        def look() -> None:
            with torch.inference_mode():
                model(inputs)

        def measure() -> float:
            first = self._seconds(look)
            return first if first > _LONG_S else self._seconds(look)

        return self._timed(measure, *key)

    def _fitted(
        self, plan: Plan, phase: Phase, cut: Cut | None, steps: int, stack: int | None
    ) -> float:
        """Seconds of one epoch of so many batches, for all trials of a stack."""
        place, seed = self.workplace, self.workplace.study.study.seeds[0]
        task = place.task(seed)
        rows = np.resize(task.train_rows, phase.batch_size * steps)
        train, valid = (self._batches(each) for each in (rows, task.valid_rows[:2]))
        alone = replace(phase, patience=None, restart=False, distilled=None)
        short = replace(plan, phases=(alone,), interpolation=None, soup=(), best_of=(), own=())
        enter = self._enter(cut, phase.batch_size)
        networks = [_copied(self.network, phase) for _ in range(stack or 1)]

        def work() -> None:
            if stack is not None:
                fit_stacked(
                    [
                        Member(network, short, train, valid, number, enter, task.class_names)
                        for number, network in enumerate(networks)
                    ]
                )
            else:
                own, names = networks[0], task.class_names
                fit(own, short, train, valid, seed, enter=enter, class_names=names)

        return self._seconds(work)

    def _enter(self, cut: Cut | None, batch_size: int) -> Callable[..., Entry]:
        """Enters at the pictures, or behind a cut with noise in the place of features."""

        def enter(network: Network, _: Phase, train: Inputs, valid: Inputs) -> Entry:
            if cut is None or not isinstance(train, Batches) or not isinstance(valid, Batches):
                return Entry(network, train, valid)
            halves = self.keeper.cuts(network).split(network, cut)
            kind = ChannelsLastInputs if is_channels_last(cut, train) else StoredInputs
            noise = np.random.default_rng(0).random(
                (batch_size, *stored_shape(cut, train)), dtype=np.float32
            )
            parts = [
                kind(noise, np.arange(len(each)) % batch_size, each.labels, each.device)
                for each in (train, valid)
            ]
            return Entry(halves.suffix, *parts)

        return enter

    def _batches(self, rows: NDArray[np.int64]) -> Batches:
        place, seed = self.workplace, self.workplace.study.study.seeds[0]
        reads_maps = any(isinstance(each, torch.nn.Conv2d) for each in self.network.modules())
        return Batches.of(
            place.task(seed).examples(rows),
            place.scaling(seed),
            place.device,
            channels_last=reads_maps,
        )

    def _entered(self, cut: Cut | None, count: int) -> tuple[Callable[[Tensor], Tensor], Tensor]:
        if cut is None:
            return self.network, self._pictures(count)
        halves = self.keeper.cuts(self.network).split(self.network, cut)
        return halves.suffix, torch.rand(count, *cut.shape, device=self.workplace.device)

    def _pictures(self, count: int) -> Tensor:
        height, width, channels = self.workplace.images.picture_shape
        values = torch.rand(count, channels, height, width, device=self.workplace.device)
        return values.contiguous(memory_format=torch.channels_last)

    def _flops(self, cut: Cut | None) -> int:
        """Operations that a picture takes from a cut on, but for what lies behind the last one."""
        cuts = self.keeper.cuts(self.network).cuts
        return (cuts[-1].flops if cuts else 0) - (0 if cut is None else cut.flops)

    def _timed(self, measure: Callable[[], float], *key: str, counted: float = 0.0) -> float:
        """A timing from before, or a new one; what was counted for what cannot be timed."""
        if key not in self._known:
            memory = Measured.of(self.workplace.keeper.cache)
            known = None if self.anew else memory.recall("work", self.making, *key)
            if known is None:
                try:
                    known = measure()
                except Exception:  # what cannot be trained is told when it is to be trained
                    known = counted
                else:
                    memory.remember(known, "work", self.making, *key)
            self._known[key] = known
        return self._known[key]


def _name(cut: Cut | None) -> str:
    return "the pictures" if cut is None else f"{cut.name} {cut.shape}"


def _copied(network: Network, phase: Phase) -> Network:
    """A network to train on trial, which shares what the phase leaves as it is.

    The head is copied in any case: a plan may set it to zero first.
    """
    learning = phase.learning(network)
    shared = {
        id(parameter): parameter
        for name, parameter in network.named_parameters()
        if name not in learning and network.group_of(name) != HEAD
    }
    return copy.deepcopy(network, shared)


def _kind(phase: Phase) -> str:
    """What the time of a phase's steps depends on, as text.

    Numbers that only say how strong something is are left out, and whether there is any of it
    stays: so all candidates of a search are of one kind.
    """
    learns = {group: rate is not None for group, rate in phase.rates.items()}
    own, recipe = phase.optimizer, phase.recipe
    optimizer = (own.name, own.momentum > 0, own.nesterov, own.weight_decay > 0)
    done = (
        recipe.augment,
        recipe.label_smoothing > 0,
        recipe.class_weights != "none",
        recipe.ema > 0,
        recipe.clip_norm > 0,
        recipe.precision,
    )
    pulls = [(each.name, getattr(each, "k", None)) for each in phase.regularisers]
    parts = (
        learns, phase.batch_size, optimizer, done, pulls, phase.batch_norm, phase.only,
        phase.rate_rule, phase.solver, phase.low_rank, phase.distilled is not None,
    )  # fmt: skip
    return repr(parts)
