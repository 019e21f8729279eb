"""Other metrics: against scikit-learn, and against a crossed bootstrap done by hand."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn import metrics as reference

from headstart.errors import RecordsError, StudyError
from headstart.statistics.metrics import METRICS, compare_metric, contributions
from headstart.statistics.variance import estimate_mean

Table = NDArray[np.float64]


def predictions(
    seeds: int, pictures: int, classes: int, skill: float = 1.5, seed: int = 0
) -> tuple[Table, NDArray[np.int64]]:
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, pictures)
    logits = random.standard_normal((seeds, pictures, classes))
    logits += skill * np.eye(classes)[labels]
    p = np.exp(logits)
    return p / p.sum(axis=2, keepdims=True), labels


def sklearn_metric(name: str, p: Table, y: NDArray[np.int64]) -> float:
    guess, classes = p.argmax(axis=1), list(range(p.shape[1]))
    by_name: dict[str, Callable[[], float]] = {
        "accuracy": lambda: reference.accuracy_score(y, guess),
        "balanced_accuracy": lambda: reference.balanced_accuracy_score(y, guess),
        "f1_macro": lambda: reference.f1_score(y, guess, average="macro"),
        "log_loss": lambda: reference.log_loss(y, p, labels=classes),
        "roc_auc": lambda: (
            reference.roc_auc_score(y, p[:, 1])
            if p.shape[1] == 2
            else reference.roc_auc_score(y, p, multi_class="ovr", average="macro")
        ),
    }
    return float(by_name[name]())


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("name", sorted(set(METRICS) - {"ece"}))
def test_the_mean_of_the_contributions_is_scikit_learns_metric(name: str, classes: int) -> None:
    p, y = predictions(3, 150, classes)

    rows = contributions(name, p, y).mean(axis=1)

    assert rows == pytest.approx([sklearn_metric(name, row, y) for row in p])


def test_ties_count_half_in_the_area_under_the_curve() -> None:
    p, y = predictions(1, 200, 2)
    coarse = np.round(p, 1)
    coarse[..., 1] = 1 - coarse[..., 0]

    assert contributions("roc_auc", coarse, y).mean() == pytest.approx(
        sklearn_metric("roc_auc", coarse[0], y)
    )


def test_ece_is_the_weighted_gap_between_confidence_and_accuracy() -> None:
    p, y = predictions(1, 400, 3)
    confidence, right = p[0].max(axis=1), p[0].argmax(axis=1) == y
    by_hand = 0.0
    for k in range(15):
        there = (confidence >= k / 15) & (confidence < (k + 1) / 15)
        if there.any():
            by_hand += there.mean() * abs(confidence[there].mean() - right[there].mean())

    assert contributions("ece", p, y).mean() == pytest.approx(by_hand)


@pytest.mark.parametrize("name", ["balanced_accuracy", "f1_macro", "roc_auc", "log_loss"])
def test_the_standard_error_is_that_of_seeds_and_pictures_drawn_by_hand(name: str) -> None:
    # pictures alone vary, so that the plain bootstrap is right and can serve as reference
    p, y = predictions(1, 200, 3)
    random = np.random.default_rng(0)
    drawn = [random.integers(0, 200, 200) for _ in range(150)]
    by_hand = np.std([sklearn_metric(name, p[0][rows], y[rows]) for rows in drawn])

    estimate = estimate_mean(contributions(name, np.repeat(p, 6, axis=0), y))

    assert estimate.standard_error == pytest.approx(by_hand, rel=0.2)


def test_a_better_model_is_better_by_every_metric_whichever_way_it_points() -> None:
    good, y = predictions(8, 600, 3, skill=4.0)
    bad, _ = predictions(8, 600, 3, skill=1.0)

    for name in set(METRICS) - {"ece"}:
        comparison = compare_metric(name, good, bad, y)
        assert comparison.verdict == "better", name
        assert comparison.metric == name
        assert (comparison.difference < 0) == (name == "log_loss")
    loss = compare_metric("log_loss", good, bad, y)
    assert loss.sentence("x", "y").startswith("x is better than y in log loss by ")
    assert "points" not in loss.sentence("x", "y")
    balanced = compare_metric("balanced_accuracy", good, bad, y).sentence("x", "y")
    assert balanced.startswith("x is better than y in balanced accuracy by ")
    assert "points" in balanced


def test_a_class_without_test_pictures_is_left_out_and_named() -> None:
    p, _ = predictions(6, 90, 3)
    y = np.arange(90) % 2

    comparison = compare_metric("balanced_accuracy", p, p, y)

    assert "no test picture of class 2" in comparison.note
    assert contributions("balanced_accuracy", p[:1], y).mean() == pytest.approx(
        np.mean([(p[0].argmax(1) == y)[y == k].mean() for k in (0, 1)])
    )
    with pytest.raises(RecordsError, match="at least two classes"):
        contributions("roc_auc", p, np.zeros(90, dtype=int))


def test_unusable_predictions_are_refused_all_at_once() -> None:
    p, y = predictions(2, 20, 3)

    with pytest.raises(RecordsError, match="shape") as caught:
        contributions("log_loss", p * np.nan, y[:5])
    assert len(caught.value.problems) == 2
    with pytest.raises(RecordsError, match="sum to 1"):
        contributions("log_loss", 2 * p, y)
    with pytest.raises(RecordsError, match=r"labels must be in 0 … 2, found 1 … 5"):
        contributions("log_loss", p, np.r_[y[:-1] * 0 + 1, 5])
    with pytest.raises(RecordsError, match="classes ≥ 2"):
        contributions("log_loss", p[0], y)
    with pytest.raises(StudyError, match="did you mean 'roc_auc'"):
        contributions("roc-auc", p, y)
