"""Set-up: which Python is taken, and what is left when it is broken off."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def write_program(file: Path, script: str) -> Path:
    """A shell script that can be started."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    file.chmod(0o755)
    return file


class TestFindPython:
    """tools/find_python.sh, on a machine whose only programs are the ones a test puts there."""

    @pytest.fixture
    def machine(self, tmp_path: Path) -> Path:
        folder = tmp_path / "bin"
        folder.mkdir()
        (folder / "tail").symlink_to(shutil.which("tail") or "/usr/bin/tail")
        (folder / "cat").symlink_to(shutil.which("cat") or "/usr/bin/cat")
        return folder

    def find(self, machine: Path, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["/bin/sh", str(ROOT / "tools" / "find_python.sh")],
            env={"PATH": str(machine), **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    def test_python3_comes_first_where_it_will_do(self, machine: Path) -> None:
        write_program(machine / "python3", "echo /the/usual/one")
        write_program(machine / "python3.13", "echo /another")
        assert self.find(machine).stdout == "/the/usual/one\n"

    def test_an_old_python3_makes_way_for_the_newest(self, machine: Path) -> None:
        write_program(machine / "python3", "echo 'is Python 3.9' >&2; exit 1")
        write_program(machine / "python3.12", "echo /twelve")
        write_program(machine / "python3.13", "echo /thirteen")
        assert self.find(machine).stdout == "/thirteen\n"

    def test_the_named_one_is_never_replaced(self, machine: Path) -> None:
        write_program(machine / "python3", "echo /the/usual/one")
        named = write_program(machine / "my python", "echo 'is Python 3.14' >&2; exit 1")
        done = self.find(machine, PYTHON=str(named))
        assert done.returncode == 1
        assert done.stdout == ""
        assert f"{named}: is Python 3.14" in done.stderr

    def test_without_any_it_says_what_was_tried_and_how_to_mend_it(self, machine: Path) -> None:
        write_program(machine / "python3", "echo 'is Python 3.9' >&2; exit 1")
        done = self.find(machine)
        assert done.returncode == 1
        assert "headstart needs Python 3.11, 3.12 or 3.13" in done.stderr
        assert "python3: is Python 3.9" in done.stderr
        assert "python3.11: not found" in done.stderr
        assert "make setup PYTHON=" in done.stderr


class TestMakeSetup:
    """`make setup` with a Python that only writes down what it was asked."""

    @pytest.fixture
    def project(self, tmp_path: Path) -> Path:
        for name in ("Makefile", "pyproject.toml", "constraints.txt"):
            shutil.copy(ROOT / name, tmp_path)
        (tmp_path / "tools").mkdir()
        shutil.copy(ROOT / "tools" / "find_python.sh", tmp_path / "tools")
        write_program(
            tmp_path / "python",
            f'[ "$1" = -c ] && echo {tmp_path}/python && exit\n'
            "mkdir -p .venv/bin && cp pip-or-fail .venv/bin/python",
        )
        self.let_pip(tmp_path, "exit 0")
        return tmp_path

    def let_pip(self, project: Path, outcome: str) -> None:
        write_program(project / "pip-or-fail", f'echo "$@" >> asked\n{outcome}')

    def setup(self, project: Path) -> subprocess.CompletedProcess[str]:
        environment = {name: os.environ[name] for name in os.environ if "MAKE" not in name}
        return subprocess.run(
            ["make", "setup", f"PYTHON={project / 'python'}"],
            cwd=project,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def asked(self, project: Path) -> list[str]:
        return (project / "asked").read_text(encoding="utf-8").splitlines()

    def test_a_second_one_does_nothing(self, project: Path) -> None:
        assert self.setup(project).returncode == 0
        before = self.asked(project)
        assert self.setup(project).returncode == 0
        assert self.asked(project) == before

    def test_every_install_keeps_to_the_constraints(self, project: Path) -> None:
        self.setup(project)
        assert self.asked(project)
        for line in self.asked(project):
            assert "pip install" in line
            assert "--constraint constraints.txt" in line

    def test_changed_pins_are_installed(self, project: Path) -> None:
        self.setup(project)
        before = self.asked(project)
        later = (project / ".venv" / "ready-to-develop").stat().st_mtime + 2
        os.utime(project / "constraints.txt", (later, later))
        self.setup(project)
        assert len(self.asked(project)) == 2 * len(before)

    def test_one_that_was_broken_off_begins_anew(self, project: Path) -> None:
        self.let_pip(project, "exit 1")
        assert self.setup(project).returncode != 0
        half = project / ".venv" / "half-a-package"
        half.touch()
        self.let_pip(project, "exit 0")
        assert self.setup(project).returncode == 0
        assert not half.exists()
        assert (project / ".venv" / "ready-to-develop").exists()
