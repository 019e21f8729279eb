"""``headstart rates``: a rate for every strategy, and no trace of having looked."""

import json
import sys
from pathlib import Path

import pytest

from headstart.cli import main
from headstart.errors import StudyError
from headstart.study.rates import first_rates
from headstart.study.spec import Study, load_study

STUDY = """
[data]
name = "digits"
[task]
classes = ["0", "1", "2"]
[source]
[network]
kind = "mlp"
hidden = [16, 8]
[training]
lr = 0.001
epochs = 1
[strategy.scratch]
[strategy.frozen]
lr = 0.1
[strategy.layerwise]
[strategy.ridge]
[study]
seeds = 2
labels = [40, 120]
"""


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits.toml").write_text(STUDY)
    return load_study(tmp_path / "digits.toml")


def test_every_strategy_that_trains_gets_a_rate_and_nothing_is_kept(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["headstart", "rates", "digits.toml", "--json"])
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code
    rates = json.loads(capsys.readouterr().out)["rates"]
    assert [(each["strategy"], each["phase"], each["now"]) for each in rates] == [
        ("scratch", "train", 0.001), ("frozen", "head", 0.1), ("layerwise", "fine-tune", 0.001),
    ]  # fmt: skip
    assert all(1e-3 < each["suggested"] < 10 for each in rates)
    assert [path.name for path in tmp_path.iterdir()] == ["digits.toml"]


def test_the_table_says_what_there_is_and_what_is_suggested(
    study: Study, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["headstart", "rates", "digits.toml", "--seed", "1"])
    with pytest.raises(SystemExit):
        main()
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    (row,) = (line for line in lines if line[:1] == ["frozen"])
    found = {each.strategy: each for each in first_rates(study, 1)}
    assert row == ["frozen", "head", "0.1", f"{found['frozen'].suggested:.2g}"]


def test_a_seed_that_is_not_the_studys_is_refused(study: Study) -> None:
    with pytest.raises(StudyError) as caught:
        first_rates(study, 7)
    assert str(caught.value) == "seed 7 is none of the study's, which are [0, 1]: name one"
