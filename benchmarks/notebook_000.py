"""The whole process of notebook 000: headstart beside Keras on TensorFlow.

    .venv/bin/python benchmarks/notebook_000.py [--seeds 1] [--keras-python /path/to/python]

Each repeat starts fresh processes, one after the other: `headstart compare` with all labels (its
report included), and the notebook's own steps in Keras: read the same arrays, and for each seed
train the source, train from scratch, train the frozen transfer, evaluate both. Prints the median
seconds of each, their ratio, and the peak memory of the largest process. With several seeds, Keras
does one and two of them: what the second takes longer is what each further one is reckoned with.
Keras needs TensorFlow, which headstart does not: `pip install -r
benchmarks/requirements-peers.txt` into any environment and name its Python.
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

STUDY = Path(__file__).parents[1] / "examples" / "sandals_or_shirts.toml"
ENVIRONMENT = {
    name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"
}
"""What was installed has its bytecode beside it."""

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
def one_seed(seed):
    keras.utils.set_random_seed(seed)
    model_A = keras.Sequential(body() + [keras.layers.Dense(8, activation="softmax")])
    fit(model_A, "sparse_categorical_crossentropy", A, VA)
    model_B = keras.Sequential(body() + [keras.layers.Dense(1, activation="sigmoid")])
    fit(model_B, "binary_crossentropy", B, VB)
    lower, head = model_A.layers[:-1], keras.layers.Dense(1, activation="sigmoid")
    model_B_on_A = keras.Sequential(lower + [head])
    for layer in lower:
        layer.trainable = False
    fit(model_B_on_A, "binary_crossentropy", B, VB)
    print(model_B.evaluate(*TB, verbose=0)[1], model_B_on_A.evaluate(*TB, verbose=0)[1])
for seed in range(int(sys.argv[2])):
    one_seed(seed)
    keras.backend.clear_session()
"""


def timed(command: list[str], **environment: str) -> tuple[float, float]:
    """Seconds of a process, and its peak memory in MB."""
    started = time.perf_counter()
    process = subprocess.Popen(
        command, env={**ENVIRONMENT, **environment}, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{command[0]} ended with status {status}")
    return time.perf_counter() - started, usage.ru_maxrss / 1024


def with_headstart(seeds: int, folder: Path) -> tuple[float, float]:
    """What `headstart compare` takes."""
    return timed(
        [
            sys.executable, "-m", "headstart", "compare", str(STUDY), "--seeds", str(seeds),
            "--labels", "all", "--output", str(folder),
        ]
    )  # fmt: skip


def with_keras(python: str, seeds: int, steps: Path) -> tuple[float, float]:
    """What the notebook's steps take, for further seeds as a second one does."""

    def took(few: int) -> tuple[float, float]:
        return timed(
            [python, str(steps), str(catalog.get("fashion-mnist")), str(few)],
            TF_CPP_MIN_LOG_LEVEL="3", KERAS_BACKEND="tensorflow",
        )  # fmt: skip

    one, memory = took(1)
    if seeds == 1:
        return one, memory
    two, memory = took(2)
    return one + (seeds - 1) * (two - one), memory


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--keras-python", default=sys.executable)
    options = parser.parse_args()
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as folder:
        steps = Path(folder) / "keras_steps.py"
        steps.write_text(KERAS_STEPS, encoding="utf-8")
        with_headstart(1, Path(folder) / "warm")  # Python compiles, the cache learns
        for number in range(options.repeats):
            ours.append(with_headstart(options.seeds, Path(folder) / str(number)))
            theirs.append(with_keras(options.keras_python, options.seeds, steps))
            print(f"{ours[-1][0]:.1f} s against {theirs[-1][0]:.1f} s", flush=True)
    ratios = sorted(b[0] / a[0] for a, b in zip(ours, theirs, strict=True))
    for name, runs in (("headstart", ours), ("Keras on TensorFlow", theirs)):
        seconds = statistics.median(run[0] for run in runs)
        print(
            f"{name}: {seconds:.1f} s, {seconds / options.seeds:.2f} s a seed, "
            f"peak {statistics.median(run[1] for run in runs):.0f} MB"
        )
    print(
        f"headstart is {statistics.median(ratios):.2f} times as fast "
        f"({ratios[0]:.2f} to {ratios[-1]:.2f}, {options.repeats} repeats)"
    )


if __name__ == "__main__":
    main()
