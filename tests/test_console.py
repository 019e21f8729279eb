"""What is shown while a study goes on: on a terminal, and elsewhere."""

import re
import time
import warnings

import pytest

from headstart import console
from headstart.study.progress import Progress

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
TRAINING = Progress(
    "training",
    total=4000,
    complete=2317,
    failed=12,
    running=("freeze_then_thaw, seed 17, 200 labels", "freeze_then_thaw, seed 18, all labels"),
    seconds_left=400,
)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "24")


def lines_shown(text: str) -> list[str]:
    """Everything that stood on a line at some time, without colours and movements."""
    return [line.rstrip() for line in re.split(r"[\r\n]", ESCAPES.sub("", text)) if line.strip()]


@pytest.mark.usefixtures("terminal")
def test_a_terminal_shows_trials_done_failed_running_and_the_time_left(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with console.listening() as listener:
        listener(Progress("reading fashion-mnist"))
        listener(TRAINING)
        time.sleep(0.6)
        listener(Progress("drawing the report"))
        time.sleep(0.6)

    shown = capsys.readouterr()
    lines = lines_shown(shown.err)
    assert shown.out == ""
    assert lines[0] == "reading fashion-mnist …"
    status = next(line for line in lines if "training" in line)
    assert status.endswith("2329 of 4000 trials, 12 failed, about 7 min left")
    assert "━" in status
    running = next(line for line in lines if "2 running: " in line)
    assert running.startswith("  2 running: freeze_then_thaw, seed 17, 200 labels; freeze_then_tha")
    assert any(line.endswith(" drawing the report") for line in lines)
    assert max(map(len, lines)) <= 80


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize("columns", ["20", "40", "60", "120"])
def test_the_view_fits_any_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    with console.listening() as listener:
        listener(TRAINING)
        time.sleep(0.3)
    lines = lines_shown(capsys.readouterr().err)
    assert max(map(len, lines)) <= int(columns)
    assert any("2329 of" in line for line in lines)


@pytest.mark.usefixtures("terminal")
def test_the_time_left_counts_down_between_two_trials(capsys: pytest.CaptureFixture[str]) -> None:
    with console.listening() as listener:
        listener(Progress("training", total=2, seconds_left=5))
        time.sleep(2.2)

    told = re.findall(r"about (\d) s left", capsys.readouterr().err)
    assert len(set(told)) >= 2
    assert told == sorted(told, reverse=True)


@pytest.mark.usefixtures("terminal")
def test_a_terminal_keeps_one_line_of_failures_that_are_alike(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with console.listening() as listener:
        for seed in range(3):
            listener(
                Progress("training", total=9, said=f"frozen, seed {seed} failed", failure="too hot")
            )
        listener(Progress("training", total=9, said="scratch, seed 0 failed", failure="too cold"))

    lines = lines_shown(capsys.readouterr().err)
    assert [line for line in lines if "failed:" in line] == [
        "frozen, seed 0 failed: too hot",
        "scratch, seed 0 failed: too cold",
    ]


def test_elsewhere_each_thing_is_a_plain_line(capsys: pytest.CaptureFixture[str]) -> None:
    with console.listening() as listener:
        listener(Progress("reading digits"))
        listener(Progress("training", total=3))
        listener(Progress("training", 3, 1, said="scratch, seed 0: 0.9", seconds_left=7260))
        listener(Progress("training", 3, 1, 1, said="frozen, seed 0 failed", failure="too hot"))
        listener(Progress("scoring"))

    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.splitlines() == [
        "reading digits",
        "[1/3, about 2.0 h left] scratch, seed 0: 0.9",
        "[2/3] frozen, seed 0 failed: too hot",
        "scoring",
    ]


@pytest.mark.parametrize("forced", [True, False], ids=["terminal", "plain"])
def test_a_warning_is_one_line_without_its_place(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, forced: bool
) -> None:
    if forced:
        monkeypatch.setenv("TTY_COMPATIBLE", "1")
    with console.listening():
        warnings.simplefilter("default")
        warnings.warn("mnist is damaged\nand is fetched again", stacklevel=1)

    assert lines_shown(capsys.readouterr().err) == [
        "warning: mnist is damaged and is fetched again"
    ]
