"""One trial's training loop against a bare PyTorch loop for the same network, in one process.

    .venv/bin/python benchmarks/training_loop.py

Prints, for notebook 000's dense network and notebook 003's CNN: seconds an epoch of `fit`, of the
bare loop, their ratio (median of the repeats, taken in turn), and the share that the matrix
products alone would take at the machine's measured sgemm rate. One thread.
"""

import argparse
import itertools
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from headstart.data.scaling import fit_scaling
from headstart.data.tasks import Examples
from headstart.networks.builders import CnnSettings, MlpSettings, build_network
from headstart.networks.groups import Network
from headstart.networks.heads import HeadSettings
from headstart.strategies import Scratch
from headstart.training.batches import Batches
from headstart.training.fit import fit

CLASSES = 8


def bare_mlp() -> nn.Sequential:
    """The dense network as a user of PyTorch would write it."""
    sizes = [784, 300, 100, 50, 50, 50]
    layers: list[nn.Module] = [nn.Flatten()]
    for before, after in itertools.pairwise(sizes):
        layers += [nn.Linear(before, after), nn.SELU()]
    return nn.Sequential(*layers, nn.Linear(50, CLASSES))


def bare_cnn() -> nn.Sequential:
    """The small CNN as a user of PyTorch would write it."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 32, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Dropout(0.25), nn.Flatten(), nn.Linear(4608, 128), nn.ReLU(), nn.Dropout(0.2),
        nn.Linear(128, CLASSES),
    )  # fmt: skip


def bare_epoch(model: nn.Module, pictures: torch.Tensor, labels: torch.Tensor, batch: int) -> float:
    """Seconds of one epoch of the bare loop on pictures that are floats already."""
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    model.train()
    started = time.perf_counter()
    for rows in torch.randperm(len(pictures)).split(batch):
        value = functional.cross_entropy(model(pictures[rows]), labels[rows])
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    return time.perf_counter() - started


def headstart_epoch(network: Network, train: Batches, valid: Batches, batch: int) -> float:
    """Seconds of one epoch of `fit`, its validation on one picture included."""
    plan = Scratch(epochs=1, batch_size=batch).plan(network.group_names)
    return fit(network, plan, train, valid, 0).seconds


def sgemm_rate(rows: int, inner: int, columns: int) -> float:
    """Measured floating-point operations a second of one matrix product of that shape."""
    a, b = torch.randn(rows, inner), torch.randn(inner, columns)
    repeats = max(3, int(2e9 / (2 * rows * inner * columns)))
    best = 0.0
    for _ in range(3):
        started = time.perf_counter()
        for _ in range(repeats):
            a @ b
        best = max(best, repeats * 2 * rows * inner * columns / (time.perf_counter() - started))
    return best


def mlp_floor_seconds(pictures: int, batch: int) -> float:
    """Seconds that the dense network's products take at the sgemm rate of their own shapes.

    Forward, gradient of the weights, gradient of the inputs (not of the first layer's).
    """
    sizes = [784, 300, 100, 50, 50, 50, CLASSES]
    steps, total = pictures / batch, 0.0
    for place, (before, after) in enumerate(itertools.pairwise(sizes)):
        flops = 2 * batch * before * after
        total += flops / sgemm_rate(batch, before, after)
        total += flops / sgemm_rate(before, batch, after)
        if place:
            total += flops / sgemm_rate(batch, after, before)
    return total * steps


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--pictures", type=int, default=19872)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (options.pictures, 28, 28, 1)).astype(np.uint8)
    labels = rng.integers(0, CLASSES, options.pictures)
    cnn = CnnSettings.model_validate(
        {"kind": "cnn", "layers": [{"conv": 32}, {"conv": 32}, {"pool": 2}, {"dropout": 0.25}]}
    )
    mlp = MlpSettings(kind="mlp", hidden=(300, 100, 50, 50, 50), activation="selu")
    cases: list[
        tuple[str, MlpSettings | CnnSettings, HeadSettings, Callable[[], nn.Module], int, int]
    ]
    cases = [
        ("dense, notebook 000", mlp, HeadSettings(), bare_mlp, 32, options.pictures),
        (
            "CNN, notebook 003",
            cnn,
            HeadSettings(hidden=(128,), dropout=0.2),
            bare_cnn,
            128,
            options.pictures // 8,
        ),
    ]
    for name, body, head, bare, batch, count in cases:
        last = isinstance(body, CnnSettings)
        scaling = fit_scaling("unit", pictures, np.arange(1))
        device = torch.device("cpu")
        train, valid = (
            Batches.of(Examples(pictures[:n], labels[:n]), scaling, device, channels_last=last)
            for n in (count, 1)
        )
        floats = torch.from_numpy(pictures[:count]).permute(0, 3, 1, 2).float() / 255
        network = build_network(body, head, (28, 28, 1), CLASSES, 0)
        if last:
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        model, targets = bare(), torch.from_numpy(labels[:count])
        ours, theirs = [], []
        for _ in range(options.repeats + 1):
            ours.append(headstart_epoch(network, train, valid, batch))
            theirs.append(bare_epoch(model, floats, targets, batch))
        ratios = sorted(a / b for a, b in zip(ours[1:], theirs[1:], strict=True))
        line = (
            f"{name}: fit {statistics.median(ours[1:]):.3f} s an epoch of {count} pictures, "
            f"bare loop {statistics.median(theirs[1:]):.3f} s, ratio "
            f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        )
        if not last:
            floor = mlp_floor_seconds(count, batch)
            share = floor / statistics.median(ours[1:])
            line += f"; its matrix products alone {floor:.3f} s: {share:.0%}"
        print(line, flush=True)


if __name__ == "__main__":
    main()
