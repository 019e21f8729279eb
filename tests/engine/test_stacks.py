"""Which trials are stacked with whom, and that nothing of theirs depends on it."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from headstart.data.image_set import ImageSet
from headstart.engine.stacks import Likeness, likeness
from headstart.errors import HeadstartError, TrainingError
from headstart.networks.groups import Network, count_parameters
from headstart.strategies import FineTune
from headstart.study.jobs import Job
from headstart.study.lineup import LineUp
from headstart.study.records import TrialKey, TrialOutcome
from headstart.study.spec import study_from
from headstart.study.together import Begun, begin_together, fit_together
from headstart.study.workplace import Workplace
from headstart.training.evaluate import predict_probabilities
from headstart.training.fit import Fit
from headstart.training.stacking import supply
from headstart.training.stacking.members import NotStackableError

MLP = {"kind": "mlp", "hidden": [12, 8]}
CNN: dict[str, Any] = {
    "kind": "cnn",
    "layers": [{"conv": 16}, {"conv": 24}, {"dropout": 0.3}, {"dense": 12}, {"dropout": 0.2}],
}


@pytest.fixture(scope="module")
def digits() -> ImageSet:
    bunch = load_digits()
    pictures = np.rint(bunch.images[:300] * 15).astype(np.uint8)
    return ImageSet.from_arrays(pictures, bunch.target[:300])


def workplace(digits: ImageSet, folder: Path, **changes: Any) -> Workplace:
    """A study of five seeds, with sources to train."""
    values: dict[str, Any] = {
        "split": {"valid": 0.3, "test": 0.2},
        "task": {"classes": ["0", "1", "2"]},
        "source": {"training": {"epochs": 1}},
        "network": MLP,
        "training": {"lr": 0.05, "epochs": 2},
        "strategy": {"tried": {"kind": "frozen"}},
        "study": {"seeds": 5, "labels": [20], "baseline": "tried"},
    }
    for table, change in changes.items():
        merges = table in ("training", "study")
        values[table] = {**values[table], **change} if merges else change
    return Workplace(study_from(values), lambda: digits, folder)


def stacked(place: Workplace, strategy: str = "tried", labels: Any = 20) -> Likeness | None:
    return place.alike.trial(TrialKey(strategy, 0, labels))


@pytest.mark.parametrize(
    ("network", "strategy", "is_stacked"),
    [
        (MLP, {"kind": "scratch"}, True),
        (MLP, {"kind": "fine_tune"}, True),
        (MLP, {"kind": "gradual"}, True),
        (MLP, {"kind": "norms_and_biases"}, True),
        (MLP, {"kind": "frozen", "label_smoothing": 0.1, "ema": 0.9}, True),
        (CNN, {"kind": "frozen"}, True),  # behind its cut there are dense layers only
        (CNN, {"kind": "scratch"}, False),
        (CNN, {"kind": "freeze_then_thaw"}, False),  # its second phase trains convolutions
        (MLP, {"kind": "ridge"}, False),
        (MLP, {"kind": "scratch", "augment": "light"}, False),
        (MLP, {"kind": "wise_ft"}, False),
        (MLP, {"kind": "fine_tune", "regularisers": ["l2_sp"]}, False),
        (MLP, {"kind": "scratch", "precision": "bfloat16"}, False),
        (MLP, {"kind": "scratch", "batch_size": 1}, False),
    ],
    ids=lambda each: str(each.get("kind")) if isinstance(each, dict) else str(each),
)
def test_what_a_stack_can_do_is_stacked(
    digits: ImageSet,
    tmp_path: Path,
    network: dict[str, Any],
    strategy: dict[str, Any],
    is_stacked: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(supply, "draws_in_storage_order", lambda: True)
    place = workplace(digits, tmp_path, network=network, strategy={"tried": strategy})
    assert (stacked(place) is not None) == is_stacked


def test_feature_maps_that_are_dropped_in_another_order_are_not_stacked(
    digits: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Intel's processors; one channel lies the same in both orders."""
    one_channel = {**CNN, "layers": [{"conv": 16}, {"conv": 1}, {"dropout": 0.3}, {"dense": 12}]}
    monkeypatch.setattr(supply, "draws_in_storage_order", lambda: False)
    place = workplace(digits, tmp_path, network=CNN)
    place.train_sources([0])
    assert stacked(place) is None
    assert stacked(workplace(digits, tmp_path, network=one_channel)) is not None
    assert stacked(workplace(digits, tmp_path, network=MLP)) is not None
    begun = place._begun(TrialKey("tried", 0, 20))
    with pytest.raises(NotStackableError):
        fit_together([begun])
    monkeypatch.setattr(supply, "draws_in_storage_order", lambda: True)
    (fitted,) = fit_together([begun])
    assert isinstance(fitted, Fit)


def test_nothing_is_stacked_naively_or_on_several_threads(digits: ImageSet, tmp_path: Path) -> None:
    place = workplace(digits, tmp_path)
    assert place.alike.source(0) is not None
    for other in (
        dataclasses.replace(place, naive=True),
        workplace(digits, tmp_path, study={"threads": 2}),
    ):
        assert stacked(other) is None
        assert other.alike.source(0) is None


def test_trials_that_differ_in_rates_and_decays_are_alike_and_others_are_not(
    digits: ImageSet, tmp_path: Path
) -> None:
    adamw = {"kind": "scratch", "optimizer": "adamw"}
    strategies: dict[str, Any] = {
        "tried": adamw,
        "faster": {**adamw, "lr": 0.5},
        "decaying": {**adamw, "optimizer": {"name": "adamw", "weight_decay": 0.1}},
        "decaying more": {**adamw, "optimizer": {"name": "adamw", "weight_decay": 0.2}},
        "longer": {**adamw, "epochs": 3},
        "smaller batches": {**adamw, "batch_size": 8},
        "all groups": {**adamw, "kind": "fine_tune"},
        "head only": {**adamw, "kind": "frozen"},
    }
    place = workplace(digits, tmp_path, strategy=strategies)
    found = {name: stacked(place, name) for name in strategies}
    keys = {name: each.key for name, each in found.items() if each is not None}
    alike = [{name for name in keys if keys[name] == keys[other]} for other in keys]
    assert {frozenset(names) for names in alike} == {
        frozenset({"tried", "faster", "all groups"}),
        frozenset({"decaying", "decaying more"}),
        frozenset({"longer"}),
        frozenset({"smaller batches"}),
        frozenset({"head only"}),
    }


def test_memory_and_work_limit_a_stack(digits: ImageSet, tmp_path: Path) -> None:
    small = stacked(workplace(digits, tmp_path))
    wide = {"kind": "mlp", "hidden": [900, 900]}
    tried = {"tried": {"kind": "scratch"}}
    large = stacked(workplace(digits, tmp_path, network=wide, strategy=tried))
    widest = stacked(
        workplace(digits, tmp_path, network={**wide, "hidden": [5000, 5000]}, strategy=tried)
    )
    short_of = workplace(digits, tmp_path)
    short_of.keeper.memory = 100_000
    less = stacked(short_of)
    assert small is not None
    assert large is not None
    assert less is not None
    assert widest is None
    assert small.most > large.most >= 1
    assert small.most > less.most >= 1


def test_the_trials_own_networks_and_evaluation_count_as_memory(
    digits: ImageSet, tmp_path: Path
) -> None:
    """Where seeds have sources of their own, so does each network; else only its head is its."""
    layers = [{"conv": 16}, {"dense": 1000}, {"dense": 10}]
    place = workplace(digits, tmp_path, network={"kind": "cnn", "layers": layers})
    network, counts, shape = place.making, (20, 89), place.images.picture_shape
    plan, doorway = place.plan("tried", network), place.doorway(0)
    whole = 4 * count_parameters(network.parameters())

    def most(memory: int | None, *, same: bool) -> int:
        found = likeness(network, plan, counts, shape, doorway, memory, same_weights=same)
        assert found is not None
        return found.most

    assert whole > 2**18
    assert most(None, same=False) == min(256, 2**30 // whole)
    assert most(None, same=True) == 256
    assert most(8 * whole, same=False) == 7
    head, copies = 4 * (10 * 3 + 3), 6 * 4 * 10 * 3
    numbers = 10 + 3 * 3  # a picture's, on its way through the head
    passes = numbers * (8 * 32 + 4 * 128)  # there and back in training, there in evaluation
    tables = 4 * 10 * sum(counts)
    assert most(whole, same=True) == whole // (head + copies + passes + tables)


def test_a_trial_is_the_same_in_every_stack(digits: ImageSet, tmp_path: Path) -> None:
    """Drawn splits give one seed a picture more than another; dropout lies before the head."""
    tried = {"kind": "frozen", "optimizer": "adam", "patience": 1, "epochs": 4}
    layers = [each for each in CNN["layers"] if each != {"dropout": 0.3}]
    network = CNN if supply.draws_in_storage_order() else {**CNN, "layers": layers}
    place = workplace(
        digits, tmp_path, network=network, strategy={"tried": tried}, study={"labels": ["all"]}
    )
    for seed in range(5):
        place.train_source(seed)
    keys = [TrialKey("tried", seed, "all") for seed in range(5)]
    kin = {place.alike.trial(key) for key in keys}
    assert None not in kin
    assert len({place.task(seed).valid_rows.size for seed in range(5)}) > 1
    assert len(kin) == 1
    together = place.fit_trials(keys)
    for key, ours in zip(keys, together, strict=True):
        alone = place.fit_trial(key)
        assert isinstance(ours, TrialOutcome)
        assert ours.weights_hash == alone.weights_hash
        assert [e.val_loss for e in ours.curve] == [e.val_loss for e in alone.curve]
        assert np.array_equal(ours.test_probabilities, alone.test_probabilities)
        naive = dataclasses.replace(place, naive=True).fit_trial(key)
        np.testing.assert_allclose(ours.test_probabilities, naive.test_probabilities, atol=2e-4)


def test_sources_are_the_same_in_every_stack(digits: ImageSet, tmp_path: Path) -> None:
    place = workplace(digits, tmp_path)
    together = place.train_sources([0, 1, 2])
    for seed, ours in enumerate(together):
        assert not isinstance(ours, TrainingError)
        assert place.train_source(seed).weights_hash == ours.weights_hash
        naive = dataclasses.replace(place, naive=True, directory=tmp_path / "naive")
        assert naive.train_source(seed).val_loss == pytest.approx(ours.val_loss, rel=1e-4)


def test_a_trial_without_its_source_fails_alone(digits: ImageSet, tmp_path: Path) -> None:
    place = workplace(digits, tmp_path)
    place.train_sources([0, 2])
    outcomes = place.fit_trials([TrialKey("tried", seed, 20) for seed in range(3)])
    assert [isinstance(each, TrialOutcome) for each in outcomes] == [True, False, True]
    assert "seed-1.safetensors" in str(outcomes[1])


def test_a_stack_of_which_none_can_begin_says_why(digits: ImageSet, tmp_path: Path) -> None:
    place = workplace(digits, tmp_path)
    key = TrialKey("tried", 1, 20)
    assert place.alike.trial(key) is not None
    (outcome,) = place.fit_trials([key])
    assert "seed-1.safetensors" in str(outcome)
    with pytest.raises(HeadstartError, match=r"seed-1\.safetensors"):
        place.trained(key)


def test_where_there_is_no_stack_a_trial_fails_alone_too(
    digits: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One has no source, one diverges."""
    place = workplace(digits, tmp_path)
    place.train_sources([0, 2])
    keys = [TrialKey("tried", seed, 20) for seed in range(3)]
    place.settled[keys[2]] = FineTune(lr=1e30, epochs=3)

    def refuse(begun: object) -> None:
        raise NotStackableError("no room for features")

    monkeypatch.setattr("headstart.study.workplace.fit_together", refuse)
    outcomes = place.fit_trials(keys)
    assert isinstance(outcomes[0], TrialOutcome)
    assert "seed-1.safetensors" in str(outcomes[1])
    assert "lower the learning rate" in str(outcomes[2])
    naive = dataclasses.replace(place, naive=True)
    assert [str(each) for each in naive.fit_trials(keys)[1:]] == [str(e) for e in outcomes[1:]]


def test_a_trial_whose_predictions_fail_fails_alone(
    digits: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = workplace(digits, tmp_path)
    place.train_sources([0, 1])
    calls: list[Network] = []

    def predict(network: Network, *inputs: Any) -> Any:
        calls.append(network)
        if len(calls) == 1:
            raise TrainingError("features are not finite")
        return predict_probabilities(network, *inputs)

    monkeypatch.setattr("headstart.study.workplace.predict_probabilities", predict)
    first, second = place.fit_trials([TrialKey("tried", seed, 20) for seed in range(2)])
    assert str(first) == "features are not finite"
    assert isinstance(second, TrialOutcome)


def test_weights_that_stay_the_same_lie_in_memory_once(digits: ImageSet, tmp_path: Path) -> None:
    """They are shared while a stack begins, so that there are never many whole networks."""
    place = workplace(digits, tmp_path)
    place.train_source(0)
    whole: list[int] = []
    networks: list[Network] = []

    def begin(key: TrialKey, first: Begun | None) -> Begun:
        del key, first
        places = {each.data_ptr() for one in networks for each in one.body.parameters()}
        whole.append(len(places))
        begun = place._begun(TrialKey("tried", 0, 20))
        networks.append(begun.network)
        return begun

    begin_together([TrialKey("tried", seed, 20) for seed in range(4)], begin)
    one = len(list(networks[0].body.parameters()))
    assert whole == [0, one, one, one]
    heads = {each.data_ptr() for network in networks for each in network.head.parameters()}
    assert len(heads) == 4 * len(list(networks[0].head.parameters()))


def test_jobs_that_are_alike_are_divided_over_the_slots(digits: ImageSet, tmp_path: Path) -> None:
    strategies = {"tried": {"kind": "scratch"}, "solved": {"kind": "ridge"}}
    place = workplace(digits, tmp_path, strategy=strategies)
    sources = [Job(seed) for seed in range(5)]
    trials = {
        name: [Job(seed, TrialKey(name, seed, 20)) for seed in range(5)] for name in strategies
    }
    lineup = LineUp(place.alike, [*sources, *trials["tried"], *trials["solved"]], slots=2)
    lineup.add([*sources, *trials["tried"]])
    taken = [lineup.take().jobs]
    lineup.add(trials["solved"][:3])
    while lineup:
        taken.append(lineup.take().jobs)
    assert taken == [
        tuple(sources[:3]),
        *((job,) for job in trials["solved"][:3]),
        tuple(sources[3:]),
        tuple(trials["tried"][:3]),
        tuple(trials["tried"][3:]),
    ]
