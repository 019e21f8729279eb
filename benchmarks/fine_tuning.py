"""Fine-tuning a whole EfficientNet-Lite0: `fit` beside a bare timm loop and fastai's learner.

    python benchmarks/fine_tuning.py [--repeats 3] [--side 96]

One epoch over the same 256 pictures in batches of 32, all weights learning by AdamW, two threads,
one process, in turn; pictures are in memory for `fit` and for the bare loop, whose tensors are
ready floats, channels last. fastai, where it is installed (requirements-peers.txt), reads them with
its own loader and has its own defaults. Prints medians, ratios and pictures a second.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from headstart.data.scaling import fit_scaling
from headstart.data.tasks import Examples
from headstart.networks.heads import HeadSettings
from headstart.networks.pretrained import load_backbone
from headstart.networks.torchvision_guard import import_timm
from headstart.strategies.fine_tune import FineTune
from headstart.training.batches import Batches
from headstart.training.fit import fit

MODEL, PICTURES, BATCH = "tf_efficientnet_lite0", 256, 32

Pixels = NDArray[np.uint8]


def headstart_loop(pixels: Pixels, labels: NDArray[np.int64]) -> Callable[[], float]:
    """Seconds of an epoch of `fit`, its validation on one picture included."""
    side = pixels.shape[1]
    network = load_backbone(MODEL, image_size=side).with_head(HeadSettings(), 2, 0)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    scaling = fit_scaling("unit", pixels, np.arange(1))
    train, valid = (
        Batches.of(
            Examples(pixels[:n], labels[:n]), scaling, torch.device("cpu"), channels_last=True
        )
        for n in (len(pixels), 1)
    )
    settings = {"kind": "fine_tune", "optimizer": "adamw", "lr": 1e-4, "epochs": 1}
    strategy = FineTune.model_validate({**settings, "batch_size": BATCH})
    plan = strategy.plan(network.group_names)
    return lambda: fit(network, plan, train, valid, 0).seconds


def bare_loop(pixels: Pixels, labels: NDArray[np.int64]) -> Callable[[], float]:
    """Seconds of an epoch of timm's network in a bare loop."""
    model = import_timm().create_model(MODEL, num_classes=1)
    model.to(memory_format=torch.channels_last).train()
    floats = torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div(255)
    floats = floats.contiguous(memory_format=torch.channels_last)
    targets = torch.from_numpy(labels).float()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)

    def once() -> float:
        started = time.perf_counter()
        for rows in torch.split(torch.randperm(len(floats)), BATCH):
            logits = model(floats[rows])[:, 0]
            value = nn.functional.binary_cross_entropy_with_logits(logits, targets[rows])
            optimizer.zero_grad()
            value.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        return time.perf_counter() - started

    return once


def fastai_loop(pixels: Pixels, labels: NDArray[np.int64], folder: Path) -> Callable[[], float]:
    """Seconds of an epoch of fastai's unfrozen `vision_learner`, its validation included."""
    from fastai.vision.all import ImageDataLoaders, Resize, vision_learner

    for number, (picture, label) in enumerate(zip(pixels, labels, strict=True)):
        part = "train" if number >= BATCH else "valid"
        place = folder / part / str(label)
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(place / f"{number}.png")
    loaders = ImageDataLoaders.from_folder(folder, item_tfms=Resize(pixels.shape[1]), bs=BATCH)
    learner = vision_learner(loaders, MODEL, pretrained=False)
    learner.unfreeze()

    def once() -> float:
        started = time.perf_counter()
        with learner.no_bar(), learner.no_logging():
            learner.fit_one_cycle(1)
        return time.perf_counter() - started

    return once


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--side", type=int, default=96)
    options = parser.parse_args()
    torch.set_num_threads(2)
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (PICTURES, options.side, options.side, 3)).astype(np.uint8)
    labels = rng.integers(0, 2, PICTURES)
    with tempfile.TemporaryDirectory() as folder:
        loops = {"headstart": headstart_loop(pixels, labels), "timm": bare_loop(pixels, labels)}
        if find_spec("fastai") is not None:
            loops["fastai"] = fastai_loop(pixels, labels, Path(folder))
        seconds: dict[str, list[float]] = {name: [] for name in loops}
        for _ in range(options.repeats + 1):  # the first warms up
            for name, once in loops.items():
                seconds[name].append(once())
    for name, taken in seconds.items():
        ratios = sorted(b / a for a, b in zip(seconds["headstart"][1:], taken[1:], strict=True))
        print(
            f"{name}: {statistics.median(taken[1:]):.2f} s an epoch, "
            f"{PICTURES / statistics.median(taken[1:]):.1f} pictures/s; headstart is "
            f"{statistics.median(ratios):.2f} times as fast ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        )


if __name__ == "__main__":
    main()
