"""Co-Tuning: the source's own head learns beside the new one (You et al. 2020)."""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from headstart.errors import StudyError
from headstart.networks.groups import Network
from headstart.networks.heads import two_columns
from headstart.strategies.plan import Plan
from headstart.strategies.regularisers import CoTuning
from headstart.training.batches import Inputs
from headstart.training.evaluate import evaluating


class SourceSide:
    """The source's head, on its way, and what it said of the classes before it set out.

    Attributes:
        head: Features → the source's logits. Its weights learn; it is in training mode.
        relations: Temperature → p(source class | class), shape (classes, source classes).
    """

    def __init__(self, head: nn.Module, relations: Mapping[float, Tensor]) -> None:
        self.head = head
        self.relations = relations

    def gap(
        self, features: Tensor, labels: Tensor, shares: Tensor | None, temperature: float
    ) -> Tensor:
        """Cross-entropy of the source's head against the relationship, the mean over a batch.

        Args:
            features: What the body puts out, shape (batch, D).
            labels: Class numbers (batch,).
            shares: How much of each input is its own, the rest being of the one before it.
            temperature: Names the relation.
        """
        expected = self.relations[temperature][labels]
        if shares is not None:
            expected = shares[:, None] * expected + (1 - shares[:, None]) * expected.roll(1, 0)
        said = torch.log_softmax(two_columns(self.head(features.float())), dim=1)
        return -(expected * said).sum(dim=1).mean()

    def tensors(self) -> dict[str, Tensor]:
        """What changes, by name."""
        return {f"beside.{name}": value for name, value in self.head.state_dict().items()}


def source_side(network: Network, plan: Plan, train: Inputs) -> SourceSide | None:
    """What Co-Tuning needs, where a phase of the plan asks for it.

    Args:
        network: With the source's weights, and the source's head beside it, which is left alone.
        plan: Its regularisers.
        train: Labelled training pictures, looked at once as they are.

    Raises:
        StudyError: If there is no source head.
    """
    asked = [r for p in plan.phases for r in p.regularisers if isinstance(r, CoTuning)]
    if not asked:
        return None
    if network.source_head is None:
        raise StudyError(
            "co_tuning needs the head that the source was trained with, but there is none: leave "
            "it out, or give the network a source_head"
        )
    head = copy.deepcopy(network.source_head.module).to(train.device).requires_grad_(True).eval()
    said, labels = _source_logits(network, head, train)
    classes = max(2, _units(network, train))
    relations = {
        kind.temperature: relationship(torch.softmax(said / kind.temperature, 1), labels, classes)
        for kind in asked
    }
    return SourceSide(head.train(), relations)


def relationship(said: Tensor, labels: Tensor, classes: int) -> Tensor:
    """p(source class | class): the mean of what the source says of each class's pictures.

    Args:
        said: Probabilities, shape (N, source classes).
        labels: Class numbers (N,).
        classes: How many there are; one without a picture gets the mean over all of them.

    Returns:
        Shape (classes, source classes), rows adding up to 1.
    """
    members = functional.one_hot(labels, classes).T.to(said.dtype)
    counts = members.sum(dim=1, keepdim=True)
    means = members @ said / counts.clamp(min=1)
    return torch.where(counts > 0, means, said.mean(dim=0))


def _source_logits(network: Network, head: nn.Module, train: Inputs) -> tuple[Tensor, Tensor]:
    assert train.labels is not None
    with evaluating(network):
        found = [two_columns(head(network.body(batch))) for batch, _ in train.in_order()]
    return torch.cat(found).float().clone(), train.labels  # cloned: out of inference mode


def _units(network: Network, train: Inputs) -> int:
    """How many units the network's head puts out."""
    with evaluating(network):
        logits: Tensor = network(train.inputs(slice(0, 1)))
    return logits.shape[1]
