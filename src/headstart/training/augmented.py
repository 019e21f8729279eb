"""Training pictures that are changed on their way into a network, each by a stream of its own.

The transforms are torchvision's. They draw from PyTorch's generator, which is seeded anew for every
picture by the trial's seed, the view (an epoch, or one of several fixed views) and the picture's
row: how a picture is changed depends on nothing else.
"""

import importlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headstart.errors import TrainingError
from headstart.networks.compiler import without_compiler
from headstart.networks.torchvision_guard import MISSING_EXTRA, make_torchvision_importable
from headstart.seeding import stream_seed
from headstart.strategies.augment import Augment
from headstart.training.batches import Batches

_IN_ORDER = 256  # pictures at a time when all are asked for


def import_transforms() -> Any:
    """The module `torchvision.transforms.v2`.

    Raises:
        TrainingError: If torchvision is not installed, or does not fit torch.
    """
    make_torchvision_importable()
    try:
        with without_compiler():
            return importlib.import_module("torchvision.transforms.v2")
    except ModuleNotFoundError as error:
        raise TrainingError(
            f"augmentation needs {error.name}, which is not installed: {MISSING_EXTRA}, or set "
            'augment = "none"'
        ) from error
    except (ImportError, RuntimeError) as error:
        raise TrainingError(
            f"torchvision cannot be imported beside torch {torch.__version__} ({error}): install "
            "the torchvision that belongs to this torch"
        ) from error


class ChangedPictures:
    """Views of pictures: row r + v · N is picture r of N, changed as in view v.

    Attributes:
        batches: The pictures as they are.
        augment: What may happen to them.
        seed: Names the streams.
        views: How many fixed views there are; 0: a new one every epoch, without end.
        labels: Of all rows: N times `views`, or N.
    """

    def __init__(self, batches: Batches, augment: Augment, seed: int, views: int) -> None:
        self.batches = batches
        self.augment = augment
        self.seed = seed
        self.views = views
        labels = batches.labels
        self.labels = None if labels is None else labels.repeat(max(1, views))
        self._change = _transforms(augment, tuple(batches.values.shape[1:]))

    def __len__(self) -> int:
        return len(self.batches) * max(1, self.views)

    @property
    def device(self) -> torch.device:
        """Where batches are given out."""
        return self.batches.device

    def inputs(self, rows: Tensor | slice) -> Tensor:
        """Scaled float32 pictures (batch, channels, height, width) of some rows."""
        if isinstance(rows, slice):
            rows = torch.arange(*rows.indices(len(self)), device=self.device)
        pictures = len(self.batches)
        pixels = self.batches.pixels(rows % pictures)
        if self._change is None:
            return self.batches.scaled(pixels)
        changed = torch.empty_like(pixels)
        with own_stream() as begin:
            for place, row in enumerate(rows.tolist()):
                view, picture = divmod(row, pictures)
                begin(stream_seed(self.seed, "augment", view, picture))
                changed[place] = self._change(pixels[place].permute(2, 0, 1)).permute(1, 2, 0)
        return self.batches.scaled(changed)

    def hashes(self, pictures: NDArray[np.bytes_]) -> NDArray[np.bytes_]:
        """A content hash for every row: equal ones look the same, shape (rows,), dtype S16.

        Args:
            pictures: The content hash of each picture as it is, shape (N,).
        """
        how = self.augment.model_dump_json(exclude={"views", "mixup", "cutmix"})
        made_by = f"torchvision {version('torchvision')} {how} {self.seed}"
        found = [
            sha256(f"{made_by} {view} {row}".encode() + picture).hexdigest()[:16]
            for view in range(max(1, self.views))
            for row, picture in enumerate(pictures.tolist())
        ]
        return np.array(found, dtype="S16")

    def in_order(self) -> Iterator[tuple[Tensor, Tensor | None]]:
        """All rows in order, in large batches."""
        for start in range(0, len(self), _IN_ORDER):
            rows = slice(start, min(start + _IN_ORDER, len(self)))
            yield self.inputs(rows), None if self.labels is None else self.labels[rows]


class SomeViews:
    """Some rows of changed pictures, in an order of their own, to look at once.

    Attributes:
        values: The pictures as they are stored, among others.
    """

    def __init__(self, pictures: ChangedPictures, rows: NDArray[np.int64]) -> None:
        self.values = pictures.batches.values
        self._pictures = pictures
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def inputs(self, rows: slice) -> Tensor:
        """Scaled float32 pictures (batch, channels, height, width) of some of them."""
        return self._pictures.inputs(torch.from_numpy(self._rows[rows]).to(self._pictures.device))


class Mixing:
    """Mixup and CutMix: each picture of a batch with the one before it, by a share of its own."""

    def __init__(self, augment: Augment, seed: int) -> None:
        transforms = import_transforms()
        self._seed = seed
        self._kinds: list[Any] = []
        if augment.mixup:
            self._kinds.append(transforms.MixUp(alpha=augment.mixup))
        if augment.cutmix:
            self._kinds.append(transforms.CutMix(alpha=augment.cutmix))

    def __call__(self, inputs: Tensor, rows: Sequence[int], view: int) -> tuple[Tensor, Tensor]:
        """Mixed pictures, and what each has kept of itself.

        Args:
            inputs: Scaled pictures, shape (batch, channels, height, width).
            rows: Their rows among the training pictures.
            view: The epoch, counted from 0.

        Returns:
            The mixed pictures, and each one's own share in [0, 1], shape (batch,), float32; the
            rest of it is of the picture before it in the batch (of the last one for the first).
        """
        mixed, shares = torch.empty_like(inputs), []
        itself_and_other = torch.eye(2)
        with own_stream() as begin:
            for place, row in enumerate(rows):
                begin(stream_seed(self._seed, "mix", view, row))
                kind = self._kinds[int(torch.randint(len(self._kinds), ()))]
                pair = torch.stack([inputs[place], inputs[place - 1]])
                both, labels = kind(pair, itself_and_other.clone())
                mixed[place] = both[0]
                shares.append(labels[0, 0])
        return mixed, torch.stack(shares).to(inputs.device)


@contextmanager
def own_stream() -> Iterator[Any]:
    """Gives what begins a new stream of random numbers; the stream from before goes on after it.

    Torchvision draws on the CPU whatever the pictures' device is.
    """
    before = torch.default_generator.get_state()
    try:
        yield torch.default_generator.manual_seed
    finally:
        torch.default_generator.set_state(before)


def _transforms(augment: Augment, shape: tuple[int, ...]) -> Any:
    """What changes one picture (channels, height, width), uint8; None where nothing does.

    Raises:
        TrainingError: If torchvision is missing, or has no such change for so many channels.
    """
    if not augment.changes_pictures:
        return None
    height, width, channels = shape
    check_channels(augment, channels)
    v2 = import_transforms()
    steps: list[Any] = []
    if augment.flip:
        steps.append(v2.RandomHorizontalFlip(augment.flip))
    if augment.flip_vertical:
        steps.append(v2.RandomVerticalFlip(augment.flip_vertical))
    if augment.crop < 1:
        steps.append(v2.RandomResizedCrop((height, width), (augment.crop, 1.0), antialias=True))
    if augment.shift:
        # Padding and cutting shifts by whole pixels, many times faster than an affine map.
        across, down = (max(1, round(augment.shift * size)) for size in (width, height))
        steps.append(v2.RandomCrop((height, width), padding=[across, down]))
    if augment.rotate:
        steps.append(v2.RandomRotation(augment.rotate, v2.InterpolationMode.BILINEAR))
    if augment.colour or augment.hue:
        steps.append(v2.ColorJitter(augment.colour, augment.colour, augment.colour, augment.hue))
    if augment.policy == "trivial_augment":
        steps.append(v2.TrivialAugmentWide())
    if augment.policy == "rand_augment":
        steps.append(v2.RandAugment(augment.operations, augment.magnitude))
    if augment.erase:
        steps.append(v2.RandomErasing(augment.erase))
    return v2.Compose(steps)


def check_channels(augment: Augment, channels: int) -> None:
    """Refuse changes of colour for pictures that are neither grey nor in three colours.

    Raises:
        TrainingError: Naming what cannot be done.
    """
    coloured = [key for key in ("colour", "hue", "policy") if getattr(augment, key)]
    if channels not in (1, 3) and coloured:
        raise TrainingError(
            f"augment: {', '.join(coloured)} needs pictures of 1 or 3 channels, these have "
            f"{channels}: leave it out"
        )
