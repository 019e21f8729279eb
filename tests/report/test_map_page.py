"""The map of a study: drawn, gone on with, shown."""

import copy
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart import api
from headstart.console.depth_map import print_map
from headstart.data.image_set import ImageSet
from headstart.errors import StudyError
from headstart.report.depth_map import DepthMap, map_content
from headstart.report.figures import depth_map as figure
from headstart.report.results import Results
from headstart.study.spec import study_from

MAP: dict[str, Any] = {
    "question": "What is each layer worth?",
    "split": {"valid": 0.2, "test": 0.3},
    "network": {"kind": "mlp", "hidden": [12, 8]},
    "training": {"optimizer": "sgd", "lr": 0.1, "epochs": 1},
    "map": {"class_splits": 2},
    "study": {"seeds": 2, "labels": [100, "all"]},
}


@pytest.fixture(scope="module")
def digits() -> ImageSet:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return ImageSet.from_arrays(np.rint(bunch.images * 15).astype(np.uint8), bunch.target)


@pytest.fixture(scope="module")
def drawn(digits: ImageSet, tmp_path_factory: pytest.TempPathFactory) -> DepthMap:
    return api.draw_map(study_from(MAP), tmp_path_factory.mktemp("map"), images=digits, jobs=1)


def test_its_numbers_are_those_of_the_trials(drawn: DepthMap) -> None:
    written = json.loads((drawn.directory / "map.json").read_text())
    assert written == drawn.numbers
    assert [entry["labels"] for entry in written] == [100, "all"]
    trials = [each.trials.set_index(["strategy", "seed", "labels"]) for each in drawn.records]
    for entry in written:
        assert (entry["worlds"], entry["seeds"], entry["dropped"]) == (2, 2, 0)
        own = [each["test_accuracy"].xs(str(entry["labels"]), level="labels") for each in trials]
        gaps = [each.xs("B2B+").to_numpy() - each.xs("scratch").to_numpy() for each in own]
        number = entry["cuts"][1]["arms"]["BnB+"]
        assert number["value"] == pytest.approx(np.mean(gaps))
        assert entry["cuts"][1]["group"] == "dense_2"
        assert number["all_low"] <= number["low"] < number["value"] < number["high"]


def test_a_depth_is_chosen_on_validation_and_its_estimate_corrected(drawn: DepthMap) -> None:
    trials = [each.trials for each in drawn.records]
    for entry in drawn.numbers:
        assert [depth["arm"] for depth in entry["depths"]] == ["AnB", "AnB+"]
        depth = entry["depths"][0]
        reached = {}
        for cut in (1, 2):
            own = [
                each[(each["strategy"] == f"A{cut}B") & (each["labels"] == str(entry["labels"]))]
                for each in trials
            ]
            reached[cut] = np.mean([each["val_accuracy"].mean() for each in own])
        # class splits have nearly the same number of validation pictures
        assert depth["uncorrected"] == pytest.approx(max(reached.values()), abs=0.01)
        assert reached[depth["cut"]] == pytest.approx(max(reached.values()), abs=0.01)
        assert depth["estimate"] <= depth["uncorrected"] + 0.02
        assert depth["low"] < depth["estimate"] < depth["high"]
        assert f"corrected for having chosen among {depth['choices']}" in depth["sentence"]
        assert depth["sentence"].endswith(", for these class splits and seeds")


def test_what_was_done_is_not_done_again(drawn: DepthMap, digits: ImageSet) -> None:
    before = {file: file.read_bytes() for file in drawn.directory.rglob("own-*.safetensors")}
    assert len(before) == 8  # two class splits, seeds and budgets
    again = api.draw_map(study_from(MAP), drawn.directory, images=digits, jobs=1)
    assert again.numbers == drawn.numbers
    assert [len(each.test_reads) for each in again.records] == [1, 1]


def test_every_class_split_is_checked_before_the_first_is_trained(tmp_path: Path) -> None:
    labels = np.repeat(np.arange(4), [10, 10, 80, 80])
    pictures = np.random.default_rng(0).integers(0, 256, (len(labels), 8, 8), dtype=np.uint8)
    settings = {"map": {"class_splits": 6}, "study": {"seeds": 1, "labels": [30]}}
    with pytest.raises(StudyError, match="30"):  # one half in six has too few pictures
        api.draw_map(
            study_from(MAP | settings),
            tmp_path / "map",
            images=ImageSet.from_arrays(pictures, labels),
            jobs=1,
        )
    assert list(tmp_path.iterdir()) == []


def test_the_page_shows_lines_table_and_signs(drawn: DepthMap) -> None:
    content = map_content(drawn)
    points = figure.map_points(content)
    assert list(points["line"].unique()) == ["AnB+", "AnB", "BnB+", "BnB"]
    assert len(points) == 2 * 2 * 4
    first = drawn.numbers[0]["cuts"][0]["arms"]["AnB"]
    row = points[(points["line"] == "AnB") & (points["cut"] == 1)].iloc[0]
    assert row["value"] == pytest.approx(100 * first["value"])
    made = figure.figure(content)
    assert made is not None
    assert len(made.numbers.rows) == 2 * (1 + 2 * (4 + 3))
    html = (drawn.directory / "report.html").read_text()
    for sentence in drawn.sentences():
        assert sentence.partition("; ")[2].partition(" (")[0] in html
    assert "Nothing could be compared" not in html
    assert "split-1: " in html
    assert len(repr(drawn).splitlines()) == 2 + 8


def test_two_class_splits_have_no_bands_and_the_caption_says_why(drawn: DepthMap) -> None:
    content = map_content(drawn)
    points = figure.map_points(content)
    assert points[["low", "high"]].isna().all(axis=None)
    made = figure.figure(content)
    assert made is not None
    assert "Bands are" not in made.reading
    assert "no band where an interval spans more than 100 points or rests on fewer" in made.reading
    assert made.reading.endswith(
        "No sign can be told from 2 class splits, at least 6 are needed: what is seen may be luck."
    )
    assert {sign["answer"] for entry in drawn.numbers for sign in entry["signs"]} == {"cannot tell"}


def test_bands_are_drawn_where_they_say_something_and_leave_the_lines_legible(
    drawn: DepthMap,
) -> None:
    told = copy.deepcopy(drawn.numbers[:1])
    told[0] |= {"units": 6, "few": ""}
    told[0]["again"] |= {"low": -0.4, "high": 0.45}
    for cut in told[0]["cuts"]:
        for value, numbers in enumerate(cut["arms"].values()):
            numbers |= {"value": value / 100, "all_low": -0.05, "all_high": 0.06}
    told[0]["cuts"][1]["arms"]["AnB"] |= {"all_low": -0.6, "all_high": 0.45}
    content = map_content(drawn)
    content = replace(content, summary={**content.summary, "map": told})
    points = figure.map_points(content).set_index(["line", "cut"])
    assert tuple(points.loc[("BnB+", 2), ["low", "high"]]) == pytest.approx((-5, 6))
    assert points.loc[("AnB", 2), ["low", "high"]].isna().all()
    made = figure.figure(content)
    assert made is not None
    assert "Bands are 95% intervals that hold together" in made.reading
    assert "may be luck" not in made.reading
    (arms,) = made.panels[-1].charts
    ticks = [int(tick) for tick in re.findall(r">\+(\d+)<", arms.wide)]
    assert 3 <= max(ticks) <= 9  # lines span 3 points, and bands stretch that by 6 to each side
    ((top, height),) = re.findall(r'd="M[\d.]+,([-\d.]+)h[\d.]+v([\d.]+)h', arms.wide)
    assert (float(top), float(height)) == (0, 300)  # as high as the chart, and no higher


def test_an_ordinary_study_has_no_map_and_one_with_arms_shows_it(
    digits: ImageSet, tmp_path: Path
) -> None:
    arms = {"scratch": {}, "A1B": {"kind": "own_lower_groups", "copied": 1}, "frozen": {}}
    study = study_from(
        {**MAP, "map": None, "task": {"classes": ["0", "1"]}, "source": {}, "strategy": arms}
    )
    results = api.compare(study, tmp_path / "arms", images=digits, jobs=1)
    assert [list(cut["arms"]) for cut in results.summary["map"][0]["cuts"]] == [["BnB"]]
    assert "What each layer is worth" in (tmp_path / "arms" / "report.html").read_text()
    others = {name: own for name, own in study.strategy.items() if name != "A1B"}
    plain = study.model_copy(update={"strategy": others})
    api.compare(plain, tmp_path / "arms", images=digits, jobs=1)
    assert Results.read(tmp_path / "arms").summary["map"] == []


def test_base_b_is_trained_from_scratch_whatever_the_baseline_is(
    digits: ImageSet, tmp_path: Path
) -> None:
    arms = {
        "frozen": {},
        "from nothing": {"kind": "scratch"},
        "A1B": {"kind": "lower_groups", "copied": 1},
        "B2B": {"kind": "own_lower_groups", "copied": 2},
    }
    changes = {"task": {"classes": ["0", "1"]}, "source": {}, "map": None, "strategy": arms}
    settings = {"seeds": 2, "labels": [60], "baseline": "frozen"}
    study = study_from({**MAP, **changes, "study": settings})
    results = api.compare(study, tmp_path / "arms", images=digits, jobs=1)
    (told,) = results.summary["map"]
    assert [(cut["cut"], list(cut["arms"])) for cut in told["cuts"]] == [(1, ["AnB"]), (2, ["BnB"])]
    reached = {own["name"]: own["accuracy"]["mean"] for own in results.summary["strategies"]}
    assert told["base"] == pytest.approx(reached["from nothing"])
    assert [sign["name"] for sign in told["signs"]] == ["BnB dips in the middle"]
    del arms["from nothing"]
    without = study_from({**MAP, **changes, "study": settings})
    assert api.compare(without, tmp_path / "2", images=digits, jobs=1).summary["map"] == []


def test_on_eighty_columns_a_cut_is_a_line_and_every_interval_stands_beside_its_number(
    drawn: DepthMap, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    print_map(drawn)
    *lines, _report = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert not any("…" in line for line in lines)
    number = r"[−+]?[\d.]+ \([−+]?[\d.]+ to [−+]?[\d.]+\)"
    rows = [line for line in lines if re.match(r"\d \(", line)]
    assert len(rows) == 2 * 2 * 2  # budgets, frozen and learning, cuts
    for row in rows:
        assert re.fullmatch(rf"\d \(dense_\d\)(\s+{number}){{3}}", row.rstrip()), row
    first = drawn.numbers[0]["cuts"][0]["derived"]["specificity"]
    shown = float(rows[0].split(" (")[-2].split()[-1].replace("−", "-"))
    assert shown == pytest.approx(100 * first["value"], abs=0.501)
    (base, _) = (line for line in lines if line.startswith("base B"))
    assert re.fullmatch(rf"base B [\d.]+%, trained again {number} points", base)


def test_command(
    digits: ImageSet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from headstart.cli import app

    np.savez(tmp_path / "digits.npz", x_train=digits.pictures, y_train=digits.labels)
    file = tmp_path / "digits.toml"
    file.write_text(
        '[data]\npath = "digits.npz"\nimage_size = 8\nchannels = 1\n'
        '[task]\nclasses = ["0", "1", "2"]\n[network]\nkind = "mlp"\nhidden = [8]\n'
        '[training]\nepochs = 1\n[map]\narms = ["BnB", "BnB+"]\n[study]\nseeds = 2\nlabels = 60\n'
    )
    monkeypatch.setenv("COLUMNS", "80")
    for options in ([], ["--json"]):
        with pytest.raises(SystemExit) as end:
            app(["map", str(file), "--output", str(tmp_path / "out"), "--jobs", "1", *options])
        assert not end.value.code
        said, progress = capsys.readouterr()
        before = [line for line in progress.splitlines() if re.search("reading|checking", line)]
        assert len(before) == len(set(before)) > 2
        if options:
            assert json.loads(said)["groups"] == ["dense_1"]
        else:
            assert "1 (dense_1)" in said
            assert "BnB+ recovers: " in said
            assert "co-adaptation, base − BnB, is" in " ".join(said.split())
            assert "learning" in said
