"""The page as text: complete, escaped, and silent towards the network."""

import re
from pathlib import Path

import pytest

from headstart.errors import RecordsError
from headstart.report import page
from headstart.report.content import ReportContent


@pytest.fixture(scope="module")
def html(content: ReportContent) -> str:
    return page.render(content)


def test_names_no_address_outside_itself(html: str) -> None:
    namespaces = {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert set(re.findall(r"https?://[^\s\"'<>)]+", html)) <= namespaces
    assert "default-src 'none'" in html


def test_write_replaces_the_file_and_leaves_nothing_else(
    content: ReportContent, tmp_path: Path
) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    assert page.write(content, path) == path
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


def test_write_says_what_to_do_when_the_folder_is_missing(
    content: ReportContent, tmp_path: Path
) -> None:
    with pytest.raises(RecordsError, match="choose a folder that exists"):
        page.write(content, tmp_path / "nowhere" / "report.html")
