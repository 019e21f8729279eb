"""What trials share changes nothing: the same predictions as if each had done it by itself."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from headstart.data.image_set import ImageSet
from headstart.data.scaling import Scaling
from headstart.engine.keeper import Keeper
from headstart.networks.groups import weights_hash
from headstart.study.records import TrialKey
from headstart.study.spec import study_from
from headstart.study.workplace import Workplace
from headstart.training.batches import Batches

ROWS = 300
LAYERS = st.sampled_from(
    [
        {"conv": 4, "padding": "same"},
        {"conv": 24, "kernel": 3, "padding": "same"},
        {"batch_norm": True},
        {"dropout": 0.3},
        {"dense": 12},
        {"dense": 40, "activation": "tanh"},
    ]
)
STRATEGIES: list[dict[str, Any]] = [
    {"kind": "frozen"},
    {"kind": "freeze_then_thaw", "thaw": 1},
    {"kind": "freeze_then_thaw"},
    {"kind": "fine_tune"},
    {"kind": "scratch"},
    {"kind": "top_groups"},
    {"kind": "gradual"},
    {"kind": "norms_and_biases"},
    {"kind": "probe"},
    {"kind": "ridge"},
    {"kind": "lda"},
    {"kind": "nearest_mean"},
    {"kind": "knn"},
]


@pytest.fixture(scope="module")
def digits() -> ImageSet:
    bunch = load_digits()
    pictures = np.rint(bunch.images[:ROWS] * 15).astype(np.uint8)
    return ImageSet.from_arrays(pictures, bunch.target[:ROWS])


def _network(layers: list[dict[str, Any]]) -> dict[str, Any]:
    """Convolutions before dense layers, and at least one of both, as a network must have them."""
    spatial = [layer for layer in layers if "dense" not in layer]
    dense = [layer for layer in layers if "dense" in layer]
    return {"kind": "cnn", "layers": [{"conv": 6}, *spatial[:3], {"dense": 16}, *dense[:1]]}


def _agree(workplace: Workplace, keys: list[TrialKey]) -> None:
    naive = dataclasses.replace(workplace, naive=True)
    for key in keys:
        planned, alone = workplace.fit_trial(key), naive.fit_trial(key)
        assert planned.val_loss == pytest.approx(alone.val_loss, rel=1e-4, abs=1e-6)
        for part in ("val_probabilities", "test_probabilities"):
            ours, theirs = getattr(planned, part), getattr(alone, part)
            np.testing.assert_allclose(ours, theirs, atol=2e-4)
            assert np.mean(ours.argmax(1) == theirs.argmax(1)) >= 0.999
        assert [each.epoch for each in planned.curve] == [each.epoch for each in alone.curve]


@given(
    layers=st.lists(LAYERS, max_size=4),
    strategy=st.sampled_from(STRATEGIES),
    optimizer=st.sampled_from(["sgd", "adam"]),
    scaling=st.sampled_from(["unit", "standardised"]),
    seed=st.integers(0, 50),
)
@example(
    layers=[{"conv": 4, "padding": "same"}, {"dropout": 0.3}],  # drawn in the order of memory
    strategy={"kind": "frozen"},
    optimizer="adam",
    scaling="unit",
    seed=1,
)
@settings(
    max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
def test_sharing_changes_no_trial(
    digits: ImageSet,
    tmp_path_factory: pytest.TempPathFactory,
    layers: list[dict[str, Any]],
    strategy: dict[str, Any],
    optimizer: str,
    scaling: str,
    seed: int,
) -> None:
    study = study_from(
        {
            "data": {"scaling": scaling},
            "split": {"valid": 60, "test": 60},
            "task": {"classes": ["0", "1", "2"]},
            "source": {"training": {"epochs": 1}},
            "network": _network(layers),
            "training": {"optimizer": optimizer, "lr": 0.003, "epochs": 2},
            "strategy": {"tried": strategy},
            "study": {"seeds": [seed], "labels": [30], "baseline": "tried"},
        }
    )
    workplace = Workplace(study, lambda: digits, tmp_path_factory.mktemp("study"))
    workplace.train_source(seed)
    _agree(workplace, [TrialKey("tried", seed, 30)])


@pytest.fixture
def workplace(digits: ImageSet, tmp_path: Path) -> Workplace:
    """A workplace with a trained source."""
    study = study_from(
        {
            "split": {"valid": 60, "test": 60},
            "task": {"classes": ["0", "1", "2"]},
            "source": {},
            "network": {"kind": "mlp", "hidden": [30, 20]},
            "strategy": {"frozen": {"epochs": 3}},
            "study": {"seeds": 1, "labels": [30], "baseline": "frozen"},
        }
    )
    workplace = Workplace(study, lambda: digits, tmp_path)
    workplace.train_source(0)
    return workplace


def _asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pictures go through a prefix from now on, one number a time."""
    asked: list[int] = []
    whole = Batches.of_rows

    def noted(self: Batches, rows: NDArray[np.int64]) -> Batches:
        asked.append(len(rows))
        return whole(self, rows)

    monkeypatch.setattr(Batches, "of_rows", noted)
    return asked


def test_a_trial_looks_at_no_picture_that_another_has_looked_at(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    workplace.fit_trial(TrialKey("frozen", 0, 30))
    other = dataclasses.replace(workplace)
    asked = _asked(monkeypatch)
    other.fit_trial(TrialKey("frozen", 0, 30))
    test_pictures = len(other.task(0).test.rows)
    assert asked == [test_pictures]  # to name them; none goes through the network


def test_other_weights_scaling_or_pictures_have_features_of_their_own(
    workplace: Workplace,
) -> None:
    task = workplace.task(0)
    network = workplace.start(task, 0, workplace.plan("frozen", workplace.making))
    phase = workplace.plan("frozen", network).phases[0]

    def behind(scaling: Scaling, images: ImageSet = workplace.images) -> torch.Tensor:
        keeper = workplace.keeper if images is workplace.images else Keeper(images)
        parts = [
            Batches(images.pictures, labels, scaling, torch.device("cpu"), rows=rows)
            for rows, labels in (
                (task.train_rows[:5], task.train.labels[:5]),
                (task.valid_rows, task.valid.labels),
            )
        ]
        rows = np.union1d(task.train_rows, task.valid_rows)
        entry = keeper.enter(rows).enter(network.eval(), phase, *parts)
        assert entry.train is not parts[0]
        with torch.inference_mode():
            torch.testing.assert_close(
                entry.model(entry.train.inputs(slice(0, 5))),
                network(parts[0].inputs(slice(0, 5))),
            )
        return entry.train.inputs(slice(0, 5))

    scaling = workplace.scaling(0)
    first = behind(scaling)
    assert torch.equal(behind(scaling), first)
    shifted = Scaling(scaling.shift + 1, scaling.divisor)
    assert not torch.equal(behind(shifted), first)
    changed = dataclasses.replace(workplace.images, pictures=255 - workplace.images.pictures)
    assert not torch.equal(behind(scaling, changed), first)
    with torch.no_grad():
        next(network.body.parameters()).add_(0.01)
    assert not torch.equal(behind(scaling), first)


def test_the_frozen_part_is_bit_identical_behind_kept_features(
    workplace: Workplace,
) -> None:
    task = workplace.task(0)
    plan = workplace.plan("frozen", workplace.making)
    before = workplace.start(task, 0, plan)
    outcome = workplace.fit_trial(TrialKey("frozen", 0, 30))
    assert outcome.weights_hash != weights_hash(before.state_dict())
    again = dataclasses.replace(workplace).fit_trial(TrialKey("frozen", 0, 30))
    assert again.weights_hash == outcome.weights_hash
