"""How fast folders of JPEG photographs become pixels, against a bare Pillow loop on one core.

All rates are taken in the same process, in turns, so that they can be compared; the table shows
the median of the turns, and the ratio to the bare loop of the same turn.

    python benchmarks/decoding.py [--pictures 400] [--turns 5]
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images

from headstart.data.folders import find_pictures
from headstart.data.loading import load_pictures
from headstart.data.picture_cache import PictureCache
from headstart.data.reading import decode_pictures, processors
from headstart.data.transforms import Preprocessing

WIDTH, HEIGHT = 500, 375
PREPROCESSING = Preprocessing(224, 224, crop_fraction=0.875)


def write_photographs(folder: Path, count: int) -> None:
    """Random cuts of scikit-learn's two sample photographs, in two class folders."""
    generator = np.random.default_rng(0)
    photographs = [Image.fromarray(pixels) for pixels in load_sample_images().images]
    for number in range(count):
        photograph = photographs[number % 2]
        left = int(generator.integers(0, photograph.width - WIDTH))
        top = int(generator.integers(0, photograph.height - HEIGHT))
        cut = photograph.crop((left, top, left + WIDTH, top + HEIGHT))
        path = folder / ("temples", "flowers")[number % 2] / f"{number:05}.jpg"
        path.parent.mkdir(exist_ok=True)
        cut.save(path, quality=90)


def bare_loop(paths: Sequence[Path]) -> None:
    """What one would write by hand: open, resize the shorter side to 256, cut 224 × 224 out."""
    for path in paths:
        with Image.open(path) as picture:
            shown = picture.convert("RGB")
        scale = 256 / min(shown.size)
        size = (int(shown.width * scale), int(shown.height * scale))
        resized = shown.resize(size, Image.Resampling.BICUBIC)
        left, top = (resized.width - 224) // 2, (resized.height - 224) // 2
        np.asarray(resized.crop((left, top, left + 224, top + 224)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=400)
    parser.add_argument("--turns", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root, kept = Path(folder) / "photographs", Path(folder) / "cache"
        root.mkdir()
        write_photographs(root, arguments.pictures)
        compare(root, kept, arguments.turns)


def compare(root: Path, kept: Path, turns: int) -> None:
    """Take each way in turn, and print the table."""
    entries = find_pictures(root).entries
    paths = [entry.path for entry in entries]

    def decoded(workers: int) -> None:
        for _ in decode_pictures(entries, PREPROCESSING, workers=workers):
            pass

    def load(cache: Path) -> None:
        load_pictures(root, PREPROCESSING, cache=PictureCache(cache), progress=lambda *_: None)

    fresh = (kept / f"fresh-{number}" for number in range(turns + 1))
    ways: dict[str, Callable[[], None]] = {
        "bare Pillow loop, one core": lambda: bare_loop(paths),
        "headstart, 1 thread": lambda: decoded(1),
        f"headstart, {processors() + 1} threads, the usual": lambda: decoded(processors() + 1),
        "first load: find, hash, decode, keep": lambda: load(next(fresh)),
        "further loads: find, check": lambda: load(kept / "same"),
    }
    time.sleep(2.1)  # younger files are hashed at every load; see headstart.data.fingerprints
    for way in ways.values():
        way()
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(turns):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            rates[name].append(len(paths) / (time.perf_counter() - start))
    bare = rates["bare Pillow loop, one core"]
    print(f"{len(paths)} JPEG files of {WIDTH} × {HEIGHT} to 224 × 224, {turns} turns")
    print(f"{'':<38}{'pictures/s':>11}{'ratio':>8}{'lowest':>8}{'highest':>9}")
    for name, measured in rates.items():
        ratios = [rate / floor for rate, floor in zip(measured, bare, strict=True)]
        shown = f"{median(ratios):>8.2f}{min(ratios):>8.2f}{max(ratios):>9.2f}"
        print(f"{name:<38}{median(measured):>11.0f}{shown}")


if __name__ == "__main__":
    main()
