"""Ready-made bodies: networks that were trained elsewhere, as a study needs them.

A study needs two things of a body: the network with the source's weights and a fresh head, and the
same network with weights that were never trained, as the control.
"""

import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from headstart.data.transforms import Preprocessing
from headstart.errors import NetworkError
from headstart.networks.bodies import Architecture, Features, build_body
from headstart.networks.groups import HEAD, LayerGroup, Network, SourceHead
from headstart.networks.heads import HeadSettings, build_head
from headstart.networks.keras_files import (
    KerasDescription,
    KerasNetwork,
    load_keras,
    with_row,
)
from headstart.networks.layers import draw_again
from headstart.networks.pretrained import Backbone, load_backbone
from headstart.seeding import generator, stream_seed

_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
# What keras.applications' modes do to values in [0, 1]: (mean, standard deviation), RGB.
_KERAS_MODES: dict[str | None, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "raw": ((0.0,) * 3, (1 / 255,) * 3),
    "tf": ((0.5,) * 3, (0.5,) * 3),
    "torch": _IMAGENET,
    "caffe": (tuple(m / 255 for m in (123.68, 116.779, 103.939)), (1 / 255,) * 3),
}


class ReadyMade(Protocol):
    """A body from elsewhere."""

    @property
    def preprocessing(self) -> Preprocessing:
        """What its weights expect of a picture."""

    @property
    def sha256(self) -> str:
        """Of the weights file, in hex."""

    @property
    def origin(self) -> str:
        """Where the weights came from, in words."""

    @property
    def licence(self) -> str | None:
        """Of the weights, where known."""

    @property
    def blueprint(self) -> Architecture | KerasDescription:
        """How to build the body again without its weights, as plain data."""

    def pretrained(self, head: HeadSettings, classes: int, seed: int) -> Network:
        """The body with its weights and a fresh head; the body itself stays as it is."""

    def another(self, network: Network, head: HeadSettings, classes: int, seed: int) -> Network:
        """What `pretrained` gives, on the body of a network that it gave before: not a copy."""

    def fresh(self, head: HeadSettings, classes: int, seed: int) -> Network:
        """The same network with weights drawn anew, and the same fresh head."""


@dataclass(frozen=True)
class TimmBody:
    """A body of timm's, see `headstart.networks.pretrained.load_backbone`."""

    backbone: Backbone
    model: str

    @classmethod
    def load(
        cls,
        model: str,
        *,
        weights: Path | None,
        image_size: int | tuple[int, int] | None,
        channels: int,
        features: Features,
    ) -> "TimmBody":
        """Find and load it.

        Raises:
            NetworkError: As `load_backbone`.
        """
        backbone = load_backbone(
            model,
            weights=weights,
            image_size=image_size,
            channels=channels,
            features=features,
            head=HeadSettings(),
            classes=2,  # each task makes its own head
        )
        return cls(backbone, model)

    @property
    def preprocessing(self) -> Preprocessing:
        """As the weights' own configuration says."""
        return self.backbone.preprocessing

    @property
    def sha256(self) -> str:
        """Of the weights file."""
        return self.backbone.source.sha256

    @property
    def origin(self) -> str:
        """In words."""
        return f"{self.backbone.source.model}, from {self.backbone.source.where}"

    @property
    def licence(self) -> str | None:
        """As the weights' source states it."""
        return self.backbone.source.licence

    @property
    def blueprint(self) -> Architecture:
        """For `headstart.networks.bodies.build_body`."""
        return self.backbone.architecture

    def pretrained(self, head: HeadSettings, classes: int, seed: int) -> Network:
        """See `ReadyMade`."""
        return self.backbone.with_head(head, classes, seed)

    def another(self, network: Network, head: HeadSettings, classes: int, seed: int) -> Network:
        """See `ReadyMade`."""
        return _on_body(network, self.backbone.features, head, classes, seed)

    def fresh(self, head: HeadSettings, classes: int, seed: int) -> Network:
        """See `ReadyMade`; the body as timm initialises it."""
        body = build_body(self.backbone.architecture, stream_seed(seed, "initial body"))
        top = build_head(head, body.features, classes, generator(seed, "initial head"))
        return Network(body.module, top, [*body.groups, LayerGroup(HEAD, (HEAD,))])


@dataclass(frozen=True)
class KerasBody:
    """A body from a Keras file, see `headstart.networks.keras_files.load_keras`."""

    keras: KerasNetwork
    preprocessing: Preprocessing
    name: str
    features: int

    @classmethod
    def load(
        cls, path: Path, image_size: tuple[int, int] | None, features: Features = "pooled"
    ) -> "KerasBody":
        """Read it.

        Args:
            path: The file.
            image_size: Height and width of the pictures; needed where the file takes any.
            features: What a body that ends in a feature map (``include_top=False``) puts out.

        Raises:
            NetworkError: As `load_keras`; if no size is known; if the body does not give one row
                of features a picture.
        """
        keras = load_keras(path)
        height, width, channels = keras.input_shape
        size = image_size or ((height, width) if height and width else None)
        if size is None:
            raise NetworkError(
                f"{path.name} takes pictures of any size: say of which, data.image_size = …"
            )
        if (height or size[0], width or size[1]) != tuple(size):
            raise NetworkError(
                f"{path.name} takes pictures of {height} × {width}, but data.image_size asks for "
                f"{size[0]} × {size[1]}: leave it out"
            )
        if keras.preprocessing_mode == "caffe":
            _take_red_first(keras.network, path.name, size)
        mean, std = _KERAS_MODES.get(keras.preprocessing_mode, ((0.0,) * 3, (1.0,) * 3))
        preprocessing = Preprocessing(
            height=size[0],
            width=size[1],
            interpolation="bilinear",  # as Keras' own loaders resize
            crop_mode="squash",
            channels=channels,
            mean=mean[:channels],
            std=std[:channels],
        )
        shape = _body_shape(keras.network, (channels, *size))
        if len(shape) == 4:
            described = keras.description.model_copy(update={"features": features})
            network = with_row(keras.network, features)
            keras = replace(keras, network=network, description=described)
            shape = _body_shape(network, (channels, *size))
        if len(shape) != 2:
            raise NetworkError(
                f"{path.name} puts out features of shape {tuple(shape[1:])} a picture, expected "
                "one row: save it with its pooling or Flatten layer at the end"
            )
        return cls(keras, preprocessing, path.name, shape[1])

    @property
    def sha256(self) -> str:
        """Of the file."""
        return self.keras.source_sha256

    @property
    def origin(self) -> str:
        """In words."""
        return f"{self.name}, saved by Keras: {self.keras.name}"

    @property
    def licence(self) -> str | None:
        """A Keras file does not say."""
        return None

    @property
    def blueprint(self) -> KerasDescription:
        """For `headstart.networks.keras_files.build_keras`."""
        return self.keras.description

    def pretrained(self, head: HeadSettings, classes: int, seed: int) -> Network:
        """See `ReadyMade`."""
        network = self.keras.network
        top = build_head(head, self.features, classes, generator(seed, "initial head"))
        body = copy.deepcopy(network.body)
        groups = [group for group in network.groups if group.name != HEAD]
        # Several sigmoids tell no classes apart, and a softmax over one unit tells nothing.
        told = "sigmoid" if self.keras.units == 1 else "softmax"
        tells = self.keras.units is not None and self.keras.output_activation in (None, told)
        own = SourceHead(network.head) if tells else None
        return Network(
            body, top, [*groups, LayerGroup(HEAD, (HEAD,))], pretrained=True, source_head=own
        )

    def another(self, network: Network, head: HeadSettings, classes: int, seed: int) -> Network:
        """See `ReadyMade`."""
        return _on_body(network, self.features, head, classes, seed)

    def fresh(self, head: HeadSettings, classes: int, seed: int) -> Network:
        """See `ReadyMade`; the body as Keras initialises it.

        Raises:
            NetworkError: If it has weights of a kind that is not known how to draw.
        """
        network = self.pretrained(head, classes, seed)
        draw_again(network.body, generator(seed, "initial body"))
        network.pretrained, network.source_head = False, None
        return network


def _on_body(
    network: Network, features: int, head: HeadSettings, classes: int, seed: int
) -> Network:
    """A network with another's very body, and a fresh head of its own."""
    return Network(
        network.body,
        build_head(head, features, classes, generator(seed, "initial head")),
        network.groups,
        pretrained=network.pretrained,
        source_head=network.source_head,
    )


def _body_shape(network: Network, picture_shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of what a body puts out for one picture (channels, height, width)."""
    with torch.inference_mode():
        return tuple(network.eval().body(torch.zeros(1, *picture_shape)).shape)


def _take_red_first(network: Network, name: str, size: tuple[int, int]) -> None:
    """Let a network that takes blue first take red first, by turning its first weights round."""
    first = next((each for each in network.body.modules() if isinstance(each, nn.Conv2d)), None)
    picture = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0))

    def firsts(pictures: Tensor) -> Tensor:
        assert first is not None
        seen: list[Tensor] = []
        hook = first.register_forward_hook(lambda _, __, output: seen.append(output))
        try:
            with torch.inference_mode():
                network.body(pictures)
        finally:
            hook.remove()
        return seen[0]

    if first is not None and first.in_channels == 3 and first.groups == 1:
        before = firsts(picture.flip(1))
        with torch.no_grad():
            first.weight.copy_(first.weight.flip(1))
        if torch.allclose(firsts(picture), before, 1e-4, 1e-5):
            return
    raise NetworkError(
        f"{name} takes pictures with blue first, and its first layer is none that could be turned "
        "round: save it with a first layer that takes red first"
    )
