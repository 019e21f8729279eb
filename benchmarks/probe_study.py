"""A study of heads on a pretrained body: planned, `--naive`, and fastai's frozen learner.

    python benchmarks/probe_study.py [--without-fastai]

EfficientNet-Lite0 at 160 pixels on CIFAR-10's cats and dogs: 8 seeds × 5 rates × 4 label budgets of
frozen training, 10 epochs, 2,000 training pictures. headstart's time is that of the whole
comparison with an empty cache, report included. The other two would take hours, so they are scaled
by looks, a look being a picture that goes through the network once: the naive way from a study of
two trials at a time, fastai (needs requirements-peers.txt) from two epochs of 400 + 200 pictures.
"""

import argparse
import os
import tempfile
import time
import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import torch

import headstart
from headstart.networks.torchvision_guard import import_timm
from headstart.study.spec import Study, study_from

RATES = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
BUDGETS: tuple[int | str, ...] = (50, 200, 1000, "all")
EPOCHS, SIDE = 10, 160


def study(seeds: int, rates: Sequence[float], budgets: Sequence[int | str], epochs: int) -> Study:
    """Frozen training at several rates."""
    strategies = {
        f"at_{rate:g}": {"kind": "frozen", "lr": rate, "epochs": epochs} for rate in rates
    }
    return study_from(
        {
            "data": {"name": "cifar-10", "image_size": SIDE, "scaling": "source"},
            "split": {
                "order": "stored",
                "train": [0, 2000],
                "valid": [2000, 2200],
                "test": [0, 200],
            },
            "task": {"classes": ["cat", "dog"]},
            "source": {"pretrained": "tf_efficientnet_lite0"},
            "training": {"optimizer": "adam"},
            "strategy": strategies,
            "study": {"seeds": seeds, "labels": list(budgets), "baseline": next(iter(strategies))},
        }
    )


def looks(asked: Study, epochs: int, train: int, valid: int, test: int) -> int:
    """How often a picture goes through the network where nothing is shared."""
    a_trial = sum(
        epochs * ((train if labels == "all" else int(labels)) + valid) + valid + test
        for labels in asked.study.labels
    )
    return a_trial * len(asked.study.seeds) * len(asked.strategy)


def compared(asked: Study, folder: Path, *, naive: bool = False) -> float:
    """Seconds of a comparison with an empty cache."""
    os.environ["HEADSTART_CACHE"] = str(folder / "cache")
    started = time.perf_counter()
    headstart.compare(asked, folder / "study", naive=naive)
    return time.perf_counter() - started


def fastai_seconds_a_look() -> float:
    """From two epochs of its frozen learner."""
    import against_fastai
    from fastai.vision.all import ImageDataLoaders, Resize, vision_learner

    with tempfile.TemporaryDirectory() as folder:
        against_fastai.write_pictures(Path(folder))
        loaders = ImageDataLoaders.from_folder(
            folder, train="train", valid="test", item_tfms=Resize(SIDE), seed=0
        )
        learner = vision_learner(loaders, against_fastai.MODEL, pretrained=False)
        learner.freeze()
        started = time.perf_counter()
        with learner.no_bar(), learner.no_logging():
            learner.fit_one_cycle(2)
        seconds = time.perf_counter() - started
    return seconds / (2 * (against_fastai.TRAIN + against_fastai.VALID))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--without-fastai", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(2)
    import_timm()
    warnings.simplefilter("ignore")
    asked = study(8, RATES, BUDGETS, EPOCHS)
    with tempfile.TemporaryDirectory() as folder:
        ours = compared(asked, Path(folder))
        counts = headstart.Results.read(Path(folder) / "study").records.class_counts
    parts = {
        part: sum(n for task, split, _, n in counts if (task, split) == ("target", part))
        for part in ("train", "valid", "test")
    }
    total = looks(asked, EPOCHS, **parts)
    trials = len(RATES) * len(BUDGETS) * 8
    print(f"{trials} trials, {parts}: headstart {ours:.1f} s", flush=True)
    small = study(2, RATES[:1], BUDGETS[:1], 1)
    with tempfile.TemporaryDirectory() as folder:
        naive = compared(small, Path(folder), naive=True)
    # Starting workers and drawing a report are in it: they weigh less in a long study.
    with tempfile.TemporaryDirectory() as folder:
        longer = compared(study(2, RATES[:1], BUDGETS[:1], 3), Path(folder), naive=True)
    more = looks(small, 3, **parts) - looks(small, 1, **parts)
    whole = (longer - naive) / more * total
    print(f"--naive: {whole:.0f} s for {total:,} looks, {whole / ours:.0f} times ours", flush=True)
    if not options.without_fastai and find_spec("fastai") is not None:
        theirs = fastai_seconds_a_look() * total
        print(f"fastai: {theirs:.0f} s, {theirs / ours:.0f} times ours")


if __name__ == "__main__":
    main()
