"""Each figure's record by value, and each drawing held against Vega-Lite's schema."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import altair
import numpy as np
import pandas as pd
import pytest
from markupsafe import Markup

from headstart.report import svg
from headstart.report.content import Confusion, ReportContent
from headstart.report.drawing import NARROW, SMALL, WIDE, Spec
from headstart.report.figures import FIGURES, _base
from headstart.report.figures import confusion as confusion_figure
from headstart.report.figures import differences as differences_figure
from headstart.report.figures import label_curve as label_curve_figure
from headstart.report.figures import learning as learning_figure
from headstart.report.figures import trial_dots as trial_dots_figure
from headstart.report.figures.confusion import confusion_cells
from headstart.report.figures.differences import differences
from headstart.report.figures.label_curve import label_curve
from headstart.report.figures.learning import learning_curves
from headstart.report.figures.trial_dots import MOST_DOTS, trial_dots

ContentWith = Callable[..., ReportContent]


@pytest.fixture
def specifications(monkeypatch: pytest.MonkeyPatch) -> list[Spec]:
    """Collects what would be drawn instead of drawing it."""
    found: list[Spec] = []

    def collect(specification: Spec, alternative: str) -> Markup:
        assert alternative
        found.append(specification)
        return Markup("<svg/>")

    monkeypatch.setattr(_base, "drawn", collect)
    return found


MINE = {
    "trials": trial_dots_figure.figure,
    "differences": differences_figure.figure,
    "label-curve": label_curve_figure.figure,
    "learning": learning_figure.figure,
    "confusion": confusion_figure.figure,
}


def slugs(content: ReportContent) -> list[str]:
    return [made.slug for made in (figure(content) for figure in MINE.values()) if made]


def test_every_drawing_follows_the_schema(
    content: ReportContent, specifications: list[Spec]
) -> None:
    assert slugs(content) == list(MINE)
    assert len(specifications) == 3 * 2 + 2 * (3 * 2)
    charts = [chart for specification in specifications for chart in specification["vconcat"]]
    assert {chart["width"] for chart in charts} == {WIDE, NARROW, SMALL}
    # One of each kind, without its rows, which may be anything.
    for specification in [*specifications[:6:2], specifications[8], specifications[12]]:
        altair.VConcatChart.from_dict(specification | {"datasets": {}}, validate=True)
    assert altair.SCHEMA_VERSION.startswith(f"v{svg.VEGA_LITE}.")


def test_the_pages_figures_hold_these_in_this_order() -> None:
    assert [figure for figure in FIGURES if figure in MINE.values()] == list(MINE.values())


def test_trial_dots_are_the_finished_trials(content: ReportContent) -> None:
    trials = content.trials.copy()
    trials.loc[3, "state"] = "failed"
    few, everything = trial_dots(replace(content, trials=trials))
    assert (few.title, everything.title) == ("50 labels", "all 1,250 labels")
    assert len(few.dots) == 29
    assert len(everything.dots) == 30
    told = few.dots.set_index(["strategy", "seed"])["accuracy"]
    kept = trials[(trials["labels"] == 50) & (trials["state"] == "complete")]
    expected = kept.set_index(["strategy", "seed"])["test_accuracy"]
    assert told.to_dict() == expected.to_dict()
    assert dict(zip(few.dots["strategy"], few.dots["row"], strict=True)) == {
        "scratch": 0,
        "frozen": 1,
        "fine_tune": 2,
    }
    means = {
        entry["name"]: entry["accuracy"]["mean"] for entry in content.summary["strategies"][:3]
    }
    assert few.means.set_index("strategy")["mean"].to_dict() == means


def test_of_very_many_trials_some_are_drawn_evenly_by_rank(content_with: ContentWith) -> None:
    content = content_with(seeds=1000, budgets=(50,))
    (record,) = trial_dots(content)
    own = record.dots[record.dots["strategy"] == "frozen"]["accuracy"]
    assert len(own) == MOST_DOTS
    everyone = content.accuracies("frozen", 50)
    assert np.quantile(own, [0.1, 0.5, 0.9]) == pytest.approx(
        np.quantile(everyone, [0.1, 0.5, 0.9]), abs=0.003
    )


def test_differences_are_in_points_and_paired_by_seed(content: ReportContent) -> None:
    few, everything = differences(content)
    assert list(few.means["strategy"]) == ["frozen", "fine_tune"]
    assert set(few.means["against"]) == {"scratch"}
    entry = content.summary["comparisons"][0]
    first = few.means.iloc[0]
    assert [first["difference"], first["low"], first["high"]] == pytest.approx(
        [100 * entry["difference"], 100 * entry["low"], 100 * entry["high"]]
    )
    assert list(everything.means["verdict"]) == ["worse", "equivalent"]
    wide = content.trials[content.trials["labels"] == 50].pivot(
        index="seed", columns="strategy", values="test_accuracy"
    )
    gaps = few.pairs[few.pairs["row"] == 0].set_index("seed")["difference"]
    assert gaps.to_dict() == pytest.approx((100 * (wide["frozen"] - wide["scratch"])).to_dict())


def test_the_caption_lets_no_bar_of_fewer_than_six_pairs_decide(content: ReportContent) -> None:
    def reading(pairs: int, **changes: Any) -> str:
        told = [dict(entry, pairs=pairs) for entry in content.summary["comparisons"]]
        summary: dict[str, Any] = {**content.summary, "comparisons": told, **changes}
        made = differences_figure.figure(replace(content, summary=summary))
        assert made is not None
        return made.reading

    assert "From 6 seeds on, a bar that stays clear of the zero line" in reading(6)
    assert "decides nothing" not in reading(6)
    assert reading(5).endswith("A bar of fewer seeds decides nothing, wherever it lies.")
    folds = reading(5, cross_validation={"folds": 5, "repeats": 1})
    assert folds.endswith("A bar of fewer folds decides nothing, wherever it lies.")


def test_a_seed_that_failed_in_one_strategy_is_no_pair(content: ReportContent) -> None:
    trials = content.trials.copy()
    lost = (trials["strategy"] == "frozen") & (trials["seed"] == 4) & (trials["labels"] == 50)
    trials.loc[lost, "state"] = "failed"
    pairs = differences(replace(content, trials=trials))[0].pairs
    assert sorted(pairs[pairs["row"] == 0]["seed"]) == [0, 1, 2, 3, 5, 6, 7, 8, 9]


def test_a_comparison_without_a_difference_has_no_row(content: ReportContent) -> None:
    summary: dict[str, Any] = dict(content.summary)
    empty = {"difference": None, "low": None, "high": None, "verdict": "undecided"}
    summary["comparisons"] = [dict(summary["comparisons"][0], **empty)]
    assert differences(replace(content, summary=summary)) == ()


def test_label_curve_counts_all_as_the_training_pictures(content: ReportContent) -> None:
    curve = label_curve(content)
    assert list(curve["strategy"].unique()) == ["scratch", "frozen", "fine_tune"]
    assert list(curve["pictures"]) == [50, 1250] * 3
    assert list(curve["labels"]) == ["50", "all"] * 3
    unknown = replace(content, class_counts=content.class_counts.iloc[:0])
    assert list(label_curve(unknown)["pictures"]) == [50, 100] * 3


def test_learning_curves_number_epochs_through_all_phases(content: ReportContent) -> None:
    few, _ = learning_curves(content)
    tuned = few.curves[(few.curves["strategy"] == "fine_tune") & (few.curves["seed"] == 2)]
    assert list(tuned["position"]) == list(range(1, 13))
    starts = few.phases.set_index(["strategy", "phase"])["position"].to_dict()
    assert starts == {
        ("scratch", "all"): 1,
        ("frozen", "head"): 1,
        ("fine_tune", "head"): 1,
        ("fine_tune", "thawed"): 5,
    }
    source = content.curves
    last = source[
        (source["labels"] == 50) & (source["strategy"] == "frozen") & (source["epoch"] == 12)
    ]
    mean = few.means[few.means["strategy"] == "frozen"].iloc[-1]
    assert mean["val_accuracy"] == pytest.approx(last["val_accuracy"].mean())
    assert mean["seeds"] == 10


def test_epochs_that_begin_anew_in_each_phase_are_counted_on(content: ReportContent) -> None:
    curves = content.curves.copy()
    curves["epoch"] = curves.groupby(["strategy", "labels", "seed", "phase"]).cumcount() + 1
    again = learning_curves(replace(content, curves=curves))
    for one, other in zip(again, learning_curves(content), strict=True):
        pd.testing.assert_frame_equal(one.curves, other.curves)


def test_the_mean_curve_ends_where_fewer_than_half_still_train(content: ReportContent) -> None:
    curves = content.curves
    stopped = (curves["strategy"] == "scratch") & (curves["seed"] < 6) & (curves["epoch"] > 7)
    few, _ = learning_curves(replace(content, curves=curves[~stopped]))
    means = few.means[few.means["strategy"] == "scratch"]
    assert means["position"].max() == 7
    longer = (curves["strategy"] == "scratch") & (curves["seed"] < 5) & (curves["epoch"] > 7)
    few, _ = learning_curves(replace(content, curves=curves[~longer]))
    assert few.means[few.means["strategy"] == "scratch"]["position"].max() == 12


def test_a_single_epoch_is_drawn_as_points(
    content: ReportContent, specifications: list[Spec]
) -> None:
    curves = content.curves[content.curves["epoch"] == 1]
    assert learning_figure.figure(replace(content, curves=curves)) is not None
    marks = [layer["mark"] for chart in specifications[0]["vconcat"] for layer in chart["layer"]]
    assert all("point" in mark for mark in marks if mark["type"] == "line")


def test_epochs_are_named_at_whole_round_numbers() -> None:
    assert [learning_figure.epoch_ticks(n) for n in (1, 5, 12, 40, 1000)] == [
        [1],
        [1, 2, 3, 4, 5],
        [1, 2, 4, 6, 8, 10, 12],
        [1, 10, 20, 30, 40],
        [1, 200, 400, 600, 800, 1000],
    ]


def test_confusion_cells_are_shares_of_the_truth(content: ReportContent) -> None:
    matrix = np.array([[8.0, 2.0, 0.0], [1.0, 3.0, 0.0], [0.0, 0.0, 0.0]])
    confusions = [Confusion("frozen", 50, ("a", "b", "c"), matrix)]
    (record,) = confusion_cells(replace(content, confusions=confusions))
    cells = record.cells.set_index(["truth", "said"])
    assert cells["share"].to_dict() == {
        ("a", "a"): 0.8,
        ("a", "b"): 0.2,
        ("a", "c"): 0.0,
        ("b", "a"): 0.25,
        ("b", "b"): 0.75,
        ("b", "c"): 0.0,
        ("c", "a"): 0.0,
        ("c", "b"): 0.0,
        ("c", "c"): 0.0,
    }
    assert cells.loc[("a", "b"), "count"] == 2.0


def test_figures_without_data_are_left_out(
    content_with: ContentWith, specifications: list[Spec]
) -> None:
    content = content_with(budgets=(50,))
    assert "label-curve" not in slugs(content)
    bare = replace(
        content,
        curves=content.curves.iloc[:0],
        confusions=[],
        summary=dict(content.summary, comparisons=[]),
        trials=content.trials.assign(state="failed"),
    )
    assert slugs(bare) == []


def test_missing_numbers_in_curves_are_gaps_not_errors(
    content: ReportContent, specifications: list[Spec]
) -> None:
    curves = content.curves.copy()
    curves.loc[curves["epoch"] > 3, ["val_accuracy", "val_loss"]] = np.nan
    curves.loc[curves["epoch"] == 5, "train_loss"] = np.inf
    slugs(replace(content, curves=curves))
    for specification in specifications:
        for rows in specification["datasets"].values():
            numbers = [v for row in rows for v in row.values() if isinstance(v, float)]
            assert all(np.isfinite(numbers))
