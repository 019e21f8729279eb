"""``headstart strategies``: every strategy with a line and its paper."""

import json
import subprocess
import sys
from pathlib import Path

from headstart.strategies import STRATEGIES


def said(*arguments: str, path: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "headstart", "strategies", *arguments],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(path), "COLUMNS": "200", "PATH": ""},
    )
    return done.stdout


def test_strategies_are_listed_with_what_they_do_and_their_papers(tmp_path: Path) -> None:
    lines = said(path=tmp_path).splitlines()
    for name, strategy in STRATEGIES.items():
        (line,) = (line for line in lines if line.split()[:1] == [name])
        assert strategy.summary in line
        assert strategy.paper in line


def test_the_list_is_there_as_json_too_with_the_strategies_of_packages(tmp_path: Path) -> None:
    about = tmp_path / "somebodys-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: somebodys\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[headstart.strategies]\nlost = nowhere:Lost\n")
    listed = json.loads(said("--json", path=tmp_path))["strategies"]
    by_name = {each["name"]: each for each in listed}
    assert list(by_name) == [*STRATEGIES, "lost"]
    assert by_name["surgical"]["parameters"] == {"regularisers": [], "block": "auto"}
    assert by_name["lost"]["origin"] == "somebodys"
    assert by_name["lost"]["problem"].startswith("strategy 'lost' of somebodys cannot be loaded")
