"""What the tutorial shows can still be typed: its commands, its study, its topics."""

import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

from headstart.cli import app
from headstart.data import catalog
from headstart.study.spec import load_study

TEXT = (Path(__file__).parents[1] / "docs" / "tutorial.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^\$ headstart (.+)$", TEXT, flags=re.MULTILINE)


@pytest.mark.parametrize("line", COMMANDS)
def test_each_command_can_be_typed(line: str) -> None:
    """Parsed as the program would, up to the point of doing it."""
    command, words = get_command(app), ["." if "$(" in word else word for word in shlex.split(line)]
    while subcommands := getattr(command, "commands", None):
        command, words = subcommands[words[0]], words[1:]
    assert not command.make_context("headstart", words).args


def test_there_are_commands_to_type() -> None:
    assert {line.split()[0] for line in COMMANDS} == {
        *("data", "audit", "fit", "predict", "evaluate", "export", "compare"),
    }


def test_its_study_is_one(tmp_path: Path) -> None:
    (study,) = re.findall(r"```toml\n(.+?)```", TEXT, flags=re.DOTALL)
    path = tmp_path / "stickers.toml"
    path.write_text(study, encoding="utf-8")
    assert load_study(path).data.from_files


def test_its_topics_are_in_the_catalogue() -> None:
    (topics,) = re.findall(r"/\{(.+?)\} stickers/", TEXT)
    assert set(topics.split(",")) <= set(catalog.entry("stamps").class_names)
