"""What augmentation costs: an epoch of `fit` with it against one without, in one process.

    .venv/bin/python benchmarks/augmentation.py

Prints, for notebook 003's CNN on 28 × 28 pictures and for EfficientNet-Lite0 fine-tuned at 160 px,
each case's ratio to no augmentation (median of the repeats, taken in turn) and what it adds for a
picture. One thread.
"""

import argparse
import statistics
from typing import Any

import numpy as np
import torch

from headstart.data.scaling import fit_scaling
from headstart.data.tasks import Examples
from headstart.networks.builders import CnnSettings, build_network
from headstart.networks.groups import Network
from headstart.networks.heads import HeadSettings
from headstart.networks.pretrained import load_backbone
from headstart.strategies import Scratch
from headstart.training.batches import Batches
from headstart.training.fit import fit

CASES: dict[str, Any] = {
    "none": "none",
    "light": "light",
    "standard": "standard",
    "trivial": "trivial",
    "RandAugment": {"policy": "rand_augment"},
    "mixup and CutMix": {"mixup": 0.2, "cutmix": 1.0},
}


def epoch_seconds(network: Network, train: Batches, valid: Batches, augment: Any) -> float:
    """Seconds of one epoch of `fit`, its validation on one picture included."""
    strategy = Scratch.model_validate({"epochs": 1, "batch_size": 32, "augment": augment})
    return fit(network, strategy.plan(network.group_names), train, valid, 0).seconds


def measure(name: str, network: Network, size: int, channels: int, count: int, again: int) -> None:
    """Measure and print one network's cases."""
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (count, size, size, channels)).astype(np.uint8)
    scaling = fit_scaling("unit", pictures, np.arange(1))
    labels, cpu = np.arange(count) % 2, torch.device("cpu")
    train, valid = (
        Batches.of(Examples(pictures[:n], labels[:n]), scaling, cpu, channels_last=True)
        for n in (count, 1)
    )
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    seconds: dict[str, list[float]] = {case: [] for case in CASES}
    for _ in range(again + 1):
        for case, augment in CASES.items():
            seconds[case].append(epoch_seconds(network, train, valid, augment))
    plain = seconds["none"][1:]
    print(f"{name}, {count} pictures: {1000 * statistics.median(plain) / count:.2f} ms a picture")
    for case, found in list(seconds.items())[1:]:
        ratios = sorted(one / other for one, other in zip(found[1:], plain, strict=True))
        extra = 1000 * (statistics.median(found[1:]) - statistics.median(plain)) / count
        print(
            f"  {case}: ratio {statistics.median(ratios):.2f} ({ratios[0]:.2f} to "
            f"{ratios[-1]:.2f}), {extra:+.2f} ms a picture",
            flush=True,
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    layers = [{"conv": 32}, {"conv": 32}, {"pool": 2}, {"dropout": 0.25}]
    cnn = CnnSettings.model_validate({"kind": "cnn", "layers": layers})
    head = HeadSettings(hidden=(128,), dropout=0.2)
    small = build_network(cnn, head, (28, 28, 1), 2, 0)
    measure("CNN, notebook 003, 28 px", small, 28, 1, 320, options.repeats)
    backbone = load_backbone(
        "tf_efficientnet_lite0", image_size=160, head=HeadSettings(), classes=2, pretrained=False
    )
    measure("EfficientNet-Lite0, 160 px", backbone.network, 160, 3, 32, options.repeats)


if __name__ == "__main__":
    main()
