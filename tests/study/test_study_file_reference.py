"""The reference of the study file names every key there is."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headstart.settings import Settings
from headstart.strategies import STRATEGIES
from headstart.study.spec import Study

REFERENCE = Path(__file__).parents[2] / "docs" / "study-file.md"


def inside(annotation: Any) -> Iterator[type[Settings]]:
    """The settings that an annotation leads to, directly."""
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        yield annotation
    for part in getattr(annotation, "__args__", ()):
        yield from inside(part)


def all_settings(root: type[Settings]) -> set[type[Settings]]:
    found: set[type[Settings]] = set()
    waiting = [root, *STRATEGIES.values()]
    while waiting:
        settings = waiting.pop()
        if settings not in found:
            found.add(settings)
            for field in settings.model_fields.values():
                waiting += inside(field.annotation)
    return found


@pytest.mark.parametrize("settings", sorted(all_settings(Study), key=str))
def test_every_key_of_the_study_file_is_in_its_reference(settings: type[Settings]) -> None:
    named = set(re.findall(r"\w+", " ".join(re.findall(r"`([^`]+)`", REFERENCE.read_text()))))
    assert set(settings.model_fields) <= named


def test_every_strategy_is_in_the_reference() -> None:
    text = REFERENCE.read_text()
    assert all(f"| `{name}` |" in text for name in STRATEGIES)
