"""A workplace: what a process needs at hand to train a study's sources and trials.

Every worker process opens one. What it gives back holds no test score: a workplace never sees test
labels at all.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from headstart.data.image_set import ImageSet
from headstart.data.reading import Progress as PictureProgress
from headstart.data.scaling import Scaling, fit_scaling
from headstart.data.splits import Split, make_split
from headstart.data.tasks import Budget, Examples, Task, make_task
from headstart.engine.cuts import Cut, find_cuts
from headstart.engine.extract import Extracting
from headstart.engine.keeper import NO_DOOR, Doorway, Keeper
from headstart.engine.limits import NO_LIMITS, MachineLimits
from headstart.engine.measured import work_clock
from headstart.engine.one_door import Door, OneDoor
from headstart.errors import HeadstartError, NetworkError, RecordsError, StudyError, TrainingError
from headstart.networks.builders import build_network
from headstart.networks.groups import HEAD, Network, count_parameters, take_groups, weights_hash
from headstart.networks.sources import (
    SourceDescription,
    check_source,
    read_scaling,
    save_source,
    start_from,
)
from headstart.networks.taps import Tapping
from headstart.strategies import Plan, Strategy
from headstart.strategies.scratch import Scratch
from headstart.study.own_sources import (
    drawn_seed,
    own_source,
    own_source_file,
    own_source_plan,
)
from headstart.study.pictures import (
    ImageLoader,
    StudyPictures,
    scaling_of,
)
from headstart.study.records import SourceOutcome, TrialKey, TrialOutcome
from headstart.study.spec import Study
from headstart.study.tapped import Tapped
from headstart.study.together import Alike, Begun, begin_together, fit_together, or_why_not
from headstart.training.batches import Batches
from headstart.training.checkpoints import Checkpoints
from headstart.training.devices import choose_device, describe_device, deterministic
from headstart.training.evaluate import predict_probabilities
from headstart.training.fit import Fit, fit, set_modes
from headstart.training.rate_finder import RateCurve, find_rate
from headstart.training.stacking.members import NotStackableError


def source_file(seed: int) -> str:
    """Where, below the study's folder, the source of a seed lies."""
    return f"sources/seed-{seed}.safetensors"


_SENT = (
    *("study", "load", "directory", "naive", "limits", "settled"),
    *("_rows", "_splits", "_scalings"),
)  # fmt: skip


@dataclass(frozen=True)
class Workplace:
    """A study, its pictures and its folder.

    Attributes:
        study: What is asked.
        load: Gives the pictures as they are stored, called once; None where they are files that
            the study names.
        directory: The study's folder, for sources.
        naive: Whether every trial does all of its work by itself.
        progress: Told how far the reading of files is.
        limits: What the study may take of the machine; in a worker process its share of memory.
        settled: What a search chose for trials, in place of the strategy as the study states it.
    """

    study: Study
    load: ImageLoader | None
    directory: Path
    naive: bool = False
    progress: PictureProgress | None = None
    limits: MachineLimits = NO_LIMITS
    settled: dict[TrialKey, Strategy] = field(default_factory=dict)
    _rows: dict[tuple[int, ...], NDArray[np.int64]] = field(default_factory=dict)
    _splits: dict[int, Split] = field(default_factory=dict)
    _scalings: dict[int, Scaling] = field(default_factory=dict)

    def __getstate__(self) -> dict[str, object]:
        """What goes to a worker process: how to get the pictures, not the pictures themselves."""
        return {name: value for name, value in vars(self).items() if name in _SENT}

    @cached_property
    def pictures(self) -> StudyPictures:
        """Where the pictures come from, and the network that they are for."""
        silent = self.progress or (lambda _doing, _done, _total: None)
        return StudyPictures(self.study, self.load, silent)

    @property
    def images(self) -> ImageSet:
        """The pictures, of the size that the network takes."""
        return self.pictures.images

    @cached_property
    def making(self) -> Network:
        """A network of the making that all trials have, to look at only."""
        seed = self.study.study.seeds[0]
        return self.network(self.task(seed), seed)

    @cached_property
    def tapped(self) -> Tapped:
        """Knows the networks, and the features, of plans that tap theirs."""
        return Tapped(self)

    @cached_property
    def keeper(self) -> Keeper:
        """Has the features that trials share."""
        source, network = self.study.source, self.study.network
        ready_made = source and (source.pretrained or (source.keras and source.keras.name))
        name = ready_made or (f"a network of kind {network.kind}" if network else "the network")
        keeper = Keeper(self.images, name=name, memory=self.limits.memory)
        keeper.disk = self.limits.disk_share
        if keeper.disk is None and self.limits.disk is not None:
            keeper.disk = self.limits.disk // self._entries(keeper)
        return keeper

    def _entries(self, keeper: Keeper) -> int:
        """How many entries of features the study would keep: one a cut and source."""
        network, shape = self.making, self.images.picture_shape
        cuts: set[Cut | None] = set()
        for name in self.study.strategy:
            plan = self.plan(name, network)
            if plan.copies:
                own = self.tapped.making(plan.taps)
                found = keeper.cuts(own) if plan.taps is None else find_cuts(own, shape)
                cuts.update(found.before(own, phase) for phase in plan.phases)
                cuts.add(found.unchanged(own, plan.trained_groups()))
        sources = 1 if self.features_are_shared else len(self.study.study.seeds)
        return max(1, sources * len(cuts - {None}))

    @cached_property
    def device(self) -> torch.device:
        """Where trials are trained."""
        return choose_device(self.study.study.device)

    def get_ready(self) -> None:
        """Do what the first job would have to do for all, so that all jobs take as long."""
        self.images  # noqa: B018  read
        if not self.naive:
            self.keeper.cuts(self.making)

    @property
    def clock(self) -> Callable[[], float]:
        """The clock that estimates, and what jobs took, are told by."""
        return work_clock(self.study.study.threads if self.device.type == "cpu" else 0)

    def spent_on_features(self) -> dict[str, float]:
        """Cut → seconds that making its features took since this was last asked."""
        if "keeper" not in vars(self):  # nobody needed any
            return {}
        spent, self.keeper.spent = self.keeper.spent, {}
        return spent

    def split(self, seed: int) -> Split:
        """The split of a seed; the same for all seeds where the order is ``"stored"``."""
        same = self.study.split.order == "stored"
        if same and self._splits:
            return next(iter(self._splits.values()))
        if seed not in self._splits:
            self._splits[seed] = make_split(self.images, self.study.split, seed)
        return self._splits[seed]

    def task(self, seed: int) -> Task:
        """The target task of a seed."""
        return make_task(self.images, self.study.task, self.split(seed))

    def source_task(self, seed: int) -> Task:
        """The source's task of a seed, when it is trained here."""
        settings = self.study.source_task(self.images.class_names)
        return make_task(self.images, settings, self.split(seed))

    def scaling(self, seed: int) -> Scaling:
        """The scaling of a seed; that of the source where it comes from a file."""
        if self.study.source is not None and self.study.source.file is not None:
            return read_scaling(self.study.source.file)
        if self.study.data.scaling == "source":
            assert self.pictures.ready_made is not None
            return scaling_of(self.pictures.ready_made.preprocessing)
        if seed not in self._scalings:
            rows = self.split(seed).train
            self._scalings[seed] = fit_scaling(self.study.data.scaling, self.images.pictures, rows)
        return self._scalings[seed]

    def plan(self, strategy: str, network: Network) -> Plan:
        """A strategy's plan for a network, checked.

        Raises:
            StudyError: If the network cannot take it.
        """
        if strategy not in self._plans:
            own = self.study.strategy[strategy]
            plan = _checked_plan(strategy, own, network)
            self.tapped.check(strategy, plan)
            self._plans[strategy] = plan
        return self._plans[strategy]

    @cached_property
    def _plans(self) -> dict[str, Plan]:
        """Plans that were checked; all networks here are of one making."""
        return {}

    def plan_of(self, key: TrialKey) -> Plan:
        """A trial's plan, with what a search chose for it, checked.

        Raises:
            StudyError: If the network cannot take it.
        """
        own = self.settled.get(key)
        if own is None:
            return self.plan(key.strategy, self.making)
        plan = _checked_plan(key.strategy, own, self.making)
        self.tapped.check(key.strategy, plan)
        return plan

    def source_plan(self, network: Network) -> Plan:
        """How a source is trained here."""
        assert self.study.source is not None
        training = self.study.source.training.model_dump(exclude_unset=True)
        return Scratch.model_validate({"kind": "scratch", **training}).plan(network.group_names)

    def network(self, task: Task, seed: int, *, fresh: bool = False) -> Network:
        """A network for a task, of the making that all trials have.

        Args:
            task: Says how many classes the head tells apart.
            seed: Draws what is drawn.
            fresh: Whether all weights are drawn anew; if not, the body of a ready-made source
                comes with its own.
        """
        head, classes, ready_made = self.study.head, len(task.class_names), self.pictures.ready_made
        if ready_made is not None:
            make = ready_made.fresh if fresh else ready_made.pretrained
            return make(head, classes, seed)
        assert self.study.network is not None
        return build_network(self.study.network, head, self.images.picture_shape, classes, seed)

    def start(self, task: Task, seed: int, plan: Plan, labels: Budget = "all") -> Network:
        """The network that a trial with this plan and label budget starts from."""
        network = self.network(task, drawn_seed(seed, plan), fresh=plan.start != "source")
        if plan.start == "own":
            self._copy_own_source(network, task, seed, plan, labels)
        if plan.start == "source" and self.pictures.ready_made is None:
            start_from(network, self._source_weights(seed))
        if plan.fresh:
            take_groups(network, self.network(task, seed, fresh=True), plan.fresh)
        return self.tapped.network(network, plan.taps)

    def _copy_own_source(
        self, network: Network, task: Task, seed: int, plan: Plan, labels: Budget
    ) -> None:
        """Copy the groups that do not start fresh from the target's own source."""
        how = own_source_plan(plan)
        file = own_source_file(self.directory, plan, seed, labels)

        def train() -> Network:
            rows = task.budget_rows(labels, seed, stored=self._stored)
            own = self.placed(self.start(task, seed, how))
            parts = (task.examples(rows), task.valid)
            train, valid = (self._batches(part, seed, own) for part in parts)
            checkpoints = self._checkpoints("own source", file.stem)
            fit(
                own, how, train, valid, drawn_seed(seed, how),
                class_names=task.class_names, checkpoints=checkpoints,
            )  # fmt: skip
            return own

        own = self.network(task, seed, fresh=True)
        own.load_state_dict(own_source(file, train))
        take_groups(network, own, {*network.group_names} - {*plan.fresh, HEAD})
        network.pretrained = True

    @property
    def _stored(self) -> bool:
        """Whether budgets take the first labels as stored."""
        return self.study.study.label_order == "stored"

    def _doorway_of(self, key: TrialKey) -> Doorway:
        """Where a trial enters; nobody else needs the features of its own source."""
        plan = self.plan_of(key)
        if plan.start != "own":
            return self.doorway(key.seed, plan.taps)
        return self.keeper.enter(np.unique(self._needed(key.seed, [key.labels])))

    def doorway(self, seed: int, tapping: Tapping | None = None) -> Doorway:
        """Where the trials of a seed enter their networks.

        A source that is the same for all seeds makes the same features for all of them: those of
        the pictures of all seeds are then made at once.
        """
        seeds = self.study.study.seeds if self.features_are_shared else (seed,)
        if seeds not in self._rows:
            self._rows[seeds] = np.unique(np.concatenate([self._needed(each) for each in seeds]))
        return self.tapped.keeper(tapping).enter(self._rows[seeds])

    @property
    def features_are_shared(self) -> bool:
        """Whether the source makes the same features for the trials of all seeds."""
        source, scaling = self.study.source, self.study.data.scaling
        if source is None or source.trained_here:
            return False
        return source.file is not None or scaling in ("source", "unit", "raw")

    @property
    def source_hash(self) -> str:
        """What tells a source's weights from others; empty where it is trained here."""
        source = self.study.source
        if self.pictures.ready_made is not None:
            return self.pictures.ready_made.sha256
        if source is not None and source.file is not None:
            return check_source(source.file).weights_hash
        return ""

    def share_features(self, strategies: Sequence[str], tell: Callable[[Extracting], None]) -> None:
        """Make the features that trials of all seeds share, before any trial begins.

        They are made with all processors; later on each trial has its own.

        Args:
            strategies: Those that have trials to come.
            tell: Told how far it is.
        """
        if self.naive or not self.features_are_shared:
            return
        seed = self.study.study.seeds[0]
        task = self.task(seed)
        with deterministic(self.limits.processors, self.device):
            for name in strategies:
                plan = self.plan(name, self.making)
                if plan.start == "source":
                    network = self.placed(self.start(task, seed, plan))
                    inputs = [self._batches(task.valid, seed, network)] * 2
                    set_modes(network, plan.phases[0])
                    doorway = self.doorway(seed, plan.taps)
                    doorway.keeper.tell = tell
                    doorway.enter(network, plan.phases[0], *inputs)
                    doorway.keeper.tell = None

    def _needed(self, seed: int, labels: Sequence[Budget] = ()) -> NDArray[np.int64]:
        """The rows of the pictures that the trials of a seed look at, at these or all budgets."""
        task = self.task(seed)
        wanted = labels or self.study.study.labels
        budgets = [task.budget_rows(each, seed, stored=self._stored) for each in wanted]
        return np.concatenate([*budgets, task.valid_rows, task.test.rows])

    @cached_property
    def alike(self) -> Alike:
        """Tells which sources and trials are trained together."""
        return Alike(self)

    def train_source(self, seed: int) -> SourceOutcome:
        """Train the source of a seed and save it below the study's folder."""
        (outcome,) = self.train_sources([seed])
        if isinstance(outcome, TrainingError):
            raise outcome
        return outcome

    def train_sources(self, seeds: Sequence[int]) -> list[SourceOutcome | TrainingError]:
        """Train the sources of some seeds that are alike, and save them; see `train_source`."""
        with deterministic(self.study.study.threads, self.device):
            begun = [self._source_begun(seed) for seed in seeds]
            if self.alike.source(seeds[0]) is not None:
                fits = fit_together(begun)
            else:
                fits = [self._fit(one, self._checkpoints("source", one.seed)) for one in begun]
        return [
            result if isinstance(result, TrainingError) else self._source_done(one, result)
            for one, result in zip(begun, fits, strict=True)
        ]

    def _source_begun(self, seed: int) -> Begun:
        task = self.source_task(seed)
        network = self.placed(self.network(task, seed))
        plan = self.source_plan(network)
        train, valid = (self._batches(part, seed, network) for part in (task.train, task.valid))
        return Begun(network, plan, train, valid, task, seed)

    def _source_done(self, begun: Begun, result: Fit) -> SourceOutcome:
        """Save a source that was trained."""
        seed, network = begun.seed, begun.network
        network.pretrained = True
        description = SourceDescription(
            network=self.study.network,
            head=self.study.head,
            picture_shape=self.images.picture_shape,
            class_names=begun.task.class_names,
            steps=result.steps,
            val_accuracy=result.val_accuracy,
            val_loss=result.val_loss,
            weights_hash=weights_hash(network.state_dict()),
            scaling=self.study.data.scaling,
            origin=f"trained on {self.images.name}, seed {seed}",
        )
        self._save_source(network, seed, description)
        return SourceOutcome(
            file=source_file(seed),
            weights_hash=description.weights_hash,
            val_accuracy=result.val_accuracy,
            val_loss=result.val_loss,
            epochs=len(result.epochs),
            steps=result.steps,
            fit_seconds=result.seconds,
            curve=result.epochs,
        )

    def _save_source(self, network: Network, seed: int, description: SourceDescription) -> None:
        """Save a source below the study's folder.

        Raises:
            RecordsError: If it cannot be written, which is no fault of this one source.
        """
        file = self.directory / source_file(seed)
        try:
            save_source(network, self.scaling(seed), description, file)
        except NetworkError as error:
            raise RecordsError(*error.problems) from error

    def fit_trial(self, key: TrialKey) -> TrialOutcome:
        """Train one trial and predict; nothing here knows a test label."""
        (outcome,) = self.fit_trials([key])
        if isinstance(outcome, HeadstartError):
            raise outcome
        return outcome

    def fit_trials(self, keys: Sequence[TrialKey]) -> list[TrialOutcome | HeadstartError]:
        """Train some trials that are alike (`alike`) and predict; see `fit_trial`."""
        with deterministic(self.study.study.threads, self.device):
            return [
                fitted
                if isinstance(fitted, HeadstartError)
                else or_why_not(partial(self._outcome, *fitted))
                for fitted in self._fitted(keys)
            ]

    def _outcome(self, begun: Begun, result: Fit) -> TrialOutcome:
        """What a trial says once it is trained."""
        network, valid, task = begun.network, begun.valid, begun.task
        plan = begun.plan if result.choice is None else begun.plan.kept(result.choice.name)
        test = valid.of_rows(task.test.rows)
        model, (valid_inputs, test_inputs) = begun.door.behind(network, plan, valid, test)
        return TrialOutcome(
            val_accuracy=result.val_accuracy,
            val_loss=result.val_loss,
            trainable_parameters=plan.count_learning(network),
            total_parameters=count_parameters(network.parameters()),
            fit_seconds=result.seconds,
            steps=result.steps,
            curve=result.epochs,
            weights_hash=weights_hash(network.state_dict()),
            device=describe_device(self.device),
            val_probabilities=predict_probabilities(network, valid_inputs, model),
            test_probabilities=predict_probabilities(network, test_inputs, model),
            val_rows=task.valid_rows,
            val_labels=task.valid.labels,
            choice=result.choice,
        )

    def trained(self, key: TrialKey) -> Network:
        """The network of one trial, trained (again): the same bits as the trial's, on the CPU."""
        with deterministic(self.study.study.threads, self.device):
            (fitted,) = self._fitted([key])
        if isinstance(fitted, HeadstartError):
            raise fitted
        return fitted[0].network.cpu()

    def range_test(self, key: TrialKey) -> RateCurve:
        """What rising rates do in the first phase of a trial (`find_rate`)."""
        with deterministic(self.study.study.threads, self.device):
            begun = self._begun(key)
            return find_rate(
                begun.network, begun.plan, begun.train, key.seed,
                class_names=begun.task.class_names,
            )  # fmt: skip

    def _begun(self, key: TrialKey, first: Begun | None = None) -> Begun:
        """What is there before a trial's fit begins.

        Args:
            key: The trial.
            first: The first of its stack; where the body stays as it is, they share one.
        """
        task, seed = self.task(key.seed), key.seed
        examples = task.examples(task.budget_rows(key.labels, seed, stored=self._stored))
        plan = self.plan_of(key)
        door: Door = NO_DOOR if self.naive else self._doorway_of(key)
        shares = isinstance(door, Doorway) and self._shares_body(plan)
        if shares and first is not None and isinstance(first.door, OneDoor):
            network, door = self._on_body(first.network, task, drawn_seed(seed, plan)), first.door
        else:
            network = self.placed(self.start(task, seed, plan, key.labels))
            door = OneDoor(door) if shares and isinstance(door, Doorway) else door
        train, valid = (self._batches(part, seed, network) for part in (examples, task.valid))
        return Begun(network, plan, train, valid, task, seed, door.enter, door)

    def _shares_body(self, plan: Plan) -> bool:
        """Whether all trials of a plan have the same body, from beginning to end."""
        ready_made = self.features_are_shared and self.pictures.ready_made is not None
        return ready_made and plan.start == "source" and plan.trained_groups() <= {HEAD}

    def _on_body(self, first: Network, task: Task, seed: int) -> Network:
        """What `start` gives for a plan that shares its body, on that of a trial begun before."""
        assert self.pictures.ready_made is not None
        classes = len(task.class_names)
        network = self.pictures.ready_made.another(first, self.study.head, classes, seed)
        network.head.to(self.device)
        return network

    def _fitted(self, keys: Sequence[TrialKey]) -> list[tuple[Begun, Fit] | HeadstartError]:
        """Some trials that are alike once they are trained, or why one could not be."""
        if self.alike.trial(keys[0]) is None:
            return [or_why_not(partial(self._fitted_alone, key)) for key in keys]
        found = begin_together(keys, self._begun)
        ready = {key: one for key, one in found.items() if isinstance(one, Begun)}
        try:
            fits = dict(zip(ready, fit_together(list(ready.values())), strict=True))
        except NotStackableError:  # such as for want of room for features
            return [or_why_not(partial(self._fitted_alone, key)) for key in keys]
        fitted: list[tuple[Begun, Fit] | HeadstartError] = []
        for key, one in found.items():
            result = fits[key] if isinstance(one, Begun) else one
            if isinstance(one, Begun) and isinstance(result, Fit):
                fitted.append((one, result))
            elif isinstance(result, HeadstartError):
                fitted.append(result)
        return fitted

    def _fitted_alone(self, key: TrialKey) -> tuple[Begun, Fit]:
        """A trial that is fitted by itself."""
        begun = self._begun(key)
        checkpoints = self._checkpoints("trial", key.strategy, key.seed, key.labels)
        return begun, self._fit(begun, checkpoints)

    def _fit(self, begun: Begun, checkpoints: Checkpoints) -> Fit:
        """Fit one by itself."""
        return fit(
            begun.network, begun.plan, begun.train, begun.valid,
            drawn_seed(begun.seed, begun.plan), enter=begun.enter,
            class_names=begun.task.class_names, checkpoints=checkpoints,
        )  # fmt: skip

    def _checkpoints(self, *what: str | int) -> Checkpoints:
        """Where a long fit keeps how far it is; names of strategies may hold any character."""
        name = hashlib.sha256("\x1f".join(map(str, what)).encode()).hexdigest()[:16]
        return Checkpoints(self.directory / "checkpoints" / f"{name}.safetensors")

    def _source_weights(self, seed: int) -> Path:
        assert self.study.source is not None
        return self.study.source.file or self.directory / source_file(seed)

    def placed(self, network: Network) -> Network:
        """The network on the device; convolutions read pictures channels-last, which is faster."""
        network = network.to(self.device)
        if _has_convolutions(network):
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return network

    def _batches(self, examples: Examples, seed: int, network: Network) -> Batches:
        return Batches.of(
            examples,
            self.scaling(seed),
            self.device,
            channels_last=_has_convolutions(network),
        )


def _checked_plan(name: str, strategy: Strategy, network: Network) -> Plan:
    try:
        plan = strategy.plan(network.group_names)
        plan.check_network(network)
    except StudyError as error:
        raise StudyError(*(f"strategy.{name}: {p}" for p in error.problems)) from error
    return plan


def _has_convolutions(network: Network) -> bool:
    return any(isinstance(module, torch.nn.Conv2d) for module in network.modules())
