"""Evaluations, against scikit-learn."""

import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics

import headstart
from headstart.delivery.bundle import Bundle, write_bundle
from headstart.delivery.evaluation import evaluation_of
from headstart.errors import DataError

Colours = Callable[..., Path]


def test_the_numbers_are_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 300)
    logits = rng.normal(0, 1, (300, 4)) + 1.5 * np.eye(4)[labels]
    proba = (np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)).astype(np.float32)
    found = evaluation_of(proba, labels, ("a", "b", "c", "d"))
    said, exact = proba.argmax(axis=1), proba.astype(np.float64)
    exact /= exact.sum(axis=1, keepdims=True)
    expected = {
        "accuracy": metrics.accuracy_score(labels, said),
        "balanced_accuracy": metrics.balanced_accuracy_score(labels, said),
        "f1_macro": metrics.f1_score(labels, said, average="macro"),
        "roc_auc": metrics.roc_auc_score(labels, exact, multi_class="ovr"),
        "log_loss": metrics.log_loss(labels, exact),
    }
    for name, value in expected.items():
        interval = found.metrics[name]
        assert interval.mean == pytest.approx(value, rel=1e-6)
        assert interval.low is not None
        assert interval.high is not None
        assert interval.low < value < interval.high
    np.testing.assert_array_equal(found.confusion, metrics.confusion_matrix(labels, said))
    precision, recall, _, support = metrics.precision_recall_fscore_support(labels, said)
    for number, row in enumerate(found.classes):
        assert row.pictures == support[number]
        assert row.recall is not None
        assert row.recall.mean == pytest.approx(recall[number])
        assert row.precision is not None
        assert row.precision.mean == pytest.approx(precision[number])
        mistakes = metrics.confusion_matrix(labels, said)[number]
        mistakes[number] = 0
        assert row.mistaken_for == "abcd"[mistakes.argmax()]


def test_a_folder_is_evaluated(folder: Path, colours: Colours) -> None:
    root = colours(6)
    (root / "red" / "bad.png").write_bytes(b"x")
    found = headstart.evaluate(folder, root, batch_size=4)
    assert found.pictures == 18
    assert found.metrics["accuracy"].mean == 1
    assert [each.name for each in found.left_out] == ["red/bad.png"]
    assert json.loads(json.dumps(found.to_dict()))["classes"][2]["name"] == "red"


def test_pictures_that_the_model_was_made_from_are_told(
    bundle: Bundle, colours: Colours, tmp_path: Path
) -> None:
    root = colours(4)
    lines = ["filename,content_hash,label,split"]
    for name, split in (
        ("red/000.png", "train"),
        ("red/001.png", "valid"),
        ("red/002.png", "test"),
    ):
        content = hashlib.sha256((root / name).read_bytes()).hexdigest()
        lines.append(f"elsewhere/{name},{content},red,{split}")
    made = dataclasses.replace(bundle, splits="\n".join(lines) + "\n")
    model = write_bundle(made, tmp_path / "m", "")
    (warning,) = headstart.evaluate(model, root).warnings
    assert warning.startswith("2 of these 12 files are pictures that the model learned from, or")
    for name in ("red/000.png", "red/001.png"):
        (root / name).unlink()
    assert headstart.evaluate(model, root).warnings == ()


def test_classes_are_mapped_by_name(bundle: Bundle, colours: Colours, tmp_path: Path) -> None:
    """The model's order is its own: here not the sorted one of the folders."""
    state = bundle.network.state_dict()
    for key in ("head.output.weight", "head.output.bias"):
        state[key] = state[key].flip(0)
    bundle.network.load_state_dict(state)
    turned = dataclasses.replace(bundle, class_names=("red", "green", "blue"))
    found = headstart.evaluate(write_bundle(turned, tmp_path / "m", ""), colours(5))
    assert [row.name for row in found.classes] == ["red", "green", "blue"]
    assert found.metrics["accuracy"].mean == 1


def test_an_unknown_class_is_an_error(folder: Path, colours: Colours) -> None:
    root = colours(2)
    (root / "green").rename(root / "grean")
    with pytest.raises(DataError, match="'grean': did you mean 'green'"):
        headstart.evaluate(folder, root)


def test_a_missing_class_is_a_warning(folder: Path, colours: Colours) -> None:
    root = colours(3)
    for path in (root / "green").iterdir():
        path.unlink()
    (root / "green").rmdir()
    found = headstart.evaluate(folder, root)
    assert any("no picture of: green" in warning for warning in found.warnings)
    assert found.classes[1].recall is None
    assert found.metrics["accuracy"].mean == 1


def test_of_splits_the_test_split_is_used(folder: Path, colours: Colours, tmp_path: Path) -> None:
    root = tmp_path / "split"
    root.mkdir()
    colours(4, "one").rename(root / "train")
    colours(2, "two").rename(root / "test")
    found = headstart.evaluate(folder, root)
    assert found.pictures == 6
    assert "only the test split is used" in found.warnings[0]


class TestBadInput:
    def test_pictures_without_labels_are_told(
        self, folder: Path, colours: Colours, tmp_path: Path
    ) -> None:
        (tmp_path / "loose").mkdir()
        (colours(1) / "red" / "000.png").rename(tmp_path / "loose" / "a.png")
        with pytest.raises(DataError, match="no picture in loose has a label"):
            headstart.evaluate(folder, tmp_path / "loose")

    def test_too_few_pictures_are_told(self, folder: Path, tmp_path: Path) -> None:
        (tmp_path / "p" / "red").mkdir(parents=True)
        (tmp_path / "p" / "red" / "a.png").write_bytes(b"x")
        with pytest.raises(DataError, match="0 of 1 pictures can be used"):
            headstart.evaluate(folder, tmp_path / "p")


@pytest.mark.parametrize(("share_right", "told"), [(0.5, True), (0.9, False)])
def test_answers_that_may_be_guesses_are_told(share_right: float, told: bool) -> None:
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 2, 80)
    said = np.where(rng.random(80) < share_right, labels, 1 - labels)
    found = evaluation_of(np.eye(2, dtype=np.float32)[said] * 0.8 + 0.1, labels, ("cat", "dog"))
    low = found.metrics["balanced_accuracy"].low
    assert low is not None
    assert (low <= 0.5) == told
    assert any("cannot be told from guessing" in warning for warning in found.warnings) == told
