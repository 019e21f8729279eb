"""Caches and networks that are not as they should be cost time, never a result; it is said once."""

import errno
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from headstart.data.image_set import ImageSet
from headstart.data.picture_cache import NOTE, PictureCache, read_sealed, write_sealed
from headstart.data.sizes import parse_size, size_words
from headstart.engine import feature_store
from headstart.engine.feature_store import Features, Wanted, keep_features
from headstart.engine.keeper import Keeper
from headstart.errors import StudyError
from headstart.networks.groups import LayerGroup, Network
from headstart.strategies.frozen import Frozen
from headstart.testing.ground import small_batches, small_pictures

COUNT = 6
VALUES = np.arange(COUNT * 4, dtype=np.float32).reshape(COUNT, 4)


def wanted() -> Wanted:
    hashes = np.array([f"{number:016x}" for number in range(COUNT)], dtype="S16")
    return Wanted("weights", hashes, (4,), "six pictures")


def fill(numbers: NDArray[np.int64]) -> Iterator[Features]:
    yield VALUES[numbers]


def kept(cache: PictureCache) -> tuple[str, ...]:
    """Keep the features, and see that they are right; the warnings."""
    found = keep_features(wanted(), fill, cache)
    np.testing.assert_array_equal(found.values, VALUES)
    return found.warnings


@pytest.fixture
def cache(tmp_path: Path) -> PictureCache:
    return PictureCache(tmp_path / "kept")


def refusing(code: int) -> Callable[..., NoReturn]:
    def refuse(*_: object, **__: object) -> NoReturn:
        raise OSError(code, os.strerror(code))

    return refuse


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES])
def test_a_cache_that_may_only_be_read(
    cache: PictureCache, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """As root may write anywhere, the system's refusal is played."""
    assert kept(cache) == ()
    monkeypatch.setattr(Path, "mkdir", refusing(code))
    assert kept(cache) == ()  # what is there is read
    (told,) = kept(PictureCache(cache.folder.with_name("other")))
    assert os.strerror(code) in told


def test_a_full_disk(cache: PictureCache, monkeypatch: pytest.MonkeyPatch) -> None:
    whole: Callable[..., Any] = feature_store._write

    def until_full(file: Any, *arguments: Any) -> Any:
        if isinstance(getattr(file, "name", None), str):  # not the nameless temporary file
            file.write(b"half a row")
            refusing(errno.ENOSPC)()
        return whole(file, *arguments)

    monkeypatch.setattr(feature_store, "_write", until_full)
    (told,) = kept(cache)
    assert "No space left on device" in told
    assert list(cache.features.rglob("features")) == []  # nothing half written


def test_a_cache_on_another_file_system_than_the_temporary_folder(
    cache: PictureCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Renaming works within a file system only: drafts are made beside their place."""
    rename = Path.rename

    def within(self: Path, target: Path) -> Path:
        if cache.folder not in self.parents:
            refusing(errno.EXDEV)()
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", within)
    assert kept(cache) == ()
    assert list(cache.features.rglob("features"))


@pytest.mark.parametrize("harm", ["flip", "cut"])
def test_what_was_damaged_is_made_again_and_that_is_said(cache: PictureCache, harm: str) -> None:
    kept(cache)
    (file,) = cache.features.rglob("features")
    data = bytearray(file.read_bytes())
    data[5] ^= 0x41
    file.write_bytes(bytes(data if harm == "flip" else data[:-1]))
    (told,) = kept(cache)
    assert told == "kept features are made again, as they were damaged (six pictures)"
    assert kept(cache) == ()


def test_an_entry_of_another_version_is_not_trusted(cache: PictureCache) -> None:
    kept(cache)
    (note,) = cache.features.rglob(NOTE)
    body = read_sealed(note)
    assert body is not None
    write_sealed(note, {**body, "version": 0})
    (told,) = kept(cache)
    assert "are of another version" in told
    assert kept(cache) == ()


class _Pair(nn.Module):
    """Gives two tensors, the same ones, and cannot be followed to them."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(192, 5)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        features = self.layer(pictures.flatten(1))
        return (features, features) if bool(features.sum() > 0) else (-features, features)


class _First(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(5, 3)

    def forward(self, pair: tuple[Tensor, Tensor]) -> Tensor:
        logits: Tensor = self.layer(pair[0])
        return logits


class _Noisy(nn.Module):
    """Random even in evaluation mode."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(192, 5)

    def forward(self, pictures: Tensor) -> Tensor:
        features: Tensor = self.layer(pictures.flatten(1))
        return features + torch.rand_like(features)


class _Deciding(nn.Module):
    """Takes other steps for other pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(192, 5)

    def forward(self, pictures: Tensor) -> Tensor:
        features: Tensor = self.layer(pictures.flatten(1))
        return features if bool(features.sum() > 0) else -features


def network(body: nn.Module, head: nn.Module | None = None) -> Network:
    groups = [LayerGroup("body", ("body",)), LayerGroup("head", ("head",))]
    return Network(body, head or nn.Linear(5, 3), groups, pretrained=True)


@pytest.mark.parametrize(
    ("made", "told", "enters"),
    [
        (lambda: network(_Deciding()), "features are kept between body and head only", True),
        (lambda: network(_Pair(), _First()), "are kept nowhere", False),
        (lambda: network(_Noisy()), "other numbers the second time.* are kept nowhere", False),
    ],
    ids=["cannot be traced", "not one tensor", "random in evaluation mode"],
)
def test_a_network_that_cannot_be_split_anywhere_falls_back_and_says_so_once(
    tmp_path: Path, made: Callable[[], Network], told: str, *, enters: bool
) -> None:
    shown = small_pictures(40, 3, 0)
    images = ImageSet.from_arrays(shown.pictures, shown.labels)
    keeper = Keeper(images, PictureCache(tmp_path / "kept"))
    batches = small_batches(40, 0)
    batches.values = images.pictures
    doorway = keeper.enter(np.arange(40))
    whole = made()
    (phase,) = Frozen(kind="frozen", epochs=1).plan(whole.group_names).phases
    with pytest.warns(UserWarning, match=told):
        entry = doorway.enter(whole, phase, batches, batches)
    assert (entry.train is not batches) == enters
    with warnings.catch_warnings(action="error"):  # a second time nothing is said
        doorway.enter(whole, phase, batches, batches)


@pytest.mark.parametrize(
    ("text", "size"), [("8GB", 8e9), ("500 MB", 5e8), ("2GiB", 2 * 2**30), ("1.5 gb", 1.5e9)]
)
def test_sizes_are_read(text: str, size: float) -> None:
    assert parse_size(text, "--memory") == size


@pytest.mark.parametrize("text", ["", "much", "-3GB", "0", "8 GX"])
def test_sizes_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(StudyError, match=f"--disk '{text}': expected a number and a unit, such"):
        parse_size(text, "--disk")


def test_sizes_are_told() -> None:
    assert [size_words(each) for each in (12, 3_200, 4.56e6, 8e9)] == [
        "12 B",
        "3.2 kB",
        "4.56 MB",
        "8 GB",
    ]
