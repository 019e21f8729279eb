"""The audit of an untidy folder: everything that is odd in it is told, nothing ends it."""

import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.data.audit import FEWEST_A_CLASS, ClassRow, Duplicates, Sizes, audit
from headstart.data.loading import load_pictures
from headstart.data.transforms import Preprocessing
from headstart.errors import DataError

Plant = Callable[[Mapping[str, bytes | None]], Path]


def picture(number: int, kind: str = "PNG", size: tuple[int, int] = (12, 10)) -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(number).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


@pytest.fixture
def untidy(plant: Plant) -> Path:
    return plant(
        {
            **{f"train/cats/{number}.png": picture(number) for number in range(12)},
            **{f"train/dogs/{number}.png": picture(20 + number) for number in range(3)},
            "train/cats/large.webp": picture(40, "WEBP", (90, 50)),
            "train/cats/same.png": picture(0),
            "train/dogs/cat.bmp": picture(1, "BMP"),
            "train/cats/empty.png": b"",
            "train/dogs/png.jpg": picture(41),
            "train/dogs/white.png": None,
            "test/cats/leak.png": picture(2),
            "test/owls/1.png": picture(42),
            "loose.png": picture(43),
            **{"train/notes.txt": b"x", "train/cats/a.svg": b"<svg/>"},
        }
    )


def test_everything_in_an_untidy_folder_is_told(untidy: Path) -> None:
    found = audit(untidy)
    assert found.layout == "split folders"
    assert found.classes == (
        ClassRow("cats", train=14, valid=0, test=1, unsplit=0, left_out=1),
        ClassRow("dogs", train=6, valid=0, test=0, unsplit=0, left_out=0),
        ClassRow("owls", train=0, valid=0, test=1, unsplit=0, left_out=0),
        ClassRow(None, train=0, valid=0, test=0, unsplit=1, left_out=0),
    )
    assert [row.used for row in found.classes] == [15, 6, 1, 1]
    assert found.formats == {"PNG": 21, "WEBP": 1, "BMP": 1}
    assert found.modes == {"RGB": 23}
    assert found.sizes == Sizes(2, (12, 10), (12, 10), (90, 50))
    assert [(each.name, each.reason) for each in found.left_out] == [
        ("train/cats/empty.png", "empty file")
    ]
    assert found.others == {".svg": 1, ".txt": 1}
    assert found.mislabelled == ("train/dogs/png.jpg (PNG)",)
    assert found.blank == ("train/dogs/white.png",)
    assert found.small_classes == {"dogs": 6, "owls": 0}
    assert FEWEST_A_CLASS == 10
    assert not found.usable
    assert [each for each in found.problems if "training does not know: owls" in each]
    assert "the test split has no picture of: dogs" in found.warnings
    assert [each for each in found.warnings if "1 .svg" in each]


def test_duplicates_within_across_and_against_each_other(untidy: Path) -> None:
    found = audit(untidy).duplicates
    assert set(found) == {
        Duplicates(("train/cats/0.png", "train/cats/same.png"), ("cats",), ("train",), True),
        Duplicates(("train/cats/1.png", "train/dogs/cat.bmp"), ("cats", "dogs"), ("train",), False),
        Duplicates(("test/cats/leak.png", "train/cats/2.png"), ("cats",), ("test", "train"), True),
    }
    assert [(each.across_splits, each.contradictory) for each in found] == [
        *((True, False), (False, True), (False, False)),
    ]


def test_it_says_what_loading_would_say(plant: Plant) -> None:
    root = plant({"cats/1.png": None, "dogs/1.png": b""})
    found = audit(root)
    with pytest.raises(DataError) as caught:
        load_pictures(root, Preprocessing(4, 4))
    assert found.problems == caught.value.problems
    assert found.left_out[0].label == "dogs"


def test_a_tidy_folder_is_usable(plant: Plant) -> None:
    files = {
        f"{kind}/{number}.png": picture(number, size=(9, 9)) for number in range(11) for kind in "a"
    }
    files |= {f"b/{number}.png": picture(50 + number, size=(9, 9)) for number in range(11)}
    found = audit(plant(dict(files)))
    assert found.usable
    odd = (found.problems, found.warnings, found.left_out, found.duplicates, found.mislabelled)
    assert not any((*odd, found.blank, found.small_classes, found.others))
    assert found.sizes == Sizes(1, (9, 9), (9, 9), (9, 9))


def test_odd_modes_and_moving_pictures_are_counted(plant: Plant) -> None:
    cmyk, moving = io.BytesIO(), io.BytesIO()
    Image.new("CMYK", (5, 5)).save(cmyk, "JPEG")
    frames = [Image.new("L", (5, 5), level) for level in (1, 200)]
    frames[0].save(moving, "GIF", save_all=True, append_images=frames[1:])
    found = audit(plant({"a/1.jpg": cmyk.getvalue(), "a/2.gif": moving.getvalue()}))
    assert found.modes == {"CMYK": 1, "P": 1}
    assert found.animated == 1


def test_unlabelled_pictures_are_told_as_such(plant: Plant) -> None:
    found = audit(plant({"1.png": None}))
    assert found.layout == "unlabelled pictures"
    assert found.problems == ("no picture has a label: they can be predicted, not learnt from",)
    assert found.classes == (ClassRow(None, 0, 0, 0, unsplit=1, left_out=0),)


def test_nothing_usable_at_all(plant: Plant) -> None:
    found = audit(plant({"a/1.png": b"", "a/2.png": b"x"}))
    assert found.sizes is None
    assert found.problems
    with pytest.raises(DataError, match="no pictures in"):
        audit(plant({"b/notes.txt": b"x"}) / "b")


def test_the_whole_audit_fits_into_json(untidy: Path) -> None:
    told = json.loads(json.dumps(audit(untidy).to_dict()))
    assert told["usable"] is False
    assert told["classes"][0] == {
        **{"name": "cats", "train": 14, "valid": 0, "test": 1, "unsplit": 0, "left_out": 1},
    }
    assert told["duplicates"][0]["names"] == ["test/cats/leak.png", "train/cats/2.png"]
    assert told["sizes"]["largest"] == [90, 50]
    assert told["left_out"][0]["reason"] == "empty file"
