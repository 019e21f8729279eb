"""Make a virtual environment with pip in it, also where Python came without `ensurepip`.

Debian and Ubuntu keep pip's wheel in a package of its own, and a Python there may lack it. Then
that package is fetched and unpacked without root. A sound environment is left as it is.

    python tools/make_venv.py .venv
"""

import importlib.util
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from debian import FetchError, call, unpack


def is_sound(folder: Path) -> bool:
    """Whether the environment is of this Python's version and has a pip that starts."""
    python = folder / "bin" / "python"
    version = ".".join(map(str, sys.version_info[:2]))
    try:
        said = call(str(python), "-m", "pip", "--version")
    except FetchError:
        return False
    return said.rstrip().endswith(f"(python {version})")


def add_pip_from_debian(folder: Path) -> None:
    """Install pip into an environment from the wheel that Debian packs."""
    with tempfile.TemporaryDirectory(prefix="headstart-pip-") as unpacked:
        unpack(["python3-pip-whl"], Path(unpacked))
        wheels = sorted(Path(unpacked).glob("usr/share/python-wheels/pip-*.whl"))
        if not wheels:
            raise FetchError("python3-pip-whl holds no pip")
        # A wheel is a zip file, and Python runs the pip inside it as it stands.
        call(str(folder / "bin" / "python"), f"{wheels[-1]}/pip", "install", str(wheels[-1]))


def main(folder: Path) -> int:
    if is_sound(folder):
        return 0
    try:
        has_pip = importlib.util.find_spec("ensurepip") is not None
        venv.create(folder, clear=True, symlinks=True, with_pip=has_pip)
        if not has_pip:
            add_pip_from_debian(folder)
    except (FetchError, OSError, subprocess.CalledProcessError) as error:
        print(
            f"No virtual environment could be made with {sys.executable}: {error}.\n"
            "Where Python comes in several packages, install python3-venv, or name another "
            "Python: make setup PYTHON=/path/to/python3.12",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
