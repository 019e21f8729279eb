"""The figures of ties, remedies, looks, worth, choice and readings: records by value, drawings."""

from dataclasses import replace
from typing import Any

import altair
import pytest
from markupsafe import Markup

from headstart.report.content import ReportContent
from headstart.report.drawing import Spec
from headstart.report.figures import FIGURES, Figure, _base
from headstart.report.figures.best import best
from headstart.report.figures.looks import looks
from headstart.report.figures.order import orders
from headstart.report.figures.power import plans
from headstart.report.figures.reads import reads
from headstart.report.figures.spread import remedies
from headstart.report.figures.worth import worth_marks

NEW = ["order", "what-would-help", "power", "looks", "worth", "best", "gate", "ledger"]

LOOKS = [
    {"pairs": 6, "difference": 0.03, "low": -0.02, "high": 0.08, "p_value": 0.02, "level": 1e-5,
     "chance": 0.9, "evidence": 2.3},
    {"pairs": 8, "difference": 0.04, "low": 0.01, "high": 0.07, "p_value": 1e-4, "level": 4e-4,
     "chance": 1.0, "evidence": 3.9},
]  # fmt: skip
DECLARED = [
    {"pairs": 6, "level": 1e-5, "boundary": 4.4},
    {"pairs": 8, "level": 4e-4, "boundary": 3.5},
    {"pairs": 10, "level": 0.03, "boundary": 2.2},
]


def told(content: ReportContent, **changes: Any) -> ReportContent:
    """The content with what the statistics add to its summary."""
    summary: dict[str, Any] = dict(content.summary)
    first, *others = summary["comparisons"]
    path = {"stop": "better", "looks": LOOKS, "declared": DECLARED}
    spread = {"seeds": 0.003, "pictures": 0.004, "both": 0.0}
    summary["comparisons"] = [
        dict(first, path=path, spread=spread),
        *(
            dict(entry, spread={"seeds": 0.004, "pictures": 0.001, "both": 0.001})
            for entry in others
        ),
    ]
    summary["orders"] = [
        {
            "labels": labels,
            "names": ["frozen", "fine_tune", "scratch"],
            "means": [0.9, 0.89, 0.84],
            "ties": [["frozen", "fine_tune"], ["scratch"]],
        }
        for labels in ("all", 50)
    ]
    curves = [
        {"pictures": pictures, "seeds": [6, 20, 40], "chances": chances, "enough": enough}
        for pictures, chances, enough in (
            (360, [0.2, 0.3, 0.35], None), (720, [0.3, 0.6, 0.85], 40)
        )
    ]  # fmt: skip
    summary["comparisons"][-1]["power"] = {"difference": 0.01, "curves": curves}
    summary["gate"] = {
        "gate": "ladder",
        "tries": [
            {"strategy": "frozen", "labels": 50, "seeds": [0, 1], "answer": None, "heard": False,
             "sentence": "frozen, 50 labels: no better than the best so far"}
        ],
        "statements": [],
    }  # fmt: skip
    summary["worth"] = [
        worth("frozen", 50, 300.0, "", ("", 200.0), ("≥", 1250.0)),
        worth("frozen", 1250, 1250.0, "≥", None, None),
        worth("fine_tune", 50, 50.0, "≤", None, None),
    ]
    summary["best"] = [
        {
            "labels": 50, "winner": "frozen", "estimate": 0.89, "low": 0.87, "high": 0.91,
            "uncorrected": 0.9, "standard_error": 0.01, "strategies": 3, "seeds": 10,
            "share_won": {"scratch": 0.0, "frozen": 0.8, "fine_tune": 0.2},
            "sentence": "frozen is the best of 3 on the validation pictures",
        }
    ]  # fmt: skip
    summary["ledger"] = {
        "entries": [
            {"number": k, "when": "2026-03-01T10:00:00Z", "split": "ab" * 8, "reader": "compare",
             "purpose": "score 4 trials", "reads": 1, "previous": "0" * 64, "digest": f"{k}e" * 32}
            for k in range(3)
        ],
        "counted": 2,
        "budget": 1,
        "limit": 20,
        "sentence": "the test split was read 2 times, beyond its budget of 1: intervals are wider",
    }  # fmt: skip
    return replace(content, summary={**summary, **changes})


def worth(name: str, at: int, labels: float, beyond: str, low: Any, high: Any) -> dict[str, Any]:
    ends = [None if end is None else {"beyond": end[0], "labels": end[1]} for end in (low, high)]
    return {
        "a": name, "b": "scratch", "at": at, "accuracy": 0.88,
        "needed": {"labels": labels, "beyond": beyond}, "low": ends[0], "high": ends[1],
        "sentence": f"{at} labels with transfer are worth {labels:.0f}",
    }  # fmt: skip


@pytest.fixture
def rich(content: ReportContent) -> ReportContent:
    return told(content)


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


def made(content: ReportContent) -> dict[str, Figure]:
    figures = (figure(content) for figure in FIGURES)
    return {one.slug: one for one in figures if one is not None}


def test_every_drawing_follows_the_schema(rich: ReportContent, specifications: list[Spec]) -> None:
    figures = made(rich)
    assert [slug for slug in figures if slug in NEW] == NEW
    for specification in specifications:
        altair.VConcatChart.from_dict(specification, validate=True)
    for slug in NEW:
        assert len(figures[slug].numbers.note) > 80, "the exact method is one click away"
        assert figures[slug].reading.endswith((".", "wider."))


def test_without_their_data_they_are_left_out(
    content: ReportContent, specifications: list[Spec]
) -> None:
    assert not set(NEW) & set(made(content))


def test_the_order_holds_each_group_of_ties(rich: ReportContent) -> None:
    few, everything = orders(rich)
    assert (few.title, everything.title) == ("50 labels", "all 1,250 labels")
    assert list(few.places["strategy"]) == ["frozen", "fine_tune", "scratch"]
    assert list(few.places["row"]) == [0, 1, 2]
    assert few.ties.to_dict(orient="list") == {
        "group": [0, 0],
        "strategy": ["frozen", "fine_tune"],
        "row": [0, 1],
    }


def test_who_is_tied_with_nobody_is_told(rich: ReportContent, specifications: list[Spec]) -> None:
    shown = [row[-1] for row in made(rich)["order"].numbers.rows]
    assert shown == ["fine_tune", "frozen", "nobody"] * 2


def test_remedies_are_shares_of_the_squared_error(rich: ReportContent) -> None:
    first, second, *_ = remedies(rich)
    assert first.shares == pytest.approx({"seeds": 9 / 25, "pictures": 16 / 25, "both": 0.0})
    assert first.error == pytest.approx(0.005)
    assert first.help == "more test pictures; more seeds would hardly help"
    assert second.help == "more seeds; more test pictures would hardly help"
    assert first.name == "frozen against scratch, 50 labels"


def test_a_comparison_without_any_spread_has_no_bar(content: ReportContent) -> None:
    nothing = {"seeds": 0.0, "pictures": 0.0, "both": 0.0}
    entries = [dict(e, spread=nothing) for e in content.summary["comparisons"]]
    assert remedies(replace(content, summary=dict(content.summary, comparisons=entries))) == ()


def test_the_power_curves_say_how_many_seeds_would_do(
    rich: ReportContent, specifications: list[Spec]
) -> None:
    (plan,) = plans(rich)
    assert plan.enough == {360: None, 720: 40}
    assert list(plan.points["chance"]) == [0.2, 0.3, 0.35, 0.3, 0.6, 0.85]
    rows = made(rich)["power"].numbers.rows
    assert rows[-1][1:] == ("+1.00", "720", "40", "85%")


def test_what_a_gate_kept_back_is_told_as_kept_back(
    rich: ReportContent, specifications: list[Spec]
) -> None:
    figure = made(rich)["gate"]
    assert figure.numbers.rows == (("frozen", "50", "2", "no better than the best so far"),)
    assert figure.reading.startswith("Nothing was better than the best before it")
    assert "Blum and Hardt" in figure.numbers.note


def test_looks_are_the_path_beside_all_declared_looks(rich: ReportContent) -> None:
    (record,) = looks(rich)
    assert record.strategy == "frozen"
    assert list(record.path["evidence"]) == [2.3, 3.9]
    assert list(record.boundary["pairs"]) == [6, 8, 10]
    assert record.stop == "stopped: better"


def test_the_worth_keeps_bounds_as_bounds(rich: ReportContent, specifications: list[Spec]) -> None:
    marks = worth_marks(rich)
    assert list(marks["beyond"]) == ["", "≥", "≤"]
    assert list(marks["needed"]) == [300, 1250, 50]
    numbers = made(rich)["worth"].numbers.rows
    assert [row[3] for row in numbers] == ["300", "≥1,250", "≤50"]
    assert [row[4] for row in numbers] == ["×6", "≥×1", "≤×1"]
    assert [row[5] for row in numbers] == ["200 to ≥1,250", "–", "–"]


def test_the_best_is_told_before_and_after_its_luck_is_taken_off(
    rich: ReportContent, specifications: list[Spec]
) -> None:
    (row,) = best(rich).to_dict(orient="records")
    assert (row["estimate"], row["uncorrected"], row["share_won"]) == (0.89, 0.9, 0.8)
    assert "frozen is the best of 3" in made(rich)["best"].reading


def test_the_ledger_lists_every_reading(rich: ReportContent, specifications: list[Spec]) -> None:
    numbers = reads(rich)
    assert numbers is not None
    assert [row[0] for row in numbers.rows] == ["1", "2", "3"]
    assert numbers.rows[0][1] == "2026-03-01 10:00:00 UTC"
    reading = made(rich)["ledger"].reading
    assert reading.startswith("The test split was read 2 times, beyond its budget of 1")
    assert "There were 3 readings in all" in reading


@pytest.mark.parametrize("change", [{"orders": []}, {"worth": []}, {"best": []}, {"ledger": {}}])
def test_empty_parts_of_a_summary_draw_nothing(
    content: ReportContent,
    specifications: list[Spec],
    change: dict[str, Any],
) -> None:
    slugs = {"orders": "order", "worth": "worth", "best": "best", "ledger": "ledger"}
    (part,) = change
    assert slugs[part] not in made(told(content, **change))
