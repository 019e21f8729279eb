"""What the tests of whole reports need: a browser, and a study that never was."""

import importlib.util
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from headstart.report.content import ReportContent

NAMES = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """The Chromium that the tests drive: `HEADSTART_CHROMIUM`, or the first one on the PATH."""
    named = os.environ.get("HEADSTART_CHROMIUM")
    found = [named] if named else [path for path in map(shutil.which, NAMES) if path]
    if not found or not Path(found[0]).exists():
        pytest.fail(
            f"no browser: looked for {named or ', '.join(NAMES)}; `make test` fetches one, or "
            "set HEADSTART_CHROMIUM to the path of Chromium or Chrome"
        )
    return found[0]


@pytest.fixture(scope="session")
def make_content() -> Callable[..., ReportContent]:
    """The maker of synthetic studies that the report's own tests use."""
    path = Path(__file__).parents[1] / "report" / "conftest.py"
    specification = importlib.util.spec_from_file_location("synthetic_study", path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    maker: Callable[..., ReportContent] = module.make_content
    return maker
