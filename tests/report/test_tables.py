"""Tables and large numbers, by value."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from headstart.report import tables, words
from headstart.report.content import ReportContent
from headstart.report.highlights import highlights, named, verdicts

ContentWith = Callable[..., ReportContent]


def test_results_by_value(content: ReportContent) -> None:
    made = tables.results(content)
    assert [column.heading for column in made.columns] == [
        "Strategy",
        "Labels",
        "Trials",
        "Test accuracy ± spread",
        "95% interval of the mean",
        "Trainable parameters",
        "Seconds a fit",
    ]
    own = content.trials.query("strategy == 'frozen' and labels == 50")["test_accuracy"]
    entry = content.summary["strategies"][1]["accuracy"]
    assert made.rows[1] == (
        "frozen",
        "50",
        "10",
        f"{100 * own.mean():.2f} ± {100 * own.std(ddof=1):.2f}%",
        f"{100 * entry['low']:.2f} to {100 * entry['high']:.2f}%",
        "2,570 of 275,808",
        f"0.45{words.NO_BREAK}s",
    )


def test_results_of_one_budget_and_one_seed(content_with: ContentWith) -> None:
    made = tables.results(content_with(seeds=1, budgets=("all",)))
    assert [column.heading for column in made.columns][1] == "Trials"
    assert "±" not in made.rows[0][2]


def test_trials_that_did_not_finish_are_counted_and_told(content: ReportContent) -> None:
    trials = content.trials.copy()
    trials["error"] = trials["error"].astype(object)
    trials.loc[10, ["state", "error"]] = ["failed", "the loss is no longer a number at epoch 3"]
    summary: dict[str, Any] = dict(content.summary)
    summary["strategies"] = [dict(entry) for entry in summary["strategies"]]
    summary["strategies"][1]["trials"] = 9
    changed = replace(content, trials=trials, summary=summary)
    assert tables.results(changed).rows[1][2] == "9 of 10"
    failed = tables.failures(changed)
    assert failed is not None
    assert failed.rows == (("frozen", "50", "0", "the loss is no longer a number at epoch 3"),)
    assert tables.failures(content) is None
    assert highlights(changed)[0] == ("59 of 60", "trials finished, 10 seeds")


def test_a_strategy_without_a_finished_trial_has_dashes(content: ReportContent) -> None:
    summary: dict[str, Any] = dict(content.summary)
    nothing = {"mean": None, "low": None, "high": None}
    empty = {"trials": 0, "accuracy": nothing, "fit_seconds": None, "trainable_parameters": None}
    summary["strategies"] = [dict(summary["strategies"][0], **empty)]
    trials = content.trials.assign(state="failed")
    row = tables.results(replace(content, summary=summary, trials=trials)).rows[0]
    assert row[2:] == ("0 of 10", "–", "–", "– of 275,808", "–")


def test_comparisons_by_value(content: ReportContent) -> None:
    entry = content.summary["comparisons"][2]
    row = tables.comparisons(content).rows[2]
    assert row[:3] == ("frozen − scratch", "all", "10")
    assert row[3] == f"−{abs(100 * entry['difference']):.2f}"
    assert row[5] == "0.002"
    assert row[7] == "worse"


def test_what_chance_alone_would_give_stands_beside_the_spread(content: ReportContent) -> None:
    entries = [
        dict(entry, spread={"observed": 0.02, "finite_test_set": 0.0123})
        for entry in content.summary["strategies"]
    ]
    made = tables.results(replace(content, summary=dict(content.summary, strategies=entries)))
    assert made.columns[4].heading == "Spread by chance alone"
    assert made.rows[1][4] == "± 1.23%"
    assert "if every seed were equally good" in made.note


def test_intervals_that_hold_together_stand_beside_each_ones_own(content: ReportContent) -> None:
    entries = [
        dict(entry, simultaneous={"low": -0.031, "high": 0.042}, adjusted_p=0.04)
        for entry in content.summary["comparisons"]
    ]
    summary = dict(content.summary, comparisons=entries, confidence=0.975)
    made = tables.comparisons(replace(content, summary=summary))
    headings = [column.heading for column in made.columns]
    assert headings[4:8] == [
        "97.5% interval", "All intervals together", "p-value", "p among all (Holm)"
    ]  # fmt: skip
    assert made.rows[0][5] == "−3.10 to +4.20"
    assert made.rows[0][7] == "0.040"
    assert "every one of them holds at once" in made.note


def test_other_metrics_stand_with_their_intervals_and_claim_nothing(content: ReportContent) -> None:
    assert tables.other_metrics(content) is None
    first, *others = content.summary["comparisons"]
    added = {
        "metrics": {
            "roc_auc": {"difference": 0.012, "low": -0.003, "high": 0.027},
            "log_loss": {"difference": -0.25, "low": -0.4, "high": -0.1},
        },
        "probability_of_improvement": {"value": 0.7, "low": 0.48, "high": 0.86},
    }
    entries = [dict(first, **added), *others]
    made = tables.other_metrics(
        replace(content, summary=dict(content.summary, comparisons=entries))
    )
    assert made is not None
    assert [row[2:] for row in made.rows] == [
        ("Area under the ROC curve", "+1.20", "−0.30 to +2.70"),
        ("Log loss (less is better)", "−0.250", "−0.400 to −0.100"),
        ("Chance that a new seed of the first wins", "70%", "48% to 86%"),
    ]
    assert "verdicts are on accuracy" in made.note


def test_in_a_cross_validation_pairs_are_folds(content: ReportContent) -> None:
    summary = dict(content.summary, cross_validation={"folds": 5, "repeats": 2})
    made = replace(content, summary=summary)
    assert tables.comparisons(made).columns[2].heading == "Folds"
    assert "standard deviation over folds" in tables.results(made).note


def test_a_comparison_without_p_value_says_so(content_with: ContentWith) -> None:
    made = tables.comparisons(content_with(seeds=3))
    assert [row[5] for row in made.rows] == ["–"] * 4
    assert "at least six pairs" in made.note


def test_class_counts_have_a_row_a_class_and_a_sum(content: ReportContent) -> None:
    target, source = tables.class_counts(content)
    assert target.rows[0] == ("zero", "125", "18", "36")
    assert target.rows[-1] == ("all classes", "1,250", "180", "360")
    assert [column.heading for column in source.columns] == ["Class", "train", "valid"]


def test_sources_show_their_own_accuracy(content: ReportContent) -> None:
    made = tables.sources(content)
    assert made is not None
    assert made.rows[1][:3] == ("1", "98.20%", "12")
    assert tables.sources(replace(content, sources=content.sources.iloc[:0])) is None


def test_long_tables_are_cut_and_say_so() -> None:
    made = tables.table("Many", ["Number"], ([f"{k}"] for k in range(10_000)))
    assert len(made.rows) == tables.MOST_ROWS
    assert made.note == "The first 300 rows; the study’s records hold the rest."
    assert tables.table("Few", ["Number"], [["1"]]).note == ""


def test_highlights_by_value(content: ReportContent) -> None:
    best = max(content.summary["strategies"], key=lambda entry: entry["accuracy"]["mean"])
    gaps = content.summary["comparisons"]
    largest = max(gaps, key=lambda entry: abs(entry["difference"]))
    assert highlights(content) == (
        ("60", "trials finished, 10 seeds"),
        (
            f"{100 * best['accuracy']['mean']:.2f}%",
            f"best mean accuracy: {best['name']} with all labels",
        ),
        (
            f"+{100 * largest['difference']:.2f}",
            "points, the largest difference: frozen against scratch with 50 labels",
        ),
        ("0.9%", "of the weights are trained by frozen"),
        (
            "0.45 s".replace(" ", words.NO_BREAK),
            f"the quickest fit, frozen; scratch takes 1.75{words.NO_BREAK}s",
        ),
        ("60", "reads of the test labels"),
    )


def test_highlights_need_nothing_to_be_finished(content: ReportContent) -> None:
    trials = content.trials.assign(state="failed", total_parameters=np.nan)
    summary = dict(content.summary, strategies=[], comparisons=[], test_reads=1)
    made = highlights(replace(content, trials=trials, summary=summary))
    assert made == (("0 of 60", "trials finished, 10 seeds"), ("1", "read of the test labels"))


def test_verdicts_stand_under_their_budget(content: ReportContent) -> None:
    (few, first), (everything, second) = verdicts(content)
    assert (few, everything) == ("With 50 labels", "With all 1,250 labels")
    assert [entry.a for entry in (*first, *second)] == ["frozen", "fine_tune"] * 2


@pytest.mark.parametrize(
    ("sentence", "pieces"),
    [
        ("fine beats fine_tune.", (("fine", "fine"), (" beats ", ""), ("fine_tune", "fine_tune"))),
        ("fine_tuned is no name here", (("fine_tuned is no name here", ""),)),
    ],
)
def test_names_in_a_sentence_are_found_whole(
    content: ReportContent, sentence: str, pieces: tuple[tuple[str, str], ...]
) -> None:
    entry = replace(content.comparisons[0], a="fine_tune", b="fine", sentence=sentence)
    assert named(entry)[: len(pieces)] == pieces
    assert "".join(text for text, _ in named(entry)) == sentence
