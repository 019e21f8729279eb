"""A study's folder and the files in it: whole or not at all, and read back as they were meant."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from headstart.data.image_set import ImageSet
from headstart.errors import RecordsError
from headstart.study.folder import resolved_toml, study_folder, write_whole
from headstart.study.provenance import provenance
from headstart.study.spec import Study, load_study, parse_study

Make = Callable[..., Study]

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.toml"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_a_resolved_example_reads_back_as_itself(example: Path) -> None:
    study = load_study(example)
    text = resolved_toml(study, {})
    assert parse_study(text) == study
    assert resolved_toml(parse_study(text), {}) == text


@pytest.mark.parametrize(
    "tables",
    [
        "[source]\nfile = 'weights.safetensors'\n[strategy.frozen]",
        "[training]\nsteps = 50\n[strategy.scratch]",
        "[training]\noptimizer = { name = 'sgd', momentum = 0.9, nesterov = true }\n"
        "schedule = { name = 'step', milestones = [0.2, 0.9] }\npatience = 3\n[strategy.scratch]",
        "[training]\nepochs = 7\n[source]\n[strategy.scratch]\n"
        "[strategy.lower]\nkind = 'fine_tune'\nlr = 0.01\nsteps = 9",
        "[split]\norder = 'stored'\ntrain = [0, 99]\nvalid = [99, 150]\ntest = [150, 200]\n"
        "[strategy.scratch]",
        "[task]\nclasses = 'all'\n[source]\nclasses = 'all'\npositive = 'a'\nallow_overlap = true\n"
        "[strategy.frozen]",
        "[strategy.scratch]\n[study]\nseeds = [3, 8]\nlabels = [10, 'all']\nmargin = 0.0\n"
        "label_order = 'stored'\nthreads = 2",
    ],
)
def test_a_resolved_study_reads_back_as_itself(tables: str) -> None:
    question = r'''question = "Is \"it\" 5 °C\\ too hot?\n[study]\nseeds = 1 # no"'''
    study = parse_study(f"{question}\n{tables}\n[network]\nkind = 'mlp'\nhidden = [8]")
    assert "too hot?\n[study]" in study.question
    assert parse_study(resolved_toml(study, {})) == study


def test_no_name_can_slip_settings_into_a_resolved_study(small_study: Make) -> None:
    pictures = np.zeros((4, 2, 2), dtype=np.uint8)
    name = 'mine\nquestion = "another"\r\n[study]'
    images = ImageSet.from_arrays(pictures, [0, 1, 0, 1], name=name)
    study = small_study()

    text = resolved_toml(study, provenance(study, images, "0123"))

    assert parse_study(text) == study
    assert "# data: mine question = " in text


def test_a_file_that_cannot_be_replaced_stays(tmp_path: Path) -> None:
    target = tmp_path / "summary.json"
    (target / "inside").mkdir(parents=True)

    with pytest.raises(RecordsError, match=r"summary\.json cannot be written .* make room on"):
        write_whole(target, "{}")

    assert [path.name for path in tmp_path.iterdir()] == ["summary.json"]
    assert (target / "inside").is_dir()


def test_what_a_killed_process_left_half_written_is_swept_away(folder: Path) -> None:
    (folder / "sources").mkdir(parents=True)
    left = [
        folder / ".study.toml.4711",
        folder / ".report.html.k3j9",
        folder / "sources" / ".seed-3.safetensors.4711",
    ]
    kept = [folder / ".gitignore", folder / "notes.md", folder / "sources" / "seed-3.safetensors"]
    for path in [*left, *kept]:
        path.touch()

    with study_folder(folder):
        assert not any(path.exists() for path in left)
    assert all(path.exists() for path in kept)


def test_a_folder_that_was_made_for_nothing_is_removed_again(folder: Path) -> None:
    with study_folder(folder):
        assert folder.is_dir()
    assert not folder.exists()

    folder.mkdir()
    with study_folder(folder):
        pass
    assert folder.is_dir()


@pytest.mark.parametrize("name", ["study.toml", "report.html", "trials.csv"])
def test_files_that_are_not_a_studys_are_not_overwritten(folder: Path, name: str) -> None:
    folder.mkdir()
    (folder / name).write_text("mine")
    with pytest.raises(RecordsError, match=f"holds {name} but no records"), study_folder(folder):
        raise AssertionError
    assert (folder / name).read_text() == "mine"


def test_every_new_beginning_keeps_what_was_there(folder: Path) -> None:
    for number in range(3):
        with study_folder(folder, fresh=True):
            (folder / "study.sqlite").write_text(str(number))

    kept = sorted(folder.parent.glob("answers*/study.sqlite"))
    assert sorted(path.read_text() for path in kept) == ["0", "1", "2"]
    assert (folder / "study.sqlite").read_text() == "2"
