"""Solving a network's head on the features in front of it.

The features are taken once, with dropout off; everything there is to choose from is solved on the
training pictures, the validation pictures choose, and the network's head holds what was chosen.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from headstart.errors import TrainingError
from headstart.networks.groups import HEAD, Network
from headstart.networks.heads import loss, probabilities, solvable_layer
from headstart.strategies.head_solver import HeadSolver
from headstart.training.batches import Inputs
from headstart.training.entry import Entry
from headstart.training.evaluate import evaluating
from headstart.training.solvers import (
    LinearHead,
    fit_factors,
    fit_lda,
    fit_nearest_mean,
    fit_probes,
    fit_ridge,
    fit_selected,
    neighbour_heads,
)


@dataclass(frozen=True)
class Kept:
    """The features in front of a head, with labels.

    Attributes:
        features: Shape (N, D).
        labels: Class numbers (N,).
    """

    features: Tensor
    labels: Tensor


@dataclass(frozen=True)
class SolvedHead:
    """What came of it.

    Attributes:
        train_loss: Of the head that was kept, on the training pictures, in nats.
        val_loss: On the validation pictures.
        val_accuracy: On the validation pictures, a share.
    """

    train_loss: float
    val_loss: float
    val_accuracy: float


def solve_head(network: Network, solver: HeadSolver, entry: Entry) -> SolvedHead:
    """Solve a network's head and put it in its place.

    A linear head's weights are overwritten; nearest neighbours replace the linear layer by a
    `headstart.networks.neighbours.NeighbourHead`.

    Args:
        network: Its head is one linear layer (`headstart.networks.heads.solvable_layer`).
        solver: How, and what there is to choose from.
        entry: Where the network is entered, and with what.

    Raises:
        TrainingError: If no head can be solved on these features.
    """
    name = solvable_layer(network.head)
    assert name is not None, "Plan.check_network has seen to it"
    place = f"{HEAD}.{name}" if name else HEAD
    layer = network.get_submodule(place)
    assert isinstance(layer, nn.Linear)
    train, valid = (_features(network, layer, entry.model, each) for each in
                    (entry.train, entry.valid))  # fmt: skip
    with torch.no_grad():
        if solver.method == "knn":
            network.set_submodule(place, _neighbours(solver, train, valid, layer.out_features))
        else:
            chosen = _linear(solver, train, valid, layer.out_features)
            layer.weight.copy_(chosen.weight)
            layer.bias.copy_(chosen.bias)
        logits = [network.get_submodule(place)(each.features) for each in (train, valid)]
    val_loss, val_accuracy = _judged(logits[1], valid.labels)
    if not math.isfinite(val_loss):
        raise TrainingError(
            f"the validation loss of the solved head became {val_loss}: scale the pictures, or "
            "leave the weakest choices out"
        )
    return SolvedHead(float(loss(logits[0], train.labels)), val_loss, val_accuracy)


def _features(
    network: Network, layer: nn.Module, model: Callable[[Tensor], Tensor], inputs: Inputs
) -> Kept:
    """What reaches a layer from labelled inputs, in evaluation mode."""
    seen: list[Tensor] = []
    handle = layer.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    try:
        with evaluating(network):
            for batch, _ in inputs.in_order():
                model(batch)
    finally:
        handle.remove()
    assert inputs.labels is not None
    return Kept(torch.cat(seen).clone(), inputs.labels)  # cloned: out of inference mode


def _linear(solver: HeadSolver, train: Kept, valid: Kept, units: int) -> LinearHead:
    """The linear head that the validation pictures, or the left-out ones, choose."""
    if solver.method == "selected_probe":
        parts = [(each.features, each.labels) for each in (train, valid)]
        return fit_selected(
            parts[0], parts[1], units, solver.choices, solver.fractions, solver.group_penalties
        ).head
    heads, errors = _candidates(solver, train, units)
    if solver.choose == "validation":
        scores = heads.scores(valid.features)
        errors = torch.stack([loss(each, valid.labels) for each in scores])
    # No number is worse than any.
    return heads[int(errors.nan_to_num(nan=math.inf).argmin())]


def _candidates(solver: HeadSolver, train: Kept, units: int) -> tuple[LinearHead, Tensor]:
    """A linear head for each choice, giving logits, and ridge's left-out errors."""
    x, y, classes = train.features, train.labels, max(units, 2)
    choices = solver.choices
    if solver.method == "probe":
        return fit_probes(x, y, classes, choices, units=units).head[0], torch.zeros(0)
    if solver.method == "ridge":
        path = fit_ridge(x, y, classes, choices, units=units)
        return _scaled(path.head, fit_factors(path.left_out_scores, y)), path.left_out_error
    if solver.method == "lda":
        return _with_units(fit_lda(x, y, classes, choices), units), torch.zeros(0)
    means = fit_nearest_mean(x, y, classes)
    alone = LinearHead(means.head.weight[None], means.head.bias[None])
    scaled = _scaled(alone, fit_factors(means.left_out_scores[None], y))
    return _with_units(scaled, units), torch.zeros(0)


def _scaled(head: LinearHead, factors: Tensor) -> LinearHead:
    """Heads whose scores are multiplied by a factor each."""
    return LinearHead(head.weight * factors[:, None, None], head.bias * factors[:, None])


def _with_units(head: LinearHead, units: int) -> LinearHead:
    """Heads of one unit a class; of two classes also as the logit of the second."""
    if units > 1:
        return head
    return LinearHead(head.weight.diff(dim=1), head.bias.diff(dim=1))


def _neighbours(solver: HeadSolver, train: Kept, valid: Kept, units: int) -> nn.Module:
    """The head with the number of neighbours that the validation pictures choose."""
    wanted = [int(each) for each in solver.choices]
    head, numbers = neighbour_heads(train.features, train.labels, max(units, 2), wanted)
    found = [_judged(head.logits(each), valid.labels) for each in
             head.shares(valid.features, numbers)]  # fmt: skip
    order = [(-accuracy, val_loss) for val_loss, accuracy in found]
    head.nearest.copy_(numbers[order.index(min(order))])
    return head


def _judged(logits: Tensor, labels: Tensor) -> tuple[float, float]:
    """Mean loss in nats, and accuracy."""
    right = probabilities(logits).argmax(dim=1) == labels
    return float(loss(logits, labels)), float(right.double().mean())
