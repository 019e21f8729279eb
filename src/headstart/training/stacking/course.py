"""One phase of stacked trials on its way, epoch by epoch."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from headstart.errors import TrainingError
from headstart.networks.selections import has_statistics
from headstart.strategies.plan import Phase
from headstart.strategies.recipe import PLAIN
from headstart.training.courses import Clock, Epoch, check_finite, picture_order
from headstart.training.fit import set_modes
from headstart.training.objective import Objective
from headstart.training.schedules import rate_factor
from headstart.training.stacking.batching import Batching
from headstart.training.stacking.chain import Dense, Link
from headstart.training.stacking.learning import Flat, FusedRules, Learner, PlainDescent
from headstart.training.stacking.members import (
    Member,
    NotStackableError,
    Way,
    learning_rates,
    way_like,
    way_through,
)
from headstart.training.stacking.objective import Losses
from headstart.training.stacking.passes import Passes
from headstart.training.stacking.room import Room
from headstart.training.stacking.supply import Ordered, Supply
from headstart.training.stacking.weights import Layout, give_back, take_in

EVALUATED = 128  # pictures of each trial at a time


@dataclass(eq=False)
class Trial:
    """How far one trial of a stack is.

    Attributes:
        member: The trial.
        stream: Draws its dropout.
        done: Its epochs so far.
        steps: Steps made.
        kept: Validation loss and accuracy of its weights.
        failure: Why it ended before its time.
        first: The number of the phase's first epoch, over all phases.
        since_best: Epochs since the best one of the phase.
        best: Its validation loss and accuracy.
        best_weights: What was learned by then, in rows.
    """

    member: Member
    stream: torch.Generator
    done: list[Epoch] = field(default_factory=list)
    steps: int = 0
    kept: tuple[float, float] = (math.inf, 0.0)
    failure: TrainingError | None = None
    first: int = 1
    since_best: int = 0
    best: tuple[float, float] = (math.inf, 0.0)
    best_weights: Flat = field(default_factory=dict)

    def begin_phase(self) -> None:
        """Forget what belonged to the phase before."""
        self.first = len(self.done) + 1
        self.since_best = 0
        self.best = (math.inf, 0.0)
        self.best_weights = {}


def enter_phase(trials: Sequence[Trial], number: int) -> dict[Trial, Way]:
    """Where trials enter a phase; those that cannot have failed, which stops no other.

    Args:
        trials: Not failed so far.
        number: Of the phase.

    Raises:
        NotStackableError: If what they train through cannot be stacked, or is not alike.
    """
    ways: dict[Trial, Way] = {}
    for trial in trials:
        try:
            known = next(((each.member, way) for each, way in ways.items()), None)
            ways[trial] = _way(trial.member, trial.member.plan.phases[number], known)
        except NotStackableError:
            raise
        except TrainingError as error:
            trial.failure = error
    found = list(ways.values())
    # Features that one trial could keep, another may have found no room for.
    if not all(way.is_like(found[0]) for way in found):
        name = trials[0].member.plan.phases[number].name
        raise NotStackableError(
            f"the trials enter phase {name!r} at different places: fit them one by one"
        )
    return ways


def _way(member: Member, phase: Phase, known: tuple[Member, Way] | None) -> Way:
    """Where a trial enters a phase.

    Args:
        member: The trial.
        phase: Of its plan.
        known: Another trial that has entered: one on the very same body has set it up for both.

    Raises:
        NotStackableError: If what it trains through cannot be stacked.
    """
    network, like = member.network, None
    if known is not None and known[0].network.body is network.body:
        like = known[1]
        network.head.train(known[0].network.head.training)
    else:
        set_modes(network, phase)
    entry = member.enter(network, phase, member.train, member.valid)
    way = way_through(network, phase, entry) if like is None else way_like(like, entry)
    if way is None:
        raise NotStackableError(
            f"phase {phase.name!r} cannot be trained in a stack: fit its trials one by one"
        )
    return way


class StackedCourse:
    """A phase of some trials that agree in all but what is one a trial.

    Args:
        entered: From `enter_phase`; at least one.
        number: Of the phase.
        clock: Runs since the stack began.
        stacked: How many trials the stack began with; each takes its share of the time.
    """

    def __init__(
        self, entered: Mapping[Trial, Way], number: int, clock: Clock, stacked: int
    ) -> None:
        self._trials = trials = list(entered)
        self._phases = [trial.member.plan.phases[number] for trial in trials]
        self._clock = clock
        self._stacked = stacked
        self.phase = self._phases[0]
        ways = list(entered.values())
        self._links: tuple[Link, ...] = ways[0].links
        self._dense = [link for link in self._links if isinstance(link, Dense)]
        self._modules: list[list[nn.Module]] = [way.modules for way in ways]
        self._columns = ways[0].columns
        self._train = Supply([way.entry.train for way in ways])
        self._valid = Supply([way.entry.valid for way in ways])
        self._layout = Layout(self._dense, learning_rates(ways, self._phases))
        self._frozen = self._layout.room(len(trials), self._layout.frozen)
        weights = self._layout.room(len(trials), self._layout.learning)
        layers = self._layout.layers({**self._frozen, **weights})
        for place, modules in enumerate(self._modules):
            take_in(layers, self._dense, place, modules, self._columns)
        self._learner = self._new_learner(weights)
        self._average: Flat = {}
        self._steps = 0
        normed = any(has_statistics(each) for each in trials[0].member.network.modules())
        self._batching = [
            Batching.of(self.phase, count, normed=normed) for count in self._train.counts
        ]
        self._rows = self._batching[0].rows
        self._total = self.phase.steps or self._batching[0].steps * (self.phase.epochs or 0)
        for trial in trials:
            trial.begin_phase()
        self._set_up()

    def _pairs(self) -> Iterator[tuple[Trial, Phase]]:
        yield from zip(self._trials, self._phases, strict=True)

    def _new_learner(self, weights: Flat) -> Learner:
        settings, clip_norm = [p.optimizer for p in self._phases], self.phase.recipe.clip_norm
        if PlainDescent.fits(settings[0], clip_norm):
            return PlainDescent(self._layout, weights, settings)
        return FusedRules(self._layout, weights, settings, clip_norm)

    def _set_up(self) -> None:
        """Make room for the trials that are there now."""
        self._layers = self._layout.layers({**self._frozen, **self._learner.weights})
        units = self._dense[-1].outputs
        objectives = [
            Objective(phase.recipe, self._train.labels(place), trial.member.class_names)
            for place, (trial, phase) in enumerate(self._pairs())
        ]
        self._losses = Losses(objectives, units)
        plain = Objective(PLAIN, self._train.labels(0), ())
        self._plain = Losses([plain] * len(objectives), units)
        streams = [trial.stream for trial in self._trials]
        self._passes = self._new_passes(self._rows, streams)
        self._gradient = Room.make(*self._passes.logits.each.shape)
        self._looks = self._new_passes(EVALUATED, None)
        in_order = [torch.arange(count) for count in self._valid.counts]
        self._judged = self._valid.in_orders(in_order, EVALUATED)

    def _new_passes(self, rows: int, streams: list[torch.Generator] | None) -> Passes:
        first = self._layout.first_learning()
        return Passes(self._links, len(self._trials), self._train.width, rows, streams, first)

    def go(self) -> None:
        """Train until the phase is over for every trial; leave what was learned in the networks."""
        epochs = 0
        patience = self.phase.patience or math.inf
        while self._trials:
            losses = self._one_epoch(epochs)
            shown = self._average or self._learner.weights
            judged = self._evaluate(shown)
            going: list[int] = []
            for place, (trial, phase) in enumerate(self._pairs()):
                number = trial.first + epochs
                try:
                    check_finite(losses[place], "loss", number, phase.name)
                    check_finite(judged[place][0], "validation loss", number, phase.name)
                except TrainingError as error:
                    trial.failure = error
                    continue
                self._note(trial, place, judged[place], shown)
                seconds = self._clock.seconds / self._stacked
                trial.done.append(Epoch(phase.name, number, losses[place], *judged[place], seconds))
                if self._steps < self._total and trial.since_best < patience:
                    going.append(place)
                else:
                    self._end(trial, place, shown)
            epochs += 1
            if len(going) < len(self._trials):
                self._go_on_with(going)

    def _note(self, trial: Trial, place: int, judged: tuple[float, float], shown: Flat) -> None:
        """Keep a trial's weights if they are its best so far, where the phase has patience."""
        trial.kept = judged
        if self.phase.patience is None:
            return
        trial.since_best += 1
        if judged[0] < trial.best[0]:
            trial.best, trial.since_best = judged, 0
            trial.best_weights = {part: each[place].clone() for part, each in shown.items()}

    def _end(self, trial: Trial, place: int, shown: Flat) -> None:
        """Put what a trial learned into its network."""
        rows = {part: each[place] for part, each in shown.items()}
        if trial.best_weights:
            rows, trial.kept = trial.best_weights, trial.best
        trial.best_weights = {}
        trial.steps += self._steps
        layers = self._layout.layers({part: row[None] for part, row in rows.items()})
        give_back(layers, self._dense, 0, self._modules[place], self._columns)

    def _go_on_with(self, going: list[int]) -> None:
        """Close the ranks."""
        self._trials = [self._trials[place] for place in going]
        self._phases = [self._phases[place] for place in going]
        self._modules = [self._modules[place] for place in going]
        if not going:
            return
        chosen = torch.tensor(going)
        self._train, self._valid = self._train.of(chosen), self._valid.of(chosen)
        self._batching = [self._batching[place] for place in going]
        self._layout = self._layout.of(chosen)
        self._frozen = {part: each[chosen] for part, each in self._frozen.items()}
        self._average = {part: each[chosen] for part, each in self._average.items()}
        weights = {part: each[chosen] for part, each in self._learner.weights.items()}
        settings = [phase.optimizer for phase in self._phases]
        self._learner = self._learner.go_on_with(chosen, weights, settings)
        self._set_up()

    def _one_epoch(self, of_phase: int) -> list[float]:
        """One pass over the pictures (or what is left of the steps); the mean losses."""
        orders = [
            picture_order(
                phase.recipe.order,
                trial.member.seed,
                trial.first + of_phase,
                self._train.labels(place),
            )
            for place, (trial, phase) in enumerate(self._pairs())
        ]
        ordered = self._train.in_orders(orders, self._rows)
        total = torch.zeros(len(self._trials))
        seen = torch.zeros(len(self._trials))
        counts: list[int] = []
        for step in range(self._batching[0].steps):
            if self._steps == self._total:
                break
            before, counts = counts, [each.sizes[step] for each in self._batching]
            if counts != before:
                self._passes.draw_for(counts)
                pictures = torch.tensor(counts)
            start = step * self.phase.batch_size
            total += self._step(ordered, slice(start, start + self._rows), pictures) * pictures
            seen += pictures
        return (total / seen).tolist()

    def _step(self, ordered: Ordered, batch: slice, counts: Tensor) -> Tensor:
        """One step of every trial; their losses before it."""
        passes, gradient = self._passes, self._gradient
        self._learner.begin(rate_factor(self.phase.schedule, self._steps, self._total))
        self._train.fill(passes.inputs, ordered.rows[:, batch])
        logits = passes.forward(self._layers)
        losses = self._losses(logits, ordered.labels[:, batch], counts, gradient)
        passes.backward(gradient, self._layers, self._learner)
        self._learner.end()
        self._steps += 1
        if self.phase.recipe.ema:
            self._average_in(1 - self.phase.recipe.ema)
        return losses

    def _average_in(self, share: float) -> None:
        """Take the weights as they are now into their average."""
        weights = self._learner.weights
        if not self._average:
            self._average = {part: each.clone() for part, each in weights.items()}
            return
        for part, each in self._average.items():
            each.lerp_(weights[part], share)

    def _evaluate(self, shown: Flat) -> list[tuple[float, float]]:
        """Validation loss and accuracy of every trial, with these weights."""
        layers = self._layout.layers({**self._frozen, **shown})
        counts = torch.tensor(self._valid.counts)
        total = torch.zeros(len(counts), dtype=torch.float64)
        right = torch.zeros(len(counts), dtype=torch.int64)
        for start in range(0, int(counts.max()), EVALUATED):
            chosen = slice(start, start + EVALUATED)
            self._valid.fill(self._looks.inputs, self._judged.rows[:, chosen])
            logits = self._looks.forward(layers)
            labels, here = self._judged.labels[:, chosen], (counts - start).clamp(0, EVALUATED)
            losses = self._plain(logits, labels, here) * here
            total += losses.where(here > 0, 0.0).double()
            hits = logits.each.softmax(-1).argmax(-1) == labels
            right += (hits & (torch.arange(EVALUATED) < here[:, None])).sum(1)
        return [
            (loss / count, hits / count)
            for loss, hits, count in zip(
                total.tolist(), right.tolist(), self._valid.counts, strict=True
            )
        ]
