"""Explaining a study, keeping features, and sharing nothing on request."""

import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from headstart.cli import main
from headstart.console.engine import sentence
from headstart.data.image_set import ImageSet
from headstart.study.compare import open_workplace, train_and_score
from headstart.study.explain import Explanation, JobCost, explain
from headstart.study.folder import study_folder
from headstart.study.progress import Progress
from headstart.study.spec import load_study

Command = Callable[..., int]

STUDY = """
[data]
name = "digits"

[split]
valid = 100
test = 100

[task]
classes = ["0", "1", "2"]

[source]
training = { epochs = 1 }

[network]
kind = "cnn"
layers = [{ conv = 16 }, { conv = 16 }, { dense = 32 }]

[training]
optimizer = "adam"
epochs = 3

[strategy.scratch]

[strategy.frozen]

[strategy.freeze_then_thaw]

[study]
seeds = 2
labels = [30, "all"]
"""


@pytest.fixture
def headstart(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """``headstart("compare", file)``: the exit code of the program with these arguments."""

    def ended(*arguments: str | Path) -> int:
        monkeypatch.setattr(sys, "argv", ["headstart", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        assert isinstance(end.value.code, int | None)
        return end.value.code or 0

    return ended


@pytest.fixture
def study_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "kept"))
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "digits.toml"
    file.write_text(STUDY)
    return file


def test_explain_tells_the_jobs_and_what_they_share(
    study_file: Path, headstart: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert headstart("explain", str(study_file), "--jobs", "2") == 0
    out = capsys.readouterr().out
    assert re.match(
        r"12 trials → 2 sources, 2 passes over pictures, 12 fits; about .* instead", out
    )
    assert "fit frozen, all labels: 2 × " in out
    assert re.search(r"head: \d+ steps of 32, behind ", out)
    assert re.search(r"train: 3 steps of 32, at the pictures", out)
    assert not (study_file.parent / "studies").exists()


def test_explain_tells_stacked_fits_from_single_ones() -> None:
    jobs = (
        JobCost("train the source", 2, 3.0, 9.0, kind=(None, "all")),
        JobCost("look once at 9 pictures", 2, 1.0, 0.0, bytes=4, kind="pool"),
        JobCost("fit frozen, 50 labels", 5, 1.0, 2.0, kind=("frozen", 50), stack=4),
        JobCost("fit scratch, 50 labels", 5, 1.0, 1.0, kind=("scratch", 50)),
    )
    told = sentence(Explanation(jobs, 10, 1, 20.0, 40.0))
    assert told.startswith(
        "10 trials → 2 sources, 2 passes over pictures, 2 stacked fits, 5 single fits; about"
    )


def test_explain_counts_the_same_in_json(
    study_file: Path, headstart: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert headstart("explain", str(study_file), "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["trials"] == 12
    assert sum(job["count"] for job in told["jobs"] if job["what"].startswith("fit ")) == 12
    assert 0 < told["seconds"] < told["naive_seconds"]


def test_the_estimate_is_of_the_right_order(study_file: Path) -> None:
    study = load_study(study_file)
    found = explain(open_workplace(study), jobs=1)
    with study_folder(study_file.parent / "answers", fresh=False) as folder:
        records = train_and_score(study, folder, jobs=1)
    fits = records.trials.groupby(["strategy", "labels"])["fit_seconds"].median()
    told = {job.what: job.seconds for job in found.jobs}
    slowest = told["fit scratch, all labels"] / fits["scratch", "all"]
    assert 0.1 < slowest < 10  # a busy machine is no failure


def test_features_are_kept_and_cleared(
    study_file: Path, headstart: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert headstart("compare", str(study_file), "--jobs", "1") == 0
    capsys.readouterr()
    assert headstart("cache", "list") == 0
    out = capsys.readouterr().out
    assert "used today" in out
    assert re.search(
        r"features .* digits, a network of kind cnn up to \w+ \(\d.*\), by PyTorch", out
    )
    assert headstart("cache", "size") == 0
    size = int(capsys.readouterr().out)
    files = [path for path in (study_file.parent / "kept").rglob("*") if path.is_file()]
    assert size == sum(path.stat().st_size for path in files if not path.name.startswith("."))
    for note in (study_file.parent / "kept").rglob("index.json"):
        os.utime(note, (1e9, 1e9))
        break
    assert headstart("cache", "clear", "--older-than", "30d") == 0
    assert capsys.readouterr().out.startswith("removed 1, ")
    assert headstart("cache", "clear") == 0
    assert headstart("cache", "size") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "0"


def test_limits_that_are_none_or_too_small_are_refused(
    study_file: Path, headstart: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert headstart("compare", str(study_file), "--memory", "few", "--disk", "-3GB") == 2
    told = capsys.readouterr().err
    assert "--memory 'few': expected a number and a unit, such as 8GB" in told
    assert "--disk '-3GB': expected" in told
    assert headstart("explain", str(study_file), "--memory", "10MB") == 2
    assert "--memory 10 MB is too small: training one trial takes about" in capsys.readouterr().err
    assert headstart("compare", str(study_file), "--memory", "10MB") == 2
    assert "allow that much" in capsys.readouterr().err


@pytest.mark.parametrize("age", ["3x", "d", "-1d", "", "nand"])
def test_an_age_that_is_none_is_refused(
    study_file: Path, headstart: Command, capsys: pytest.CaptureFixture[str], age: str
) -> None:
    del study_file
    assert headstart("cache", "clear", "--older-than", age) == 2
    assert "expected a number and a unit, such as 30d" in capsys.readouterr().err


def test_naive_gives_the_same_answers_and_keeps_nothing(
    study_file: Path, headstart: Command
) -> None:
    assert headstart("compare", str(study_file), "--jobs", "1", "--naive", "--output", "alone") == 0
    assert not (study_file.parent / "kept" / "features").exists()
    assert headstart("compare", str(study_file), "--jobs", "1", "--output", "shared") == 0
    assert (study_file.parent / "kept" / "features").exists()
    told = [
        json.loads((study_file.parent / name / "summary.json").read_text())["comparisons"]
        for name in ("alone", "shared")
    ]
    for ours, theirs in zip(*told, strict=True):
        assert ours["difference"] == pytest.approx(theirs["difference"], abs=2e-3)


def test_a_folder_of_pictures_and_a_size_are_enough(tmp_path: Path) -> None:
    from PIL import Image

    rng = np.random.default_rng(0)
    for label, shade in (("dark", 60), ("light", 190)):
        (tmp_path / "shades" / label).mkdir(parents=True)
        for number in range(40):
            pixels = rng.normal(shade, 20, (10, 12, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "shades" / label / f"{number}.png")
    (tmp_path / "shades" / "dark" / "broken.png").write_bytes(b"no picture")
    file = tmp_path / "shades.toml"
    file.write_text(
        """
[data]
path = "shades"
scaling = "standardised"
image_size = 8
[network]
kind = "mlp"
hidden = [16]
[training]
optimizer = "adam"
lr = 0.01
epochs = 30
[strategy.scratch]
[study]
seeds = 1
"""
    )
    study = load_study(file)
    told: list[Progress] = []
    with (
        study_folder(tmp_path / "answers", fresh=False) as folder,
        pytest.warns(UserWarning, match=r"1 file\(s\) are left out: dark/broken\.png"),
    ):
        records = train_and_score(study, folder, jobs=1, listener=told.append)
    assert records.trials["test_accuracy"].min() > 0.9
    details = [each.detail for each in told if each.doing == "reading the pictures"]
    assert details[-1].startswith("decoding 81 of 81")
    images: ImageSet = open_images(file)
    assert images.picture_shape == (8, 8, 3)


def open_images(file: Path) -> ImageSet:
    with pytest.warns(UserWarning, match="left out"):
        return open_workplace(load_study(file)).images
