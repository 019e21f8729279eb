"""Bundles and folders of small pictures, made for one test."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from headstart.data.scaling import Scaling
from headstart.data.transforms import Preprocessing
from headstart.delivery.blueprints import Blueprint, BuiltBody, TimmBody
from headstart.delivery.bundle import Bundle, write_bundle
from headstart.delivery.config import SourceFacts
from headstart.networks.builders import CnnSettings, build_network
from headstart.networks.heads import HeadSettings
from headstart.networks.pretrained import load_backbone

NAMES = ("blue", "green", "red")
LEVELS = {"blue": (40, 60, 220), "green": (40, 200, 60), "red": (220, 50, 40)}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees or leaves anything in the user's cache."""
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path_factory.mktemp("cache")))


def coloured(name: str, number: int, size: tuple[int, int] = (20, 16)) -> Image.Image:
    """A noisy picture of one colour."""
    rng = np.random.default_rng([number, NAMES.index(name)])
    noise = rng.normal(0, 30, (size[1], size[0], 3))
    return Image.fromarray(np.clip(noise + LEVELS[name], 0, 255).astype(np.uint8))


@pytest.fixture
def colours(tmp_path: Path) -> Callable[..., Path]:
    """Make a folder with so many pictures of each of three colours."""

    def make(each: int = 5, folder: str = "pictures") -> Path:
        root = tmp_path / folder
        for name in NAMES:
            (root / name).mkdir(parents=True)
            for number in range(each):
                coloured(name, number).save(root / name / f"{number:03}.png")
        return root

    return make


def built_bundle(classes: tuple[str, ...] = NAMES) -> Bundle:
    """A small convolutional network that tells the colours apart, without any training.

    Its features are the channels' mean levels; the head picks the largest.
    """
    layers = ({"conv": 3, "kernel": 1, "activation": "relu"}, {"pool": 16, "mode": "mean"})
    settings = CnnSettings.model_validate({"kind": "cnn", "layers": layers})
    head = HeadSettings(output="softmax")
    network = build_network(settings, head, (16, 16, 3), len(classes), 0)
    with torch.no_grad():
        state = network.state_dict()
        state["body.conv_1.weight"].copy_(torch.eye(3)[:, :, None, None])
        order = [[2, 1, 0][n % 3] for n in range(len(classes))]  # blue, green, red
        state["head.output.weight"].copy_(8 * torch.eye(3)[order])
    one = np.ones((1, 1, 1), dtype=np.float32)
    return Bundle(
        network=network.eval(),
        blueprint=Blueprint(
            body=BuiltBody(settings=settings, picture_shape=(16, 16, 3)), head=head
        ),
        preprocessing=Preprocessing(16, 16),
        scaling=Scaling(0 * one, 255 * one),
        class_names=classes,
        source=SourceFacts(kind="random", model="cnn", where="random weights"),
        training={"strategy": "scratch", "seed": 0},
        splits="filename,content_hash,split\n",
    )


def backbone_bundle(seed: int = 0) -> Bundle:
    """EfficientNet-Lite0 with its real weights at 64 pixels, and a head that was only drawn."""
    head = HeadSettings()
    backbone = load_backbone(
        "tf_efficientnet_lite0", image_size=64, head=head, classes=3, seed=seed
    )
    shift, divisor = (
        np.array(values, dtype=np.float32).reshape(1, 1, 3) * 255
        for values in (backbone.preprocessing.mean, backbone.preprocessing.std)
    )
    body = TimmBody(architecture=backbone.architecture)
    return Bundle(
        network=backbone.network.eval(),
        blueprint=Blueprint(body=body, head=head, features=backbone.features),
        preprocessing=backbone.preprocessing,
        scaling=Scaling(shift, divisor),
        class_names=NAMES,
        source=SourceFacts.of(backbone.source),
        training={"strategy": "frozen", "seed": 0},
        splits="filename,content_hash,split\n",
    )


@pytest.fixture
def bundle() -> Bundle:
    return built_bundle()


@pytest.fixture
def folder(bundle: Bundle, tmp_path: Path) -> Path:
    """A written bundle."""
    return write_bundle(bundle, tmp_path / "model", "# A model\n")


@pytest.fixture(scope="session")
def lite() -> Bundle:
    return backbone_bundle()


@pytest.fixture(scope="session")
def lite_folder(lite: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A written bundle of a real backbone; not to be changed."""
    return write_bundle(lite, tmp_path_factory.mktemp("lite") / "model", "# A model\n")


@pytest.fixture
def with_classes() -> Callable[..., Bundle]:
    """The small network with other class names."""

    def make(*names: str) -> Bundle:
        return dataclasses.replace(built_bundle(), class_names=names)

    return make
