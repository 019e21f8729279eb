"""The command line as a user meets it: what it prints where, and how it ends."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest

from headstart.cli import main
from headstart.data import catalog

STUDY = """
question = "Do other digits help?"

[data]
name = "digits"

[split]
valid = 0.2
test = 0.3

[task]
classes = ["0", "1", "2"]

[source]

[network]
kind = "mlp"
hidden = [16, 8]

[training]
optimizer = "sgd"
lr = 0.1
epochs = 2

[strategy.scratch]

[strategy.frozen]

[study]
seeds = 2
"""


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


Command = Callable[..., Ended]


@pytest.fixture
def headstart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """``headstart("compare", file)``: what the program does with these arguments."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str | Path) -> Ended:
        monkeypatch.setattr(sys, "argv", ["headstart", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        code = end.value.code
        assert code is None or isinstance(code, int)
        return Ended(code or 0, *capsys.readouterr())

    return run


@pytest.fixture
def study_file(tmp_path: Path) -> Path:
    file = tmp_path / "digits.toml"
    file.write_text(STUDY)
    return file


def refused(ended: Ended) -> str:
    """What a refusal says, on one line; it has to be told in one way."""
    assert ended.code == 2
    assert ended.out == ""
    assert ended.err.count("error: ") == 1
    assert "Traceback" not in ended.err
    return " ".join(ended.err.split("error: ")[1].split())


@pytest.mark.parametrize(
    ("arguments", "code", "out"),
    [(["--version"], 0, "headstart 0."), (["show", "nowhere.toml"], 2, "")],
)
def test_the_process_ends_at_once_with_its_code_and_all_that_was_to_be_done(
    tmp_path: Path, arguments: list[str], code: int, out: str
) -> None:
    program = (
        "import atexit, sys\n"
        "from headstart.cli import application\n"
        "assert 'multiprocessing.util' not in sys.modules  # its end would come too late\n"
        "command = application.main\n"
        "def main():\n"
        "    atexit.register(print, 'at the end')\n"
        "    command()\n"
        "application.main = main\n"
        "class Kept:\n"
        "    def __del__(self): print('taken apart')\n"
        "kept = Kept()\n"
        "kept.itself = kept\n"
        f"sys.argv = ['headstart', *{arguments!r}]\n"
        "application.run()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == code
    assert done.stdout.startswith(out)
    assert done.stdout.endswith("at the end\n")
    assert (code == 2) == ("error: there is no study file nowhere.toml" in done.stderr)


def test_a_study_may_come_through_a_pipe() -> None:
    program = (
        "import sys\n"
        "from headstart.cli.options import expect_workers\n"
        "from pathlib import Path\n"
        "expect_workers(None, study_file=Path('/dev/stdin'))\n"
        "print(len(sys.stdin.read()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=STUDY, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == f"{len(STUDY)}\n"


@pytest.mark.skipif(sys.platform == "win32", reason="shells close streams otherwise there")
def test_the_command_ends_well_without_a_standard_output() -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", f"{sys.executable} -m headstart --version >&-"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "Exception ignored" not in done.stderr
    assert "Traceback" not in done.stderr


def test_the_version_is_the_packages(headstart: Command) -> None:
    assert headstart("--version").out == f"headstart {metadata.version('headstart')}\n"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("lr = 0.1", "lrate = 0.1", "digits.toml:22: training.lrate: unknown key; did you mean 'l"),
        ("[split]", "[splot]", "digits.toml:7: splot: unknown key; did you mean 'split'?"),
        ('"digits"', '"digit"', "there is no data set 'digit': did you mean 'digits'?"),
        ('"2"]', '"zwei"]', "digits has no class 'zwei': Known: 0, 1, 2"),
        ('"sgd"', '"adm"', "'adm' is not known; did you mean 'adam'? Known: adadelta, adam,"),
        ('"mlp"', '"mpl"', "kind = 'mpl' is not known; did you mean 'mlp'?"),
        ("[strategy.frozen]", "[strategy.frosen]", "there is no strategy 'frosen'; did you mean"),
        ("seeds = 2", "labels = [60, 5000]", "a label budget of 5000 is above the"),
        ("seeds = 2", "labels = [2]", "a label budget of 2 cannot hold one label of each of the 3"),
        ("seeds = 2", "seeds = 0", "seeds = 0: at least one is needed"),
        ("seeds = 2", 'baseline = "scrtch"', "did you mean 'scratch'?"),
        ("[source]", '[source]\nclasses = ["2", "3"]', "source and task overlap in '2'"),
        ("epochs = 2", "epochs = 0", "training.epochs: "),
        ("epochs = 2", "epochs = -3", "training.epochs: "),
        ("epochs = 2", "epochs = 2\nsteps = 10", "epochs and steps contradict each other"),
        ("lr = 0.1", "lr = nan", "training.lr: "),
        ('"sgd"', '{ name = "adam", momentum = 0.9 }', "momentum has no effect with adam"),
        ("[source]\n", "", "there is no [source] to transfer from"),
        ("valid = 0.2\ntest = 0.3", 'order = "stored"\ntrain = [0, 2]\nvalid = [2, 20]\n'
         "test = [20, 40]", "the train split has no picture of '2'"),
        ("[task]", "[task", "digits.toml is not TOML: "),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_study_is_told(
    headstart: Command, study_file: Path, tmp_path: Path, old: str, new: str, told: str
) -> None:
    assert old in STUDY
    study_file.write_text(STUDY.replace(old, new))

    ended = headstart("compare", study_file, "--output", tmp_path / "answers")

    assert told in refused(ended)
    assert not (tmp_path / "answers").exists()


def test_all_mistakes_are_told_at_once(headstart: Command, study_file: Path) -> None:
    changes = {"lr = 0.1": "lrate = 0.1", "[split]": "[splot]", "seeds = 2": "seeds = 0"}
    text = STUDY
    for old, new in changes.items():
        text = text.replace(old, new)
    study_file.write_text(text)

    told = refused(headstart("compare", study_file))

    for word in ("lrate", "splot", "seeds"):
        assert word in told


def test_what_only_the_pictures_can_tell_is_told_at_once_too(
    headstart: Command, study_file: Path, tmp_path: Path
) -> None:
    text = STUDY.replace("[strategy.frozen]", '[strategy.freeze_then_thaw]\nthaw = ["dense_7"]')
    text = text.replace("[source]", '[source]\nclasses = ["2", "3"]')
    study_file.write_text(text.replace("seeds = 2", "labels = [2, 5000]"))

    told = refused(headstart("compare", study_file, "--output", tmp_path / "answers"))

    for words in ("budget of 2 ", "budget of 5000", "overlap in '2'", "'dense_7'"):
        assert words in told


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--labels", "50,2oo"], "'2oo' is neither a number nor all; for example --labels"),
        (["--labels", "50,50"], "names one value twice"),
        (["--seeds", "0"], "seeds = 0: at least one is needed"),
        (["--until-decided", "--seeds", "9"], "--seeds has no effect with --until-decided"),
        (["--max-seeds", "9"], "--max-seeds has no effect without --until-decided"),
        (["--open-ended"], "--open-ended has no effect without --until-decided"),
        (["--until-decided", "--open-ended", "--max-seeds", "9"], "--max-seeds declares an end"),
        (["--fresh", "--retry-failed"], "--retry-failed has no effect with --fresh"),
    ],
)
def test_options_that_cannot_be_followed_are_refused(
    headstart: Command, study_file: Path, options: list[str], told: str
) -> None:
    assert told in refused(headstart("compare", study_file, *options))


@pytest.mark.parametrize("options", [["--seeds", "many"], ["--jobs", "0"], ["--sedes", "3"]])
def test_options_that_cannot_be_read_are_refused(
    headstart: Command, study_file: Path, options: list[str]
) -> None:
    ended = headstart("compare", study_file, *options)
    assert (ended.code, ended.out) == (2, "")
    assert options[0] in ended.err


def test_a_strategy_alone_is_warned_of_before_and_after(
    headstart: Command, study_file: Path, tmp_path: Path
) -> None:
    study_file.write_text(STUDY.replace("[strategy.frozen]", "").replace("seeds = 2", "seeds = 1"))

    ended = headstart("compare", study_file, "--output", tmp_path / "answers", "--jobs", "1")

    said = "warning: scratch is the only strategy, so there is nothing to compare it with"
    assert ended.code == 0
    assert said in ended.err
    assert ended.err.index(said) < ended.err.index("[1/1")
    assert said in " ".join(ended.out.split())
    told = json.loads((tmp_path / "answers" / "summary.json").read_text())["warnings"]
    assert any(text.startswith("scratch is the only strategy") for text in told)


def test_study_files_that_cannot_be_read_are_refused(headstart: Command, study_file: Path) -> None:
    assert "did you mean 'digits.toml'?" in refused(
        headstart("compare", study_file.with_name("digit.toml"))
    )
    assert "cannot be read" in refused(headstart("compare", study_file.parent))
    study_file.write_bytes(b"\xff\xfe\x00question")
    assert "cannot be read" in refused(headstart("compare", study_file))


def test_a_folder_that_cannot_be_written_is_refused(headstart: Command, study_file: Path) -> None:
    told = refused(headstart("compare", study_file, "--output", study_file / "answers"))
    assert "cannot be written (Not a directory): give another --output" in told


def test_a_users_own_files_are_never_overwritten(headstart: Command, tmp_path: Path) -> None:
    own = tmp_path / "study.toml"
    own.write_text(f"# notes of a year{STUDY}")

    told = refused(headstart("compare", own, "--output", tmp_path))

    assert "holds study.toml but no records of a study (study.sqlite)" in told
    assert own.read_text().startswith("# notes of a year")
    assert [path.name for path in tmp_path.iterdir()] == ["study.toml"]


def test_a_study_from_question_to_report(
    headstart: Command, study_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "answers"
    asked = ["compare", study_file, "--output", place, "--labels", "60, all", "--seeds", "3"]

    ended = headstart(*asked, "--jobs", "1", "--json")

    assert ended.code == 0
    summary = json.loads(ended.out)
    assert summary == json.loads((place / "summary.json").read_text())
    assert [(entry["name"], entry["labels"], entry["trials"]) for entry in summary["strategies"]][
        :3
    ] == [("scratch", 60, 3), ("frozen", 60, 3), ("scratch", "all", 3)]
    lines = ended.err.splitlines()
    assert lines[:3] == [
        "loading PyTorch",
        "reading digits",
        "checking 1,797 pictures and the study",
    ]
    assert re.match(r"12 trials, 1 at a time: about ", lines[3])
    assert re.match(r"\[0/12.*\] source, seed 0: validation accuracy 0\.\d{4}, ", lines[4])
    assert lines[-1] == "drawing the report"

    again = headstart(*asked)

    assert again.code == 0
    assert "[" not in again.err  # nothing was trained again
    assert "Do other digits help?" in again.out
    assert again.out.count("frozen") >= 4
    assert "test labels read 1 time" in again.out
    assert f"report: {place / 'report.html'}" in again.out
    assert max(map(len, again.out.replace(str(place), "").splitlines())) <= 80

    def no_pictures(name: str) -> None:
        raise AssertionError(f"{name} was read")

    monkeypatch.setattr(catalog, "load", no_pictures)
    (place / "report.html").unlink()
    assert headstart("report", place).out == f"report: {place / 'report.html'}\n"
    assert (place / "report.html").stat().st_size > 10_000
    other = tmp_path / "elsewhere.html"
    assert headstart("report", place, "--output", other).code == 0
    assert "Do other digits help?" in other.read_text()


def test_failed_trials_end_with_1_and_are_told_once(
    headstart: Command, study_file: Path, tmp_path: Path
) -> None:
    text = STUDY.replace("[strategy.frozen]", "[strategy.frozen]\nlr = 1e38")
    study_file.write_text(text.replace("seeds = 2", "seeds = 3"))

    ended = headstart("compare", study_file, "--output", tmp_path / "answers", "--jobs", "1")

    assert ended.code == 1
    told = " ".join(ended.out.split())
    assert "• all labels: frozen failed with seed" in told
    assert 1 <= told.count("the loss became") <= 2  # inf and nan are two reasons
    assert ended.err.count("failed: the loss became") == 3
    trials = pd.read_csv(tmp_path / "answers" / "trials.csv")
    assert list(trials["state"]) == ["complete", "failed"] * 3


def test_a_changed_study_is_refused_and_begun_anew_when_asked(
    headstart: Command, study_file: Path, tmp_path: Path
) -> None:
    place = tmp_path / "answers"
    study_file.write_text(STUDY.replace("[strategy.frozen]", "").replace("seeds = 2", "seeds = 1"))
    assert headstart("compare", study_file, "--output", place).code == 0
    study_file.write_text(study_file.read_text().replace("lr = 0.1", "lr = 0.2"))

    told = refused(headstart("compare", study_file, "--output", place))
    assert "strategy.lr: was 0.1, is now 0.2" in told

    assert headstart("compare", study_file, "--output", place, "--fresh").code == 0
    assert len(list(tmp_path.glob("answers*"))) == 2


@pytest.mark.parametrize("command", ["report", "ledger"])
def test_a_folder_without_a_study_is_refused(
    headstart: Command, tmp_path: Path, command: str
) -> None:
    assert "holds no records (study.sqlite)" in refused(headstart(command, tmp_path))
    assert "holds no records (study.sqlite)" in refused(headstart(command, tmp_path / "nowhere"))
    assert list(tmp_path.iterdir()) == []


def test_show_tells_layers_and_what_each_phase_trains(headstart: Command, study_file: Path) -> None:
    ended = headstart("show", study_file)

    assert ended.code == 0
    rows = [line.split() for line in ended.out.splitlines()]
    assert ["body.dense_1", "Linear", "dense_1", "16", "1,040"] in rows
    assert ["head.output", "Linear", "head", "3", "27"] in rows
    assert "1,203 parameters" in ended.out
    assert "head for its own 7 classes" in " ".join(ended.out.split())
    assert ["frozen", "head", "2", "epochs", "dense_1", "to", "dense_2:", "frozen", "27"] in rows


def test_the_catalogue_is_told(
    headstart: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADSTART_DATA", str(tmp_path))
    listed = headstart("data", "list")

    assert listed.code == 0
    for name in catalog.names():
        assert name in listed.out
    assert Path(headstart("data", "get", "digits").out.strip()).is_dir()
    assert headstart("data", "where", "digits") == headstart("data", "get", "digits")
    told = refused(headstart("data", "where", "fashion-mnist"))
    assert told == "fashion-mnist is not on this machine yet: headstart data get fashion-mnist"
    assert "did you mean 'fashion-mnist'?" in refused(headstart("data", "get", "fashionmnist"))


def test_a_folder_of_pictures_is_got_with_its_topics(
    headstart: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog, "get", lambda name: tmp_path / name)

    got = headstart("data", "get", "stamps")

    assert got.out == f"{tmp_path / 'stamps'}\n", "a script can use it"
    assert "licence: GPL-2.0-or-later (https://tuxpaint.org/stamps/)" in got.err
    assert "796 pictures in animals, clothes, food," in got.err


def test_markup_in_names_is_shown_as_it_is(
    headstart: Command, study_file: Path, tmp_path: Path
) -> None:
    text = STUDY.replace("Do other digits", "Do [red]other[/red] :digits:")
    text = text.replace("[strategy.frozen]", '[strategy."[bold]cold"]\nkind = "frozen"')
    study_file.write_text(text.replace("seeds = 2", "seeds = 1"))

    ended = headstart("compare", study_file, "--output", tmp_path / "answers")

    assert "Do [red]other[/red] :digits: help?" in ended.out
    assert "[bold]cold" in ended.out
    assert "[bold]cold, seed 0, all labels: validation accuracy" in ended.err
