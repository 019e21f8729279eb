"""A network: a body, a head, and ordered layer groups that claim every weight exactly once."""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from headstart.errors import NetworkError, nearest

HEAD = "head"


@dataclass(frozen=True)
class LayerGroup:
    """An ordered slice of a network.

    Attributes:
        name: Unique in its network; the last group is always ``"head"``.
        modules: Qualified names (as in `named_modules`) of the modules it owns, with everything
            below them, for example ``("body.conv_1",)``.
    """

    name: str
    modules: tuple[str, ...]


@dataclass(frozen=True)
class SourceHead:
    """The head that a body was trained with: it stands beside a network, as no part of it.

    Attributes:
        module: Features of the untouched body → the source's logits, one a class, or one for two.
    """

    module: nn.Module


class Network(nn.Module):
    """A pretrained or fresh body, a head on top, and their layer groups, stem first.

    ``network(x)`` takes pictures (N, channels, height, width) as float32 and gives logits
    (N, units).

    Attributes:
        body: Pictures → features.
        head: Features → logits.
        groups: Every parameter and buffer belongs to exactly one of them.
        pretrained: True once the body's weights were trained or loaded; a network that was only
            initialised has nothing to transfer.
        source_head: What the body was trained with, where that is known.
    """

    def __init__(
        self,
        body: nn.Module,
        head: nn.Module,
        groups: Sequence[LayerGroup],
        *,
        pretrained: bool = False,
        source_head: SourceHead | None = None,
    ) -> None:
        super().__init__()
        self.body = body
        self.head = head
        self.groups = tuple(groups)
        self.pretrained = pretrained
        self.source_head = source_head
        self._check_claims()

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits, shape (N, units), of pictures, shape (N, channels, height, width)."""
        logits: Tensor = self.head(self.body(pictures))
        return logits

    @property
    def group_names(self) -> tuple[str, ...]:
        """The names of the layer groups, stem first, ``"head"`` last."""
        return tuple(group.name for group in self.groups)

    def group_of(self, qualified: str) -> str:
        """The name of the group that owns a parameter, buffer or module.

        Raises:
            NetworkError: If no group owns it.
        """
        owner = _owner(qualified, self.groups)
        if owner is None:
            raise NetworkError(f"no layer group owns {qualified!r}")
        return owner

    def group_parameters(self, name: str) -> dict[str, nn.Parameter]:
        """The parameters of one group by qualified name.

        Raises:
            NetworkError: If there is no such group.
        """
        if name not in self.group_names:
            raise NetworkError(
                f"there is no layer group {name!r}: {nearest(name, self.group_names)}"
            )
        return {key: p for key, p in self.named_parameters() if self.group_of(key) == name}

    def _check_claims(self) -> None:
        """Refuse a network whose groups leave a weight out or claim one twice."""
        problems = []
        names = [group.name for group in self.groups]
        if not names or names[-1] != HEAD:
            problems.append(f"the last layer group must be {HEAD!r}, found {names}")
        problems += [f"layer group {name!r} is there twice" for name in _repeated(names)]
        claims = [module for group in self.groups for module in group.modules]
        problems += [f"{module!r} is claimed by two layer groups" for module in _repeated(claims)]
        # A tensor that is used in two places has two names; each must belong to the same group.
        tensors = [
            *self.named_parameters(remove_duplicate=False),
            *self.named_buffers(remove_duplicate=False),
        ]
        parts = {name for name, _ in self.named_modules(remove_duplicate=False)}
        parts.update(name for name, _ in tensors)
        problems += [f"there is no {claim!r} to claim" for claim in claims if claim not in parts]
        owners: dict[int, tuple[str, str | None]] = {}
        for name, tensor in tensors:
            owner = _owner(name, self.groups)
            first_name, first_owner = owners.setdefault(id(tensor), (name, owner))
            if owner is None:
                problems.append(f"no layer group claims {name!r}")
            elif first_owner not in (None, owner):
                problems.append(
                    f"{first_name!r} and {name!r} are one and the same, but belong to the layer "
                    f"groups {first_owner!r} and {owner!r}: put both into one"
                )
        if problems:
            raise NetworkError(*problems)


def chain(
    body: Mapping[str, nn.Module], head: nn.Module, groups: Mapping[str, Sequence[str]]
) -> Network:
    """A network whose body is a chain of named modules.

    Args:
        body: The modules in order, by name.
        head: The head.
        groups: Group name → names of its modules in `body`, stem first.

    Raises:
        NetworkError: If a weight is left out or claimed twice.
    """
    sequence = nn.Sequential()
    for name, module in body.items():
        sequence.add_module(name, module)
    owned = [
        LayerGroup(group, tuple(f"body.{name}" for name in names))
        for group, names in groups.items()
    ]
    return Network(sequence, head, [*owned, LayerGroup(HEAD, ("head",))])


@torch.no_grad()
def take_groups(network: Network, other: Network, groups: Collection[str]) -> None:
    """Copy the weights and buffers of some layer groups from a network of the same layers."""
    own, theirs = network.state_dict(), other.state_dict()
    for name, tensor in own.items():
        if network.group_of(name) in groups:
            tensor.copy_(theirs[name])


def count_parameters(parameters: Iterable[Tensor]) -> int:
    """How many numbers the tensors hold together."""
    return sum(parameter.numel() for parameter in parameters)


def weights_hash(state: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, shapes, dtypes and bytes of a state dict, in hex."""
    digest = hashlib.sha256()
    for key, tensor in sorted(state.items()):
        value = tensor.detach().cpu()
        digest.update(f"{key}{tuple(value.shape)}{value.dtype}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _owner(qualified: str, groups: Sequence[LayerGroup]) -> str | None:
    """The group with the longest claim that is a prefix of the name, at a dot."""
    best, owner = -1, None
    for group in groups:
        for module in group.modules:
            if (qualified == module or qualified.startswith(module + ".")) and len(module) > best:
                best, owner = len(module), group.name
    return owner


def _repeated(names: Sequence[str]) -> list[str]:
    return sorted({name for name in names if names.count(name) > 1})
