"""Features at a deeper cut come from those at a nearer one, where they are there."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from headstart.data.image_set import ImageSet
from headstart.data.picture_cache import PictureCache
from headstart.engine import keeper as keeper_module
from headstart.engine.fastest import PYTORCH, Way
from headstart.engine.keeper import Keeper
from headstart.networks.groups import Network
from headstart.testing.ground import small_batches, small_network, small_pictures
from headstart.training.batches import Batches

ROWS = np.arange(40)


@pytest.fixture
def network() -> Network:
    return small_network().eval()


@pytest.fixture
def pictures() -> Batches:
    return small_batches(40, 0)


@pytest.fixture
def keeper(tmp_path: Path) -> Keeper:
    shown = small_pictures(40, 3, 0)
    return Keeper(
        ImageSet.from_arrays(shown.pictures, shown.labels), PictureCache(tmp_path / "kept")
    )


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pictures are looked at, one number for each batch."""
    counts: list[int] = []
    whole = Batches.pixels

    def noted(self: Batches, rows: NDArray[np.int64] | slice) -> torch.Tensor:
        pixels = whole(self, rows)  # type: ignore[arg-type]
        counts.append(len(pixels))
        return pixels

    monkeypatch.setattr(Batches, "pixels", noted)
    return counts


def at(keeper: Keeper, network: Network, pictures: Batches, number: int) -> NDArray[np.float32]:
    cut = keeper.cuts(network).cuts[number]
    return np.array(keeper.features(network, cut, pictures, ROWS).values)


def test_a_deeper_cut_looks_at_no_picture_again(
    keeper: Keeper, network: Network, pictures: Batches, looked: list[int], tmp_path: Path
) -> None:
    at(keeper, network, pictures, 0)
    looked.clear()
    deeper = at(keeper, network, pictures, -1)
    assert len(looked) == 1  # the first block, to choose the way through by
    alone = Keeper(keeper.images, PictureCache(tmp_path / "alone"))
    np.testing.assert_allclose(deeper, at(alone, network, pictures, -1), rtol=1e-5, atol=1e-6)


def test_features_of_other_weights_are_no_help(
    keeper: Keeper, network: Network, pictures: Batches, tmp_path: Path
) -> None:
    at(keeper, network, pictures, 0)
    other = small_network(seed=1).eval()
    deeper = at(keeper, other, pictures, -1)
    alone = Keeper(keeper.images, PictureCache(tmp_path / "alone"))
    np.testing.assert_allclose(deeper, at(alone, other, pictures, -1), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("last", [1, -2, -1])
def test_halves_and_what_lies_between_give_the_network(
    keeper: Keeper, network: Network, pictures: Batches, last: int
) -> None:
    cuts = keeper.cuts(network)
    first, deep = cuts.cuts[0], cuts.cuts[last]
    shown = pictures.inputs(slice(0, 5))
    with torch.inference_mode():
        features = cuts.between(network, first, deep)(cuts.split(network, first).prefix(shown))
        torch.testing.assert_close(cuts.split(network, deep).suffix(features), network(shown))


def test_more_rows_take_the_same_way(
    keeper: Keeper, network: Network, pictures: Batches, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A study that is given more seeds wants more rows, and keeps the bits of its features."""
    blocks: list[int] = []

    def noted(_: object, __: str, ___: object, count: int, *____: object) -> Way:
        blocks.append(count)
        return PYTORCH

    monkeypatch.setattr(keeper_module, "fastest", noted)
    monkeypatch.setattr(keeper_module, "block_size", lambda shape: 4)
    cut = keeper.cuts(network).cuts[0]
    for rows in (ROWS[:5], ROWS):
        keeper.features(network, cut, pictures, rows)
    assert set(blocks) == {len(ROWS) // 4}
