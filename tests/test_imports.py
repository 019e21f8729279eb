"""What may import what, and what stays unloaded until it is needed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SLOW_TO_LOAD = {"torch", "pandas", "scipy", "sklearn", "altair"}

IMPORT_ONLY = "import headstart"
COMMAND_LINE = """
from headstart.cli import main
sys.argv = ["headstart", *{arguments!r}]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
"""


def loaded_by(code: str) -> set[str]:
    """The top-level packages that a fresh Python has loaded after some code."""
    says = "import json, sys\n{}\nprint()\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", says.format(code)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return {module.partition(".")[0] for module in json.loads(done.stdout.splitlines()[-1])}


def test_imports_point_one_way() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


@pytest.mark.parametrize(
    "code",
    [
        IMPORT_ONLY,
        COMMAND_LINE.format(arguments=["--help"]),
        COMMAND_LINE.format(arguments=["compare", "--help"]),
        COMMAND_LINE.format(arguments=["data", "--help"]),
    ],
    ids=["import headstart", "--help", "compare --help", "data --help"],
)
def test_nothing_slow_is_loaded_before_it_is_needed(code: str) -> None:
    packages = loaded_by(code)
    assert "headstart" in packages
    assert not packages & SLOW_TO_LOAD


def test_every_public_name_is_there_and_told() -> None:
    import headstart

    for name in headstart.__all__:
        assert getattr(headstart, name) is not None
        assert name in dir(headstart)
