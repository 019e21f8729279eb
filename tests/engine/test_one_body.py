"""Heads on a ready-made body: a stack has one body, and nothing else about its trials changes."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from sklearn.datasets import load_digits

from headstart.data.image_set import ImageSet
from headstart.networks.groups import HEAD, weights_hash
from headstart.networks.torchvision_guard import import_timm
from headstart.strategies import Plan, Strategy
from headstart.study.records import TrialKey, TrialOutcome
from headstart.study.spec import study_from
from headstart.study.together import Begun, begin_together, fit_together
from headstart.study.workplace import Workplace
from headstart.training.fit import Fit

SLOW, FAST = {"kind": "frozen", "lr": 0.01}, {"kind": "frozen", "lr": 0.1}
KEYS = [TrialKey(name, seed, n) for name in ("slow", "fast") for seed in (0, 1) for n in (20, 30)]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights as just drawn: test_resnet is timm's own small network for tests."""
    path = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    torch.manual_seed(0)
    save_file(import_timm().create_model("test_resnet").state_dict(), path)
    return path


def workplace(weights: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, **tables: Any) -> Any:
    monkeypatch.setenv("HEADSTART_CACHE", str(folder / "cache"))
    bunch = load_digits()
    pictures = np.rint(bunch.images[:200] * 15).astype(np.uint8)
    images = ImageSet.from_arrays(pictures, bunch.target[:200])
    values: dict[str, Any] = {
        "data": {"image_size": 32, "scaling": "source"},
        "split": {"valid": 0.3, "test": 0.2},
        "task": {"classes": ["0", "1", "2"]},
        "source": {"pretrained": "test_resnet", "weights": str(weights)},
        "training": {"epochs": 2, "optimizer": "adam"},
        "strategy": {"slow": SLOW, "fast": FAST},
        "study": {"seeds": 2, "labels": [20, 30], "baseline": "slow"},
    }
    return Workplace(study_from({**values, **tables}), lambda: images, folder)


@pytest.mark.parametrize("head", [{}, {"hidden": [8], "dropout": 0.3}], ids=["linear", "hidden"])
def test_a_trial_has_the_same_bits_alone_and_on_a_body_shared_with_others(
    head: dict[str, Any], weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = workplace(weights, tmp_path, monkeypatch, head=head)
    together = place.fit_trials(KEYS)
    for key, ours in zip(KEYS, together, strict=True):
        assert isinstance(ours, TrialOutcome)
        alone = dataclasses.replace(place).fit_trial(key)
        assert alone.weights_hash == ours.weights_hash
        assert alone.trainable_parameters == ours.trainable_parameters
        np.testing.assert_array_equal(alone.val_probabilities, ours.val_probabilities)
        np.testing.assert_array_equal(alone.test_probabilities, ours.test_probabilities)
        naive = dataclasses.replace(place, naive=True).fit_trial(key)
        assert naive.val_loss == pytest.approx(ours.val_loss, rel=1e-4)
    assert len({each.weights_hash for each in together}) == len(KEYS)


class RandomBody(Strategy):
    """A control: a head on a body that is drawn at random and stays so."""

    kind: Literal["random_body"] = "random_body"
    summary: ClassVar[str] = "a head on a random body"

    def plan(self, groups: Sequence[str]) -> Plan:
        rates = {group: self.lr if group == HEAD else None for group in groups}
        return Plan("random", (self.phase("head", rates),))


def test_a_body_that_is_no_source_is_shared_with_nobody(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    control = RandomBody.model_validate({"lr": 0.01, "epochs": 2, "optimizer": "adam"})
    study = {"labels": [30], "seeds": 1, "baseline": "control"}
    strategy = {"control": control, "slow": SLOW}
    place = workplace(weights, tmp_path, monkeypatch, strategy=strategy, study=study)
    keys = [TrialKey("control", 0, 30), TrialKey("slow", 0, 30)]
    assert place.alike.trial(keys[0]) == place.alike.trial(keys[1])
    for order in (keys, keys[::-1]):
        for key, ours in zip(order, place.fit_trials(order), strict=True):
            assert isinstance(ours, TrialOutcome)
            assert dataclasses.replace(place).fit_trial(key).weights_hash == ours.weights_hash


def test_there_is_one_body_which_stays_the_source(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = workplace(weights, tmp_path, monkeypatch)
    begun = [each for each in begin_together(KEYS, place._begun).values() if type(each) is Begun]
    assert len(begun) == len(KEYS)
    assert len({id(each.network.body) for each in begun}) == 1
    heads = {each.data_ptr() for one in begun for each in one.network.head.parameters()}
    assert len(heads) == 2 * len(KEYS)
    stored = weights.read_bytes()
    untouched = place.network(place.task(0), 0).body.state_dict()
    fits = fit_together(begun)
    assert all(type(each) is Fit for each in fits)
    assert weights_hash(begun[-1].network.body.state_dict()) == weights_hash(untouched)
    again = dataclasses.replace(place)  # reads the source anew
    assert weights_hash(again.making.body.state_dict()) == weights_hash(untouched)
    assert weights.read_bytes() == stored


def test_splits_cuts_and_checks_are_made_once_a_stack(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a stack of two takes of these, a stack of eight takes, too."""
    place = workplace(weights, tmp_path, monkeypatch)
    place.fit_trials(KEYS[:1])  # features and plans are there from now on
    split = type(place.keeper.cuts(place.making)).split
    calls: list[int] = []

    def counted(*arguments: Any) -> Any:
        calls.append(1)
        return split(*arguments)

    monkeypatch.setattr("headstart.engine.cuts.Cuts.split", counted)
    place.fit_trials(KEYS[:2])
    few = len(calls)
    place.fit_trials(KEYS)
    assert len(calls) == 2 * few


@pytest.mark.parametrize(
    "tables",
    [
        {"strategy": {"slow": {"kind": "fine_tune"}, "fast": FAST}},
        {"data": {"image_size": 32, "scaling": "standardised"}},
    ],
    ids=["body learns", "other features for each seed"],
)
def test_bodies_that_differ_are_not_shared(
    tables: dict[str, Any], weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = workplace(weights, tmp_path, monkeypatch, **tables)
    begun = begin_together([TrialKey("slow", 0, 20), TrialKey("slow", 1, 20)], place._begun)
    bodies = [each.network.body for each in begun.values() if type(each) is Begun]
    assert len(bodies) == 2
    assert bodies[0] is not bodies[1]
