"""The commands worth, power and ledger, and the options of compare that contradict each other."""

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from headstart import cli, console
from headstart.console import statistics
from headstart.errors import RecordsError, StudyError
from headstart.report.label_worth import label_worths
from headstart.statistics.paired import compare_pairs
from headstart.statistics.power import power_table
from headstart.study.results import StudyRecords
from headstart.study.scoring import DECLARED

MakeRecords = Callable[..., StudyRecords]


def arms(seeds: int = 8, budgets: tuple[Any, ...] = (50,)) -> dict[tuple[str, Any], Any]:
    random = np.random.default_rng(1)
    hardness = random.random(500)
    return {
        (name, labels): hardness + random.normal(0, 0.1, (seeds, 500)) < accuracy + 0.03 * place
        for place, labels in enumerate(budgets)
        for name, accuracy in (("scratch", 0.7), ("frozen", 0.71))
    }


def told(capsys: pytest.CaptureFixture[str]) -> str:
    return " ".join(capsys.readouterr().out.split())


def test_power_asks_about_the_difference_seen_or_the_one_given(made_records: MakeRecords) -> None:
    records = made_records(arms())
    (seen,) = statistics.power_plans(records, None)
    (asked,) = statistics.power_plans(records, 0.05)
    assert seen.difference == seen.pilot.difference
    assert asked.difference == 0.05
    pilot = compare_pairs(*(records.answers[name, 50].correct for name in ("frozen", "scratch")))
    assert pilot.variance is not None
    cell = next(c for c in asked.cells if (c.seeds, c.pictures) == (20, 1000))
    assert (cell,) == power_table(pilot.variance, 0.05, [20], [1000])
    assert {c.pictures for c in asked.cells} == {500, 1000, 2500}


def test_power_draws_a_curve_for_each_number_of_pictures(
    made_records: MakeRecords, capsys: pytest.CaptureFixture[str]
) -> None:
    plans = statistics.power_plans(made_records(arms()), 0.01)
    (plan,) = plans
    assert [curve.pictures for curve in plan.curves] == [500, 1000, 2500]
    for curve in plan.curves:
        assert all(a <= b + 1e-9 for a, b in pairwise(curve.chances))
    statistics.print_plans(plans)
    text = told(capsys)
    assert "chance of a verdict, 500 pictures: 6 " in text
    assert " 40 seeds, " in text
    assert len(statistics.plans_data(plans)["plans"][0]["curves"]) == 3


def test_each_of_several_comparisons_has_its_share_of_alpha(made_records: MakeRecords) -> None:
    several = made_records(arms(budgets=(50, "all")))
    (first, _) = statistics.power_plans(several, 0.02)
    split = first.pilot.variance
    assert split is not None
    assert first.cells == power_table(
        split, 0.02, [6, 8, 10, 20, 40], [500, 1000, 2500], alpha=0.025
    )


def test_power_refuses_one_seed(made_records: MakeRecords) -> None:
    with pytest.raises(StudyError, match="at least two seeds each"):
        statistics.power_plans(made_records(arms(seeds=1)), None)


def test_power_without_any_spread_still_answers(made_records: MakeRecords) -> None:
    same = np.ones((6, 100), dtype=bool)
    records = made_records({("scratch", 50): same, ("frozen", 50): same})
    plans = statistics.power_plans(records, None)
    json.dumps(statistics.plans_data(plans), allow_nan=False)
    statistics.print_plans(plans)


def test_power_prints_a_table_and_advice(
    made_records: MakeRecords, capsys: pytest.CaptureFixture[str]
) -> None:
    plans = statistics.power_plans(made_records(arms()), None)
    statistics.print_plans(plans)
    text = told(capsys)
    assert "frozen against scratch, 50 labels (8 pairs, 500 test pictures)" in text
    assert "chance to tell" in text
    if not plans[0].advice.decided:
        assert "would" in text


def test_power_and_worth_as_json_hold_no_nan(
    made_records: MakeRecords, capsys: pytest.CaptureFixture[str]
) -> None:
    records = made_records(arms(budgets=(50, "all")))
    plans = statistics.plans_data(statistics.power_plans(records, None))
    console.print_json(plans)
    entry = json.loads(capsys.readouterr().out)["plans"][0]
    assert {"a", "b", "labels", "difference", "more_seeds", "more_pictures", "table"} <= set(entry)
    console.print_json(statistics.worths_data(label_worths(records)))
    worths = json.loads(capsys.readouterr().out)
    assert worths["frozen"]["budgets"] == [50, 200]


def test_worth_is_printed_with_its_interval_and_sentence(
    made_records: MakeRecords, capsys: pytest.CaptureFixture[str]
) -> None:
    worths = label_worths(made_records(arms(budgets=(50, "all"))))
    statistics.print_worths(worths)
    text = told(capsys)
    assert "frozen (8 pairs)" in text
    for entry in worths["frozen"].worths:
        assert f"{entry.at:,} labels with transfer are worth" in text


def test_the_ledger_prints_every_reading_and_what_it_cost(
    made_records: MakeRecords, capsys: pytest.CaptureFixture[str]
) -> None:
    records = made_records(arms())
    statistics.print_ledger(records)
    text = told(capsys)
    assert "read once, within its budget of 1" in text
    assert records.test_reads[0].digest[:12] in text
    assert "The chain is whole" in text


def test_the_ledger_tells_that_declared_looks_count_once(
    made_records: MakeRecords, capsys: pytest.CaptureFixture[str]
) -> None:
    from headstart.statistics.ledger import next_entry

    entries: list[Any] = []
    for _ in range(3):
        reader = f"{DECLARED}, at most 8 seeds"
        entries.append(next_entry(entries, when="1", split="a", reader=reader, purpose="score"))
    statistics.print_ledger(made_records(arms(), changes={"test_reads": entries}))
    assert "3 readings in all: the looks of a declared design count once" in told(capsys)


def test_a_tampered_ledger_is_not_printed(made_records: MakeRecords) -> None:
    records = made_records(arms())
    forged = [replace(records.test_reads[0], purpose="nothing")]
    with pytest.raises(RecordsError, match="the ledger of test reads is broken"):
        statistics.print_ledger(replace(records, test_reads=forged))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--until-decided", "--seeds", "4"], "--seeds has no effect with --until-decided"),
        (["--max-seeds", "20"], "--max-seeds has no effect without --until-decided"),
    ],
)
def test_options_that_contradict_each_other_end_with_2(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    message: str,
) -> None:
    monkeypatch.setattr("sys.argv", ["headstart", "compare", "study.toml", *options])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
