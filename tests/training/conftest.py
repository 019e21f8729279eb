"""Small pictures and networks to train in milliseconds."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter

from headstart.data.scaling import Scaling
from headstart.data.tasks import Examples
from headstart.networks.builders import NetworkSettings, build_network
from headstart.networks.groups import Network
from headstart.networks.heads import HeadSettings
from headstart.training.batches import Batches

SHAPE = (6, 6, 1)
UNIT = Scaling(np.zeros((1, 1, 1), np.float32), np.full((1, 1, 1), 255, np.float32))
LAYERS = [
    {"conv": 4},
    {"batch_norm": True},
    {"conv": 5},
    {"batch_norm": True},
    {"dropout": 0.3},
    {"dense": 6},
]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Sums over several threads may differ in the last bit, and small ones only get slower."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def make_examples() -> Callable[..., Examples]:
    """Pictures of noise with a bright row that tells the class."""

    def make(count: int, classes: int = 3, seed: int = 0) -> Examples:
        rng = np.random.default_rng(seed)
        labels = np.arange(count) % classes
        pictures = rng.integers(0, 160, (count, *SHAPE), dtype=np.uint8)
        pictures[np.arange(count), labels] += 80
        return Examples(pictures, labels)

    return make


@pytest.fixture
def make_batches(make_examples: Callable[..., Examples]) -> Callable[..., Batches]:
    """Batches of such pictures, scaled to [0, 1]."""

    def make(count: int, classes: int = 3, seed: int = 0) -> Batches:
        return Batches.of(make_examples(count, classes, seed), UNIT, torch.device("cpu"))

    return make


@pytest.fixture
def mlp() -> Callable[..., Network]:
    """Two dense layers and a hidden head with dropout."""

    def make(seed: int = 0, classes: int = 3, dropout: float = 0.4) -> Network:
        body = TypeAdapter(NetworkSettings).validate_python({"kind": "mlp", "hidden": [9, 8]})
        head = HeadSettings(hidden=(7,), dropout=dropout)
        return build_network(body, head, SHAPE, classes, seed)

    return make


@pytest.fixture
def cnn() -> Callable[..., Network]:
    """Two convolutions with BatchNorm, dropout and a dense layer."""

    def make(seed: int = 0, classes: int = 3) -> Network:
        body = TypeAdapter(NetworkSettings).validate_python({"kind": "cnn", "layers": LAYERS})
        return build_network(body, HeadSettings(), SHAPE, classes, seed)

    return make
