"""What a card does: extraction, and fine-tuning beside timm, in one call of a few minutes.

    python benchmarks/gpu.py [--device cuda] [--small]

Extraction by ResNet-50 and ViT-S at 224 pixels in pictures a second, with the share of the card's
measured rate for matrix products of the same arithmetic (float32, as features are); fine-tuning
ResNet-50 by `fit` beside a bare timm loop, in turn, the median of the ratios. Weights are random.
`--small` shrinks everything, to see on a processor that it works.
"""

import argparse
import statistics
import time

import numpy as np
import torch
from torch import nn

from headstart.data.scaling import fit_scaling
from headstart.data.tasks import Examples
from headstart.engine.extract import extract
from headstart.engine.flops import CountedFlops
from headstart.networks.groups import Network
from headstart.networks.modules import from_module
from headstart.networks.torchvision_guard import import_timm
from headstart.strategies.fine_tune import FineTune
from headstart.training.batches import Batches
from headstart.training.devices import choose_device, describe_device, deterministic
from headstart.training.fit import fit

SIDE, BATCH = 224, 32


def wait(device: torch.device) -> None:
    """Let a card finish what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def matrix_rate(device: torch.device, size: int) -> float:
    """Measured float32 operations a second of a square matrix product."""
    a, b = (torch.randn(size, size, device=device) for _ in range(2))
    best = 0.0
    for _ in range(4):
        wait(device)
        started = time.perf_counter()
        for _ in range(8):
            a @ b
        wait(device)
        best = max(best, 8 * 2 * size**3 / (time.perf_counter() - started))
    return best


def network_of(name: str, device: torch.device) -> Network:
    """One of timm's networks with two units on top, channels last."""
    network = from_module(
        import_timm().create_model(name, num_classes=1), input_shape=(3, SIDE, SIDE)
    )
    network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def batches(count: int, device: torch.device) -> Batches:
    """Random pictures with two classes."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (count, SIDE, SIDE, 3)).astype(np.uint8)
    scaling = fit_scaling("unit", pixels, np.arange(1))
    labels = rng.integers(0, 2, count)
    return Batches.of(Examples(pixels, labels), scaling, device, channels_last=True)


def extraction(name: str, count: int, device: torch.device, rate: float) -> str:
    """Pictures a second, and the share of the matrix rate."""
    network, pictures = network_of(name, device).eval(), batches(count, device)
    with torch.no_grad(), CountedFlops() as counted:
        network.body(pictures.inputs(slice(0, 2)))
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        for _ in extract(network.body, pictures):
            pass
        seconds.append(time.perf_counter() - started)
    speed = count / statistics.median(seconds)
    return f"{name}: {speed:,.0f} pictures/s, {speed * counted.total / 2 / rate:.0%} of the rate"


def fine_tuning(name: str, count: int, device: torch.device, repeats: int) -> str:
    """`fit` beside a bare timm loop."""
    network, train = network_of(name, device), batches(count, device)
    valid = batches(1, device)
    settings = {"kind": "fine_tune", "optimizer": "adamw", "lr": 1e-4, "epochs": 1}
    strategy = FineTune.model_validate({**settings, "batch_size": BATCH})
    plan = strategy.plan(network.group_names)
    model = import_timm().create_model(name, num_classes=1).to(device)
    model.to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=device.type == "cuda")
    assert train.labels is not None
    targets = train.labels.float()
    ours, theirs = [], []
    for _ in range(repeats + 1):
        wait(device)
        ours.append(fit(network, plan, train, valid, 0).seconds)
        wait(device)
        started = time.perf_counter()
        for rows in torch.split(torch.randperm(count).to(device), BATCH):
            logits = model(train.inputs(rows))[:, 0]
            value = nn.functional.binary_cross_entropy_with_logits(logits, targets[rows])
            optimizer.zero_grad()
            value.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        wait(device)
        theirs.append(time.perf_counter() - started)
    ratios = sorted(b / a for a, b in zip(ours[1:], theirs[1:], strict=True))
    return (
        f"fine-tuning {name}: {count / statistics.median(ours[1:]):,.0f} pictures/s, timm "
        f"{count / statistics.median(theirs[1:]):,.0f}; {statistics.median(ratios):.2f} times as "
        f"fast ({ratios[0]:.2f} to {ratios[-1]:.2f}, {repeats} repeats)"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args()
    device = choose_device(options.device)
    count, size = (64, 512) if options.small else (4096, 8192)
    with deterministic(2, device):
        rate = matrix_rate(device, size)
        print(
            f"{describe_device(device)}: {rate / 1e12:.3g} Tflop/s in matrix products", flush=True
        )
        for name in ("resnet50", "vit_small_patch16_224"):
            print(extraction(name, count, device, rate), flush=True)
        print(fine_tuning("resnet50", count // 2, device, 1 if options.small else 3))


if __name__ == "__main__":
    main()
