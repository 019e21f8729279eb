"""Pictures to kept features, decoding included, against bare ONNX Runtime on ready tensors.

    .venv/bin/python benchmarks/extraction.py [--pictures 1000] [--turns 3] [--threads 1]

CIFAR-10's cats and dogs at 160 pixels through EfficientNet-Lite0. Ours: from the pictures as
stored, brought to size and kept, to features in the cache, from an empty cache; once with the
choice between PyTorch and ONNX Runtime to be made, and once with it remembered. The other: the
same part of the network in ONNX Runtime, blocks of the same size, on float32 tensors that lie
ready. In turns, in one process, on the same threads; the table shows medians of pictures a second,
and of the ratio to the bare loop of the same turn. With one thread seconds are
processor time, which other work on the machine does not spoil.
"""

import argparse
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch

from headstart.data import catalog
from headstart.data.image_set import ImageSet
from headstart.data.picture_cache import PictureCache
from headstart.engine.extract import a_block, block_size
from headstart.engine.keeper import Keeper
from headstart.engine.measured import work_clock
from headstart.networks.groups import HEAD, Network
from headstart.networks.heads import HeadSettings
from headstart.networks.onnx_files import answer_of, onnx_bytes, onnx_session
from headstart.networks.ready_made import TimmBody
from headstart.study.pictures import brought_to_size, scaling_of
from headstart.training.batches import Batches
from headstart.training.devices import choose_device

SIDE = 160
CLASSES = ("cat", "dog")


class Extraction:
    """The two ways.

    Args:
        count: How many pictures.
        folder: For caches.
    """

    def __init__(self, count: int, folder: Path) -> None:
        whole = catalog.load("cifar-10")
        numbers = [whole.class_names.index(name) for name in CLASSES]
        rows = np.flatnonzero(np.isin(whole.labels, numbers))[:count]
        self.stored = ImageSet.from_arrays(
            whole.pictures[rows], whole.labels[rows], class_names=whole.class_names
        )
        body = TimmBody.load(
            "tf_efficientnet_lite0",
            weights=None,
            image_size=(SIDE, SIDE),
            channels=3,
            features="pooled",
        )
        self.preprocessing = body.preprocessing
        self.network: Network = body.pretrained(HeadSettings(), len(CLASSES), 0).eval()
        self.folder = folder
        self._sizes = block_size((SIDE, SIDE, 3))
        self._bare = self._ready()

    def _batches(self, images: ImageSet) -> Batches:
        scaling = scaling_of(self.preprocessing)
        device = choose_device("cpu")
        return Batches(images.pictures, None, scaling, device, channels_last=True)

    def ours(self, *, remembered: bool) -> None:
        """From stored pictures to kept features."""
        for room in ("pictures", "features", *(() if remembered else ("measured",))):
            shutil.rmtree(self.folder / room, ignore_errors=True)
        images = brought_to_size(self.stored, self.preprocessing, CLASSES)
        keeper = Keeper(images, PictureCache(self.folder))
        trained = frozenset({HEAD})
        cut = keeper.unchanged(self.network, trained, len(images))
        assert cut is not None
        keeper.features(self.network, cut, self._batches(images), np.arange(len(images)))

    def _ready(self) -> Callable[[], None]:
        """Bare ONNX Runtime, its tensors ready."""
        images = brought_to_size(self.stored, self.preprocessing, CLASSES)
        keeper, batches = Keeper(images), self._batches(images)
        cut = keeper.unchanged(self.network, frozenset({HEAD}), len(images))
        assert cut is not None
        prefix = keeper.cuts(self.network).split(self.network, cut).prefix
        starts = range(0, len(images), self._sizes)
        blocks = [a_block(batches, start, self._sizes).contiguous() for start in starts]
        session = onnx_session(onnx_bytes(prefix, blocks[0], takes="pictures", gives="features"))

        def bare() -> None:
            for block in blocks:
                answer_of(session, "pictures", "features", block.numpy())

        return bare

    def bare(self) -> None:
        """Ready tensors through a ready session."""
        self._bare()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    clock = work_clock(arguments.threads)
    with tempfile.TemporaryDirectory() as name:
        os.environ["HEADSTART_CACHE"] = name
        both = Extraction(arguments.pictures, Path(name))
        ways: dict[str, Callable[[], None]] = {
            "bare ONNX Runtime on ready tensors": both.bare,
            "headstart, the way to be chosen": lambda: both.ours(remembered=False),
            "headstart, the way remembered": lambda: both.ours(remembered=True),
        }
        both.bare()
        rates: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(arguments.turns):
            for way, work in ways.items():
                started = clock()
                work()
                rates[way].append(arguments.pictures / (clock() - started))
    floor = rates["bare ONNX Runtime on ready tensors"]
    print(f"{'':<38}{'pictures/s':>11}{'ratio':>8}{'lowest':>8}{'highest':>9}")
    for way, found in rates.items():
        ratios = [own / bare for own, bare in zip(found, floor, strict=True)]
        shown = f"{median(ratios):>8.2f}{min(ratios):>8.2f}{max(ratios):>9.2f}"
        print(f"{way:<38}{median(found):>11.1f}{shown}")


if __name__ == "__main__":
    main()
