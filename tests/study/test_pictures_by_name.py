"""`[data] name` where the catalogue's set is a folder of pictures of any size."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.data import catalog
from headstart.errors import StudyError
from headstart.study.compare import open_workplace
from headstart.study.spec import load_study

STUDY = """
[data]
name = "{name}"
{more}
[task]
classes = ["animals", "plants"]
[network]
kind = "mlp"
hidden = [4]
[strategy.scratch]
"""


def study_file(folder: Path, more: str, name: str = "stamps") -> Path:
    path = folder / "study.toml"
    path.write_text(STUDY.format(name=name, more=more), encoding="utf-8")
    return path


@pytest.fixture
def stamps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What stands in for the catalogue's folder: 3 topics of 20 pictures with alpha."""
    folder = tmp_path / "stamps"
    random = np.random.default_rng(0)
    for topic in ("animals", "food", "plants"):
        (folder / topic / "nested").mkdir(parents=True)
        for number in range(20):
            pixels = random.integers(0, 256, (9, 12, 4), dtype=np.uint8)
            Image.fromarray(pixels, "RGBA").save(folder / topic / "nested" / f"{number}.png")
    monkeypatch.setattr(catalog, "get", lambda name: {"stamps": folder}[name])
    return folder


def test_its_pictures_are_brought_to_the_size_asked_for(tmp_path: Path, stamps: Path) -> None:
    study = load_study(study_file(tmp_path, "image_size = 8\nchannels = 1"))
    images = open_workplace(study).images
    assert images.pictures.shape == (60, 8, 8, 1)
    assert images.class_names == ("animals", "food", "plants")
    assert images.name == "stamps"
    assert images.origin == "Tux Paint stamps, https://tuxpaint.org/stamps/ (licence: " + (
        "GPL-2.0-or-later)"
    )


def test_without_a_size_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"image_size.*say to what size the pictures are brought"):
        load_study(study_file(tmp_path, ""))


def test_keys_for_files_are_refused_with_sets_of_arrays(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="has no effect without path"):
        load_study(study_file(tmp_path, "channels = 1", name="digits"))
    with pytest.raises(StudyError, match="has no effect without path"):
        load_study(study_file(tmp_path, 'topics = "path"', name="no-such-set"))
