"""Peak memory and rate of `headstart predict` as the number of pictures grows.

    .venv/bin/python benchmarks/predicting.py [--counts 1000 10000 100000]

Each count is predicted by a fresh process. The pictures are PNG files of 32 × 32 pixels (a
thousand different ones, the others hard links to them, a thousand a folder), the network a small
convolutional one of random weights: the memory is what reading, listing and writing take, not the
network's. "above imports" is the peak less that of a process that only loads the model.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from headstart.data.scaling import Scaling
from headstart.data.transforms import Preprocessing
from headstart.delivery.blueprints import Blueprint, BuiltBody
from headstart.delivery.bundle import Bundle, write_bundle
from headstart.delivery.config import SourceFacts
from headstart.networks.builders import CnnSettings, build_network
from headstart.networks.heads import HeadSettings

DIFFERENT = 1000
LOAD = """
import resource, sys
import headstart, headstart.api
model = headstart.load(sys.argv[1], device="cpu")
"""
PREDICT = "headstart.predict(model, sys.argv[2], sys.argv[3], progress=lambda *_: None)\n"
SAY = "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"


def write_model(folder: Path) -> Path:
    """A bundle with a small network of random weights."""
    layers = ({"conv": 8, "kernel": 3}, {"pool": 2}, {"conv": 16, "kernel": 3}, {"pool": 2})
    settings = CnnSettings.model_validate({"kind": "cnn", "layers": layers})
    head = HeadSettings()
    network = build_network(settings, head, (32, 32, 3), 10, seed=0)
    one = np.ones((1, 1, 1), dtype=np.float32)
    bundle = Bundle(
        network=network.eval(),
        blueprint=Blueprint(body=BuiltBody(settings=settings, picture_shape=(32, 32, 3))),
        preprocessing=Preprocessing(32, 32),
        scaling=Scaling(0 * one, 255 * one),
        class_names=tuple(f"class {number}" for number in range(10)),
        source=SourceFacts(kind="random", model="cnn", where="random weights"),
        training={},
        splits="",
    )
    return write_bundle(bundle, folder, "# Random weights\n")


def write_pictures(folder: Path, count: int) -> None:
    """So many picture files, a thousand a folder."""
    random = np.random.default_rng(0)
    first = folder / "0000"
    for number in range(count):
        place = folder / f"{number // DIFFERENT:04}" / f"{number % DIFFERENT:04}.png"
        if number < DIFFERENT:
            place.parent.mkdir(parents=True, exist_ok=True)
            pixels = random.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(place, compress_level=1)
        else:
            place.parent.mkdir(exist_ok=True)
            place.hardlink_to(first / place.name)


def peak_megabytes(code: str, *arguments: Path) -> float:
    """Peak resident memory of a fresh Python that does something."""
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        check=True,
        capture_output=True,
        text=True,
    )
    return int(done.stdout.split()[-1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--counts", type=int, nargs="+", default=[1000, 10_000, 100_000])
    counts = parser.parse_args().counts
    with tempfile.TemporaryDirectory() as folder:
        model = write_model(Path(folder) / "model")
        floor = peak_megabytes(LOAD + SAY, model)
        print(f"imports and model: {floor:.0f} MB")
        print(f"{'pictures':>9}{'peak, MB':>10}{'above imports, MB':>19}{'pictures/s':>12}")
        for count in counts:
            pictures = Path(folder) / f"pictures-{count}"
            write_pictures(pictures, count)
            start = time.perf_counter()
            output = Path(folder) / f"{count}.csv"
            peak = peak_megabytes(LOAD + PREDICT + SAY, model, pictures, output)
            rate = count / (time.perf_counter() - start)
            print(f"{count:>9,}{peak:>10.0f}{peak - floor:>19.0f}{rate:>12.0f}", flush=True)


if __name__ == "__main__":
    main()
