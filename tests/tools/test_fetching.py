"""Fetching what a machine lacks: Debian's packages without root, and a browser."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

APT_GET = """
case " $* " in
  *" install "*)
    echo "$@" >> install
    echo "Inst libfresh (1.2-3 Debian:12/stable [amd64])"
    echo "Inst libnewer [1.0] (1:2.0~b Debian:12/stable [amd64]) []"
    echo "Inst libc6 [2.35] (2.36 Debian:12/stable [amd64])"
    echo "Conf libfresh (1.2-3 Debian:12/stable [amd64])" ;;
  *" download "*)
    while [ "$1" != download ]; do shift; done; shift
    for package; do echo "$package" > "${package%%=*}.deb"; done ;;
esac
"""
DPKG_DEB = 'mkdir -p "$3/usr" && cp "$2" "$3/usr/"'


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A folder of programs that come before the machine's own."""
    folder = tmp_path / "bin"
    folder.mkdir()
    return folder


def install_program(folder: Path, name: str, script: str) -> Path:
    file = folder / name
    file.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    file.chmod(0o755)
    return file


def call(machine: Path, code: str, *arguments: str, **environment: str) -> tuple[int, str, str]:
    """Do some Python beside tools/; return code, output and errors."""
    path = f"{machine}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT / "tools"), **environment},
        cwd=machine.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


UNPACK = """
import sys; from pathlib import Path; from debian import FetchError, unpack
try: unpack(["wanted"], Path(sys.argv[1]))
except FetchError as error: sys.exit(str(error))
"""
BROWSER = """
import sys; from pathlib import Path; import browser
sys.exit(browser.main(Path(sys.argv[1])))
"""


def test_what_is_missing_is_unpacked_in_its_planned_version(machine: Path, tmp_path: Path) -> None:
    install_program(machine, "apt-get", APT_GET)
    install_program(machine, "dpkg-deb", DPKG_DEB)
    root = tmp_path / "root"
    code, _, errors = call(machine, UNPACK, str(root))
    assert code == 0, errors
    unpacked = {file.name: file.read_text().strip() for file in (root / "usr").iterdir()}
    assert unpacked == {"libfresh.deb": "libfresh=1.2-3", "libnewer.deb": "libnewer=1:2.0~b"}


def test_the_system_is_only_read(machine: Path, tmp_path: Path) -> None:
    install_program(machine, "apt-get", APT_GET)
    install_program(machine, "dpkg-deb", DPKG_DEB)
    call(machine, UNPACK, str(tmp_path / "root"))
    asked = (tmp_path / "install").read_text().split()
    assert "--simulate" in asked
    lists = next(word for word in asked if word.startswith("Dir::State::lists="))
    assert "headstart-debian-" in lists


def test_a_failure_is_told_in_the_programs_last_words(machine: Path, tmp_path: Path) -> None:
    install_program(machine, "apt-get", "echo noise >&2; echo 'E: no network' >&2; exit 100")
    install_program(machine, "dpkg-deb", DPKG_DEB)
    code, _, errors = call(machine, UNPACK, str(tmp_path / "root"))
    assert code == 1
    assert errors == "apt-get failed: E: no network\n"


def test_a_named_browser_that_starts_is_taken(machine: Path, tmp_path: Path) -> None:
    named = install_program(machine, "mine", "echo Chromium 1.0")
    code, output, _ = call(machine, BROWSER, str(tmp_path), HEADSTART_CHROMIUM=str(named))
    assert (code, output) == (0, f"{named}\n")


def test_a_named_browser_that_is_not_there_is_refused(machine: Path, tmp_path: Path) -> None:
    named = tmp_path / "no-such-browser"
    code, output, errors = call(machine, BROWSER, str(tmp_path), HEADSTART_CHROMIUM=str(named))
    assert (code, output) == (1, "")
    assert f"{named}: No such file or directory" in errors
    assert "make test HEADSTART_CHROMIUM=" in errors


def test_a_browser_that_only_advises_is_passed_over(machine: Path, tmp_path: Path) -> None:
    install_program(machine, "chromium", "echo 'use the snap' >&2; exit 1")
    real = install_program(machine, "chromium-browser", "echo Chromium 1.0")
    code, output, _ = call(machine, BROWSER, str(tmp_path), HEADSTART_CHROMIUM="")
    assert (code, output) == (0, f"{real}\n")


def test_without_any_each_way_is_listed_with_its_reason(machine: Path, tmp_path: Path) -> None:
    for name in ("apt-get", "npm"):
        install_program(machine, name, f"echo '{name} has no network' >&2; exit 1")
    install_program(machine, "dpkg-deb", DPKG_DEB)
    folder = tmp_path / "fetched"
    without = "import browser; browser.ON_PATH = ('no-such-browser',); browser.MACOS_APP = '/none'"
    code, output, errors = call(machine, without + BROWSER, str(folder), HEADSTART_CHROMIUM="")
    assert (code, output) == (1, "")
    assert "on this machine: none of no-such-browser is there" in errors
    assert "from Debian: apt-get failed: apt-get has no network" in errors
    assert "from npm: " in errors
    assert not folder.exists()
