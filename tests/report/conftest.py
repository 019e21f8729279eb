"""A study that never was, drawn from known numbers: three strategies, ten seeds, two budgets."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits

from headstart.report.content import Budget, Confusion, Example, Mistake, ReportContent

NAMES = ("scratch", "frozen", "fine_tune")
CLASSES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
TRUE_MEANS = {
    ("scratch", 50): 0.842,
    ("frozen", 50): 0.897,
    ("fine_tune", 50): 0.884,
    ("scratch", "all"): 0.9791,
    ("frozen", "all"): 0.9577,
    ("fine_tune", "all"): 0.9803,
}
PARAMETERS = {"scratch": 275_808, "frozen": 2_570, "fine_tune": 275_808}
PHASES = {
    "scratch": (("all", 12),),
    "frozen": (("head", 12),),
    "fine_tune": (("head", 4), ("thawed", 8)),
}


def png(picture: NDArray[np.float64]) -> bytes:
    file = io.BytesIO()
    Image.fromarray((255 - picture * 255 / 16).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def make_content(
    names: tuple[str, ...] = NAMES,
    seeds: int = 10,
    budgets: tuple[Budget, ...] = (50, "all"),
    classes: tuple[str, ...] = CLASSES,
    **changes: Any,
) -> ReportContent:
    """A study's content, the same on every call."""
    trials = _trials(names, seeds, budgets)
    content: dict[str, Any] = {
        "title": "digits_5to9_to_0to4",
        "question": "Does a network that has learned five digits learn the other five better?",
        "generated": "12 March 2026, 14:05, headstart 0.1.0",
        "warnings": (),
        "summary": _summary(trials, names, budgets),
        "trials": trials,
        "curves": _curves(names, seeds, budgets),
        "confusions": [
            Confusion(name, labels, classes, _confusion(name, labels, len(classes)))
            for labels in budgets
            for name in names
        ],
        "mistakes": _mistakes(classes),
        "examples": [
            Example(png(load_digits().images[k]), classes[k % len(classes)]) for k in range(10)
        ],
        "class_counts": _counts(classes),
        "sources": pd.DataFrame(
            {
                "seed": range(seeds),
                "val_accuracy": [0.981 + 0.001 * (k % 4) for k in range(seeds)],
                "epochs": [12] * seeds,
                "fit_seconds": [2.4 + 0.01 * k for k in range(seeds)],
                "weights_hash": [f"{k:02x}" * 32 for k in range(seeds)],
            }
        ),
        "provenance": {
            "headstart": "0.1.0",
            "PyTorch": "2.13.0",
            "Python": "3.11.9",
            "Device": "cpu, 2 threads",
            "Seeds": "0 to 9",
            "Study": "sha256 4f1d6a0e9b7c",
            "Pictures": "digits, sha256 90b1c2d4aa01",
            "split": "1,250 training, 180 validation and 360 test pictures, disjoint by content",
        },
        "margin": 0.005,
        "baseline": names[0],
    }
    return ReportContent(**(content | changes))


@pytest.fixture(scope="session")
def content() -> ReportContent:
    return make_content()


@pytest.fixture(scope="session")
def content_with() -> Callable[..., ReportContent]:
    return make_content


def _trials(names: tuple[str, ...], seeds: int, budgets: tuple[Budget, ...]) -> pd.DataFrame:
    random = np.random.default_rng(7)
    rows = []
    for labels in budgets:
        luck = random.normal(0, 0.012 if labels == 50 else 0.0025, seeds)
        for name in names:
            mean = TRUE_MEANS.get((name, labels), 0.93)
            own = random.normal(0, 0.008 if labels == 50 else 0.0018, seeds)
            for seed in range(seeds):
                accuracy = round(min(1.0, mean + luck[seed] + own[seed]) * 360) / 360
                rows.append(
                    {
                        "strategy": name,
                        "seed": seed,
                        "labels": labels,
                        "state": "complete",
                        "val_accuracy": accuracy - 0.002,
                        "test_accuracy": accuracy,
                        "test_log_loss": 1.9 * (1 - accuracy) + 0.02,
                        "trainable_parameters": PARAMETERS.get(name, 1000),
                        "total_parameters": 275_808,
                        "fit_seconds": (0.4 if name == "frozen" else 1.7) + 0.01 * seed,
                        "epochs": 12,
                        "error": None,
                    }
                )
    return pd.DataFrame(rows)


def _summary(
    trials: pd.DataFrame, names: tuple[str, ...], budgets: tuple[Budget, ...]
) -> dict[str, Any]:
    wide = trials.pivot_table(index=["labels", "seed"], columns="strategy", values="test_accuracy")
    strategies, comparisons = [], []
    for labels in budgets:
        cell = wide.xs(labels, level="labels")
        half = 2 / np.sqrt(len(cell))
        for name in names:
            mean, spread = float(cell[name].mean()), float(cell[name].std(ddof=1) or 0)
            strategies.append(
                {
                    "name": name,
                    "labels": labels,
                    "trials": len(cell),
                    "accuracy": {
                        "mean": mean,
                        "low": mean - half * spread,
                        "high": mean + half * spread,
                    },
                    "trainable_parameters": PARAMETERS.get(name, 1000),
                    "fit_seconds": 0.445 if name == "frozen" else 1.745,
                }
            )
        for name in names[1:]:
            gap = cell[name] - cell[names[0]]
            comparisons.append(_comparison(name, names[0], labels, gap))
    return {
        "question": "Does it help?",
        "strategies": strategies,
        "comparisons": comparisons,
        "test_reads": len(trials),
    }


def _comparison(a: str, b: str, labels: Budget, gap: "pd.Series[float]") -> dict[str, Any]:
    value, pairs = float(gap.mean()), len(gap)
    half = 2.4 * float(gap.std(ddof=1)) / np.sqrt(pairs) if pairs > 1 else 0.03
    low, high = value - half, value + half
    if low > 0:
        verdict = "better"
    elif high < 0:
        verdict = "worse"
    else:
        verdict = "equivalent" if max(-low, high) < 0.005 else "undecided"
    said = {
        "better": f"{a} beats {b} by {100 * value:.2f} points of accuracy",
        "worse": f"{a} falls {-100 * value:.2f} points of accuracy behind {b}",
        "equivalent": f"{a} and {b} are the same to within 0.5 points of accuracy",
        "undecided": f"Whether {a} or {b} is better cannot be told from these trials",
    }[verdict]
    return {
        "a": a,
        "b": b,
        "labels": labels,
        "pairs": pairs,
        "difference": value,
        "low": low,
        "high": high,
        "p_value": 0.0019 if pairs >= 6 else None,
        "relative_error_reduction": {"value": 4 * value, "low": 4 * low, "high": 4 * high},
        "verdict": verdict,
        "sentence": f"{said} (95% interval {100 * low:+.2f} to {100 * high:+.2f}, {pairs} pairs).",
    }


def _curves(names: tuple[str, ...], seeds: int, budgets: tuple[Budget, ...]) -> pd.DataFrame:
    random = np.random.default_rng(11)
    rows = []
    for labels in budgets:
        for name in names:
            end = TRUE_MEANS.get((name, labels), 0.93)
            for seed in range(seeds):
                epoch = 0
                start = random.uniform(0.25, 0.4) + (0.2 if name != "scratch" else 0)
                for phase, length in PHASES.get(name, (("all", 12),)):
                    for _ in range(length):
                        epoch += 1
                        reach = 1 - np.exp(-epoch / 2.5)
                        accuracy = start + (end - start) * reach + random.normal(0, 0.006)
                        rows.append(
                            {
                                "strategy": name,
                                "labels": labels,
                                "seed": seed,
                                "phase": phase,
                                "epoch": epoch,
                                "train_loss": 2.2 * (1 - accuracy) + 0.01,
                                "val_loss": 2.5 * (1 - accuracy) + 0.03 + random.normal(0, 0.008),
                                "val_accuracy": accuracy,
                            }
                        )
    return pd.DataFrame(rows)


def _confusion(name: str, labels: Budget, size: int) -> NDArray[np.float64]:
    random = np.random.default_rng(len(name))
    right = TRUE_MEANS.get((name, labels), 0.93)
    wrong = random.gamma(0.12, 1.0, (size, size)) * (1 - np.eye(size))
    wrong *= 36 * (1 - right) / np.maximum(wrong.sum(axis=1, keepdims=True), 1e-9)
    matrix: NDArray[np.float64] = wrong + np.diag(36 - wrong.sum(axis=1))
    return matrix


def _mistakes(classes: tuple[str, ...]) -> list[Mistake]:
    digits = load_digits()
    picked = [5, 25, 77, 129, 193, 264, 331, 478, 561, 664, 725, 811]
    return [
        Mistake(
            png(digits.images[k]),
            classes[digits.target[k] % len(classes)],
            classes[(digits.target[k] + 3 + i) % len(classes)],
            1 - 0.06 * i,
            60,
        )
        for i, k in enumerate(picked)
    ]


def _counts(classes: tuple[str, ...]) -> pd.DataFrame:
    rows = [
        {"task": task, "split": split, "class_name": name, "count": count}
        for task, named in (("target", classes), ("source", ("triangle", "circle", "square")))
        for name in named
        for split, count in (("train", 125), ("valid", 18), ("test", 36))
        if (task, split) != ("source", "test")
    ]
    return pd.DataFrame(rows)
