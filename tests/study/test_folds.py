"""Cross-validation in a study: folds as pairs, corrected intervals, one reading, resumed."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from headstart.console.tables import print_results
from headstart.data.image_set import ImageSet
from headstart.errors import RecordsError, StudyError
from headstart.report.from_records import report_content
from headstart.report.page import render
from headstart.report.results import Results
from headstart.study.deciding import until_decided
from headstart.study.folder import resolved_toml, study_folder
from headstart.study.lead import Lead
from headstart.study.results import StudyRecords
from headstart.study.spec import Study, needs_one_test_split, parse_study, with_settings

Compare = Callable[..., Results]
Fingerprint = Callable[[Path], list[tuple[object, ...]]]

TEXT = """
question = "Does a higher rate help?"
[split]
{split}
[network]
kind = "mlp"
hidden = [16]
[training]
lr = 0.1
epochs = 2
[strategy.scratch]
[strategy.faster]
kind = "scratch"
lr = 0.3
[study]
{study}
"""


def folds_study(split: str = "folds = 3\nrepeats = 2\nvalid = 0.2", study: str = "") -> Study:
    return parse_study(TEXT.format(split=split, study=study))


@pytest.fixture(scope="module")
def few(digits: ImageSet) -> ImageSet:
    """So few pictures that cross-validation is what one would do."""
    rows = np.flatnonzero(digits.labels < 3)[:122]
    return ImageSet.from_arrays(digits.pictures[rows], digits.labels[rows].astype(str))


@pytest.fixture(scope="module")
def compared(few: ImageSet, compare: Compare, tmp_path_factory: pytest.TempPathFactory) -> Results:
    return compare(folds_study(), tmp_path_factory.mktemp("folds") / "answers", images=few)


def test_each_fold_takes_the_place_of_a_seed_and_is_the_test_split(
    compared: Results, few: ImageSet
) -> None:
    records = compared.records
    assert records.study.study.seeds == (0, 1, 2, 3, 4, 5)
    assert len(records.rows) == 12
    own = records.fold_answers["faster", "all"]
    for repeat in (own.pictures[:3], own.pictures[3:]):
        assert sorted(np.concatenate(repeat).tolist()) == list(range(len(few)))
    names = np.array(few.class_names)
    for rows, truths in zip(own.pictures, own.truths, strict=True):
        assert (names[truths] == names[few.labels[rows]]).all()
    shown = records.trials.query("strategy == 'faster'").sort_values("seed")
    assert shown["test_accuracy"].tolist() == pytest.approx(own.accuracies.tolist())
    with (compared.directory / "splits.csv").open() as file:
        rows_of = list(csv.DictReader(file))
    assert [row["repeat_1_fold_2"] == "test" for row in rows_of] == [
        row in own.pictures[5] for row in range(len(few))
    ]


def test_intervals_are_the_corrected_ones_and_verdicts_say_folds(
    compared: Results, few: ImageSet
) -> None:
    (entry,) = compared.summary["comparisons"]
    a, b = (compared.records.fold_answers[name, "all"] for name in ("faster", "scratch"))

    gaps = a.accuracies - b.accuracies
    sizes = [len(rows) for rows in a.pictures]
    correction = 1 / 6 + np.mean(sizes) / (len(few) - round(np.mean(sizes)))
    half = stats.t.ppf(0.975, 5) * np.sqrt(correction * gaps.var(ddof=1))
    assert entry["low"] == pytest.approx(gaps.mean() - half)
    assert entry["high"] == pytest.approx(min(1.0, gaps.mean() + half))
    assert entry["pairs"] == 6
    assert "6 folds" in entry["sentence"]
    assert compared.summary["cross_validation"] == {"folds": 3, "repeats": 2}
    assert set(entry["metrics"]) >= {"balanced_accuracy", "log_loss", "ece"}
    assert compared.summary["strategies"][0]["spread"]["finite_test_set"] > 0
    (best,) = compared.summary["best"]
    assert best["winner"] == "faster"
    assert "on the out-of-fold pictures" in best["sentence"]


def test_all_folds_are_one_reading_and_further_repeats_another(
    few: ImageSet, compare: Compare, folder: Path
) -> None:
    once = compare(folds_study("folds = 3\nvalid = 0.2"), folder, images=few)
    assert once.summary["test_reads"] == 1
    assert once.summary["comparisons"][0]["verdict"] == "undecided"
    assert "at least 6 folds are needed" in once.sentences()[0]
    before = {row["strategy"]: row["fit_seconds"] for row in once.records.rows if not row["seed"]}

    twice = compare(folds_study(), folder, images=few)

    assert twice.summary["test_reads"] == 2
    assert twice.summary["confidence"] == pytest.approx(0.975)
    assert len({entry.split for entry in twice.records.test_reads}) == 1
    kept = {row["strategy"]: row["fit_seconds"] for row in twice.records.rows if not row["seed"]}
    assert kept == before


def test_a_study_that_was_stopped_goes_on_and_ends_the_same(
    compared: Results,
    few: ImageSet,
    compare: Compare,
    fingerprint: Fingerprint,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taken: list[Any] = []
    take = Lead._take

    def stops(self: Lead, *arguments: Any) -> None:
        if len(taken) == 5:
            raise KeyboardInterrupt
        taken.append(arguments)
        take(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Lead, "_take", stops)
        with pytest.raises(KeyboardInterrupt):
            compare(folds_study(), folder, images=few)

    compare(folds_study(), folder, images=few)

    assert fingerprint(folder) == fingerprint(compared.directory)


def test_the_page_says_that_pairs_are_folds(compared: Results) -> None:
    page = render(report_content(compared.records, compared.summary))
    assert "cross-validation over 3 folds, dealt out twice" in page
    assert "6 folds" in page


def test_a_resolved_study_reads_back_as_itself() -> None:
    study = folds_study()
    assert parse_study(resolved_toml(study, {})) == study


def test_what_goes_not_together_with_folds_is_refused(few: ImageSet, folder: Path) -> None:
    with pytest.raises(
        StudyError, match=r"study.seeds.*takes the place of a seed: leave seeds out"
    ):
        folds_study(study="seeds = 4")
    with pytest.raises(StudyError, match="takes the place of a seed"):
        with_settings(folds_study(), seeds=3)
    with pytest.raises(StudyError, match="worth needs one test split that is the same"):
        needs_one_test_split(folds_study(), "worth")

    def never(wanted: Study, reader: str) -> StudyRecords:
        raise AssertionError("began to look")

    with study_folder(folder), pytest.raises(StudyError) as caught:
        until_decided(folds_study(), folder, never, 12)
    assert str(caught.value).startswith("--until-decided adds seeds, so it needs one test split")


def test_a_class_too_small_for_so_many_folds_is_named(
    few: ImageSet, compare: Compare, folder: Path
) -> None:
    rare = np.flatnonzero(few.labels == 2)[:2]
    rows = np.concatenate([np.flatnonzero(few.labels < 2), rare])
    images = ImageSet.from_arrays(few.pictures[rows], few.labels[rows].astype(str))
    with pytest.raises((StudyError, RecordsError), match="split has no picture of '2'"):
        compare(folds_study(), folder, images=images)


def test_the_command_line_says_that_pairs_are_folds(
    compared: Results, capsys: pytest.CaptureFixture[str]
) -> None:
    print_results(compared)
    shown = " ".join(capsys.readouterr().out.split())
    assert "labels folds points" in shown
    assert "cross-validation over 3 folds, dealt out 2 times: a pair is a fold" in shown
    assert "standard deviation over folds" in shown
