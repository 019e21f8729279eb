"""The ground on which contracts are tested: small pictures, a small network, a small study."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import torch
from pydantic import TypeAdapter

from headstart.data.image_set import ImageSet
from headstart.data.picture_cache import PictureCache
from headstart.data.scaling import Scaling
from headstart.data.tasks import Examples
from headstart.engine.keeper import Keeper
from headstart.networks.builders import NetworkSettings, build_network
from headstart.networks.groups import Network
from headstart.networks.heads import HeadSettings
from headstart.strategies import Strategy
from headstart.study.spec import study_from
from headstart.study.workplace import Workplace
from headstart.training.batches import Batches

SHAPE = (8, 8, 3)
CLASSES = ("a", "b", "c", "d", "e")  # the first three are the task's, the others the source's
NETWORK = {
    "kind": "cnn",
    "layers": [
        {"conv": 5},
        {"batch_norm": True},
        {"conv": 6},
        {"batch_norm": True},
        {"dropout": 0.2},
        {"dense": 7, "activation": "tanh"},
    ],
}


def small_network(seed: int = 0) -> Network:
    """Two convolutions with BatchNorm, dropout, a dense layer, a head for three classes."""
    settings = TypeAdapter(NetworkSettings).validate_python(NETWORK)
    return build_network(settings, HeadSettings(), SHAPE, 3, seed)


def small_pictures(count: int, classes: int, seed: int) -> Examples:
    """Noise with a bright row that tells the class; uint8, shape (count, 8, 8, 3)."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    pictures = rng.integers(0, 160, (count, *SHAPE), dtype=np.uint8)
    pictures[np.arange(count), labels] += 80
    return Examples(pictures, labels)


def small_batches(count: int, seed: int) -> Batches:
    """Such pictures of three classes, scaled to [0, 1]."""
    unit = Scaling(np.zeros((1, 1, 1), np.float32), np.full((1, 1, 1), 255, np.float32))
    return Batches.of(small_pictures(count, 3, seed), unit, torch.device("cpu"))


@contextmanager
def small_study(
    strategy: Strategy, *, shuffle_test_labels: bool = False, naive: bool = False
) -> Iterator[Workplace]:
    """A workplace in which the strategy has one trial, with its source trained.

    Args:
        strategy: Takes part as ``"mine"``.
        shuffle_test_labels: Whether the test labels are others than they should be.
        naive: Whether the trial does all of its work by itself, with nothing kept.
    """
    train, test = small_pictures(100, len(CLASSES), 1), small_pictures(30, len(CLASSES), 2)
    # Within the task, as which pictures are its own follows from their labels.
    others = np.where(test.labels < 3, (test.labels + 1) % 3, test.labels)
    labels = others if shuffle_test_labels else test.labels
    images = ImageSet.from_arrays(
        train.pictures,
        train.labels,
        test_pictures=test.pictures,
        test_labels=labels,
        class_names=CLASSES,
    )
    study = study_from(
        {
            "task": {"classes": CLASSES[:3]},
            "source": {"classes": CLASSES[3:]},
            "network": NETWORK,
            "training": {"epochs": 1, "lr": 0.05},
            "strategy": {"mine": strategy},
            "study": {"seeds": [0], "baseline": "mine"},
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        workplace = Workplace(study, partial(_given, images), Path(folder), naive)
        # Features are kept here, not in the user's cache.
        vars(workplace)["keeper"] = Keeper(images, PictureCache(Path(folder) / "kept"))
        workplace.train_source(0)
        yield workplace


def _given(images: ImageSet) -> ImageSet:
    return images
