"""Does a stack of small convolutional networks pay on a processor?

    .venv/bin/python benchmarks/stacked_convolutions.py [--turns 5]

A step of SGD for each of several networks of two 3 × 3 convolutions, one pooling and a dense layer:
one network after another (channels last), all of them as one grouped convolution, and all of them
by unfolding the pictures and batched products. One thread, processor time, medians of turns.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

CASES = (
    ("notebook 003: 32 and 32 channels, 28 px, batches of 32", 32, 28, 32),
    ("8 and 8 channels, 28 px, batches of 32", 8, 28, 32),
    ("4 and 4 channels, 12 px, batches of 16", 4, 12, 16),
)
CLASSES, RATE = 5, 0.01
Step = Callable[[], None]


def network(width: int, side: int) -> nn.Sequential:
    """One network."""
    features = width * ((side - 4) // 2) ** 2
    return nn.Sequential(
        nn.Conv2d(1, width, 3), nn.ReLU(), nn.Conv2d(width, width, 3), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(features, CLASSES),
    )  # fmt: skip


def descend(loss: Tensor, parameters: Sequence[Tensor]) -> None:
    """One step of plain SGD."""
    gradients = torch.autograd.grad(loss, parameters)
    with torch.no_grad():
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.sub_(gradient, alpha=RATE)


def one_by_one(networks: Sequence[nn.Sequential], pictures: Tensor, labels: Tensor) -> Step:
    """A step of each network."""
    for each in networks:
        each.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def step() -> None:
        for each, inputs, truth in zip(networks, pictures, labels, strict=True):
            loss = functional.cross_entropy(each(inputs), truth)
            descend(loss, list(each.parameters()))

    return step


def grouped(pictures: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor]) -> Tensor:
    """Maps of (networks, batch, …) by grouped convolutions, flattened."""
    networks, batch = pictures.shape[:2]
    maps = pictures.transpose(0, 1).flatten(1, 2).contiguous(memory_format=torch.channels_last)
    for weight, bias in zip(weights, biases, strict=True):
        maps = functional.conv2d(maps, weight.flatten(0, 1), bias.flatten(), groups=networks).relu()
    maps = functional.max_pool2d(maps, 2)
    return maps.reshape(batch, networks, -1).transpose(0, 1)


def unfolded(pictures: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor]) -> Tensor:
    """The same by unfolded pictures and batched products."""
    maps = pictures
    for weight, bias in zip(weights, biases, strict=True):
        networks, batch, channels, height, width = maps.shape
        windows = maps.unfold(3, 3, 1).unfold(4, 3, 1).permute(0, 1, 3, 4, 2, 5, 6)
        windows = windows.reshape(networks, batch * (height - 2) * (width - 2), channels * 9)
        turned = weight.flatten(2).transpose(1, 2)
        rows = torch.baddbmm(bias[:, None], windows, turned).relu()
        maps = rows.reshape(networks, batch, height - 2, width - 2, -1).permute(0, 1, 4, 2, 3)
    pooled = functional.max_pool2d(maps.flatten(0, 1), 2)
    return pooled.reshape(*maps.shape[:2], -1)


def together(
    networks: Sequence[nn.Sequential],
    pictures: Tensor,
    labels: Tensor,
    body: Callable[[Tensor, Sequence[Tensor], Sequence[Tensor]], Tensor],
) -> Step:
    """A step of all networks at once."""
    rows = zip(*(list(each.parameters()) for each in networks), strict=True)
    stacked = [torch.stack([each.detach() for each in row]).requires_grad_() for row in rows]
    weights, biases = stacked[0::2], stacked[1::2]

    def step() -> None:
        features = body(pictures, weights[:-1], biases[:-1])
        logits = torch.baddbmm(biases[-1][:, None], features, weights[-1].transpose(1, 2))
        loss = functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="sum")
        descend(loss / labels.shape[1], stacked)

    return step


def seconds(step: Step, turns: int) -> float:
    """The median processor time of a step."""
    step()
    found = []
    for _ in range(turns):
        started = time.process_time()
        step()
        found.append(time.process_time() - started)
    return statistics.median(found)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name, width, side, batch in CASES:
        for count in (8, 32):
            torch.manual_seed(0)
            networks = [network(width, side) for _ in range(count)]
            pictures = torch.rand(count, batch, 1, side, side)
            labels = torch.randint(0, CLASSES, (count, batch))
            ways = {
                "grouped": together(networks, pictures, labels, grouped),
                "unfolded": together(networks, pictures, labels, unfolded),
            }
            alone = seconds(one_by_one(networks, pictures, labels), options.turns)
            told = [f"alone {1000 * alone / count:.2f} ms a step"]
            for way, step in ways.items():
                took = seconds(step, options.turns)
                told.append(f"{way} {1000 * took / count:.2f} ms ({alone / took:.2f} times)")
            print(f"{name}, {count} networks: {', '.join(told)}", flush=True)


if __name__ == "__main__":
    main()
