"""The commands `audit` and `models`, as a user calls them."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from headstart.cli import app
from headstart.errors import NetworkError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes of twelve pictures, one file that is none, one picture that is there twice."""
    rng = np.random.default_rng(0)
    for name in ("cats", "dogs"):
        (tmp_path / name).mkdir()
        for number in range(12):
            pixels = rng.integers(0, 256, (8, 9, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{number}.png")
    (tmp_path / "cats" / "broken.jpg").write_bytes(b"not a picture")
    (tmp_path / "dogs" / "again.png").write_bytes((tmp_path / "dogs" / "0.png").read_bytes())
    return tmp_path


def test_audit_shows_classes_and_what_is_left_out(folder: Path) -> None:
    shown = CliRunner().invoke(app, ["audit", str(folder)])

    assert shown.exit_code == 0
    rows = {line.split()[0]: line.split()[1:] for line in shown.stdout.splitlines() if line.strip()}
    assert rows["cats"] == ["–", "–", "–", "12", "1"]
    assert rows["dogs"] == ["–", "–", "–", "13", "–"]
    assert "cats/broken.jpg: " in shown.stdout
    assert "dogs/0.png = dogs/again.png" in " ".join(shown.stdout.split()) or (
        "dogs/again.png = dogs/0.png" in " ".join(shown.stdout.split())
    )
    assert "typically 9 × 8" in shown.stdout


def test_audit_names_small_classes_contradictions_and_what_lies_beside(folder: Path) -> None:
    (folder / "owls").mkdir()
    (folder / "owls" / "cat.png").write_bytes((folder / "cats" / "0.png").read_bytes())
    (folder / "owls" / "hoot.ogg").write_bytes(b"OggS")
    (folder / "owls" / "notes.txt").write_text("seen at night")
    shown = CliRunner().invoke(app, ["audit", str(folder)])

    told = " ".join(shown.stdout.split())
    assert "too few pictures to learn from or to measure: owls (1); leave such" in told
    assert "cats/0.png = owls/cat.png (one picture, 2 classes: keep one of them)" in told
    assert "other files, passed over: 2 (.ogg 1, .txt 1)" in told
    assert "modes: RGB 26" in told


def test_audit_as_json_is_nothing_but_json(folder: Path) -> None:
    shown = CliRunner().invoke(app, ["audit", str(folder), "--json"])
    found = json.loads(shown.stdout)
    assert [row["name"] for row in found["classes"]][:2] == ["cats", "dogs"]
    assert len(found["left_out"]) == 1


def test_models_says_what_is_on_this_machine() -> None:
    shown = CliRunner().invoke(app, ["models", "tf_efficientnet_lite0*"])
    assert shown.exit_code == 0
    row = next(line for line in shown.stdout.splitlines() if "tf_efficientnet_lite0" in line)
    assert "4.7 M" in row
    assert "224×224" in row
    assert "package*" in row
    assert "hub" in row


def test_an_unknown_model_is_refused_with_the_nearest_name() -> None:
    shown = CliRunner().invoke(app, ["models", "resnt18"])
    assert isinstance(shown.exception, NetworkError)
    assert "resnet18" in str(shown.exception)
