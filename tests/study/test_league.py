"""The league: its studies can be read, and its tables say what the records say."""

import importlib.util
import math
import re
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from headstart.data.image_set import ImageSet
from headstart.report.results import Results
from headstart.statistics.multiplicity import pairs_needed
from headstart.strategies import STRATEGIES
from headstart.study.records import Records
from headstart.study.results import StudyRecords
from headstart.study.spec import Study
from headstart.training.schedules import rate_factor

FILE = Path(__file__).parents[2] / "benchmarks" / "league" / "league.py"


@pytest.fixture(scope="session")
def league() -> ModuleType:
    sys.path.append(str(FILE.parent))  # for league_tables, as when it is called
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
        # So many pairs can claim a difference, in all but cats_or_dogs after three reads.
        reads = 1 if task == "cats_or_dogs" else 3
        assert len(study.study.seeds) == (10 if reads == 1 else 12)
        assert pairs_needed(len(study.strategy) - 1, 0.05 / reads) <= len(study.study.seeds)
        assert {"scratch", "fine_tune", "co_tuning", "l2_sp"} <= set(study.strategy)
        trained = [s for s in study.strategy.values() if s.takes_training]
        assert len({s.steps for s in trained}) == 1
        assert None not in {s.steps for s in trained}
    everything = league.study_of("clothing").strategy
    maps_own = {"lower_groups", "own_lower_groups", "scratch_again"}
    later = {"multi_depth_probe"}  # than the league was played: its tests are read but so often
    assert {s.kind for s in everything.values()} == set(STRATEGIES) - maps_own - later - {"auto"}


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
    ranks = []
    for row in told[0].rows:
        assert f"\n| {row.name} | {100 * row.accuracy:.1f} |" in page
        places = [[other.name for other in each.rows].index(row.name) for each in told]
        ranks.append((np.mean(places) / (len(told[0].rows) - 1), row.name))
        leading = sum(_may(each, row.name) for each in told)
        chooses = "yes" if row.name == "probe" else ""
        line = re.search(rf"\| {row.name} \| (.*) of 2 \|.*\| (.*) \| [^|]* \|\n", page)
        assert line is not None
        assert line.groups() == (f"{ranks[-1][0]:.2f} | {leading}", chooses)
    ordered = [page.index(f"\n| {name} | {rank:.2f} | ") for rank, name in sorted(ranks)]
    assert ordered == sorted(ordered)
    assert "unfinished: clothing, animals, cats_or_dogs)" in page
    with closing(Records.open(records.directory, create=False)) as opened:
        pictures = {len(labels) for _, labels in opened.valid_labels().values()}
    assert f"  digits {' or '.join(map(str, sorted(pictures)))} at each seed" in page
    assert "`probe` choose with\n  them" in page
    assert "digits: 6 seeds, 4 comparisons, 8 seeds needed" in page
    assert "The gain of `co_tuning` over `fine_tune`" in page
    assert "of 2 comparisons" in page


def _may(league: Any, name: str) -> bool:
    return next(bool(row.may_be_best) for row in league.rows if row.name == name)


def test_who_cannot_be_told_from_the_best_is_said(
    league: ModuleType, records: StudyRecords
) -> None:
    each = next(league.leagues(records, "digits"))
    tied = [row.name for row in each.rows if row.may_be_best]
    tables = sys.modules["league_tables"]
    assert f"{tied[0]}, the highest in this sample" in tables.told_apart(each)
    alone = replace(each, rows=each.rows[:1])
    assert tables.told_apart(alone) == (
        f"All others are found to be worse than {tied[0]}, the highest in this sample."
    )


def test_the_page_names_who_chooses_and_what_the_settings_leave_out(league: ModuleType) -> None:
    study = league.study_of("clothing")
    choosers = {name for name, strategy in study.strategy.items() if league.chooses(strategy)}
    assert choosers == {"probe", "ridge", "lda", "knn", "lp_ft", "wise_ft", "soup"}
    text = " ".join((FILE.parent / "page.md").read_text(encoding="utf-8").split())
    rule, lp_ft = (study.strategy[name] for name in ("bit_hyperrule", "lp_ft"))
    assert f"{rule.steps} steps of {rule.batch_size} pictures where it has" in text
    assert f"{lp_ft.steps} steps of {lp_ft.batch_size} pictures at one rate" in text
    hand_set = league.study_of("cats_or_dogs").strategy
    own = {name for name, s in hand_set.items() if getattr(s, "backbone_lr", None) == 6e-5}
    assert own == {"fine_tune", "l2_sp", "co_tuning"}
    (phase,) = study.strategy["l2_sp"].plan(("low", "head")).phases
    (penalty,) = phase.regularisers
    rates = sum(phase.rates["low"] * rate_factor(phase.schedule, n, 60) for n in range(60))
    drawn = 1 - math.exp(-penalty.alpha * rates / (1 - phase.optimizer.momentum))
    assert f"back by about {100 * drawn:.0f}% over the {phase.steps} steps" in text


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
