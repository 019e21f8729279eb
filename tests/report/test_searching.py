"""What the report says of a search: budget, spaces, what was chosen, and how it went."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import altair
import numpy as np
import pytest
from markupsafe import Markup

from headstart.report import words
from headstart.report.choosing import chosen
from headstart.report.content import ReportContent
from headstart.report.drawing import Spec
from headstart.report.figures import _base, search
from headstart.report.page import render
from headstart.report.searching import (
    best_so_far,
    search_summary,
    search_table,
    search_warnings,
)
from headstart.study.results import StudyRecords, Validation

RateSpan = dict[str, Any]
RIGHT = np.ones((1, 2), dtype=bool)
LR: RateSpan = {"low": 0.001, "high": 1.0, "log": True, "stated": 0.01}
DECAY: RateSpan = {"low": 0.3, "high": 0.9, "log": False, "stated": 0.75}


def one(strategy: str, losses: list[float | None], **changes: Any) -> dict[str, Any]:
    """What was found for a strategy that tried 0.01, 0.99, 0.1, …."""
    rates = [0.01, 0.99, 0.1, 0.3][: len(losses)]
    known = [(loss, place) for place, loss in enumerate(losses) if loss is not None]
    return {
        "strategy": strategy,
        "labels": "all",
        "seed": 1000,
        "space": {"lr": LR},
        "trials": len(losses),
        "failed": losses.count(None),
        "seconds": 12.34,
        "values": [{"lr": lr} for lr in rates],
        "losses": losses,
        "best": min(known)[1] if known else None,
    } | changes


TOLD: dict[str, Any] = {
    "trials": 3,
    "seconds": None,
    "sampler": "tpe",
    "seed": 1000,
    "each": "study",
    "together": 8,
    "nothing": ["frozen"],
    "found": [one("scratch", [0.9, 1.2, 0.5]), one("fine_tune", [0.8, None, 0.85])],
}


@pytest.fixture
def summary(made_records: Callable[..., StudyRecords]) -> Callable[..., dict[str, Any]]:
    """The summary of a search that was told."""

    def made(**changes: Any) -> dict[str, Any]:
        names = ("scratch", "fine_tune", "frozen")
        records = made_records({(name, "all"): RIGHT for name in names})
        found = search_summary(replace(records, search=TOLD | changes))
        assert found is not None
        assert json.loads(json.dumps(found)) == found
        return found

    return made


@pytest.fixture
def searched(
    content: ReportContent, summary: Callable[..., dict[str, Any]]
) -> Callable[..., ReportContent]:
    def made(**changes: Any) -> ReportContent:
        return replace(content, summary=dict(content.summary) | {"search": summary(**changes)})

    return made


def test_the_lowest_loss_so_far_never_rises_and_passes_over_failures() -> None:
    assert best_so_far({"losses": [None, 0.9, 1.2, None, 0.5]}) == [None, 0.9, 0.9, 0.9, 0.5]


def test_the_summary_says_what_was_given_and_what_was_chosen(
    summary: Callable[..., dict[str, Any]],
) -> None:
    found = summary()
    assert found["budget"] == "3 trials at each label budget"
    assert found["nothing"] == ["frozen"]
    assert [own["chosen"] for own in found["found"]] == [{"lr": 0.1}, {"lr": 0.01}]
    assert [own["at_the_edge"] for own in found["found"]] == [[], []]
    assert summary(trials=None, seconds=30.0)["budget"] == (
        "30 seconds of fitting at each label budget"
    )


@pytest.mark.parametrize(
    ("each", "order", "seen"),
    [("study", "shuffled", False), ("study", "stored", True), ("seed", "shuffled", True)],
)
def test_what_was_searched_on_the_trials_validation_pictures_is_told_to_be_flattered(
    each: str,
    order: str,
    seen: bool,
    made_records: Callable[..., StudyRecords],
    content: ReportContent,
) -> None:
    right = np.random.default_rng(0).random((2, 20)) < 0.8
    there = Validation(("scratch", "fine_tune"), (0,), right, np.arange(20))
    names = ("scratch", "fine_tune")
    records = made_records({(name, "all"): RIGHT for name in names})
    split = records.study.split.model_copy(update={"order": order})
    study = records.study.model_copy(update={"split": split})
    records = replace(records, study=study, search=TOLD | {"each": each}, validation={"all": there})
    told = search_summary(records)
    table = search_table(replace(content, summary={**content.summary, "search": told}))
    assert table is not None
    assert ("of what was searched are flattered" in table.note) == seen
    (best,) = chosen(records)
    assert ("the luck of a search" in best["sentence"]) == seen
    (without,) = chosen(replace(records, search={}))
    assert "the luck of a search" not in without["sentence"]


@pytest.mark.parametrize(
    ("value", "span", "at_the_edge"),
    [(0.99, LR, True), (0.0011, LR, True), (0.5, LR, False),
     (0.31, DECAY, True), (0.89, DECAY, True), (0.32, DECAY, False)],
)  # fmt: skip
def test_a_choice_at_the_end_of_what_was_searched_is_told(
    value: float, span: RateSpan, at_the_edge: bool, searched: Callable[..., ReportContent]
) -> None:
    own = one("scratch", [0.9], space={"lr": span}, values=[{"lr": value}])
    content = searched(found=[own])
    assert content.summary["search"]["found"][0]["at_the_edge"] == ["lr"] * at_the_edge
    table = search_table(content)
    assert table is not None
    assert ("might be better: lr of scratch." in table.note) == at_the_edge


def test_the_table_has_a_row_for_every_strategy(searched: Callable[..., ReportContent]) -> None:
    table = search_table(searched())
    assert table is not None
    rows = tuple(tuple(cell.replace(words.NO_BREAK, " ") for cell in row) for row in table.rows)
    assert rows == (
        ("scratch", "all", "lr 0.001 to 1", "3", "12.3 s", "lr 0.1", "0.9000", "0.5000"),
        ("fine_tune", "all", "lr 0.001 to 1", "3 (1 failed)", "12.3 s", "lr 0.01", "0.8000",
         "0.8000"),
        ("frozen", "–", "nothing to search", "–", "–", "–", "–", "–"),
    )  # fmt: skip
    assert "Every strategy had 3 trials at each label budget" in table.note
    assert "pictures of seed 1000, which has no trial here" in table.note


def test_where_each_seed_searched_the_table_tells_the_seed(
    searched: Callable[..., ReportContent],
) -> None:
    found = [one("scratch", [0.9, 0.8], seed=seed) for seed in (0, 1)]
    table = search_table(searched(each="seed", found=found))
    assert table is not None
    assert [row[2] for row in table.rows] == ["0", "1", "–"]
    assert all(len(row) == len(table.columns) for row in table.rows)
    assert "pictures of each seed alone" in table.note


def test_a_search_that_failed_is_told_above_everything_else(
    made_records: Callable[..., StudyRecords], searched: Callable[..., ReportContent]
) -> None:
    failed = one("scratch", [None, None])
    records = made_records({("scratch", "all"): RIGHT, ("frozen", "all"): RIGHT})
    (said,) = search_warnings(replace(records, search=TOLD | {"found": [failed]}))
    assert said.startswith("Every search trial of scratch with all labels failed")
    table = search_table(searched(found=[failed]))
    assert table is not None
    assert table.rows[0][5:] == ("as stated: all failed", "–", "–")
    assert search.figure(searched(found=[failed])) is None


def test_the_figure_is_the_lowest_loss_so_far(
    searched: Callable[..., ReportContent], monkeypatch: pytest.MonkeyPatch
) -> None:
    specifications: list[Spec] = []

    def keep(spec: Spec, alternative: str) -> Markup:
        specifications.append(spec)
        return Markup(alternative)

    monkeypatch.setattr(_base, "drawn", keep)
    nested = [one("scratch", [0.9, 0.7], seed=0), one("scratch", [0.5, 0.6], seed=1)]
    content = searched(found=[*nested, one("fine_tune", [None, 0.8, 0.85], labels=50)])
    few, many = search.progress(content)
    assert few.curve.to_numpy().tolist() == [["fine_tune", 2, 0.8], ["fine_tune", 3, 0.8]]
    assert many.curve["loss"].tolist() == pytest.approx([0.7, 0.6])
    figure = search.figure(content)
    assert figure is not None
    assert len(figure.numbers.rows) == 7
    assert figure.numbers.rows[1] == ("scratch", "all", "0", "2 (chosen)", "lr 0.99", "0.7000")
    for spec in specifications:
        altair.Chart.from_dict(spec)
    assert len(specifications) == 2


def test_the_page_has_the_table_only_where_something_was_searched(
    content: ReportContent, searched: Callable[..., ReportContent]
) -> None:
    assert 'id="settings"' in render(searched())
    assert 'id="settings"' not in render(content)
    assert search.figure(content) is None
    assert search_table(content) is None
