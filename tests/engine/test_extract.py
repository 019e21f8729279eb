"""Extraction gives every picture its own features, by PyTorch or by ONNX Runtime."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from headstart.data.scaling import Scaling
from headstart.engine import fastest as fastest_module
from headstart.engine.extract import Extracting, block_size, extract
from headstart.engine.fastest import fastest
from headstart.training.batches import Batches

ONE = np.ones((1, 1, 1), dtype=np.float32)
UNIT = Scaling(0 * ONE, 255 * ONE)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.5), nn.Conv2d(8, 4, 3)
    )


def batches(count: int, side: int = 16) -> Batches:
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    return Batches(pictures, None, UNIT, torch.device("cpu"), channels_last=True)


def expected(prefix: nn.Module, shown: Batches) -> Tensor:
    with torch.inference_mode():
        result: Tensor = prefix.eval()(shown.inputs(slice(0, len(shown))))
    prefix.train()
    return result


@pytest.fixture(params=[math.inf, 0.0], ids=["PyTorch", "ONNX Runtime"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of the ways through, whichever is faster here."""
    monkeypatch.setattr(fastest_module, "_WORTH_TRYING_S", request.param)
    monkeypatch.setattr(fastest_module, "_CLEARLY_FASTER", 0.0)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("count", [1, 5, 256, 300])
@pytest.mark.parametrize("channels_last", [False, True])
def test_features_are_what_the_network_computes(count: int, channels_last: bool) -> None:
    prefix, shown = network(), batches(count)
    found = np.concatenate(list(extract(prefix, shown, channels_last=channels_last)))
    if channels_last:
        found = found.transpose(0, 3, 1, 2)
    torch.testing.assert_close(torch.from_numpy(found), expected(prefix, shown))
    assert prefix.training


def test_features_do_not_depend_on_how_many_pictures_there_are() -> None:
    prefix = network()
    few, many = (np.concatenate(list(extract(prefix, batches(n)))) for n in (7, 400))
    np.testing.assert_array_equal(few[:7], many[:7])


def test_it_is_told_how_far_extraction_is() -> None:
    told: list[Extracting] = []
    list(extract(network(), batches(300), told.append))
    assert [(each.done, each.total) for each in told] == [(256, 300), (300, 300)]
    assert "300 (" in str(told[-1])


def test_large_pictures_go_in_small_blocks() -> None:
    assert block_size((28, 28, 1)) == 256
    assert 1 <= block_size((224, 224, 3)) <= 16
    assert block_size((4000, 4000, 3)) == 1


def _other(change: Callable[[Tensor], Tensor]) -> Callable[..., Callable[[Tensor], Tensor]]:
    """Stands for ONNX Runtime, and gives something else."""

    def made(prefix: nn.Module, _: Tensor) -> Callable[[Tensor], Tensor]:
        return lambda values: change(prefix(values))

    return made


@pytest.mark.parametrize(
    ("change", "is_taken"),
    [
        (lambda values: values, True),
        (lambda values: values + 1e-7, True),
        (lambda values: values + 1e-2, False),
        (lambda values: values[:, :2], False),
        (lambda values: values * math.nan, False),
    ],
)
def test_what_gives_other_numbers_is_not_taken(
    monkeypatch: pytest.MonkeyPatch, change: Callable[[Tensor], Tensor], is_taken: bool
) -> None:
    monkeypatch.setattr(fastest_module, "_WORTH_TRYING_S", 0.0)
    monkeypatch.setattr(fastest_module, "_CLEARLY_FASTER", 0.0)
    monkeypatch.setattr(fastest_module, "_with_onnx_runtime", _other(change))
    prefix = network().eval()
    taken = fastest(prefix, prefix, batches(4).inputs(slice(0, 4)), 10)
    assert (taken is not prefix) == is_taken
