"""The one training loop: explicit phases, no callbacks."""

import copy
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial

import torch
from torch import Tensor

from headstart.errors import TrainingError
from headstart.networks.groups import Network, weights_hash
from headstart.networks.heads import zero_output
from headstart.networks.low_rank import adapted, load_peft
from headstart.networks.selections import has_statistics
from headstart.networks.taps import TappedBody
from headstart.seeding import stream_seed
from headstart.strategies.plan import Phase, Plan
from headstart.training.augmented import ChangedPictures
from headstart.training.batches import Batches, Inputs
from headstart.training.checkpoints import Checkpoints, Standing, copy_into
from headstart.training.choice import Choice, best_end
from headstart.training.courses import Clock, Course, Solution
from headstart.training.courses import Epoch as Epoch
from headstart.training.dropout import MASKS, drawn_quickly
from headstart.training.entry import Enter, at_the_pictures
from headstart.training.interpolation import interpolate
from headstart.training.regularisers import Regularisation, starting_point, watches_features
from headstart.training.running_statistics import paced
from headstart.training.soup import greedy_soup
from headstart.training.source_side import SourceSide, source_side


@dataclass(frozen=True)
class Fit:
    """What a fit left behind.

    Attributes:
        epochs: The learning curve.
        steps: Optimiser steps made.
        seconds: Wall time of training and validation.
        val_loss: Validation loss of the weights that were kept.
        val_accuracy: Validation accuracy of the weights that were kept.
        choice: What was kept of several ends, where the plan asks for the best of them.
    """

    epochs: tuple[Epoch, ...]
    steps: int
    seconds: float
    val_loss: float
    val_accuracy: float
    choice: Choice | None = None


def fit(
    network: Network,
    plan: Plan,
    train: Inputs,
    valid: Inputs,
    seed: int,
    on_epoch: Callable[[Epoch], None] | None = None,
    enter: Enter = at_the_pictures,
    class_names: Sequence[str] = (),
    checkpoints: Checkpoints | None = None,
) -> Fit:
    """Train a network in place, phase by phase.

    The order of the pictures and the dropout come from streams of their own, so that all
    strategies of one seed see the pictures in the same order, changed in the same way where the
    plan augments them. Frozen groups are left bit-identical, buffers included.

    In a network that takes statistics from batches (BatchNorm), a last batch of one picture would
    have none: that picture joins the batch before it, whatever is frozen, so that all strategies
    of one network see the same batches.

    Args:
        network: On the batches' device, already holding the weights it starts from.
        plan: What trains when; must cover the network's groups.
        train: Labelled training pictures.
        valid: Labelled validation pictures.
        seed: Names the streams.
        on_epoch: Told every epoch as it ends.
        enter: Where each phase enters the network; at the pictures when omitted.
        class_names: The classes in the order of their numbers, where the plan weighs them by name.
        checkpoints: Where to keep how far a long fit is. One that lies there, of the same fit, is
            gone on from; `on_epoch` is not told its epochs again.

    Raises:
        TrainingError: If the loss is no longer a finite number, there is nothing to learn from or
            to choose with, BatchNorm would have to learn from batches of one picture, or the
            plan's recipes ask for what is not here.
        StudyError: If the plan does not fit the network or the classes.
    """
    plan.check_network(network)
    if plan.taps is not None and not isinstance(network.body, TappedBody):
        raise TrainingError(
            "the plan is for a tapped network: give that of headstart.networks.taps.with_taps"
        )
    for part, batches in (("training", train), ("validation", valid)):
        if batches.labels is None or not len(batches):
            raise TrainingError(f"there are no labelled {part} pictures: give at least one")
    if any(phase.low_rank is not None for phase in plan.phases):
        load_peft()  # not within the time that fitting takes
    with torch.random.fork_rng(devices=cuda_devices(train.device)):
        torch.manual_seed(stream_seed(seed, "dropout"))
        if plan.zero_head:
            zero_output(network.head)
        source = starting_point(network, plan)
        beside = source_side(network, plan, train)
        going = _Going(network, beside, plan, seed, train, checkpoints)
        going.restore_network()
        for number, phase in enumerate(plan.phases):
            if number < going.phase:
                continue
            if phase.restart:
                going.restart()
            with adapted(network, phase.low_rank), paced(network, phase), drawn_quickly(network):
                set_modes(network, phase)
                whole = phase.low_rank is not None or watches_features(phase)
                way_in = at_the_pictures if whole else enter
                entry = way_in(network, phase, _changed(train, phase, seed), valid)
                course: Course | Solution
                if phase.solver is not None:
                    course = Solution(network, phase.name, phase.solver, entry, going.clock)
                else:
                    teacher = going.teacher(phase)
                    near = Regularisation(network, phase, entry.model, source, beside, teacher)
                    course = Course(network, phase, entry, near, seed, going.clock, class_names)
                going.follow(course, number, on_epoch)
            going.keep_end(phase)
    for parameter in network.parameters():
        parameter.requires_grad_(True)
        parameter.grad = None
    network.eval()
    (val_loss, val_accuracy), choice = _combined(network, plan, going, valid, course.kept)
    if checkpoints is not None:
        checkpoints.remove()
    done = tuple(going.done)
    return Fit(done, going.steps, going.clock.seconds, val_loss, val_accuracy, choice)


def _combined(
    network: Network,
    plan: Plan,
    going: "_Going",
    valid: Inputs,
    kept: tuple[float, float],
) -> tuple[tuple[float, float], Choice | None]:
    """Do what a plan asks for after its last phase, which `kept` its validation loss and accuracy.

    Returns:
        Those of the network as it is left, and the choice, where there was one.
    """
    if plan.interpolation is not None:
        before = going.ends[plan.interpolation.after]
        return interpolate(network, plan.interpolation, before, valid), None
    if plan.soup:
        ingredients = [going.ends[name] for name in plan.soup]
        loss, accuracy, _ = greedy_soup(network, ingredients, valid)
        return (loss, accuracy), None
    if plan.best_of:
        found = best_end(network, going.candidates(), valid)
        return found[:2], found[2]
    return kept, None


def set_modes(network: Network, phase: Phase) -> None:
    """Make exactly what the phase trains learn: gradients, and the statistics of normalisation.

    A module of a frozen group that holds buffers is put into evaluation mode, whatever it is, as
    buffers only change in training mode; so is one of which the phase's selection trains no
    parameter. Dropout stays on everywhere: it belongs to the architecture, not to a group's
    weights.
    """
    learning = phase.learning(network)
    network.train()
    for name, module in network.named_modules():
        buffers = [f"{name}.{buffer}" for buffer, _ in module.named_buffers(recurse=False)]
        frozen = any(not phase.trains(network.group_of(buffer)) for buffer in buffers)
        if buffers and phase.is_partial:
            own = [f"{name}.{key}" for key, _ in module.named_parameters(recurse=False)]
            frozen = frozen or not any(key in learning for key in own)
        if frozen or (phase.batch_norm == "frozen" and has_statistics(module)):
            module.training = False  # of this module alone, not of those inside it
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name in learning)


class _Going:
    """How far a fit is, from its beginning or from its last checkpoint.

    Attributes:
        phase: The number of the phase that it is in.
        steps: Steps of the phases before.
        done: The epochs so far.
        ends: The weights and buffers with which phases ended, where later ones need them.
    """

    def __init__(
        self,
        network: Network,
        beside: SourceSide | None,
        plan: Plan,
        seed: int,
        train: Inputs,
        checkpoints: Checkpoints | None,
    ) -> None:
        self._network = network
        self._beside = beside
        self._plan = plan
        self._device = train.device
        self._checkpoints = checkpoints
        self._meaning, self._found = "", None
        if checkpoints is not None:
            self._meaning = _meaning(network, plan, seed, train)
            self._found = checkpoints.found(self._meaning)
        facts = {} if self._found is None else self._found.facts
        self.phase: int = facts.get("phase", 0)
        self.steps: int = facts.get("steps_before", 0)
        self._first: int = facts.get("first", 1)
        self.done = [Epoch(**epoch) for epoch in facts.get("done", [])]
        self.clock = Clock(facts.get("seconds", 0.0))
        self.ends = {} if self._found is None else self._ends_found(self._found)
        restarts = any(phase.restart for phase in plan.phases)
        self._start = _copies(self._changing()) if restarts else {}

    def _changing(self) -> dict[str, Tensor]:
        """All that phases change, by name: the network, and the source's head beside it."""
        beside = {} if self._beside is None else self._beside.tensors()
        return {**self._network.state_dict(), **beside}

    def _ends_found(self, found: Standing) -> dict[str, dict[str, Tensor]]:
        return {
            phase.name: {
                name: tensor.to(self._device)
                for name, tensor in found.part(f"end {number}").items()
            }
            for number, phase in enumerate(self._plan.phases[: self.phase])
            if phase.name in self._plan.ends_needed()
        }

    def restore_network(self) -> None:
        """Put the checkpoint's weights into the network, and go on with its random numbers."""
        if self._found is None:
            return
        copy_into(self._changing(), self._found.part("network"))
        torch.set_rng_state(self._found.tensors["random"])
        if self._device.type == "cuda":
            torch.cuda.set_rng_state(self._found.tensors["random on cuda"], self._device)

    def restart(self) -> None:
        """Go back to where the plan starts, unless a checkpoint lies further on in the phase."""
        if self._found is None:
            copy_into(self._changing(), self._start)

    def keep_end(self, phase: Phase) -> None:
        """Keep what a phase ended with, where a later one needs it."""
        if phase.name in self._plan.ends_needed():
            self.ends[phase.name] = _copies(
                {
                    name: tensor
                    for name, tensor in self._network.state_dict().items()
                    if phase.name not in self._plan.best_of
                    or phase.trains(self._network.group_of(name))
                }
            )

    def candidates(self) -> dict[str, dict[str, Tensor]]:
        """The ends that the best is chosen of, whole: what a phase left alone is the start's."""
        return {name: {**self._start, **self.ends[name]} for name in self._plan.best_of}

    def teacher(self, phase: Phase) -> Network | None:
        """The network that a phase is distilled from: at rest, as an earlier phase left it."""
        if phase.distilled is None:
            return None
        network = copy.deepcopy(self._network)
        copy_into(network.state_dict(), self.ends[phase.distilled.teacher])
        return network.requires_grad_(False).eval()

    def follow(
        self, course: Course | Solution, number: int, on_epoch: Callable[[Epoch], None] | None
    ) -> None:
        """Do what is left of a phase."""
        if self._found is not None and isinstance(course, Course):
            course.go_on_from(self._found)
        else:
            self._first = len(self.done) + 1
        self._found = None
        self.phase = number
        # A checkpoint is taken up by a network without adapters.
        adapters = self._plan.phases[number].low_rank is not None
        for epoch in course.epochs(self._first):
            self.done.append(epoch)
            if on_epoch is not None:
                on_epoch(epoch)
            if self._checkpoints is not None and isinstance(course, Course) and not adapters:
                self._checkpoints.save_if_due(self._meaning, partial(self._standing, course))
        self.steps += course.steps

    def _standing(self, course: Course) -> Standing:
        of_course = course.standing()
        tensors = {f"network:{k}": v for k, v in self._changing().items()}
        for number, phase in enumerate(self._plan.phases[: self.phase]):
            end = self.ends.get(phase.name, {})
            tensors |= {f"end {number}:{k}": v for k, v in end.items()}
        tensors["random"] = torch.get_rng_state()
        if self._device.type == "cuda":
            tensors["random on cuda"] = torch.cuda.get_rng_state(self._device)
        facts = {
            "phase": self.phase,
            "steps_before": self.steps,
            "first": self._first,
            "done": [asdict(epoch) for epoch in self.done],
            "seconds": self.clock.seconds,
        }
        return Standing({**tensors, **of_course.tensors}, {**facts, **of_course.facts})


def _copies(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


def _meaning(network: Network, plan: Plan, seed: int, train: Inputs) -> str:
    """What tells a fit from others: where it starts, what it does, and on what."""
    assert train.labels is not None
    state = weights_hash({**network.state_dict(), "the labels": train.labels})
    text = f"{state} {plan!r} {seed} masks {MASKS} torch {torch.__version__} {train.device.type}"
    return hashlib.sha256(text.encode()).hexdigest()


def _changed(train: Inputs, phase: Phase, seed: int) -> Inputs:
    """The training pictures as a phase wants to see them.

    Raises:
        TrainingError: If it changes pictures, and what it is given are none.
    """
    if not (phase.augments or phase.views):
        return train
    if not isinstance(train, Batches):
        raise TrainingError(
            f"phase {phase.name!r} changes its training pictures, but was given "
            f"{type(train).__name__}: give Batches of pictures, or leave augment out"
        )
    return ChangedPictures(train, phase.recipe.augment, seed, phase.views)


def cuda_devices(device: torch.device) -> Sequence[int]:
    """The CUDA devices whose random state a fit on this device uses."""
    return [device.index or 0] if device.type == "cuda" else []
