"""`headstart fit` with a body left as it is against fastai's frozen `vision_learner`.

The same weights, the same 400 + 200 pictures (CIFAR-10's cats and dogs, as PNG files, 160 pixels),
the same process, two threads for both, one after the other, alternating. fastai trains for three
epochs with its own defaults. headstart reads the same files with an empty cache, fits the head,
scores it, writes the report and delivers the model: all of that is in its time.

    python benchmarks/against_fastai.py [--repeats 3]

Needs fastai: see requirements-peers.txt.
"""

import argparse
import os
import shutil
import statistics
import tempfile
import time
import warnings
from importlib.util import find_spec
from pathlib import Path

warnings.simplefilter("ignore")

import numpy as np  # noqa: E402
import torch  # noqa: E402
from PIL import Image  # noqa: E402

import headstart  # noqa: E402
from headstart.data import catalog  # noqa: E402
from headstart.networks.pretrained import load_backbone  # noqa: E402
from headstart.networks.torchvision_guard import import_timm  # noqa: E402

MODEL, SIDE, TRAIN, VALID = "tf_efficientnet_lite0", 160, 400, 200


def write_pictures(folder: Path) -> None:
    """400 pictures in ``train``, 200 others in ``test``, in class folders."""
    images = catalog.load("cifar-10")
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        rows = rng.permutation(np.flatnonzero(images.labels == images.class_names.index(name)))
        for part, picked in (
            ("train", rows[: TRAIN // 2]),
            ("test", rows[TRAIN // 2 : (TRAIN + VALID) // 2]),
        ):
            place = folder / part / name
            place.mkdir(parents=True)
            for row in picked:
                Image.fromarray(images.pictures[row]).save(place / f"{row}.png")


def with_fastai(pictures: Path) -> tuple[float, float]:
    """Seconds, and accuracy on the 200 pictures."""
    from fastai.vision.all import ImageDataLoaders, Resize, accuracy, vision_learner

    weights = load_backbone(MODEL, image_size=SIDE).network.body.state_dict()
    started = time.perf_counter()
    loaders = ImageDataLoaders.from_folder(
        pictures, train="train", valid="test", item_tfms=Resize(SIDE), seed=0
    )
    learner = vision_learner(loaders, MODEL, pretrained=False, metrics=accuracy)
    missing = learner.model[0].model.load_state_dict(weights, strict=False)
    assert not missing.missing_keys, missing
    learner.freeze()
    with learner.no_bar(), learner.no_logging():
        learner.fit_one_cycle(3)
    seconds = time.perf_counter() - started
    return seconds, float(learner.validate()[1])


def with_headstart(pictures: Path, strategy: str) -> tuple[float, float]:
    """Seconds of everything, and accuracy on the 200 pictures."""
    fit = headstart.fit  # imported before the clock starts, as fastai is
    with tempfile.TemporaryDirectory() as empty:
        os.environ["HEADSTART_CACHE"] = empty
        started = time.perf_counter()
        fit(
            pictures,
            Path(empty) / "model",
            strategy=strategy,
            image_size=SIDE,
            seeds=1,
            device="cpu",
        )
        seconds = time.perf_counter() - started
        model = headstart.load(Path(empty) / "model")
        files = sorted((pictures / "test").rglob("*.png"))
        told = model.predict(files)
        right = sum(str(name) == file.parent.name for name, file in zip(told, files, strict=True))
    return seconds, right / len(files)


def main() -> None:
    """Measure, and print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--strategy", default="probe")
    options = parser.parse_args()
    if find_spec("fastai") is None:
        print("fastai is not installed: see benchmarks/requirements-peers.txt")
        return
    torch.set_num_threads(2)
    import_timm()
    folder = Path(tempfile.mkdtemp())
    try:
        write_pictures(folder)
        rows = []
        for repeat in range(options.repeats):
            theirs, their_accuracy = with_fastai(folder)
            ours, our_accuracy = with_headstart(folder, options.strategy)
            rows.append(theirs / ours)
            print(
                f"{repeat + 1}: fastai {theirs:.1f} s, accuracy {their_accuracy:.3f}; headstart "
                f"{ours:.1f} s, accuracy {our_accuracy:.3f}; {rows[-1]:.1f} times",
                flush=True,
            )
        print(f"median {statistics.median(rows):.1f} times ({min(rows):.1f} to {max(rows):.1f})")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
