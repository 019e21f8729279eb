"""Search in studies: one budget for all, nothing of the test split, the same choice again."""

import copy
import json
import sqlite3
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart.data.image_set import ImageSet
from headstart.data.splits import SplitSettings
from headstart.errors import RecordsError, StudyError
from headstart.report.results import Results
from headstart.strategies.search_space import with_values
from headstart.study.compare import open_workplace
from headstart.study.explain import explain
from headstart.study.progress import Progress
from headstart.study.records import Records, TrialKey
from headstart.study.search import SearchPlace
from headstart.study.spec import Study, study_from
from headstart.study.workplace import Workplace

Make = Callable[..., Study]
Compare = Callable[..., Results]

SEARCHED: dict[str, Any] = {
    "strategy": {"scratch": {}, "fine_tune": {}, "nearest_mean": {}},
    "study": {"seeds": 2, "labels": [60]},
    "search": {"trials": 5, "together": 3},
}


def found(folder: Path) -> dict[str, Any]:
    with closing(Records.open(folder, create=False)) as records:
        return records.described("search")


def rows(folder: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(folder / "study.sqlite")) as db:
        return db.execute(query).fetchall()


def choices(folder: Path) -> list[tuple[Any, ...]]:
    """What a search tried and saw, and what trials came of it."""
    tried = "SELECT strategy, seed, labels, configuration, val_loss, weights_hash FROM trials"
    return [
        *rows(folder / "search", f"{tried} ORDER BY strategy, labels"),
        *rows(folder, f"{tried} ORDER BY strategy, seed, labels"),
    ]


@pytest.fixture(scope="module")
def searched(
    small_study: Make,
    digits: ImageSet,
    compare: Compare,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    folder = tmp_path_factory.mktemp("searched") / "answers"
    compare(small_study(**SEARCHED), folder, images=digits)
    return folder


def test_every_strategy_has_the_same_budget_scratch_too(searched: Path) -> None:
    told = found(searched)
    assert (told["trials"], told["seconds"], told["nothing"]) == (5, None, ["nearest_mean"])
    assert {(one["strategy"], one["trials"], one["failed"]) for one in told["found"]} == {
        ("scratch", 5, 0),
        ("fine_tune", 5, 0),
    }
    assert all(one["seconds"] > 0 for one in told["found"])
    done = rows(searched / "search", "SELECT strategy, seed, state FROM trials")
    assert len(done) == 10
    assert {row[1:] for row in done} == {(1000, "complete")}


def test_the_summary_of_a_folder_tells_its_search(searched: Path) -> None:
    told = Results.read(searched).summary["search"]
    assert told["budget"] == "5 trials at each label budget"
    assert [len(one["best_so_far"]) for one in told["found"]] == [5, 5]


def test_the_first_search_trial_is_the_strategy_as_it_is_stated(searched: Path) -> None:
    for one in found(searched)["found"]:
        assert set(one["values"][0].values()) == {0.1}
        assert {frozenset(own) for own in one["values"]} == {frozenset(one["space"])}
        assert len({own["lr"] for own in one["values"]}) == 5
        for path, span in one["space"].items():
            assert span["low"] == pytest.approx(0.1 / 30)
            assert all(span["low"] <= own[path] <= span["high"] for own in one["values"])


def test_the_lowest_validation_loss_is_chosen(searched: Path) -> None:
    for one in found(searched)["found"]:
        assert one["best"] == int(np.argmin(one["losses"]))
        recorded = dict(rows(searched / "search", "SELECT strategy, val_loss FROM trials"))
        assert one["losses"] == [recorded[f"{one['strategy']} #{n}"] for n in range(5)]


def test_trials_are_those_of_a_study_that_states_what_was_chosen(
    searched: Path, small_study: Make, digits: ImageSet, compare: Compare, folder: Path
) -> None:
    stated = {one["strategy"]: one["values"][one["best"]] for one in found(searched)["found"]} | {
        "nearest_mean": {}
    }
    compare(small_study(strategy=stated, study=SEARCHED["study"]), folder, images=digits)
    query = "SELECT strategy, seed, weights_hash, test_accuracy FROM trials ORDER BY 1, 2"
    assert rows(searched, query) == rows(folder, query)


def test_a_search_trial_is_one_of_a_study_on_the_search_seed(
    searched: Path, small_study: Make, digits: ImageSet, compare: Compare, folder: Path
) -> None:
    one = next(own for own in found(searched)["found"] if own["strategy"] == "fine_tune")
    study = small_study(
        strategy={"fine_tune": one["values"][2]},
        study={"seeds": [1000], "labels": [60], "baseline": "fine_tune"},
    )
    compare(study, folder, images=digits)
    assert rows(folder, "SELECT val_loss FROM trials") == [(one["losses"][2],)]


def test_search_trials_are_stacked(
    small_study: Make, digits: ImageSet, compare: Compare, folder: Path
) -> None:
    heard: list[Progress] = []
    compare(small_study(**SEARCHED), folder, images=digits, listener=heard.append)
    running = {name for one in heard if one.doing == "searching settings" for name in one.running}
    assert "scratch #0, seed 1000, 60 labels, stacked with 5 more" in running  # fine_tune's, too
    said = [one.said for one in heard if one.said and not one.total]
    total = next(place for place, text in enumerate(said) if text.startswith("search took "))
    assert all(text.startswith("search: ") for text in said[:total])
    assert any(text.startswith("search: these search trials took ") for text in said[:total])
    assert not any(text.startswith("search") for text in said[total + 1 :])
    assert any(text.startswith("training took ") for text in said[total + 1 :])


@pytest.mark.parametrize(("budget", "count"), [({"trials": 5}, 5), ({"seconds": 1e4}, 200)])
def test_an_explanation_counts_search_trials(
    budget: dict[str, Any], count: int, small_study: Make, digits: ImageSet
) -> None:
    place = open_workplace(small_study(**{**SEARCHED, "search": budget}), images=digits)
    told = explain(place, jobs=1)
    counts = {job.what: job.count for job in told.jobs}
    assert counts["search for scratch, 60 labels"] == count
    assert counts["search for fine_tune, 60 labels"] == count
    assert "search for nearest_mean, 60 labels" not in counts
    assert told.trials == 6
    without = explain(open_workplace(small_study(**SEARCHED | {"search": None}), images=digits), 1)
    assert told.seconds > without.seconds


def test_a_budget_of_seconds_is_used_up_and_kept_to(
    small_study: Make, digits: ImageSet, compare: Compare, folder: Path
) -> None:
    study = small_study(**{**SEARCHED, "search": {"seconds": 0.02, "together": 3}})
    compare(study, folder, images=digits)
    told = found(folder)
    assert all(one["seconds"] >= 0.02 or one["trials"] == 200 for one in told["found"])
    compare(study, folder, images=digits)
    assert found(folder) == told


def stop_after(number: int) -> Callable[[Progress], None]:
    """A listener that is interrupted once so many search trials have ended."""
    ended = 0

    def listen(progress: Progress) -> None:
        nonlocal ended
        ended += progress.doing == "searching settings" and " #" in progress.said
        if ended == number:
            raise KeyboardInterrupt

    return listen


@pytest.mark.parametrize("number", [2, 8])
def test_an_interrupted_search_goes_on_and_ends_with_the_same_choice(
    number: int, searched: Path, small_study: Make, digits: ImageSet, compare: Compare, folder: Path
) -> None:
    study = small_study(**SEARCHED)
    with pytest.raises(KeyboardInterrupt):
        compare(study, folder, images=digits, listener=stop_after(number))
    ended = "SELECT COUNT(*) FROM trials WHERE state = 'complete'"
    ((before,),) = rows(folder / "search", ended)
    assert 0 < before < 10
    compare(study, folder, images=digits)
    assert choices(folder) == choices(searched)


def test_what_was_searched_is_not_searched_again(
    searched: Path, small_study: Make, digits: ImageSet, compare: Compare
) -> None:
    before = choices(searched)
    heard: list[Progress] = []
    compare(small_study(**SEARCHED), searched, images=digits, listener=heard.append)
    assert choices(searched) == before
    assert not any(progress.running for progress in heard)


def test_what_is_sent_to_a_worker_process_finds_the_same(
    searched: Path, small_study: Make, digits: ImageSet
) -> None:
    study = small_study(**SEARCHED)
    one = next(own for own in found(searched)["found"] if own["strategy"] == "scratch")
    candidates = {"scratch #2": with_values(study.strategy["scratch"], one["values"][2])}
    place = SearchPlace.beside(open_workplace(study, images=digits), candidates, 1000, 60)
    sent = copy.copy(place)  # by __getstate__, as when it is pickled
    assert "pictures" not in vars(sent)
    outcome = sent.fit_trial(TrialKey("scratch #2", 1000, 60))
    assert outcome.val_loss == one["losses"][2]
    assert outcome.test_probabilities.size == 0


@pytest.mark.parametrize(
    "split",
    [
        {"valid": 0.2, "test": 0.3},
        {"order": "stored", "train": [0, 900], "valid": [900, 1300], "test": [1300, 1797]},
    ],
)
def test_a_search_has_no_picture_of_any_seeds_test_split(
    split: dict[str, Any], small_study: Make, digits: ImageSet
) -> None:
    study = small_study(**SEARCHED).model_copy(
        update={"split": SplitSettings.model_validate(split)}
    )
    place = open_workplace(study, images=digits)
    search = SearchPlace.beside(place, study.strategy, 1000, 60)
    mine = search.task(1000)
    assert len(mine.test.rows) == 0
    looked_at = np.concatenate([mine.train_rows, mine.valid_rows])
    for seed in study.study.seeds:
        assert not np.isin(looked_at, place.task(seed).test.rows).any()


def test_folds_search_for_themselves_and_not_on_their_own_fold(
    digits: ImageSet, compare: Compare, folder: Path
) -> None:
    study = study_from(
        {
            "split": {"folds": 3},
            "study": {"labels": [60]},
            "task": {"classes": ["0", "1", "2"]},
            "network": {"kind": "mlp", "hidden": [8]},
            "source": {},
            "training": {"lr": 0.1, "epochs": 1},
            "strategy": {"scratch": {}, "fine_tune": {}},
            "search": {"trials": 2},
        }
    )
    compare(study, folder, images=digits)
    assert {(one["strategy"], one["seed"]) for one in found(folder)["found"]} == {
        (name, fold) for name in ("scratch", "fine_tune") for fold in range(3)
    }
    place = open_workplace(study, images=digits)
    with closing(Records.open(folder / "search", create=False)) as records:
        for fold, (looked_at, _) in records.valid_labels().items():
            search = SearchPlace.beside(place, study.strategy, fold, 60)
            mine = np.concatenate([search.task(fold).train_rows, looked_at])
            assert not np.isin(mine, place.task(fold).test.rows).any()


def test_what_test_pictures_look_like_changes_nothing_in_a_search(
    searched: Path, small_study: Make, digits: ImageSet, compare: Compare, tmp_path: Path
) -> None:
    losses = []
    for noise in (False, True):
        pictures = digits.pictures.copy()
        if noise:
            random = np.random.default_rng(1)
            pictures[1300:] = random.integers(0, 255, pictures[1300:].shape, dtype=np.uint8)
        images = replace(
            ImageSet.from_arrays(pictures, digits.labels),
            parts={"train": np.arange(1300), "test": np.arange(1300, len(pictures))},
        )
        folder = tmp_path / f"noise {noise}"
        compare(small_study(**SEARCHED, split={"test": None}), folder, images=images)
        losses.append([(one["values"], one["losses"]) for one in found(folder)["found"]])
    assert losses[0] == losses[1]


def test_another_search_in_the_same_folder_is_refused_before_anything_is_trained(
    searched: Path, small_study: Make, digits: ImageSet, compare: Compare
) -> None:
    before = choices(searched)
    for change, line in (
        ({"trials": 6}, "search.trials: was 5, is now 6"),
        ({"seed": 1001}, "search.seed: was 1000, is now 1001"),
        ({"scratch": {"lr": [0.01, 0.1]}}, "search.space.lr: was [0.00333"),
    ):
        other = small_study(**{**SEARCHED, "search": {**SEARCHED["search"], **change}})
        with pytest.raises(RecordsError) as caught:
            compare(other, searched, images=digits)
        assert caught.value.problems[0].endswith("trials of a study that was asked differently:")
        assert caught.value.problems[1].strip().startswith(line)
    with pytest.raises(RecordsError, match=r"search: was .* is now null"):
        compare(small_study(**{**SEARCHED, "search": None}), searched, images=digits)
    assert choices(searched) == before


def test_a_folder_that_was_not_searched_does_not_begin_to(
    small_study: Make, digits: ImageSet, compare: Compare, folder: Path
) -> None:
    compare(small_study(**{**SEARCHED, "search": None}), folder, images=digits)
    with pytest.raises(RecordsError, match="search: was null, is now"):
        compare(small_study(**SEARCHED), folder, images=digits)
    assert not (folder / "search").exists()


def test_more_seeds_and_strategies_join_with_the_choice_that_is_there(
    searched: Path, small_study: Make, digits: ImageSet, compare: Compare, tmp_path: Path
) -> None:
    folder = tmp_path / "more"
    compare(small_study(**SEARCHED), folder, images=digits)
    more = {**SEARCHED, "study": {"seeds": 3, "labels": [60]}}
    more["strategy"] = {**SEARCHED["strategy"], "frozen": {}}
    compare(small_study(**more), folder, images=digits)
    told = {one["strategy"]: one for one in found(folder)["found"]}
    assert set(told) == {"scratch", "fine_tune", "frozen"}
    before = {one["strategy"]: one for one in found(searched)["found"]}
    assert all(told[name]["losses"] == one["losses"] for name, one in before.items())


def test_a_strategy_whose_search_trials_all_fail_is_taken_as_stated_and_says_so(
    small_study: Make, digits: ImageSet, compare: Compare, folder: Path
) -> None:
    study = small_study(
        strategy={"scratch": {}, "frozen": {"lr": 1e38}},
        study={"seeds": 1, "labels": [60]},
        search={"trials": 2, "frozen": {"lr": [1e37, 1e38]}},
    )
    with pytest.warns(UserWarning, match=r"search.frozen: every trial with 60 labels failed \("):
        compare(study, folder, images=digits)
    told = {one["strategy"]: one for one in found(folder)["found"]}
    assert told["frozen"]["best"] is None
    assert told["frozen"]["losses"] == [None, None]


def test_the_reason_told_is_that_of_the_budget_whose_trials_failed(
    small_study: Make,
    digits: ImageSet,
    compare: Compare,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = Workplace.fit_trials

    def fails_of_few(place: Workplace, keys: Sequence[TrialKey]) -> list[Any]:
        few = [key.labels == 60 and key.strategy.startswith("frozen #") for key in keys]
        outcomes = whole(place, keys)
        said = StudyError("too few of them")
        return [said if bad else own for bad, own in zip(few, outcomes, strict=True)]

    monkeypatch.setattr(Workplace, "fit_trials", fails_of_few)
    study = small_study(
        strategy={"scratch": {}, "frozen": {}},
        study={"seeds": 1, "labels": [60, 120]},
        search={"trials": 1},
    )
    for _ in range(2):  # the second time everything is there already
        with pytest.warns(UserWarning, match=r"with 60 labels failed \(.*too few of them\)"):
            compare(study, folder, images=digits)


def test_the_depth_to_copy_is_chosen_by_search(
    small_study: Make, digits: ImageSet, compare: Compare, folder: Path
) -> None:
    study = small_study(
        strategy={"scratch": {}, "lower_groups": {"copied": 1}},
        study={"seeds": 1, "labels": [60]},
        search={"trials": 3, "lower_groups": {"copied": [1, 2]}},
    )
    compare(study, folder, images=digits)
    told = {one["strategy"]: one for one in found(folder)["found"]}
    tried = told["lower_groups"]
    assert {own["copied"] for own in tried["values"]} == {1, 2}
    chosen = tried["values"][tried["best"]]["copied"]
    ((trial,),) = rows(folder, "SELECT configuration FROM trials WHERE strategy = 'lower_groups'")
    assert json.loads(trial)["strategy"]["copied"] == chosen


def test_a_missing_optuna_is_told_with_the_line_that_installs_it(
    small_study: Make,
    digits: ImageSet,
    compare: Compare,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(StudyError, match=r"pip install 'headstart\[search\]'"):
        compare(small_study(**SEARCHED), folder, images=digits)


def test_a_range_that_the_network_cannot_take_is_told_before_anything_is_trained(
    small_study: Make, digits: ImageSet, compare: Compare, folder: Path
) -> None:
    study = small_study(
        strategy={"scratch": {}, "top_groups": {}},
        search={"trials": 2, "top_groups": {"top": [1, 2]}},
    )
    with pytest.raises(StudyError) as caught:
        compare(study, folder, images=digits)
    assert caught.value.problems == (
        "search.top_groups.top = 2: top = 2, but the body has 2 layer groups, so nothing would "
        "stay frozen: lower it, or use fine_tune",
    )
    assert not (folder / "search").exists()
