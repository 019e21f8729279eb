"""Views of pictures whose features are kept: as if every epoch had gone through the body."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter

from headstart.data.image_set import ImageSet
from headstart.data.picture_cache import PictureCache
from headstart.data.scaling import fit_scaling
from headstart.data.tasks import Examples
from headstart.engine import keeper as keeper_module
from headstart.engine.extract import extract
from headstart.engine.keeper import Keeper
from headstart.networks.builders import NetworkSettings, build_network
from headstart.networks.groups import Network
from headstart.networks.heads import HeadSettings
from headstart.strategies import FreezeThenThaw, Frozen, Plan
from headstart.training.batches import Batches
from headstart.training.fit import Fit, fit

LAYERS = [{"conv": 4}, {"batch_norm": True}, {"conv": 5}, {"dense": 6}]
VIEWS: dict[str, Any] = {"flip": 0.5, "crop": 0.4, "views": 2}


@pytest.fixture
def images() -> ImageSet:
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 3
    pictures = rng.integers(0, 160, (40, 6, 6, 1), dtype=np.uint8)
    pictures[np.arange(40), labels] += 80
    return ImageSet.from_arrays(pictures, labels)


class Trial:
    """One trial of a strategy on the first 24 pictures, with or without kept features."""

    def __init__(self, images: ImageSet, seed: int, strategy: Any) -> None:
        self.images = images
        self.seed = seed
        body = TypeAdapter(NetworkSettings).validate_python({"kind": "cnn", "layers": LAYERS})
        self.network: Network = build_network(body, HeadSettings(), (6, 6, 1), 3, 0)
        self.plan: Plan = strategy.plan(self.network.group_names)
        scaling = fit_scaling("unit", images.pictures, np.arange(24))
        self.train, self.valid = (
            Batches.of(
                Examples(images.pictures, images.labels[rows], rows), scaling, torch.device("cpu")
            )
            for rows in (np.arange(24), np.arange(24, 40))
        )

    def at_the_pictures(self) -> tuple[Network, Fit]:
        network = copy.deepcopy(self.network)
        return network, fit(network, self.plan, self.train, self.valid, self.seed)

    def kept(self, keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> tuple[Network, Fit, int]:
        """The network, the fit, and how many pictures went through the body."""
        seen: list[int] = []

        def counted(prefix: Any, pictures: Any, tell: Any, **more: Any) -> Iterator[Any]:
            seen.append(len(pictures))
            return extract(prefix, pictures, tell, **more)

        monkeypatch.setattr(keeper_module, "extract", counted)
        network = copy.deepcopy(self.network)
        enter = keeper.enter(np.arange(40)).enter
        result = fit(network, self.plan, self.train, self.valid, self.seed, enter=enter)
        return network, result, sum(seen)


def strategy(kind: Any = Frozen, **changes: Any) -> Any:
    return kind.model_validate(
        {"lr": 0.1, "epochs": 5, "batch_size": 8, "augment": VIEWS, **changes}
    )


@pytest.mark.parametrize("kind", [Frozen, FreezeThenThaw])
def test_kept_views_train_the_same_head(
    images: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Any
) -> None:
    trial = Trial(images, 3, strategy(kind))
    expected, theirs = trial.at_the_pictures()
    found, ours, _ = trial.kept(Keeper(images, PictureCache(tmp_path)), monkeypatch)
    for key, value in expected.state_dict().items():
        assert torch.allclose(found.state_dict()[key], value, rtol=1e-4, atol=1e-5), key
    assert ours.val_loss == pytest.approx(theirs.val_loss, rel=1e-4)


def test_each_view_goes_through_the_body_once(
    images: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = Keeper(images, PictureCache(tmp_path))
    assert Trial(images, 3, strategy()).kept(keeper, monkeypatch)[2] == 40 + 2 * 24
    for _ in range(2):  # a new keeper finds them on disk
        assert Trial(images, 3, strategy()).kept(keeper, monkeypatch)[2] == 0
        keeper = Keeper(images, PictureCache(tmp_path))
    more = strategy(augment={**VIEWS, "views": 3})
    assert Trial(images, 3, more).kept(keeper, monkeypatch)[2] == 24  # two of three are there
    other = strategy(augment={**VIEWS, "crop": 0.5})
    assert Trial(images, 3, other).kept(keeper, monkeypatch)[2] == 2 * 24
    assert Trial(images, 4, strategy()).kept(keeper, monkeypatch)[2] == 2 * 24


def test_what_is_mixed_or_changed_every_epoch_is_never_kept(
    images: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper_module, "keep_features", lambda *_: 1 / 0)
    thawed = strategy(FreezeThenThaw, thaw=1).plan(("conv_1", "conv_2", "dense_1", "head"))
    trial = Trial(images, 3, strategy())
    trial.plan = Plan("source", thawed.phases[1:])
    expected, _ = trial.at_the_pictures()
    found, _, seen = trial.kept(Keeper(images, PictureCache(tmp_path)), monkeypatch)
    assert seen == 0
    assert all(
        torch.equal(value, found.state_dict()[key]) for key, value in expected.state_dict().items()
    )
