"""The league: its studies can be read, and its tables say what the records say."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from headstart.data.image_set import ImageSet
from headstart.report.results import Results
from headstart.statistics.multiplicity import pairs_needed
from headstart.strategies import STRATEGIES
from headstart.study.results import StudyRecords
from headstart.study.spec import Study

FILE = Path(__file__).parents[2] / "benchmarks" / "league" / "league.py"


@pytest.fixture(scope="session")
def league() -> ModuleType:
    spec = importlib.util.spec_from_file_location("league", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_task_takes_the_same_strategies_with_the_same_steps(league: ModuleType) -> None:
    for task in league.TASKS:
        study = league.study_of(task)
        assert study.question.count(":") == 1
        assert len(study.study.seeds) == 10
        # Ten pairs can claim a difference among so many comparisons, not among more.
        assert pairs_needed(len(study.strategy) - 1) <= 10
        assert {league.BASELINE, league.PLAIN, *league.PUBLISHED} <= set(study.strategy)
        trained = [s for s in study.strategy.values() if s.takes_training]
        assert len({s.steps for s in trained}) == 1
        assert None not in {s.steps for s in trained}
    everything = league.study_of("clothing").strategy
    maps_own = {"lower_groups", "own_lower_groups", "scratch_again"}
    assert {s.kind for s in everything.values()} == set(STRATEGIES) - maps_own - {"auto"}


@pytest.fixture
def records(
    compare: Callable[..., Results],
    small_study: Callable[..., Study],
    digits: ImageSet,
    folder: Path,
) -> StudyRecords:
    near: dict[str, Any] = {
        name: {"kind": "fine_tune", "regularisers": [name]} for name in ("co_tuning", "l2_sp")
    }
    study = small_study(
        strategy={"scratch": {}, "fine_tune": {}, "probe": {}, **near},
        study={"seeds": 6, "labels": [20, 60]},
    )
    compare(study, folder, images=digits)
    return StudyRecords.read(folder)


def test_tables_say_what_the_records_say(league: ModuleType, records: StudyRecords) -> None:
    told = list(league.leagues(records, "digits"))
    assert [each.labels for each in told] == [20, 60]
    for each in told:
        accuracies = [row.accuracy for row in each.rows]
        assert accuracies == sorted(accuracies, reverse=True)
        by_name = {row.name: row for row in each.rows}
        assert by_name["scratch"].to_scratch is None
        assert each.rows[0].to_best is None
        assert each.rows[0].may_be_best
        for name, row in by_name.items():
            answers = records.told(name, each.labels)
            assert answers is not None
            assert row.accuracy == pytest.approx(answers.accuracies.mean())
            if row.to_scratch is not None:
                gap = row.accuracy - by_name["scratch"].accuracy
                assert row.to_scratch.comparison.difference == pytest.approx(gap, abs=1e-9)
                assert row.to_scratch.low < gap < row.to_scratch.high
        assert by_name["fine_tune"].steps == 2 * int(np.ceil(int(each.labels) / 32))
        assert by_name["probe"].steps == 0
    page = league.page({"digits": records})
    for row in told[0].rows:
        assert f"\n| {row.name} | {100 * row.accuracy:.1f} |" in page
        assert f"\n| {row.name} | {sum(_may(each, row.name) for each in told)} of 2 |" in page
    assert "The gain of `co_tuning` over `fine_tune`" in page
    assert "of 2 comparisons" in page


def _may(league: Any, name: str) -> bool:
    return next(bool(row.may_be_best) for row in league.rows if row.name == name)


def test_who_cannot_be_told_from_the_best_is_said(
    league: ModuleType, records: StudyRecords
) -> None:
    each = next(league.leagues(records, "digits"))
    tied = [row.name for row in each.rows if row.may_be_best]
    said = league.told_apart(each)
    assert all(name in said for name in tied[:1])
    alone = league.League("digits", "q", 20, 6, 9, each.rows[:1])
    assert league.told_apart(alone) == f"{each.rows[0].name} is better than every other."


def test_a_page_keeps_what_stands_around_the_tables(league: ModuleType) -> None:
    once = league.written_into("# Strategies\n\nText.\n", "first")
    assert once.startswith("# Strategies\n\nText.\n\n## The league\n")
    twice = league.written_into(once + "\nAfter.\n", "second")
    assert "first" not in twice
    assert "second" in twice
    assert twice.endswith("\nAfter.\n")
    assert league.written_into(twice, "second") == twice


def test_what_is_not_done_is_told_and_left_out(
    league: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert league.done(tmp_path, ["digits"]) == {}
    assert "digits: not begun" in capsys.readouterr().out
