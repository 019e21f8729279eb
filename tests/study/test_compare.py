"""Comparing a study: what it writes, what it never does twice, what it never looks at."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, log_loss

import headstart
from headstart.data.image_set import ImageSet
from headstart.data.splits import make_split
from headstart.errors import HeadstartError, RecordsError, StudyError
from headstart.report.results import Results
from headstart.study.progress import Progress
from headstart.study.records import Records
from headstart.study.spec import Study, load_study, with_settings

Make = Callable[..., Study]
Compare = Callable[..., Results]
Fingerprint = Callable[[Path], list[tuple[object, ...]]]

HOT = {"kind": "frozen", "lr": 1e38}

TRIAL_COLUMNS = (
    "strategy,seed,labels,state,val_accuracy,test_accuracy,test_log_loss,trainable_parameters,"
    "total_parameters,fit_seconds,epochs,error"
)


def test_a_comparison_writes_the_files_that_other_programs_rely_on(
    small_study: Make, digits: ImageSet, folder: Path
) -> None:
    results = headstart.compare(small_study(), folder, images=digits, jobs=1)

    for name in ("study.toml", "study.sqlite", "trials.csv", "summary.json", "report.html"):
        assert (folder / name).stat().st_size > 0, name
    assert (folder / "trials.csv").read_text().splitlines()[0] == TRIAL_COLUMNS
    trials = pd.read_csv(folder / "trials.csv")
    assert len(trials) == 2 * 2 * 2
    assert set(trials["state"]) == {"complete"}
    summary = json.loads((folder / "summary.json").read_text())
    assert summary == results.summary
    assert {"question", "strategies", "comparisons", "test_reads"} <= set(summary)
    assert {tuple(entry)[:6] for entry in summary["strategies"]} == {
        ("name", "labels", "trials", "accuracy", "trainable_parameters", "fit_seconds")
    }
    assert set(summary["strategies"][0]["accuracy"]) == {"mean", "low", "high"}
    wanted = {
        "a", "b", "labels", "pairs", "difference", "low", "high", "p_value",
        "relative_error_reduction", "verdict",
    }  # fmt: skip
    assert all(wanted <= set(entry) for entry in summary["comparisons"])
    assert summary["test_reads"] == 1


def test_scores_equal_scikit_learns_on_the_kept_predictions(
    small_study: Make, digits: ImageSet, folder: Path, compare: Compare
) -> None:
    study = small_study()
    results = compare(study, folder, images=digits)
    split = make_split(digits, study.split, seed=0)
    truth = digits.labels[split.test]
    truth = truth[truth < 3]

    assert results.records.answers
    for (name, labels), answers in results.records.answers.items():
        for place, seed in enumerate(answers.seeds):
            row = results.trials.query(
                f"strategy == {name!r} and labels == {str(labels)!r} and seed == {seed}"
            ).iloc[0]
            predicted = answers.probabilities[place]
            exact = predicted.astype(np.float64)
            assert row["test_accuracy"] == accuracy_score(truth, predicted.argmax(axis=1))
            assert row["test_log_loss"] == pytest.approx(
                log_loss(truth, exact / exact.sum(axis=1, keepdims=True)),
                rel=1e-5,
            )


def test_a_second_call_trains_nothing_and_does_not_read_the_test_labels_again(
    small_study: Make, digits: ImageSet, folder: Path, compare: Compare, fingerprint: Fingerprint
) -> None:
    compare(small_study(), folder, images=digits)
    before = fingerprint(folder)
    written = (folder / "study.sqlite").stat().st_mtime
    heard: list[Progress] = []

    results = compare(small_study(), folder, images=digits, listener=heard.append)

    assert fingerprint(folder) == before
    assert not any(progress.running for progress in heard)
    assert results.summary["test_reads"] == 1
    assert written > 0


def test_more_seeds_strategies_and_budgets_join_the_trials_that_are_there(
    small_study: Make, digits: ImageSet, folder: Path, compare: Compare, fingerprint: Fingerprint
) -> None:
    compare(small_study(), folder, images=digits)
    before = fingerprint(folder)
    more = small_study(
        strategy={"scratch": {}, "frozen": {}, "fine_tune": {}},
        study={"seeds": 3, "labels": [30, 60, "all"]},
    )

    results = compare(more, folder, images=digits)

    assert len(results.trials) == 3 * 3 * 3
    assert set(before) <= set(fingerprint(folder))
    assert results.summary["test_reads"] == 2


def test_worker_processes_give_the_same_bits_as_this_process(
    small_study: Make, digits: ImageSet, tmp_path: Path, compare: Compare, fingerprint: Fingerprint
) -> None:
    compare(small_study(), tmp_path / "one", images=digits, jobs=1)
    compare(small_study(), tmp_path / "two", images=digits, jobs=2)

    assert fingerprint(tmp_path / "one") == fingerprint(tmp_path / "two")


def test_another_seed_gives_another_result(
    small_study: Make, digits: ImageSet, folder: Path, compare: Compare
) -> None:
    compare(small_study(), folder, images=digits)
    with closing(sqlite3.connect(folder / "study.sqlite")) as db:
        hashes = [row[0] for row in db.execute("SELECT weights_hash FROM trials")]
    assert len(set(hashes)) == len(hashes)


def test_more_threads_are_another_study(
    small_study: Make, digits: ImageSet, folder: Path, compare: Compare
) -> None:
    two = small_study(strategy={"scratch": {}}, study={"threads": 2, "seeds": 1})
    assert (compare(two, folder, images=digits).trials["state"] == "complete").all()
    with pytest.raises(RecordsError, match="threads: was 2, is now 1"):
        compare(small_study(), folder, images=digits)


def test_what_was_interrupted_can_be_looked_at(
    small_study: Make, digits: ImageSet, folder: Path, compare: Compare
) -> None:
    def stop(progress: Progress) -> None:
        if progress.complete == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compare(small_study(), folder, images=digits, listener=stop)

    results = Results.read(folder)
    assert (results.trials["state"] == "complete").sum() == 3
    assert results.summary["comparisons"] == []
    assert results.summary["test_reads"] == 0
    assert "5 of 8 trials have not been trained yet" in repr(results)
    assert "5 of 8 trials have not been trained yet" in results.report().read_text()


def test_test_labels_change_nothing_but_the_scores(
    small_study: Make, digits: ImageSet, tmp_path: Path, compare: Compare
) -> None:
    study = small_study(split={"test": 0.3})
    test = make_split(digits, study.split, seed=0).test
    turned = digits.labels.copy()
    inside = test[turned[test] < 3]
    turned[inside] = (turned[inside] + 1) % 3
    parts = {"test": test, "train": np.setdiff1d(np.arange(len(digits)), test)}
    honest = ImageSet(digits.pictures, digits.labels, digits.class_names, parts=parts)
    scrambled = ImageSet(digits.pictures, turned, digits.class_names, parts=parts)
    study = small_study(split={"valid": 0.2, "test": None})

    first = compare(study, tmp_path / "honest", images=honest)
    second = compare(study, tmp_path / "scrambled", images=scrambled)

    scores = ["test_accuracy", "test_log_loss", "fit_seconds"]
    pd.testing.assert_frame_equal(
        first.trials.drop(columns=scores), second.trials.drop(columns=scores)
    )
    assert not first.trials["test_accuracy"].equals(second.trials["test_accuracy"])
    for key, answers in first.records.answers.items():
        assert np.array_equal(answers.probabilities, second.records.answers[key].probabilities)


def test_the_resolved_study_reads_back_as_the_same_study(
    small_study: Make, digits: ImageSet, folder: Path, compare: Compare
) -> None:
    study = small_study()
    compare(study, folder, images=digits)

    assert load_study(folder / "study.toml") == study
    comments = (folder / "study.toml").read_text().split("question")[0]
    assert "torch version" in comments
    assert "seeds: 0, 1" in comments


def test_splits_are_saved_with_content_hashes(
    small_study: Make, digits: ImageSet, folder: Path, compare: Compare
) -> None:
    compare(small_study(), folder, images=digits)
    saved = pd.read_csv(folder / "splits.csv", dtype=str)
    split = make_split(digits, small_study().split, seed=1)

    assert list(saved.columns) == ["picture", "content_hash", "seed_0", "seed_1"]
    assert set(saved.loc[saved["seed_1"] == "test", "picture"].astype(int)) == set(split.test)
    assert set(saved.loc[saved["seed_1"] == "valid", "picture"].astype(int)) == set(split.valid)
    assert (saved["content_hash"] == digits.hashes[saved["picture"].astype(int)].astype(str)).all()


def test_a_changed_study_in_an_old_folder_is_refused_with_what_changed(
    small_study: Make, digits: ImageSet, folder: Path, compare: Compare, fingerprint: Fingerprint
) -> None:
    compare(small_study(), folder, images=digits)
    before = fingerprint(folder)
    changed = small_study(training={"lr": 0.2}, network={"kind": "mlp", "hidden": [16, 4]})

    with pytest.raises(RecordsError) as caught:
        compare(changed, folder, images=digits)

    text = str(caught.value)
    assert "strategy.lr: was 0.1, is now 0.2" in text
    assert "network.hidden: was [16, 8], is now [16, 4]" in text
    assert "--fresh" in text
    assert fingerprint(folder) == before


def test_other_pictures_in_an_old_folder_are_refused(
    small_study: Make, digits: ImageSet, folder: Path, compare: Compare
) -> None:
    compare(small_study(), folder, images=digits)
    other = ImageSet(255 - digits.pictures, digits.labels, digits.class_names)

    with pytest.raises(RecordsError, match="data_hash"):
        compare(small_study(), folder, images=other)


def test_fresh_keeps_the_old_folder_under_another_name(
    small_study: Make, digits: ImageSet, folder: Path, compare: Compare, fingerprint: Fingerprint
) -> None:
    compare(small_study(), folder, images=digits)
    before = fingerprint(folder)

    compare(small_study(training={"lr": 0.2}), folder, images=digits, fresh=True)

    kept = [path for path in folder.parent.iterdir() if path.name.startswith("answers.")]
    assert len(kept) == 1
    assert fingerprint(kept[0]) == before


def test_fresh_leaves_a_folder_alone_that_is_no_study(
    small_study: Make, digits: ImageSet, folder: Path, compare: Compare
) -> None:
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")

    with pytest.raises(RecordsError, match="holds no records of a study"):
        compare(small_study(), folder, images=digits, fresh=True)
    assert (folder / "thesis.txt").read_text() == "years of work"


def test_a_loss_that_is_no_number_fails_its_trial_and_the_study_goes_on(
    small_study: Make, digits: ImageSet, folder: Path, compare: Compare
) -> None:
    study = small_study(strategy={"scratch": {}, "frozen": {"lr": 1e38}})

    results = compare(study, folder, images=digits)

    failed = results.trials.query("state == 'failed'")
    assert set(failed["strategy"]) == {"frozen"}
    assert len(failed) == 4
    assert failed["error"].str.contains("the loss became").all()
    assert results.failed == 4
    assert results.trials.query("strategy == 'scratch'")["test_accuracy"].notna().all()


def test_failed_trials_are_tried_again_only_when_asked(
    small_study: Make, digits: ImageSet, folder: Path, compare: Compare
) -> None:
    study = small_study(strategy={"scratch": {}, "frozen": {"lr": 1e38}})
    compare(study, folder, images=digits)
    heard: list[Progress] = []
    compare(study, folder, images=digits, listener=heard.append)
    assert not any(progress.running for progress in heard)

    compare(study, folder, images=digits, retry_failed=True, listener=heard.append)
    assert any("frozen" in name for progress in heard for name in progress.running)


def test_a_failed_source_fails_the_trials_that_need_it_with_its_reason(
    small_study: Make, digits: ImageSet, folder: Path, compare: Compare
) -> None:
    study = small_study(source={"training": {"lr": 1e38}})

    results = compare(study, folder, images=digits)

    frozen = results.trials.query("strategy == 'frozen'")
    assert (frozen["state"] == "failed").all()
    assert frozen["error"].str.contains("the source of seed . failed: the loss became").all()
    assert (results.trials.query("strategy == 'scratch'")["state"] == "complete").all()


def test_every_problem_is_told_before_anything_trains(
    small_study: Make, digits: ImageSet, folder: Path, compare: Compare
) -> None:
    study = small_study(
        strategy={"scratch": {}, "freeze_then_thaw": {"thaw": ["dense_9"]}},
        source={"classes": ["2", "3", "fuor"]},
        study={"labels": [2, 100000]},
    )

    with pytest.raises(StudyError) as caught:
        compare(study, folder, images=digits)

    text = str(caught.value)
    assert "a label budget of 2 cannot hold one label of each of the 3 classes" in text
    assert "a label budget of 100000 is above the" in text
    assert "source and task overlap in '2'" in text
    assert "no layer group 'dense_9'; did you mean 'dense_2'?" in text


def test_sources_are_trained_once_a_seed_and_never_changed(
    small_study: Make, digits: ImageSet, folder: Path, compare: Compare
) -> None:
    compare(small_study(), folder, images=digits)
    files = sorted((folder / "sources").glob("*.safetensors"))
    before = {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in files}
    assert [file.name for file in files] == ["seed-0.safetensors", "seed-1.safetensors"]

    more = small_study(strategy={"scratch": {}, "frozen": {}, "fine_tune": {}})
    compare(more, folder, images=digits)

    assert {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in files} == before


def test_a_damaged_source_is_trained_again_to_the_same_weights(
    small_study: Make, digits: ImageSet, folder: Path, compare: Compare
) -> None:
    compare(small_study(), folder, images=digits)
    file = folder / "sources" / "seed-0.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[:-40] + bytes(40))

    more = small_study(strategy={"scratch": {}, "frozen": {}, "fine_tune": {}})
    compare(more, folder, images=digits)

    assert file.read_bytes() == whole


def test_a_given_source_is_shared_by_all_seeds(
    small_study: Make, digits: ImageSet, folder: Path, compare: Compare
) -> None:
    compare(small_study(), folder, images=digits)
    file = folder / "sources" / "seed-1.safetensors"
    shared = small_study(source={"file": file})

    results = compare(shared, folder.with_name("shared"), images=digits)

    assert (results.trials["state"] == "complete").all()
    assert results.records.sources == {}
    trained_here = Records.open(folder, create=False)
    there = Records.open(folder.with_name("shared"), create=False)
    frozen = [
        {(row["seed"], row["labels"]): row["weights_hash"] for row in records.trials()
         if row["strategy"] == "frozen"}
        for records in (trained_here, there)
    ]  # fmt: skip
    assert frozen[0][1, "all"] == frozen[1][1, "all"]
    assert frozen[0][0, "all"] != frozen[1][0, "all"]
    trained_here.close()
    there.close()


def test_a_given_source_brings_its_scaling_to_the_resolved_study_too(
    small_study: Make, digits: ImageSet, folder: Path, compare: Compare
) -> None:
    raw = small_study(data={"scaling": "raw"}, training={"lr": 0.001}, study={"seeds": 1})
    compare(raw, folder, images=digits)
    file = folder / "sources" / "seed-0.safetensors"
    shared = folder.with_name("shared")
    compare(small_study(source={"file": file}, study={"seeds": 1}), shared, images=digits)

    again = compare(load_study(shared / "study.toml"), shared, images=digits)
    assert (again.trials["state"] == "complete").all()
    with pytest.raises(StudyError, match="the source was trained with 'raw'"):
        compare(small_study(source={"file": file}, data={"scaling": "unit"}), shared, images=digits)


def test_nothing_to_transfer_from_is_refused(small_study: Make) -> None:
    with pytest.raises(StudyError, match=r"no \[source\] to transfer from"):
        small_study(source=None)


def test_a_verdict_needs_six_pairs(
    small_study: Make, digits: ImageSet, folder: Path, compare: Compare
) -> None:
    study = small_study(study={"labels": ["all"]})
    few = compare(study, folder, images=digits).summary["comparisons"]
    assert {entry["verdict"] for entry in few} == {"undecided"}
    assert {entry["p_value"] for entry in few} == {None}

    six = with_settings(study, seeds=6)
    many = compare(six, folder.with_name("six"), images=digits).summary["comparisons"]
    assert all(entry["p_value"] is not None for entry in many)
    assert many[0]["verdict"] == "worse"
    assert "6 pairs" in many[0]["sentence"]


def test_one_seed_has_no_interval(
    small_study: Make, digits: ImageSet, folder: Path, compare: Compare
) -> None:
    study = with_settings(small_study(), seeds=1)
    results = compare(study, folder, images=digits)

    entry = results.summary["comparisons"][0]
    assert (entry["low"], entry["high"], entry["p_value"]) == (None, None, None)
    assert entry["verdict"] == "undecided"
    assert "one pair" in results.sentences()[0]


def test_results_show_themselves_in_a_notebook(
    small_study: Make, digits: ImageSet, folder: Path, compare: Compare
) -> None:
    study = small_study(
        question="Does <b>it</b> help?", strategy={"scratch": {}, "frozen": {}, "<i>": HOT}
    )
    results = compare(study, folder, images=digits)

    shown = results._repr_html_()
    assert "Does &lt;b&gt;it&lt;/b&gt; help?" in shown
    assert "<th>accuracy (95% interval)</th>" in shown
    assert "<tr><td>&lt;i&gt;</td><td>60 labels</td><td>0</td><td>–</td>" in shown
    assert "undecided between frozen and scratch" in shown
    assert "4 of 12 trials failed" in shown
    assert repr(results).startswith("Does <b>it</b> help?\n- 60 labels: ")
    assert "\n- Warning: 4 of 12 trials failed and are missing" in repr(results)
    assert repr(results).endswith(f"\nResults in {folder}")


def test_pictures_from_both_sides_or_none_are_refused(
    small_study: Make, digits: ImageSet, folder: Path, compare: Compare
) -> None:
    with pytest.raises(StudyError, match=r"data\.name is missing"):
        compare(small_study(), folder)
    with pytest.raises(StudyError, match="not both"):
        compare(small_study(data={"name": "mnist"}), folder, images=digits)
    assert not folder.exists()


def test_errors_are_all_of_one_kind() -> None:
    assert issubclass(StudyError, HeadstartError)
    assert issubclass(RecordsError, HeadstartError)
