"""Heads solved on kept features against scikit-learn's, in one process.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 .venv/bin/python benchmarks/probe.py

Features of 2,000 cats and dogs of CIFAR-10 at 96 pixels by EfficientNet-Lite0 (1,280 numbers each).

- `fit_probes`: 45 penalties × 5 folds × 8 seeds at once, against `LogisticRegression` one after
  another. Of scikit-learn's 1,800 fits a sample is timed, the same of every penalty, and scaled up.
- `fit_ridge`: 45 penalties with their leave-one-out errors, against `RidgeCV` with the same.

Prints medians over repeats taken in turn, the floor that the matrix products alone would take at
the machine's rate for their shapes, and how good both sides' heads are.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression, RidgeCV
from torch import Tensor
from torch.nn import functional

from headstart.data import catalog
from headstart.networks.pretrained import load_backbone
from headstart.training.solvers import Probes, fit_probes, fit_ridge, fold_weights

PENALTIES = (10 ** np.linspace(-5, 6, 45)).tolist()
FOLDS, SEEDS = 5, 8
TRAIN, HELD_OUT, SIDE = 2000, 1000, 96


def cats_and_dogs() -> tuple[Tensor, Tensor]:
    """Features (3000, 1280) in float32, and labels."""
    images = catalog.load("cifar-10")
    numbers = [images.class_names.index(name) for name in ("cat", "dog")]
    rows = np.flatnonzero(np.isin(np.asarray(images.labels), numbers))[: TRAIN + HELD_OUT]
    backbone = load_backbone("tf_efficientnet_lite0", image_size=SIDE)
    network = backbone.network.eval().to(memory_format=torch.channels_last)
    mean, std = (
        torch.tensor(each).view(1, 3, 1, 1)
        for each in (backbone.preprocessing.mean, backbone.preprocessing.std)
    )
    parts = []
    with torch.inference_mode():
        for part in np.array_split(rows, 30):
            pictures = torch.from_numpy(np.ascontiguousarray(images.pictures[part]))
            small = pictures.permute(0, 3, 1, 2).float() / 255
            large = functional.interpolate(small, size=(SIDE, SIDE), mode="bicubic").clamp(0, 1)
            inputs = ((large - mean) / std).contiguous(memory_format=torch.channels_last)
            parts.append(network.body(inputs))
    labels = torch.from_numpy((np.asarray(images.labels)[rows] == numbers[1]).astype(np.int64))
    return torch.cat(parts).clone(), labels


def kept_features(file: Path | None) -> tuple[Tensor, Tensor]:
    """Features and labels, from a file where there is one, which is written where there is none."""
    if file is not None and file.exists():
        with np.load(file) as arrays:
            return torch.from_numpy(arrays["features"]), torch.from_numpy(arrays["labels"])
    features, labels = cats_and_dogs()
    if file is not None:
        np.savez(file, features=features.numpy(), labels=labels.numpy())
    return features, labels


def seconds_of(call: Callable[[], object]) -> float:
    """Seconds of this process's processor time, of all its threads: others' work counts little."""
    started = time.process_time()
    call()
    return time.process_time() - started


def product_rate(rows: int, features: Tensor) -> float:
    """Floating-point operations a second of a product (rows, r) with the features' transpose."""
    left = torch.randn(rows, features.shape[1])
    best = min(seconds_of(lambda: left @ features.T) for _ in range(9))
    return 2 * rows * features.numel() / best


@dataclass(frozen=True)
class Sample:
    """The scikit-learn fits that are timed.

    Attributes:
        features: The training features (2000, 1280) in float32.
        labels: Their classes.
        penalties: Numbers in `PENALTIES`.
        weights: Ones and zeros, (sets, 2000); the first set is the one that is timed.
        tolerance: Scikit-learn's own, of the largest entry of the gradient.
    """

    features: Tensor
    labels: Tensor
    penalties: range
    weights: Tensor
    tolerance: float

    def fit(self) -> list[LogisticRegression]:
        kept = self.weights[0].bool()
        x, y = self.features[kept].numpy(), self.labels[kept].numpy()
        return [
            LogisticRegression(C=1 / PENALTIES[place], max_iter=100_000, tol=self.tolerance).fit(
                x, y
            )
            for place in self.penalties
        ]

    def objective(self, weight: NDArray[np.float64], bias: float, penalty: float) -> float:
        kept = self.weights[0].bool()
        x, y = self.features[kept].double().numpy(), self.labels[kept].numpy()
        losses = np.logaddexp(0, (1 - 2 * y) * (x @ weight + bias))
        return float(losses.sum() + penalty / 2 * weight @ weight)


def compare_accuracy(sample: Sample, theirs: list[LogisticRegression], ours: Probes,
                     queries: Tensor, answers: Tensor) -> None:  # fmt: skip
    """Held-out accuracy of both, penalty by penalty, and their objectives over ours."""
    print("penalty    scikit-learn  headstart  objective of scikit-learn's over ours")
    both = []
    for place, model in zip(sample.penalties, theirs, strict=True):
        head = ours.head[0, place]
        said = (head.scores(queries)[:, 0] > 0) == (answers == 1)
        right = model.score(queries.numpy(), answers.numpy()), float(said.double().mean())
        both.append(right)
        values = [
            sample.objective(weight, bias, PENALTIES[place])
            for weight, bias in (
                (model.coef_[0].astype(np.float64), float(model.intercept_[0])),
                (head.weight[0].double().numpy(), float(head.bias[0])),
            )
        ]
        ratio = values[0] / values[1] - 1
        print(f"{PENALTIES[place]:9.3g}  {right[0]:11.1%}  {right[1]:9.1%}  {ratio:+.1e}")
    means = np.mean(both, axis=0)
    print(f"mean       {means[0]:11.1%}  {means[1]:9.1%}   best {np.max(both, axis=0)}")


def measure_probe(
    features: Tensor, labels: Tensor, repeats: int, every: int, tolerance: float, theirs_tol: float
) -> None:
    x, y = features[:TRAIN], labels[:TRAIN]
    weights = torch.cat(
        [fold_weights(y, FOLDS, torch.Generator().manual_seed(seed)) for seed in range(SEEDS)]
    )
    sample = Sample(x, y, range(0, len(PENALTIES), every), weights, theirs_tol)
    number = len(PENALTIES) * len(weights)

    def solve() -> Probes:
        return fit_probes(x, y, 2, PENALTIES, weights=weights, tolerance=tolerance)

    ours, theirs = [], []
    for _ in range(repeats):
        ours.append(seconds_of(solve))
        theirs.append(seconds_of(sample.fit) * number / len(sample.penalties))
        print(f"probe {ours[-1]:.1f} s; scikit-learn, scaled, {theirs[-1]:.0f} s", flush=True)
    probes = solve()
    ratios = sorted(b / a for a, b in zip(ours, theirs, strict=True))
    steps = int(probes.iterations.sum())
    floor = 4 * steps * x.numel() / product_rate(len(weights), x)
    print(
        f"probe: {number} fits in {statistics.median(ours):.1f} s, scikit-learn "
        f"{statistics.median(theirs):.0f} s (scaled from {len(sample.penalties)} fits): "
        f"{statistics.median(ratios):.0f} times as fast ({ratios[0]:.0f} to {ratios[-1]:.0f}); "
        f"{steps} steps, whose products alone take {floor:.1f} s, "
        f"{floor / statistics.median(ours):.0%}; largest relative gap {float(probes.gap.max()):.1e}"
    )
    compare_accuracy(sample, sample.fit(), probes, features[TRAIN:], labels[TRAIN:])


def measure_ridge(features: Tensor, labels: Tensor, repeats: int) -> None:
    x, y = features[:TRAIN], labels[:TRAIN]
    signs = (2 * y - 1).double().numpy()
    ours, theirs = [], []
    for _ in range(repeats):
        ours.append(seconds_of(lambda: fit_ridge(x, y, 2, PENALTIES)))
        theirs.append(seconds_of(lambda: RidgeCV(alphas=PENALTIES).fit(x.numpy(), signs)))
        print(f"ridge {ours[-1]:.2f} s; RidgeCV {theirs[-1]:.2f} s", flush=True)
    ratios = sorted(b / a for a, b in zip(ours, theirs, strict=True))
    path, reference = fit_ridge(x, y, 2, PENALTIES), RidgeCV(alphas=PENALTIES).fit(x.numpy(), signs)
    best = int(path.left_out_error.argmin())
    centred = (x - x.mean(dim=0)).double()
    floor = min(seconds_of(lambda: torch.linalg.eigh(centred.T @ centred)) for _ in range(3))
    print(
        f"ridge: {statistics.median(ours):.2f} s, RidgeCV {statistics.median(theirs):.2f} s: "
        f"{statistics.median(ratios):.2f} times as fast ({ratios[0]:.2f} to {ratios[-1]:.2f}); "
        f"one decomposition takes {floor:.2f} s, {floor / statistics.median(ours):.0%}; penalty "
        f"{PENALTIES[best]:.4g} and {reference.alpha_:.4g}, left-out error "
        f"{float(path.left_out_error[best]):.6f} and {-reference.best_score_:.6f}"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--every", type=int, default=4, help="time every so-many-th penalty")
    parser.add_argument("--tolerance", type=float, default=1e-6, help="of the probes' objectives")
    parser.add_argument("--sklearn-tol", type=float, default=1e-4, help="1e-4 is its default")
    parser.add_argument("--only", choices=["probe", "ridge"])
    parser.add_argument("--features", type=Path, help="keep the features in this .npz, and use it")
    options = parser.parse_args()
    torch.set_num_threads(1)
    features, labels = kept_features(options.features)
    if options.only != "probe":
        measure_ridge(features, labels, options.repeats)
    if options.only != "ridge":
        measure_probe(
            features, labels, options.repeats, options.every, options.tolerance, options.sklearn_tol
        )


if __name__ == "__main__":
    main()
