"""What `compare` prints at its end: whole names, one minus sign, what is warned of and searched."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from headstart.console import print_results
from headstart.report.results import Results
from headstart.study.results import StudyRecords

MakeRecords = Callable[..., StudyRecords]
TUTORIAL = ("scratch", "freeze_then_thaw", "nearest_mean")
LONG = ("scratch", "freeze_the_lower_groups_and_thaw_them_again", "x" * 70)


def records_of(
    made_records: MakeRecords, names: tuple[str, ...], baseline: str = "scratch"
) -> StudyRecords:
    random = np.random.default_rng(3)
    correct = {
        (name, 2000): random.random((2, 20)) < 0.9 - 0.2 * place for place, name in enumerate(names)
    }
    return made_records(correct, baseline=baseline)


def lines_at(
    columns: int, shown: Results, capsys: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch
) -> list[str]:
    patch.setenv("COLUMNS", str(columns))
    print_results(shown)
    return [line.rstrip() for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize(
    ("columns", "baseline"), [(60, "scratch"), (60, "freeze_then_thaw"), (80, "nearest_mean")]
)
def test_names_stand_whole_on_a_line(
    columns: int,
    baseline: str,
    made_records: MakeRecords,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown = Results(records_of(made_records, TUTORIAL, baseline))
    lines = lines_at(columns, shown, capsys, monkeypatch)
    first = [line.split()[0] for line in lines if line and not line.startswith((" ", "•"))]
    for name in TUTORIAL:
        assert first.count(name) >= (1 if name == baseline else 2)
    assert not any("…" in line for line in lines)
    assert max(len(line) for line in lines if not line.startswith("report:")) <= columns


@pytest.mark.parametrize("columns", [60, 80])
def test_longer_names_go_on_below(
    columns: int,
    made_records: MakeRecords,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = lines_at(columns, Results(records_of(made_records, LONG)), capsys, monkeypatch)
    until = next(n for n, line in enumerate(lines) if line.startswith("accuracy in percent"))
    name_column = "".join(line.split()[0] for line in lines[:until] if line.strip())
    for name in LONG:
        assert name_column.count(name) == 1
    assert max(len(line) for line in lines if not line.startswith("report:")) <= columns


def test_columns_there_is_no_room_for_are_named(
    made_records: MakeRecords,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown = Results(records_of(made_records, TUTORIAL))
    wide = " ".join(lines_at(150, shown, capsys, monkeypatch))
    assert "trained: parameters; seconds: median of one fit" in wide
    assert "not shown" not in wide
    narrow = " ".join(lines_at(60, shown, capsys, monkeypatch))
    assert "not shown, for want of room, but in the report: " in narrow
    assert "trained: parameters" not in narrow
    assert "points" in narrow
    assert narrow.count("95% interval") >= 1


def test_people_read_one_minus_sign(
    made_records: MakeRecords,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown = Results(records_of(made_records, TUTORIAL))
    assert shown.summary["comparisons"][0]["difference"] < 0
    text = "\n".join(lines_at(120, shown, capsys, monkeypatch))
    assert "−" in text
    assert not [word for word in text.replace("(", " ").split() if word[0] == "-"]


def test_warnings_are_in_the_summary_the_text_and_on_the_terminal(
    made_records: MakeRecords,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = "the running statistics are mostly what they started from"
    shown = Results(replace(records_of(made_records, TUTORIAL), warned_before=(told,)))
    assert shown.summary["warnings"] == [f"{told}."]
    assert f"- Warning: {told}." in repr(shown)
    assert f"<li>Warning: {told}.</li>" in shown._repr_html_()
    lines = lines_at(120, shown, capsys, monkeypatch)
    place = lines.index(f"warning: {told}.")
    assert place > max(n for n, line in enumerate(lines) if line.startswith("•"))
    assert place < next(n for n, line in enumerate(lines) if line.startswith("test labels read"))


def test_what_a_search_chose_is_printed(
    made_records: MakeRecords,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    span = {"low": 0.001, "high": 1.0, "log": True, "stated": 0.01}
    found = {
        "strategy": "freeze_then_thaw", "labels": 2000, "seed": 1000, "space": {"lr": span},
        "trials": 3, "failed": 0, "seconds": 12.34, "best": 2,
        "values": [{"lr": lr} for lr in (0.01, 0.3, 0.03)], "losses": [0.8, 1.2, 0.61],
    }  # fmt: skip
    search = {
        "trials": 3, "seconds": None, "sampler": "tpe", "seed": 1000, "each": "study",
        "nothing": ["nearest_mean"], "found": [found],
    }  # fmt: skip
    shown = Results(replace(records_of(made_records, TUTORIAL), search=search))
    text = " ".join(" ".join(lines_at(80, shown, capsys, monkeypatch)).split())
    assert (
        "• freeze_then_thaw, 2,000 labels: lr = 0.03, the best of 3 search trials, 12.3 s of "
        "fitting; validation loss 0.610, 0.800 as stated •"
    ) in text.replace("\N{NO-BREAK SPACE}", " ")
    assert "• nearest_mean: nothing to search, so it is as stated" in text
