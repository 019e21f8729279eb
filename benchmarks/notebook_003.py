"""Notebook 003's small CNN: its fits in headstart beside the same fits in Keras on TensorFlow.

    .venv/bin/python benchmarks/notebook_003.py --keras-python /path/to/python

Each repeat trains, one after the other, on as many threads as there are processors: the source
(digits 5-9) and the frozen transfer (0-4) in Keras, as the notebook does; the same two fits in
headstart, the second with the pass that keeps its features; and eight frozen fits, of eight seeds,
on one source that they share. Prints the median seconds of each, and the ratios of the repeats.
Keras needs TensorFlow: `pip install -r benchmarks/requirements-peers.txt` into any environment.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from headstart.data import catalog
from headstart.study.compare import open_workplace, train_and_score
from headstart.study.records import TrialKey
from headstart.study.spec import Study, study_from
from headstart.study.worker import prepare_workers
from headstart.study.workplace import source_file

VALID, SHARED = 1000, 8

KERAS_STEPS = """
import json, sys, time, numpy as np
import keras
from keras.layers import Activation, Conv2D, Dense, Dropout, Flatten, MaxPooling2D
folder, train, valid, epochs = sys.argv[1], *map(int, sys.argv[2:])
pictures = np.load(folder + "/pictures.npy", mmap_mode="r")[:train + valid].astype("float32") / 255
labels = np.load(folder + "/labels.npy")[:train + valid].astype(int)
def part(rows, low):
    here = (labels[rows] >= low) & (labels[rows] < low + 5)
    return pictures[rows][here], keras.utils.to_categorical(labels[rows][here] - low, 5)
first, last = slice(0, train), slice(train, train + valid)
body = [keras.layers.Input((28, 28, 1)), Conv2D(32, 3), Activation("relu"), Conv2D(32, 3)]
body += [Activation("relu"), MaxPooling2D(2), Dropout(0.25), Flatten()]
top = [Dense(128), Activation("relu"), Dropout(0.2), Dense(5), Activation("softmax")]
model = keras.Sequential(body + top)
def fit(low):
    optimizer = keras.optimizers.Adadelta(1.0)
    model.compile(loss="categorical_crossentropy", optimizer=optimizer, metrics=["accuracy"])
    x, y = part(first, low)
    started = time.perf_counter()
    model.fit(x, y, batch_size=128, epochs=epochs, verbose=0, validation_data=part(last, low))
    return time.perf_counter() - started
source = fit(5)
for layer in body[1:]:
    layer.trainable = False
print(json.dumps([source, fit(0)]))
"""


def study(train: int, epochs: int, seeds: int, source: Path | None, threads: int) -> Study:
    """The notebook's study with only its frozen transfer."""
    own: dict[str, object] = {"classes": ["5", "6", "7", "8", "9"]}
    return study_from(
        {
            "data": {"name": "mnist", "scaling": "unit"},
            "split": {
                "order": "stored",
                "train": [0, train],
                "valid": [train, train + VALID],
                "test": [0, 1000],
            },
            "task": {"classes": ["0", "1", "2", "3", "4"]},
            "source": own if source is None else {"file": str(source)},
            "network": {
                "kind": "cnn",
                "layers": [
                    {"conv": 32, "kernel": 3},
                    {"conv": 32, "kernel": 3},
                    {"pool": 2},
                    {"dropout": 0.25},
                ],
            },
            "head": {"hidden": [128], "dropout": 0.2},
            "training": {
                "optimizer": {"name": "adadelta", "rho": 0.95, "eps": 1e-7},
                "lr": 1.0,
                "batch_size": 128,
                "epochs": epochs,
            },
            "strategy": {"frozen": {}},
            "study": {"seeds": seeds, "baseline": "frozen", "threads": threads},
        }
    )


def with_keras(python: str, train: int, epochs: int) -> tuple[float, float]:
    """Seconds of the two fits in Keras, in a process of their own."""
    ended = subprocess.run(
        [python, "-c", KERAS_STEPS, str(catalog.get("mnist")), *map(str, (train, VALID, epochs))],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if ended.returncode:
        raise SystemExit(ended.stderr[-2000:])
    source, frozen = json.loads(ended.stdout.splitlines()[-1])
    return source, frozen


def with_headstart(train: int, epochs: int, folder: Path) -> tuple[float, float, float]:
    """Seconds of the source, of one frozen trial, and of a trial of eight on a shared source.

    Each begins with an empty cache of features, and a trial's seconds hold its pass over the
    pictures and its predictions.
    """
    threads = os.cpu_count() or 1
    os.environ["HEADSTART_CACHE"] = str(folder / "cache")
    workplace = open_workplace(study(train, epochs, 1, None, threads), folder=folder)
    (folder / "sources").mkdir()
    source = workplace.train_source(0).fit_seconds
    started = time.perf_counter()
    workplace.fit_trial(TrialKey("frozen", 0, "all"))
    frozen = time.perf_counter() - started
    os.environ["HEADSTART_CACHE"] = str(folder / "other cache")
    shared = study(train, epochs, SHARED, folder / source_file(0), 1)
    place = open_workplace(shared, folder=folder / "shared")
    (folder / "shared").mkdir()
    started = time.perf_counter()
    train_and_score(shared, folder / "shared", workplace=place)
    return source, frozen, (time.perf_counter() - started) / SHARED


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--pictures", type=int, default=12_000, help="of all ten digits")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--keras-python", default=sys.executable)
    options = parser.parse_args()
    prepare_workers()  # as the command line does
    rows = []
    for number in range(options.repeats):
        theirs = with_keras(options.keras_python, options.pictures, options.epochs)
        with tempfile.TemporaryDirectory() as folder:
            ours = with_headstart(options.pictures, options.epochs, Path(folder))
        rows.append((*theirs, *ours))
        print(number + 1, *(f"{seconds:.2f}" for seconds in rows[-1]), flush=True)
    columns = list(zip(*rows, strict=True))
    for name, baseline, own in (
        ("the source", 0, 2),
        ("a frozen fit, features included", 1, 3),
        (f"a frozen fit of {SHARED} on one source, scored and written down", 1, 4),
    ):
        ratios = sorted(b / a for a, b in zip(columns[own], columns[baseline], strict=True))
        print(
            f"{name}: Keras {statistics.median(columns[baseline]):.2f} s, headstart "
            f"{statistics.median(columns[own]):.2f} s, {statistics.median(ratios):.2f} times "
            f"({ratios[0]:.2f} to {ratios[-1]:.2f}, {len(ratios)} repeats)"
        )


if __name__ == "__main__":
    main()
