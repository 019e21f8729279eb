"""What regularisers do while a phase trains: penalties on the loss, and another normalisation.

Each is written out in `headstart.strategies.regularisers` with its paper. A penalty is added to the
loss before the gradient is taken, and never shown as part of the loss.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor, nn

from headstart.networks.groups import HEAD, Network
from headstart.networks.heads import two_columns
from headstart.networks.selections import has_statistics
from headstart.strategies.plan import Phase, Plan
from headstart.strategies.regularisers import BSS, L2SP, CoTuning, Delta, StochNorm
from headstart.training.source_side import SourceSide

Model = Callable[[Tensor], Tensor]


def starting_point(network: Network, plan: Plan) -> dict[str, Tensor]:
    """What the body got from its source, by name, where a regulariser of the plan asks for it.

    Groups that start fresh have nothing to stay near to, so they are left out, as is the head.
    """
    asked = any(isinstance(r, L2SP | Delta) for phase in plan.phases for r in phase.regularisers)
    if not asked:
        return {}
    new = {*plan.fresh, HEAD}
    tensors = [*network.named_parameters(), *network.named_buffers()]
    return {n: t.detach().clone() for n, t in tensors if network.group_of(n) not in new}


def watches_features(phase: Phase) -> bool:
    """Whether a phase needs its pictures to go through the network's own modules, group by group.

    A model that enters the network further up may go through their parts instead, unseen.
    """
    watching = any(isinstance(each, Delta | BSS | CoTuning) for each in phase.regularisers)
    return watching or phase.distilled is not None


class Regularisation:
    """The regularisers of one phase; in a ``with`` statement its hooks are in place.

    Call it in the model's stead, then take the gradient of `added_to` the loss.

    Args:
        network: What trains, in the phase's modes.
        phase: Its regularisers.
        model: Inputs → logits, through the network's own modules.
        source: From `starting_point`.
        beside: The source's head and what it says of the classes, where the phase co-tunes.
        teacher: Inputs → logits, where the phase is distilled.
    """

    def __init__(
        self,
        network: Network,
        phase: Phase,
        model: Model,
        source: Mapping[str, Tensor],
        beside: SourceSide | None = None,
        teacher: Model | None = None,
    ) -> None:
        co_tunes = any(isinstance(each, CoTuning) for each in phase.regularisers)
        self._beside = beside if co_tunes else None
        self._teacher = teacher
        self._distilled = phase.distilled
        self._taught: Tensor | None = None
        self._logits: Tensor | None = None
        self._network = network
        self._model = model
        self._source = source
        self._kinds = phase.regularisers
        learning = phase.learning(network)
        self._kept = [(p, source[name]) for name, p in learning.items() if name in source]
        self._new = [p for name, p in learning.items() if name not in source]
        self._seen: dict[str, Tensor] = {}
        self._distance: Tensor | None = None
        self._hooks = ExitStack()

    def __enter__(self) -> Self:
        for kind in self._kinds:
            if isinstance(kind, BSS | CoTuning):
                handle = self._network.head.register_forward_pre_hook(self._note_features)
                self._hooks.callback(handle.remove)
            elif isinstance(kind, StochNorm):
                stochastic = _StochasticNorms(kind.p)
                for module in filter(has_statistics, self._network.body.modules()):
                    self._hooks.callback(module.register_forward_pre_hook(stochastic.before).remove)
                    self._hooks.callback(module.register_forward_hook(stochastic.after).remove)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._hooks.close()

    @property
    def parameters(self) -> list[nn.Parameter]:
        """What learns in the phase beside the network."""
        return [] if self._beside is None else list(self._beside.head.parameters())

    def __call__(self, inputs: Tensor) -> Tensor:
        """The model's logits, with what the penalties need noted on the way."""
        self._logits = self._watched_logits(inputs)
        if self._teacher is not None:
            with torch.no_grad():
                self._taught = self._teacher(inputs)
        return self._logits

    def _watched_logits(self, inputs: Tensor) -> Tensor:
        if not any(isinstance(kind, Delta) for kind in self._kinds):
            return self._model(inputs)
        with self._as_source(), torch.no_grad(), self._watched() as before:
            self._model(inputs)
        with self._watched() as now:
            logits = self._model(inputs)
        self._distance = _mean_distance(before, now)
        return logits

    def added_to(
        self, loss: Tensor, labels: Tensor | None = None, shares: Tensor | None = None
    ) -> Tensor:
        """The loss and every penalty.

        Args:
            loss: Of the logits that were asked for last.
            labels: Of the batch, class numbers (batch,); only Co-Tuning needs them.
            shares: As in `headstart.training.objective.Objective`.
        """
        if self._distilled is not None and self._taught is not None and self._logits is not None:
            gap = soft_gap(self._taught, self._logits, self._distilled.temperature)
            loss = (1 - self._distilled.weight) * loss + self._distilled.weight * gap
        for kind in self._kinds:
            if isinstance(kind, L2SP):
                loss = loss + kind.alpha / 2 * _squares((p - w for p, w in self._kept), loss)
            if isinstance(kind, L2SP | Delta) and kind.beta:
                loss = loss + kind.beta / 2 * _squares(self._new, loss)
            if isinstance(kind, Delta) and self._distance is not None:
                loss = loss + kind.strength * self._distance
            if isinstance(kind, BSS):
                loss = loss + kind.eta * smallest_singular_values(self._seen["features"], kind.k)
            if isinstance(kind, CoTuning) and self._beside is not None and labels is not None:
                features = self._seen["features"]
                gap = self._beside.gap(features, labels, shares, kind.temperature)
                loss = loss + kind.strength * gap
        return loss

    def _note_features(self, head: nn.Module, inputs: tuple[Any, ...]) -> None:
        del head
        if torch.is_grad_enabled():
            self._seen["features"] = inputs[0]

    @contextmanager
    def _watched(self) -> Iterator[dict[str, Tensor]]:
        """Within it, what the layer groups that came from the source put out is noted."""
        noted: dict[str, Tensor] = {}
        modules = dict(self._network.named_modules())
        came = {self._network.group_of(name) for name in self._source}

        def noting(name: str) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
            def note(_: nn.Module, __: tuple[Any, ...], output: Any) -> None:
                if isinstance(output, Tensor):
                    noted[name] = output

            return note

        with ExitStack() as hooks:
            for group in self._network.groups:
                own = [name for name in group.modules if name in modules]
                if group.name in came and own:
                    handle = modules[own[-1]].register_forward_hook(noting(group.name))
                    hooks.callback(handle.remove)
            yield noted

    @contextmanager
    def _as_source(self) -> Iterator[None]:
        """Within it, the network has the source's weights and statistics, and is at rest."""
        own = dict([*self._network.named_parameters(), *self._network.named_buffers()])
        held = {name: own[name].data for name in self._source}
        modes = {module: module.training for module in self._network.modules()}
        self._network.eval()
        for name, tensor in self._source.items():
            own[name].data = tensor
        try:
            yield
        finally:
            for name, tensor in held.items():
                own[name].data = tensor
            for module, mode in modes.items():
                module.training = mode


def smallest_singular_values(features: Tensor, k: int) -> Tensor:
    """Σ of the k smallest σ² of a batch of features (N, …), all of them where there are fewer.

    Not a number where the features are none, as a decomposition would not end.
    """
    if not torch.isfinite(features).all():
        return features.sum() * math.nan
    values: Tensor = torch.linalg.svdvals(features.flatten(1).float())
    return values[-k:].square().sum()


def soft_gap(taught: Tensor, logits: Tensor, temperature: float) -> Tensor:
    """T² · KL(teacher ‖ student) in nats, the mean over a batch.

    Args:
        taught: The teacher's logits (N, units); one unit is that of class 1 of two.
        logits: The student's, alike.
        temperature: T, by which both are divided.
    """
    theirs, own = (
        torch.log_softmax(two_columns(each).float() / temperature, dim=1)
        for each in (taught, logits)
    )
    return temperature**2 * (theirs.exp() * (theirs - own)).sum(dim=1).mean()


class _StochasticNorms:
    """Normalises each channel by the batch's or by the running statistics, drawn every time.

    PyTorch's random state draws, as it does for dropout.
    """

    def __init__(self, p: float) -> None:
        self._p = p
        self._at_rest: dict[nn.Module, Tensor] = {}

    def before(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        """Note what the running statistics give, before the batch moves them."""
        if module.training:
            module.training = False
            at_rest: Tensor = module.forward(*inputs)
            self._at_rest[module] = at_rest
            module.training = True

    def after(self, module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
        """Put it in place of the batch's own in the channels drawn."""
        del inputs
        if module not in self._at_rest:
            return output
        shape = [1, output.shape[1], *[1] * (output.ndim - 2)]
        drawn = torch.rand(shape).to(output.device) < self._p
        return torch.where(drawn, output, self._at_rest.pop(module))


def _squares(tensors: Iterable[Tensor], like: Tensor) -> Tensor:
    """Σ of all squares, a scalar of the kind of `like`."""
    return sum((tensor.square().sum() for tensor in tensors), start=like.new_zeros(()))


def _mean_distance(before: Mapping[str, Tensor], now: Mapping[str, Tensor]) -> Tensor | None:
    """Σ over groups of the mean over pictures and channels of ‖FM − FM₀‖² a channel."""
    distances = []
    for name in before.keys() & now.keys():
        gap = (now[name] - before[name]).square()
        channels = gap.shape[1] if gap.ndim > 1 else 1
        distances.append(gap.sum() / (len(gap) * channels))
    return torch.stack(distances).sum() if distances else None
