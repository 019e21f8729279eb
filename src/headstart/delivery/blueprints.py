"""Blueprints: all that is needed to build a network again, as plain data, without its weights.

What stands in a bundle's ``config.json`` is untrusted: nothing in it is looked up as code, fetched
or opened.
"""

from typing import Annotated, Any, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import nn

from headstart.errors import NetworkError
from headstart.networks.bodies import Architecture, build_body
from headstart.networks.builders import NetworkSettings, build_network
from headstart.networks.groups import HEAD, LayerGroup, Network
from headstart.networks.heads import HeadSettings, build_head
from headstart.networks.keras_files import KerasDescription, build_keras
from headstart.networks.neighbours import NeighbourHead
from headstart.networks.taps import Tap, with_taps
from headstart.seeding import generator
from headstart.settings import Count, Settings

_LARGEST_EDGE = 65_536
_MOST_REMEMBERED = 10_000_000
_MOST_TAPS = 10_000
Edge = Annotated[Count, Field(le=_LARGEST_EDGE)]

# What timm would open, fetch or fill a network with; none of it belongs to an architecture.
_NOT_ARGUMENTS = (
    "cache", "checkpoint", "custom_load", "exportable", "features", "file", "hub", "kwargs",
    "load", "no_jit", "out_indices", "path", "pretrained", "scriptable", "state_dict", "url",
)  # fmt: skip


class BuiltBody(Settings):
    """A network of headstart's own builders.

    Attributes:
        kind: Tells the kinds of bodies apart.
        settings: The body.
        picture_shape: Height, width, channels of its pictures.
    """

    kind: Literal["built"] = "built"
    settings: NetworkSettings
    picture_shape: tuple[Edge, Edge, Literal[1, 3]]


class TimmBody(Settings):
    """A backbone of timm's.

    Attributes:
        kind: Tells the kinds of bodies apart.
        architecture: Which, for which pictures.
    """

    kind: Literal["timm"] = "timm"
    architecture: Architecture

    @model_validator(mode="after")
    def _is_plain(self) -> Self:
        wrong = [
            key
            for key, value in self.architecture.arguments.items()
            if any(word in key.casefold() for word in _NOT_ARGUMENTS) or not _is_plain(value)
        ]
        if wrong:
            raise ValueError(f"{', '.join(wrong)}: not an argument of an architecture")
        if max(self.architecture.picture_size) > _LARGEST_EDGE:
            raise ValueError(f"pictures of {self.architecture.picture_size} are too large")
        return self


class KerasBody(Settings):
    """A network that a Keras file described.

    Attributes:
        kind: Tells the kinds of bodies apart.
        description: The file's own, without its weights.
    """

    kind: Literal["keras"] = "keras"
    description: KerasDescription


Body = Annotated[BuiltBody | TimmBody | KerasBody, Field(discriminator="kind")]


class Blueprint(Settings):
    """A network without its weights.

    Attributes:
        body: Pictures → features.
        head: What stands on it; None for the head that a Keras file describes.
        features: How many numbers a picture the body puts out; not needed for `BuiltBody`.
        remembered: Of how many pictures a head of nearest neighbours keeps the features, in the
            place of its last layer; None for other heads.
        taps: Where the body is tapped, in order; empty: its features are what it puts out.
    """

    body: Body
    head: HeadSettings | None = HeadSettings()
    features: Count | None = None
    remembered: Annotated[Count, Field(le=_MOST_REMEMBERED)] | None = None
    taps: Annotated[tuple[Tap, ...], Field(max_length=_MOST_TAPS)] = ()

    @model_validator(mode="after")
    def _taps_are_possible(self) -> Self:
        names = [tap.name for tap in self.taps]
        if len(set(names)) < len(names):
            raise ValueError("taps name a place twice: name each once")
        if sum(tap.numbers for tap in self.taps) > _MOST_REMEMBERED:
            raise ValueError(f"taps give more than {_MOST_REMEMBERED:,} numbers together")
        return self

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.head is None and not isinstance(self.body, KerasBody):
            raise ValueError("head is missing: only a Keras file brings one of its own")
        if self.head is not None and isinstance(self.body, KerasBody) and self.features is None:
            raise ValueError("features is missing: a new head needs to know how many there are")
        return self

    def build(self, classes: int) -> Network:
        """The network, its weights arbitrary, meant to be overwritten.

        Args:
            classes: How many classes its head tells apart.

        Raises:
            NetworkError: If it cannot be built.
        """
        try:
            network = self._built(classes)
            if self.taps:
                network = with_taps(network, self.taps)
            if self.remembered is not None:
                _remember(network, self.remembered, classes)
            return network
        except (RuntimeError, MemoryError, ValueError, TypeError, KeyError) as error:
            raise NetworkError(f"the network cannot be built: {error}") from error

    def _built(self, classes: int) -> Network:
        if isinstance(self.body, BuiltBody):
            assert self.head is not None
            return build_network(
                self.body.settings, self.head, self.body.picture_shape, classes, seed=0
            )
        if isinstance(self.body, TimmBody):
            body = build_body(self.body.architecture)
            return self._with_head(body.module, body.groups, body.features, classes)
        network = build_keras(self.body.description)
        if self.head is None:
            return network
        assert self.features is not None
        return self._with_head(network.body, network.groups[:-1], self.features, classes)

    def _with_head(
        self, body: nn.Module, groups: tuple[LayerGroup, ...], features: int, classes: int
    ) -> Network:
        assert self.head is not None
        head = build_head(self.head, features, classes, generator(0, "initial head"))
        return Network(body, head, [*groups, LayerGroup(HEAD, (HEAD,))])


def _remember(network: Network, pictures: int, classes: int) -> None:
    """Put a head of nearest neighbours in the place of a network's last layer."""
    place, layer = last_linear(network)
    known = torch.zeros(pictures, layer.in_features)
    head = NeighbourHead(known, torch.zeros(pictures, dtype=torch.int64), classes, 1)
    network.set_submodule(place, head)


def last_linear(network: Network) -> tuple[str, nn.Linear]:
    """The last linear layer of a network's head, and where it is.

    Raises:
        NetworkError: If the head has none.
    """
    found = [
        (f"head.{name}" if name else "head", module)
        for name, module in network.head.named_modules()
        if isinstance(module, nn.Linear)
    ]
    if not found:
        raise NetworkError("the head has no linear layer")
    return found[-1]


def _is_plain(value: Any) -> bool:
    """Whether an argument is a number, a word, or a short list of these."""
    if isinstance(value, list | tuple):
        return len(value) <= 100 and all(_is_plain(each) for each in value)
    if isinstance(value, str):
        return len(value) <= 64 and not set(value) & set("/\\:")
    return value is None or isinstance(value, bool | int | float)
