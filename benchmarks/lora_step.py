"""Optimiser steps of `lora` and `fine_tune` beside bare PyTorch with peft, in one process.

    python benchmarks/lora_step.py [--repeats 7] [--side 64] [--threads 1]

A ViT-tiny of timm's with random weights, 128 pictures in batches of 32, AdamW; adapters of rank 8
at the projections to queries, keys and values. `fit` has its pictures in memory as bytes, the bare
loop as ready floats. Each repeat times an epoch of both in turn, as processor time, since others'
work counts little there; the first warms up. Putting adapters in and merging them is not a step,
and is in neither time. Prints medians and ratios.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from headstart.data.scaling import fit_scaling
from headstart.data.tasks import Examples
from headstart.networks.heads import HeadSettings
from headstart.networks.pretrained import load_backbone
from headstart.networks.torchvision_guard import import_timm
from headstart.strategies import FineTune, Lora, Strategy
from headstart.training.batches import Batches
from headstart.training.fit import fit

MODEL, PICTURES, BATCH = "vit_tiny_patch16_224", 128, 32
TRAINING = {"optimizer": "adamw", "lr": 1e-4, "batch_size": BATCH}

Pixels = NDArray[np.uint8]
Labels = NDArray[np.int64]


def headstart_loop(kind: type[Strategy], pixels: Pixels, labels: Labels) -> Callable[[], float]:
    """Seconds of an epoch of `fit`, its validation on one picture included: of three, less one."""
    backbone = load_backbone(MODEL, image_size=pixels.shape[1], pretrained=False)
    network = backbone.with_head(HeadSettings(), 2, 0)
    scaling = fit_scaling("unit", pixels, np.arange(1))
    train, valid = (
        Batches.of(Examples(pixels[:n], labels[:n]), scaling, torch.device("cpu"))
        for n in (len(pixels), 1)
    )
    short, long = (
        kind.model_validate({**TRAINING, "epochs": epochs}).plan(network.group_names)
        for epochs in (1, 3)
    )

    def once() -> float:
        return (
            seconds_of(lambda: fit(network, long, train, valid, 0))
            - seconds_of(lambda: fit(network, short, train, valid, 0))
        ) / 2

    return once


def bare_loop(model: nn.Module, pixels: Pixels, labels: Labels) -> Callable[[], float]:
    """Seconds of an epoch of a bare loop over what learns of a model, a mean of two."""
    floats = torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div(255).contiguous()
    targets = torch.from_numpy(labels).float()
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=1e-4)
    model.train()

    def epochs() -> None:
        for _ in range(2):
            for rows in torch.split(torch.randperm(len(floats)), BATCH):
                value = nn.functional.binary_cross_entropy_with_logits(
                    model(floats[rows])[:, 0], targets[rows]
                )
                optimizer.zero_grad()
                value.backward()  # type: ignore[no-untyped-call]
                optimizer.step()

    return lambda: seconds_of(epochs) / 2


def seconds_of(call: Callable[[], object]) -> float:
    """Seconds of this process's processor time, of all its threads: others' work counts little."""
    started = time.process_time()
    call()
    return time.process_time() - started


def bare_lora(side: int) -> nn.Module:
    """The same network with adapters, as a user of peft would make it."""
    from peft import LoraConfig, get_peft_model

    model = import_timm().create_model(MODEL, img_size=side, num_classes=1)
    settings = LoraConfig(
        r=8, lora_alpha=16, target_modules=["qkv"], modules_to_save=["head"], bias="none"
    )
    adapted: nn.Module = get_peft_model(model, settings)
    return adapted


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (PICTURES, options.side, options.side, 3)).astype(np.uint8)
    labels = rng.integers(0, 2, PICTURES)
    whole = import_timm().create_model(MODEL, img_size=options.side, num_classes=1)
    pairs: dict[str, tuple[type[Strategy], nn.Module]] = {
        "fine_tune": (FineTune, whole),
        "lora": (Lora, bare_lora(options.side)),
    }
    for name, (kind, model) in pairs.items():
        ours, bare = headstart_loop(kind, pixels, labels), bare_loop(model, pixels, labels)
        taken = [(ours(), bare()) for _ in range(options.repeats + 1)][1:]
        ratios = sorted(mine / theirs for mine, theirs in taken)
        mine, theirs = (
            1000 * statistics.median(each) * BATCH / PICTURES for each in zip(*taken, strict=True)
        )
        print(
            f"{name}: {mine:.0f} ms a step, bare {theirs:.0f} ms: ratio of medians "
            f"{mine / theirs:.2f}; of single repeats {ratios[0]:.2f} to {ratios[-1]:.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
