"""The commands `predict`, `evaluate` and `export`, as a user calls them."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from typer.testing import CliRunner

from headstart.cli import app
from headstart.delivery.bundle import write_bundle
from headstart.errors import HeadstartError


@pytest.fixture(scope="module")
def made() -> ModuleType:
    """The makers of bundles and pictures that the room's own tests use."""
    path = Path(__file__).parent / "delivery" / "conftest.py"
    specification = importlib.util.spec_from_file_location("delivery_makers", path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def place(made: ModuleType, tmp_path: Path) -> Path:
    """A folder with a model, and pictures of which one cannot be read."""
    write_bundle(made.built_bundle(), tmp_path / "model", "")
    for name in made.NAMES:
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for number in range(3):
            made.coloured(name, number).save(tmp_path / "pictures" / name / f"{number}.png")
    (tmp_path / "pictures" / "red" / "bad.png").write_bytes(b"x")
    return tmp_path


def call(place: Path, *arguments: str) -> str:
    done = CliRunner().invoke(app, [arguments[0], str(place / "model"), *arguments[1:]])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return " ".join(done.stdout.split())


def test_predict_writes_a_table(place: Path) -> None:
    output = place / "out.csv"
    told = call(place, "predict", str(place / "pictures"), "-o", str(output), "--top-k", "1")
    assert "9 pictures predicted by PyTorch" in told
    assert "1 file could not be read" in told
    lines = output.read_text().splitlines()
    assert lines[0] == "filename,label,pred,prob"
    assert lines[1].startswith("blue/0.png,blue,blue,0.9")


def test_evaluate_shows_intervals_and_classes(place: Path) -> None:
    told = call(place, "evaluate", str(place / "pictures"))
    assert "accuracy 100.00 70.09 to 100.00" in told
    assert "green 3 3 100.0 (44 to 100)" in told
    assert "red/bad.png: not a picture" in told
    found = json.loads(call(place, "evaluate", str(place / "pictures"), "--json"))
    assert found["metrics"]["accuracy"]["mean"] == 1


def test_export_says_how_well_it_agrees(place: Path) -> None:
    told = call(place, "export", "--to", "onnx", "-o", str(place / "net.onnx"))
    assert "on 128 pictures 100% of the classes are PyTorch's" in told
    assert (place / "net.onnx.json").is_file()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["export", "--to", "onyx"], "did you mean 'onnx'"),
        (["predict", "nowhere"], "nowhere"),
        (["evaluate", "nowhere"], "nowhere"),
    ],
)
def test_mistakes_are_told(place: Path, arguments: list[str], expected: str) -> None:
    with pytest.raises(HeadstartError, match=expected):
        call(place, *arguments)


def test_no_model_is_told_without_a_traceback(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "headstart", "evaluate", str(tmp_path), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "so it is no bundle" in done.stderr
    assert "Traceback" not in done.stderr
