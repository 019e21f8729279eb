"""50,000 pictures whose features are larger than the memory that a study may take.

    .venv/bin/python benchmarks/large_set.py [--pictures 50000] [--memory 900MB]

Makes pictures of noise with a bright stripe that tells the class, trains a small source on other
stripes, and lets `headstart compare --memory` train heads behind it, in a process of its own.
Prints how large the features are, what the limit was, and the most that the process ever had in
memory, pages of mapped files included.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np

from headstart.data.image_set import ImageSet
from headstart.data.sizes import parse_size, size_words
from headstart.study.spec import study_from
from headstart.study.workplace import Workplace, source_file

SIDE, CLASSES = 16, 4
NETWORK = {"kind": "cnn", "layers": [{"conv": 12}, {"conv": 48}, {"dense": 16}]}
STUDY = """
question = "Does a study keep to its memory?"

[data]
path = "{pictures}"
image_size = 16
scaling = "unit"

[split]
valid = 0.05
test = 0.05

[source]
file = "{source}"

[network]
kind = "cnn"
layers = [{{ conv = 12 }}, {{ conv = 48 }}, {{ dense = 16 }}]

[training]
epochs = 2
optimizer = "adam"
batch_size = 128

[strategy.top_groups]
top = 1

[study]
seeds = 1
baseline = "top_groups"
"""


def pictures(count: int, seed: int) -> ImageSet:
    """Noise with a bright stripe."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % CLASSES
    shown = rng.integers(0, 160, (count, SIDE, SIDE, 3), dtype=np.uint8)
    shown[np.arange(count), 3 * labels + seed % 3] += 80
    return ImageSet.from_arrays(shown, labels)


def train_source(folder: Path) -> Path:
    """A source that knows other stripes."""
    images = pictures(1000, 1)
    study = study_from(
        {
            "source": {"classes": "all", "allow_overlap": True},
            "network": NETWORK,
            "training": {"epochs": 1, "optimizer": "adam"},
            "strategy": {"frozen": {}},
            "study": {"seeds": 1, "baseline": "frozen"},
        }
    )
    Workplace(study, partial(_given, images), folder).train_source(0)
    return folder / source_file(0)


def _given(images: ImageSet) -> ImageSet:
    return images


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=50_000)
    parser.add_argument("--memory", default="900MB")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = train_source(folder / "source")
        images = pictures(arguments.pictures, 0)
        file = folder / "pictures.npz"
        np.savez(file, images=images.pictures, labels=images.labels)
        (folder / "study.toml").write_text(STUDY.format(pictures=file, source=source))
        started = time.perf_counter()
        subprocess.run(
            [
                *(sys.executable, "-m", "headstart", "compare", str(folder / "study.toml")),
                *("--output", str(folder / "answers"), "--memory", arguments.memory),
            ],
            env={**os.environ, "HEADSTART_CACHE": str(folder / "cache")},
            check=True,
        )
        seconds = time.perf_counter() - started
        peak = 1024 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        kept = [each.stat().st_size for each in (folder / "cache").rglob("features/*/*/features")]
    print(
        f"{arguments.pictures:,} pictures, features of {size_words(sum(kept))}, limit "
        f"{size_words(parse_size(arguments.memory, '--memory'))}: at most {size_words(peak)} "
        f"in memory, {seconds:.0f} s"
    )


if __name__ == "__main__":
    main()
