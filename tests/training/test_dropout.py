"""Dropout that is drawn quickly: what it draws, and that nothing else about a layer changes."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.datasets import load_digits
from torch import nn

from headstart.data.image_set import ImageSet
from headstart.study.records import TrialKey
from headstart.study.spec import study_from
from headstart.study.workplace import Workplace
from headstart.training.dropout import QUICK_FROM, draw_mask, drawn_quickly

WIDE = (64, 1024)  # more numbers than PyTorch is left to draw


def mask(share: float, seed: int = 0, shape: tuple[int, ...] = WIDE) -> torch.Tensor:
    drawn = torch.empty(shape)
    draw_mask(drawn, share, torch.Generator().manual_seed(seed))
    return drawn


@pytest.mark.parametrize("share", [0.1, 0.25, 0.3, 0.5, 0.9])
def test_as_many_are_dropped_as_asked_for_and_the_others_scaled(share: float) -> None:
    drawn = mask(share)
    zero, scale = np.unique(drawn.numpy())
    assert zero == 0
    step = 2**-17 / (1 - share)  # the chance is the nearest of 65,536
    assert scale == pytest.approx(1 / (1 - share), rel=1.01 * step)
    dropped = int((drawn == 0).sum())
    assert stats.binomtest(dropped, drawn.numel(), share).pvalue > 1e-3


def test_numbers_are_dropped_independently_of_those_beside_and_above_them() -> None:
    """As the runs and the pairs of an independent draw are."""
    kept = (mask(0.5) != 0).numpy()
    for first, second in (
        (kept[:, :-1], kept[:, 1:]),
        (kept[:-1], kept[1:]),
        (kept[:, :-4], kept[:, 4:]),
        (kept, (mask(0.5, seed=1) != 0).numpy()),
    ):
        table = [[int((first == a)[second == b].sum()) for a in (0, 1)] for b in (0, 1)]
        assert stats.chi2_contingency(table).pvalue > 1e-3


def test_masks_follow_from_the_stream_and_each_is_another() -> None:
    stream = torch.Generator().manual_seed(3)
    first, second = torch.empty(WIDE), torch.empty(WIDE)
    draw_mask(first, 0.3, stream)
    draw_mask(second, 0.3, stream)
    assert torch.equal(first, mask(0.3, seed=3))
    assert not torch.equal(first, second)


def test_a_small_mask_is_pytorchs_own() -> None:
    small = torch.empty(7, 100)
    assert small.numel() < QUICK_FROM
    torch.manual_seed(5)
    expected = nn.functional.dropout(torch.ones(7, 100), 0.3)
    draw_mask(small, 0.3, torch.Generator().manual_seed(5))
    assert torch.equal(small, expected)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", [(4, 3), WIDE])
def test_a_layer_drops_within_and_is_its_own_again_afterwards(
    training: bool, shape: tuple[int, int]
) -> None:
    network = nn.Sequential(nn.Linear(shape[1], shape[1]), nn.Dropout(0.4)).train(training)
    inputs = torch.ones(shape, requires_grad=True)
    with drawn_quickly(network):
        torch.manual_seed(1)
        out = network[1](inputs)
    (gradient,) = torch.autograd.grad(out.sum(), inputs)
    expected = torch.ones(shape)
    if training:
        draw_mask(expected, 0.4, torch.Generator().manual_seed(1))
    assert torch.equal(out, expected)
    assert torch.equal(gradient, expected)
    assert "forward" not in vars(network[1])


def test_maps_are_dropped_in_the_order_in_which_they_lie_in_memory() -> None:
    layer, maps = nn.Dropout(0.3), torch.rand(8, 16, 16, 16)
    last = maps.contiguous(memory_format=torch.channels_last)
    with drawn_quickly(layer):
        torch.manual_seed(0)
        first = layer(maps)
        torch.manual_seed(0)
        lasts = layer(last)
        torch.manual_seed(0)
        flat = layer(last.permute(0, 2, 3, 1).flatten(1))
        strange = layer(maps.transpose(2, 3)[:, :, 1:])
    assert torch.equal(lasts.permute(0, 2, 3, 1).flatten(1), flat)
    assert not torch.equal(lasts, first)
    assert 0 < int((strange == 0).sum()) < strange.numel()


def test_wide_dropout_is_the_same_alone_in_a_stack_and_at_the_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On maps of 8 × 8 × 8 numbers, and on the 600 of a dense layer; the last batch is small."""
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))
    bunch = load_digits()
    pictures = np.rint(bunch.images[:300] * 15).astype(np.uint8)
    images = ImageSet.from_arrays(pictures, bunch.target[:300])
    values: dict[str, Any] = {
        "split": {"valid": 0.3, "test": 0.2},
        "task": {"classes": ["0", "1", "2"]},
        "source": {"training": {"epochs": 1}},
        "network": {
            "kind": "cnn",
            "layers": [{"conv": 8, "padding": "same"}, {"dropout": 0.3}],
        },
        "head": {"hidden": [600], "dropout": 0.2},
        "training": {"lr": 0.05, "epochs": 2, "batch_size": 32},
        "strategy": {"frozen": {}},
        "study": {"seeds": 2, "labels": ["all"], "baseline": "frozen"},
    }
    place = Workplace(study_from(values), lambda: images, tmp_path)
    assert QUICK_FROM <= 32 * 8 * 8 * 8
    place.train_sources([0, 1])
    keys = [TrialKey("frozen", seed, "all") for seed in range(2)]
    together = place.fit_trials(keys)
    for key, ours in zip(keys, together, strict=True):
        assert not isinstance(ours, Exception)
        alone = place.fit_trial(key)
        naive = dataclasses.replace(place, naive=True).fit_trial(key)
        assert alone.weights_hash == ours.weights_hash
        assert naive.val_loss == pytest.approx(ours.val_loss, rel=1e-4)
        np.testing.assert_allclose(naive.val_probabilities, ours.val_probabilities, atol=2e-4)


def test_what_was_put_in_the_place_of_a_layers_forward_stays() -> None:
    layer = nn.Dropout(0.5)
    mine = lambda inputs: inputs + 1  # noqa: E731
    layer.forward = mine  # type: ignore[method-assign]
    with drawn_quickly(layer), drawn_quickly(nn.Sequential(layer)):
        assert torch.equal(layer(torch.zeros(3)), torch.ones(3))
    assert layer.forward is mine
