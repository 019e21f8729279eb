"""Folders of small pictures, made for one test."""

import io
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from PIL import Image

Plant = Callable[[Mapping[str, bytes | None]], Path]


def picture_bytes(number: int = 0, kind: str = "PNG", size: tuple[int, int] = (12, 10)) -> bytes:
    """A picture file whose pixels tell its number."""
    buffer = io.BytesIO()
    Image.new("RGB", size, (number % 256, number // 256 % 256, 90)).save(buffer, kind)
    return buffer.getvalue()


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    """Write files below a folder and return it; None stands for a picture of its own."""

    def write(files: Mapping[str, bytes | None]) -> Path:
        root = tmp_path / "pets"
        root.mkdir(exist_ok=True)
        for number, (name, content) in enumerate(files.items()):
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(picture_bytes(number) if content is None else content)
        return root

    return write


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees or leaves anything in the user's cache."""
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.delenv("HEADSTART_CACHE_GB", raising=False)
