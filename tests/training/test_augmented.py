"""Changed pictures: by seed, view and row alone; torchvision's own; never where they may not be."""

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.data.scaling import fit_scaling
from headstart.data.tasks import Examples
from headstart.errors import TrainingError
from headstart.seeding import stream_seed
from headstart.strategies.augment import Augment
from headstart.training import augmented
from headstart.training.augmented import ChangedPictures, Mixing, import_transforms
from headstart.training.batches import Batches

PIECES: list[dict[str, Any]] = [
    {"flip": 0.5},
    {"flip_vertical": 0.5},
    {"crop": 0.3},
    {"shift": 0.3},
    {"rotate": 30.0},
    {"colour": 0.4},
    {"hue": 0.3},
    {"policy": "trivial_augment"},
    {"policy": "rand_augment", "operations": 3, "magnitude": 12},
    {"erase": 0.8},
]
ALL: dict[str, Any] = {
    key: value for piece in PIECES for key, value in piece.items() if key != "policy"
} | {"policy": "rand_augment"}


def batches(
    count: int = 12, channels: int = 3, kind: str = "raw", *, channels_last: bool = False
) -> Batches:
    rng = np.random.default_rng(0)
    shown = rng.integers(0, 256, (count, 9, 8, channels), dtype=np.uint8)
    scaling = fit_scaling(kind, shown, np.arange(count))  # type: ignore[arg-type]
    device = torch.device("cpu")
    return Batches.of(
        Examples(shown, np.arange(count) % 3), scaling, device, channels_last=channels_last
    )


def changed(augment: dict[str, Any], seed: int = 0, views: int = 0, **how: Any) -> ChangedPictures:
    return ChangedPictures(batches(**how), Augment(**augment), seed, views)


@pytest.mark.parametrize("augment", [*PIECES, ALL], ids=str)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_piece_changes_some_pictures_and_keeps_their_shape(
    augment: dict[str, Any], channels: int
) -> None:
    if channels == 1 and set(augment) == {"hue"}:
        augment = {**augment, "flip": 0.5}  # grey has no hue to turn
    pictures = changed(augment, channels=channels)
    plain = pictures.batches.inputs(slice(None))
    found = pictures.inputs(slice(None))
    assert found.shape == plain.shape
    assert found.dtype == torch.float32
    differ = (found != plain).flatten(1).any(dim=1)
    assert differ.any()
    assert torch.equal(pictures.batches.inputs(slice(None)), plain)


@pytest.mark.parametrize("augment", [*PIECES, ALL], ids=str)
def test_a_picture_is_what_torchvision_makes_of_it_with_its_own_seed(
    augment: dict[str, Any],
) -> None:
    """Written out beside, with torchvision's classes by their own names."""
    pictures, v2 = changed(augment, seed=5), import_transforms()
    by_hand: dict[str, Callable[[Augment], Any]] = {
        "flip": lambda a: v2.RandomHorizontalFlip(a.flip),
        "flip_vertical": lambda a: v2.RandomVerticalFlip(a.flip_vertical),
        "crop": lambda a: v2.RandomResizedCrop((9, 8), scale=(a.crop, 1.0)),
        "shift": lambda a: v2.RandomCrop((9, 8), padding=[2, 3]),
        "rotate": lambda a: v2.RandomRotation(30, v2.InterpolationMode.BILINEAR),
        "colour": lambda a: v2.ColorJitter(a.colour, a.colour, a.colour, a.hue),
        "hue": lambda a: None if a.colour else v2.ColorJitter(hue=a.hue),
        "policy": lambda a: (
            v2.TrivialAugmentWide()
            if a.policy == "trivial_augment"
            else v2.RandAugment(num_ops=a.operations, magnitude=a.magnitude)
        ),
        "erase": lambda a: v2.RandomErasing(p=a.erase),
    }
    steps = [make(Augment(**augment)) for key, make in by_hand.items() if key in augment]
    found = pictures.inputs(torch.tensor([7 + 2 * 12]))  # picture 7 as in view 2
    torch.manual_seed(stream_seed(5, "augment", 2, 7))
    picture = pictures.batches.pixels(slice(7, 8))[0].permute(2, 0, 1)
    for step in steps:
        picture = picture if step is None else step(picture)
    assert torch.equal(found[0], picture.float())


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.integers(0, 35), min_size=1, max_size=20), st.integers(1, 7), st.integers(0, 2**40)
)
def test_neither_batches_nor_other_random_numbers_matter(
    rows: list[int], size: int, other: int
) -> None:
    pictures = changed({"flip": 0.5, "crop": 0.3, "colour": 0.3}, seed=1)
    whole = pictures.inputs(torch.tensor(rows))
    torch.manual_seed(other)
    parts = [pictures.inputs(part) for part in torch.split(torch.tensor(rows), size)]
    assert torch.equal(torch.cat(parts), whole)


def test_the_stream_from_before_goes_on() -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    pictures = changed(ALL)
    pictures.inputs(slice(0, 5))
    Mixing(Augment(mixup=0.3, cutmix=1.0), 0)(pictures.batches.inputs(slice(0, 5)), range(5), 0)
    assert torch.equal(torch.rand(4), expected)


def test_seeds_views_and_pictures_differ() -> None:
    crops = {"crop": 0.2}
    first = changed(crops).inputs(slice(None))
    assert torch.equal(changed(crops).inputs(slice(None)), first)
    assert not torch.equal(changed(crops, seed=1).inputs(slice(None)), first)
    assert not torch.equal(changed(crops).inputs(torch.arange(12, 24)), first)
    one = batches(count=1).pixels(slice(None)).numpy()
    scaling = fit_scaling("raw", one, np.arange(1))
    same = Batches(one.repeat(6, axis=0), None, scaling, torch.device("cpu"))
    shown = ChangedPictures(same, Augment(crop=0.2), 0, 0).inputs(slice(None))
    assert len({tuple(picture.flatten().tolist()) for picture in shown}) == 6


def test_fixed_views_are_rows_of_their_own() -> None:
    pictures = changed({"crop": 0.3}, views=3)
    assert len(pictures) == 36
    assert pictures.labels is not None
    assert torch.equal(pictures.labels, torch.arange(12).repeat(3) % 3)
    endless = changed({"crop": 0.3})
    assert torch.equal(pictures.inputs(slice(None)), endless.inputs(torch.arange(36)))
    parts = list(pictures.in_order())
    assert torch.equal(torch.cat([part for part, _ in parts]), pictures.inputs(slice(None)))
    found = torch.cat([labels for _, labels in parts if labels is not None])
    assert torch.equal(found, pictures.labels)


def test_large_numbers_of_views_come_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(augmented, "_IN_ORDER", 5)
    pictures = changed({"flip": 0.5}, views=2)
    assert [len(part) for part, _ in pictures.in_order()] == [5, 5, 5, 5, 4]


@pytest.mark.parametrize("channels_last", [False, True])
def test_scaling_comes_afterwards_and_the_layout_is_kept(channels_last: bool) -> None:
    raw = changed({"crop": 0.3}).inputs(slice(None))
    how: dict[str, Any] = {"kind": "standardised", "channels_last": channels_last}
    pictures = changed({"crop": 0.3}, **how)
    scaling = pictures.batches.scaling
    found = pictures.inputs(slice(None))
    expected = (raw.permute(0, 2, 3, 1).numpy() - scaling.shift) / scaling.divisor
    assert found.permute(0, 2, 3, 1).numpy() == pytest.approx(expected, rel=1e-5, abs=1e-5)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    assert found.is_contiguous(memory_format=layout)


def test_mixup_blends_each_with_the_one_before_by_its_own_share() -> None:
    inputs = batches().inputs(slice(None))
    mixed, shares = Mixing(Augment(mixup=0.4), 2)(inputs, range(12), 0)
    part = shares[:, None, None, None]
    assert mixed.numpy() == pytest.approx((part * inputs + (1 - part) * inputs.roll(1, 0)).numpy())
    assert len(set(shares.tolist())) == 12
    assert ((shares >= 0) & (shares <= 1)).all()


def test_cutmix_takes_a_rectangle_and_counts_its_pixels() -> None:
    inputs = batches(kind="unit").inputs(slice(None))
    mixed, shares = Mixing(Augment(cutmix=1.0), 2)(inputs, range(12), 0)
    own = (mixed == inputs).all(dim=1)
    other = (mixed == inputs.roll(1, 0)).all(dim=1)
    assert (own | other).all()
    assert own.float().mean(dim=(1, 2)).numpy() == pytest.approx(shares.numpy(), abs=1e-6)
    for picture in other:
        rows, columns = picture.any(dim=1).sum(), picture.any(dim=0).sum()
        assert picture.sum() == rows * columns


def test_each_picture_gets_one_of_both_whatever_its_batch() -> None:
    inputs, both = batches(count=60).inputs(slice(None)), Augment(mixup=1.0, cutmix=1.0)
    mixed, shares = Mixing(both, 0)(inputs, range(60), 0)
    whole = ((mixed == inputs) | (mixed == inputs.roll(1, 0))).all(dim=1).flatten(1).all(dim=1)
    assert 15 < int(whole.sum()) < 45  # by CutMix; of mixup next to nothing is left as it was
    again, same = Mixing(both, 0)(inputs[20:30], range(20, 30), 0)
    assert torch.equal(same, shares[20:30])
    assert torch.equal(again[1:], mixed[21:30])
    _, others = Mixing(both, 0)(inputs, range(60), 1)
    assert not torch.equal(others, shares)


def test_a_lone_picture_is_mixed_with_itself() -> None:
    inputs = batches(count=1).inputs(slice(None))
    mixed, _ = Mixing(Augment(mixup=0.4), 0)(inputs, [0], 0)
    assert mixed.numpy() == pytest.approx(inputs.numpy(), rel=1e-5)


@pytest.mark.parametrize("piece", [{"colour": 0.2}, {"hue": 0.1}, {"policy": "trivial_augment"}])
def test_colours_of_other_than_one_or_three_channels_are_refused(piece: dict[str, Any]) -> None:
    key = next(iter(piece))
    with pytest.raises(TrainingError, match=f"augment: {key} needs pictures of 1 or 3 channels"):
        changed(piece, channels=4)
    assert changed({"flip": 0.5, "crop": 0.5}, channels=4).inputs(slice(0, 2)).shape == (2, 4, 9, 8)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            ModuleNotFoundError("No module named 'torchvision'", name="torchvision"),
            "augmentation needs torchvision, which is not installed: pip install "
            "'headstart[pretrained]', or set augment = \"none\"",
        ),
        (RuntimeError("operator torchvision::nms does not exist"), "nms does not exist): install"),
    ],
)
def test_without_torchvision_the_way_out_is_told(
    monkeypatch: pytest.MonkeyPatch, error: Exception, message: str
) -> None:
    def fail(name: str) -> None:
        raise error

    pictures: Callable[..., ChangedPictures] = changed
    monkeypatch.setattr(importlib, "import_module", fail)
    with pytest.raises(TrainingError) as caught:
        pictures({"flip": 0.5})
    assert message in str(caught.value)
