"""The whole process of notebook 000 with one seed: headstart beside Keras on TensorFlow.

    .venv/bin/python benchmarks/notebook_000.py [--keras-python /path/to/python]

Each repeat starts two fresh processes, one after the other: `headstart compare` with one seed and
all labels (its report included), and the notebook's own steps in Keras: read the same arrays,
train the source, train from scratch, train the frozen transfer, evaluate both. Prints the median
seconds of each, their ratio, processor time and peak memory. Keras needs TensorFlow, which
headstart does not: `pip install -r benchmarks/requirements-peers.txt` into any environment and name
its Python.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from headstart.data import catalog

ROOT = Path(__file__).parents[1]

KERAS_STEPS = """
import sys, numpy as np
from tensorflow import keras
folder = sys.argv[1]
pictures = np.load(folder + "/pictures.npy", mmap_mode="r")[..., 0]
labels = np.load(folder + "/labels.npy").astype(int)
X_train, y_train = pictures[5000:30000] / 255.0, labels[5000:30000]
X_valid, y_valid = pictures[:5000] / 255.0, labels[:5000]
X_test, y_test = pictures[60000:65000] / 255.0, labels[60000:65000]
def split(X, y):
    b = (y == 5) | (y == 6)
    a = y[~b].copy()
    a[a > 6] -= 2
    return (X[~b], a), (X[b], (y[b] == 6).astype("float32"))
(A, B), (VA, VB), (TA, TB) = split(X_train, y_train), split(X_valid, y_valid), split(X_test, y_test)
def body():
    layers = [keras.layers.Input((28, 28)), keras.layers.Flatten()]
    return layers + [keras.layers.Dense(n, activation="selu") for n in (300, 100, 50, 50, 50)]
def fit(model, loss, train, valid):
    optimizer = keras.optimizers.SGD(learning_rate=1e-3)
    model.compile(loss=loss, optimizer=optimizer, metrics=["accuracy"])
    model.fit(*train, epochs=5, validation_data=valid, verbose=0)
keras.utils.set_random_seed(42)
model_A = keras.Sequential(body() + [keras.layers.Dense(8, activation="softmax")])
fit(model_A, "sparse_categorical_crossentropy", A, VA)
model_B = keras.Sequential(body() + [keras.layers.Dense(1, activation="sigmoid")])
fit(model_B, "binary_crossentropy", B, VB)
model_B_on_A = keras.Sequential(model_A.layers[:-1] + [keras.layers.Dense(1, activation="sigmoid")])
for layer in model_B_on_A.layers[:-1]:
    layer.trainable = False
fit(model_B_on_A, "binary_crossentropy", B, VB)
print(model_B.evaluate(*TB, verbose=0)[1], model_B_on_A.evaluate(*TB, verbose=0)[1])
"""


def timed(command: list[str], **environment: str) -> tuple[float, float, float]:
    """Seconds, peak memory in MB and seconds of processor time of a process and its children."""
    started = time.perf_counter()
    process = subprocess.Popen(
        command, env={**os.environ, **environment}, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{command[0]} ended with status {status}")
    seconds = time.perf_counter() - started
    return seconds, usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--keras-python", default=sys.executable)
    options = parser.parse_args()
    data = catalog.get("fashion-mnist")
    study = str(ROOT / "examples" / "sandals_or_shirts.toml")
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as folder:
        steps = Path(folder) / "keras_steps.py"
        steps.write_text(KERAS_STEPS, encoding="utf-8")
        for number in range(options.repeats):
            ours.append(
                timed(
                    [
                        sys.executable, "-m", "headstart", "compare", study, "--seeds", "1",
                        "--labels", "all", "--output", f"{folder}/{number}",
                    ]
                )
            )  # fmt: skip
            theirs.append(
                timed(
                    [options.keras_python, str(steps), str(data)],
                    TF_CPP_MIN_LOG_LEVEL="3", KERAS_BACKEND="tensorflow",
                )
            )  # fmt: skip
    ratios = sorted(b[0] / a[0] for a, b in zip(ours, theirs, strict=True))
    for name, runs in (("headstart", ours), ("Keras on TensorFlow", theirs)):
        print(
            f"{name}: {statistics.median(r[0] for r in runs):.1f} s, "
            f"processor {statistics.median(r[2] for r in runs):.1f} s, "
            f"peak {statistics.median(r[1] for r in runs):.0f} MB",
            flush=True,
        )
    print(
        f"headstart is {statistics.median(ratios):.2f} times as fast "
        f"({ratios[0]:.2f} to {ratios[-1]:.2f}, {options.repeats} repeats)"
    )


if __name__ == "__main__":
    main()
