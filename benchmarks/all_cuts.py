"""Every depth of freezing on one shared source, against its suffixes alone plus one pass.

    .venv/bin/python benchmarks/all_cuts.py

A VGG-like network of six convolutions, its source trained here; strategies that freeze everything
below each depth, four seeds each. The baseline is what cannot be saved: bare PyTorch loops that
train each suffix on features that lie ready in memory, and one pass of the pictures through the
whole body on all threads. The loops run as headstart's do, one thread each in as many processes at
a time as there are processors (each trains every depth once; their time times seeds over
processors), since two processors that are threads of one core do not do twice the work of one.
headstart's time holds everything from an opened study with an empty cache to its scores.
"""

import argparse
import multiprocessing
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

from headstart.study.compare import open_workplace, train_and_score
from headstart.study.spec import Study, study_from
from headstart.study.worker import prepare_workers
from headstart.study.workplace import Workplace, source_file

WIDTHS = (16, 16, 32, 32, 64, 64)
SEEDS = 4


def study(pictures: int, epochs: int, source: Path | None) -> Study:
    """All depths of freezing."""
    layers: list[dict[str, int]] = []
    for number, width in enumerate(WIDTHS):
        layers.append({"conv": width, "kernel": 3})
        if number in (1, 3):
            layers.append({"pool": 2})
    own: dict[str, Any] = {"classes": ["airplane", "automobile", "bird", "cat", "deer"]}
    depths = {f"top_{top}": {"kind": "top_groups", "top": top} for top in range(1, len(WIDTHS))}
    return study_from(
        {
            "data": {"name": "cifar-10"},
            "split": {
                "order": "stored",
                "train": [0, pictures],
                "valid": [pictures, pictures + 1000],
                "test": [0, 2000],
            },
            "task": {"classes": ["dog", "frog", "horse", "ship", "truck"]},
            "source": own if source is None else {"file": str(source)},
            "network": {"kind": "cnn", "layers": layers},
            "training": {"optimizer": "sgd", "lr": 0.01, "epochs": epochs},
            "strategy": {"frozen": {}, **depths},
            "study": {"seeds": SEEDS, "baseline": "frozen"},
        }
    )


def bare_suffix(workplace: Workplace, name: str) -> float:
    """Seconds of a strategy's only phase in a bare loop on ready features."""
    seed = 0
    task = workplace.task(seed)
    network = workplace.placed(workplace.making)
    (phase,) = workplace.plan(name, network).phases
    cuts = workplace.keeper.cuts(network)
    cut = cuts.before(network, phase)
    height, width, channels = workplace.images.picture_shape
    shape = (channels, height, width) if cut is None else cut.shape
    suffix = network if cut is None else cuts.split(network, cut).suffix
    learning = list(phase.learning(network).values())
    optimizer = torch.optim.SGD(learning, lr=0.01)
    train, valid = (torch.rand(len(rows), *shape) for rows in (task.train_rows, task.valid_rows))
    if len(shape) == 3:
        train = train.contiguous(memory_format=torch.channels_last)
        valid = valid.contiguous(memory_format=torch.channels_last)
    labels = torch.from_numpy(task.train.labels)
    network.train()
    started = time.perf_counter()
    for _ in range(phase.epochs or 0):
        for rows in torch.split(torch.randperm(len(train)), phase.batch_size):
            optimizer.zero_grad()
            nn.functional.cross_entropy(suffix(train[rows]), labels[rows]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        with torch.inference_mode():
            for part in torch.split(valid, 256):
                suffix(part)
    return time.perf_counter() - started


def bare_suffixes(asked: Study, folder: Path, together: Any, found: Any) -> None:
    """Put the seconds that all suffixes take one after the other, beside other such processes."""
    workplace = open_workplace(asked, folder=folder)
    torch.set_num_threads(1)
    bare_suffix(workplace, "frozen")  # whatever is slow the first time
    together.wait()
    started = time.perf_counter()
    for name in asked.strategy:
        bare_suffix(workplace, name)
    found.put(time.perf_counter() - started)


def bare_suffixes_at_a_time(asked: Study, folder: Path, processes: int) -> float:
    """Seconds that all suffixes take, in several processes at a time; their mean."""
    context = multiprocessing.get_context("spawn")
    together, found = context.Barrier(processes), context.Queue()
    arguments = (asked, folder, together, found)
    each = [context.Process(target=bare_suffixes, args=arguments) for _ in range(processes)]
    for process in each:
        process.start()
    seconds = [found.get() for _ in each]
    for process in each:
        process.join()
    return statistics.mean(seconds)


def bare_pass(workplace: Workplace) -> float:
    """Seconds of one pass of all pictures that the study looks at through the body."""
    network = workplace.placed(workplace.making).eval()
    height, width, channels = workplace.images.picture_shape
    pictures = torch.rand(256, channels, height, width)
    pictures = pictures.contiguous(memory_format=torch.channels_last)
    count = len(workplace.doorway(0).rows)
    with torch.inference_mode():
        network.body(pictures)
        started = time.perf_counter()
        for _ in range(count // len(pictures)):
            network.body(pictures)
    return time.perf_counter() - started


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--pictures", type=int, default=8000, help="of all ten classes")
    parser.add_argument("--epochs", type=int, default=5)
    options = parser.parse_args()
    processors = os.cpu_count() or 1
    prepare_workers()  # as the command line does
    ratios = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "sources").mkdir()
        os.environ["HEADSTART_CACHE"] = str(folder / "cache of the source")
        trained = study(options.pictures, 1, None)
        open_workplace(trained, folder=folder).train_source(0)
        asked = study(options.pictures, options.epochs, folder / source_file(0))
        for number in range(options.repeats):
            os.environ["HEADSTART_CACHE"] = str(folder / f"cache {number}")
            (folder / str(number)).mkdir()
            workplace = open_workplace(asked, folder=folder / str(number))
            suffixes = bare_suffixes_at_a_time(asked, folder / str(number), processors)
            baseline = suffixes * SEEDS / processors + bare_pass(workplace)
            started = time.perf_counter()
            train_and_score(asked, folder / str(number), workplace=workplace)
            ours = time.perf_counter() - started
            ratios.append(ours / baseline)
            print(f"{number + 1}: {ours:.1f} s against {baseline:.1f} s, {ratios[-1]:.2f} times")
    ratios.sort()
    print(f"median {statistics.median(ratios):.2f} times ({ratios[0]:.2f} to {ratios[-1]:.2f})")


if __name__ == "__main__":
    main()
