"""Training together: which of a study's sources and trials are stacked, and fitting the stacks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import torch

from headstart.data.tasks import Task
from headstart.engine.keeper import NO_DOOR, Doorway
from headstart.engine.one_door import Door
from headstart.engine.stacks import Likeness, likeness
from headstart.errors import HeadstartError, RecordsError, TrainingError
from headstart.networks.groups import Network
from headstart.strategies import Plan
from headstart.study.own_sources import drawn_seed
from headstart.study.records import TrialKey
from headstart.training.batches import Batches
from headstart.training.entry import Enter, at_the_pictures
from headstart.training.fit import Fit
from headstart.training.stacking.fit import fit_stacked
from headstart.training.stacking.members import Member, can_follow

if TYPE_CHECKING:
    from headstart.study.workplace import Workplace

Done = TypeVar("Done")


@dataclass(frozen=True)
class Begun:
    """What is there before a fit begins.

    Attributes:
        network: What it starts from, on the device.
        plan: What trains when.
        train: What it learns from.
        valid: What it chooses with.
        task: The task.
        seed: Names the streams.
        enter: Where it enters the network.
        door: Where its predictions enter.
    """

    network: Network
    plan: Plan
    train: Batches
    valid: Batches
    task: Task
    seed: int
    enter: Enter = at_the_pictures
    door: Door = NO_DOOR


class Alike:
    """Tells which sources and trials of a study may be stacked with which.

    Args:
        workplace: The study.
    """

    def __init__(self, workplace: "Workplace") -> None:
        self._workplace = workplace
        self._known: dict[object, Likeness | None] = {}
        self._counts: dict[int, tuple[int, int]] = {}

    def trial(self, key: TrialKey) -> Likeness | None:
        """What a trial agrees in with those of its stack; None: it is fitted alone."""
        place = self._workplace
        if not self._may_stack():
            return None
        plan = place.plan_of(key)
        if not can_follow(plan):
            return None
        if key.seed not in self._counts:
            task = place.task(key.seed)
            self._counts[key.seed] = len(task.train_rows), len(task.valid_rows)
        learns, chooses = self._counts[key.seed]
        counts = learns if key.labels == "all" else int(key.labels), chooses
        asked = repr(plan), counts
        if asked not in self._known:
            # All seeds have as many pictures, so there is room for the features of all or none.
            doorway = place.doorway(place.study.study.seeds[0])
            self._known[asked] = self._likeness(place.making, plan, counts, doorway)
        return self._known[asked]

    def source(self, seed: int) -> Likeness | None:
        """What the source of a seed agrees in with those of its stack; None: it is fitted alone."""
        if not self._may_stack():
            return None
        task = self._workplace.source_task(seed)
        counts = len(task.train_rows), len(task.valid_rows)
        if counts not in self._known:
            network = self._workplace.network(task, seed)
            plan = self._workplace.source_plan(network)
            self._known[counts] = self._likeness(network, plan, counts, None)
        return self._known[counts]

    def _may_stack(self) -> bool:
        place = self._workplace
        # With more threads, sums are split in another way in a stack of one than in larger ones.
        one_thread = place.study.study.threads == 1
        return not place.naive and one_thread and place.device.type == "cpu"

    def _likeness(
        self, network: Network, plan: Plan, counts: tuple[int, int], doorway: Doorway | None
    ) -> Likeness | None:
        place = self._workplace
        shape, memory = place.images.picture_shape, place.keeper.memory
        source = place.study.source
        same = source is not None and not source.trained_here
        return likeness(network, plan, counts, shape, doorway, memory, same_weights=same)


def or_why_not(do: Callable[[], Done]) -> Done | HeadstartError:
    """What is done for one trial, or why it cannot be, so that others go on without it.

    Raises:
        RecordsError: Which is no fault of this one trial.
    """
    try:
        return do()
    except RecordsError:
        raise
    except HeadstartError as error:
        return error


def begin_together(
    keys: Sequence[TrialKey], begin: Callable[[TrialKey, Begun | None], Begun]
) -> dict[TrialKey, Begun | HeadstartError]:
    """Begin trials that are alike; weights that are the same and stay so lie in memory once.

    Args:
        keys: The trials.
        begin: Begins one; given the first that could be begun, whose body it may share.
    """
    found: dict[TrialKey, Begun | HeadstartError] = {}
    first: Begun | None = None
    for key in keys:
        found[key] = one = or_why_not(partial(begin, key, first))
        if isinstance(one, Begun):
            if first is not None:  # at once, so that there are never many whole networks
                _share_weights(first.network, one.network, one.plan)
            first = first or one
    return found


def fit_together(begun: Sequence[Begun]) -> list[Fit | TrainingError]:
    """Fit what may be stacked, be it nothing."""
    if not begun:
        return []
    return fit_stacked(
        [
            Member(
                one.network,
                one.plan,
                one.train,
                one.valid,
                drawn_seed(one.seed, one.plan),
                one.enter,
                one.task.class_names,
            )
            for one in begun
        ]
    )


def _share_weights(first: Network, other: Network, plan: Plan) -> None:
    """Let a network hold its frozen weights and buffers where another has the same ones."""
    trained = plan.trained_groups()
    theirs = {**dict(first.named_parameters()), **dict(first.named_buffers())}
    if other.body is first.body:
        return
    for name, tensor in (*other.named_parameters(), *other.named_buffers()):
        same = theirs.get(name)
        if same is None or other.group_of(name) in trained:
            continue
        if tensor.stride() == same.stride() and torch.equal(tensor, same):
            tensor.data = same.data
