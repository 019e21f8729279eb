"""Finding pictures in folders: layouts, names in any script, links, and what is passed over."""

import os
import tempfile
import unicodedata
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from headstart.data.entries import Found
from headstart.data.folders import Topics, find_pictures
from headstart.errors import DataError

Plant = Callable[[Mapping[str, bytes | None]], Path]


def labels(found: Found) -> dict[str, str | None]:
    return {entry.name: entry.label for entry in found.entries}


def reasons(found: Found) -> dict[str, str]:
    return {each.name: each.reason for each in found.left_out}


def test_class_folders(plant: Plant) -> None:
    found = find_pictures(plant({"dogs/2.png": None, "cats/1.jpg": None, "cats/3.WEBP": None}))
    assert found.layout == "class folders"
    assert labels(found) == {"cats/1.jpg": "cats", "cats/3.WEBP": "cats", "dogs/2.png": "dogs"}
    assert [entry.name for entry in found.entries] == sorted(labels(found))
    assert {entry.split for entry in found.entries} == {None}
    assert all(entry.path.is_file() for entry in found.entries)
    assert not found.left_out
    assert not found.warnings


@pytest.mark.parametrize("valid", ["val", "valid", "validation", "VAL", "Validation"])
@pytest.mark.parametrize("train", ["train", "Train"])
def test_split_folders_by_any_of_their_names(plant: Plant, train: str, valid: str) -> None:
    root = plant(
        {f"{train}/cats/1.jpg": None, f"{valid}/cats/2.jpg": None, "test/cats/3.jpg": None}
    )
    found = find_pictures(root)
    assert found.layout == "split folders"
    assert {entry.name: (entry.split, entry.label) for entry in found.entries} == {
        f"{train}/cats/1.jpg": ("train", "cats"),
        f"{valid}/cats/2.jpg": ("valid", "cats"),
        "test/cats/3.jpg": ("test", "cats"),
    }


def test_a_folder_with_only_a_test_split_can_be_evaluated(plant: Plant) -> None:
    found = find_pictures(plant({"test/cats/1.jpg": None}))
    assert [(entry.split, entry.label) for entry in found.entries] == [("test", "cats")]


def test_two_folders_for_one_split_are_refused(plant: Plant) -> None:
    root = plant({f"{name}/cats/1.jpg": None for name in ("train", "val", "validation")})
    with pytest.raises(DataError, match="val and validation in pets are both the valid split"):
        find_pictures(root)


def test_split_names_without_train_are_classes_and_said_so(plant: Plant) -> None:
    found = find_pictures(plant({"test/1.jpg": None, "training/1.jpg": None, "cats/1.jpg": None}))
    assert found.layout == "class folders"
    assert set(labels(found).values()) == {"test", "training", "cats"}
    assert any("test, training: taken for class folders" in each for each in found.warnings)


def test_nested_topics_have_the_first_folder_or_the_whole_path_as_class(plant: Plant) -> None:
    files = {"animals/birds/duck.png": None, "animals/cow.png": None, "food/nuts/raw/a.png": None}
    root = plant({**files, "train.txt": b"x"})
    assert labels(find_pictures(root)) == {
        "animals/birds/duck.png": "animals",
        "animals/cow.png": "animals",
        "food/nuts/raw/a.png": "food",
    }
    assert set(labels(find_pictures(root, topics="path")).values()) == {
        *("animals/birds", "animals", "food/nuts/raw"),
    }


def test_nested_topics_below_a_split(plant: Plant) -> None:
    root = plant({"train/animals/birds/duck.png": None, "test/food/nut.png": None})
    assert list(labels(find_pictures(root)).values()) == ["food", "animals"]
    assert list(labels(find_pictures(root, topics="path")).values()) == ["food", "animals/birds"]


def test_an_unlabelled_test_folder_is_for_prediction(plant: Plant) -> None:
    found = find_pictures(plant({"train/cats/1.jpg": None, "test/2.jpg": None}))
    assert [(entry.split, entry.label) for entry in found.entries] == [
        ("test", None),
        ("train", "cats"),
    ]


def test_a_flat_folder_and_a_single_file_are_for_prediction(plant: Plant) -> None:
    root = plant({"1.jpg": None, "2.png": None})
    found = find_pictures(root)
    assert found.layout == "unlabelled pictures"
    assert labels(found) == {"1.jpg": None, "2.png": None}
    single = find_pictures(root / "1.jpg")
    assert labels(single) == {"1.jpg": None}


def test_pictures_outside_the_class_folders_have_no_label(plant: Plant) -> None:
    found = find_pictures(plant({"cover.jpg": None, "cats/1.jpg": None}))
    assert labels(found) == {"cats/1.jpg": "cats", "cover.jpg": None}
    found = find_pictures(plant({"train/cats/1.jpg": None, "train/2.jpg": None}))
    assert [(entry.split, entry.label) for entry in found.entries if entry.label is None] == [
        *((None, None), (None, None), ("train", None)),
    ]
    assert any("folders beside train are no split: cats" in each for each in found.warnings)


def test_clutter_is_passed_over_and_other_files_are_counted(plant: Plant) -> None:
    found = find_pictures(
        plant(
            {
                "cats/1.jpg": None,
                **dict.fromkeys(
                    [
                        *(".git/1.jpg", "cats/.2.jpg", "cats/._1.jpg", "__MACOSX/cats/1.jpg"),
                        *("cats/.ipynb_checkpoints/1-checkpoint.jpg", "cats/@eaDir/1.jpg"),
                    ]
                ),
                **dict.fromkeys(["cats/Thumbs.db", "cats/THUMBS.DB", "cats/.DS_Store"], b"x"),
                **dict.fromkeys(["cats/a.txt", "b.txt", "cats/a.svg", "cats/README"], b"x"),
            }
        )
    )
    assert labels(found) == {"cats/1.jpg": "cats"}
    assert dict(found.others) == {".txt": 2, ".svg": 1, "(no suffix)": 1}
    assert next(iter(found.others)) == ".txt"
    assert [each for each in found.warnings if "kinds that are not read: 1 .svg" in each]


def test_files_without_a_suffix_are_looked_into(plant: Plant) -> None:
    found = find_pictures(plant({"cats/0001": None, "cats/0002": b"notes", "cats/.0003": None}))
    assert labels(found) == {"cats/0001": "cats"}
    assert dict(found.others) == {"(no suffix)": 1}


def test_folders_without_pictures_make_no_class(plant: Plant) -> None:
    root = plant({"cats/1.jpg": None, "notes/a.txt": b"x"})
    (root / "empty").mkdir()
    found = find_pictures(root)
    assert set(labels(found).values()) == {"cats"}
    assert "folders without pictures make no class: empty, notes" in found.warnings


def test_a_table_beside_unlabelled_pictures_is_pointed_at(plant: Plant) -> None:
    found = find_pictures(plant({"1.jpg": None, "labels.csv": b"filename,label\n1.jpg,cat\n"}))
    assert any("if labels.csv holds them" in each for each in found.warnings)


def test_names_in_any_script(plant: Plant) -> None:
    names = [
        "猫/子猫 1.jpg",
        "кошки/ёжик.jpg",
        "گربه\u200cها/۱.jpg",
        "🐈/🐈\u200d⬛.jpg",
        "a b/c's.jpg",
    ]
    found = find_pictures(plant(dict.fromkeys(names)))
    assert labels(found) == {
        name: unicodedata.normalize("NFC", name.split("/")[0]) for name in names
    }


def test_names_that_are_no_text_are_written_so_that_they_can_be_printed(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    for name in (b"\xff\xfe.png", b"new\nline.png"):
        Image.new("RGB", (4, 4)).save(folder / os.fsdecode(name))
    found = find_pictures(tmp_path)
    assert labels(found) == {
        r"caf\xe9/new\nline.png": r"caf\xe9",
        r"caf\xe9/\xff\xfe.png": r"caf\xe9",
    }
    for entry in found.entries:
        entry.name.encode()
        assert entry.path.read_bytes()


def test_one_class_however_its_accents_are_composed(plant: Plant) -> None:
    composed, parts = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    found = find_pictures(plant({f"train/{composed}/1.jpg": None, f"test/{parts}/2.jpg": None}))
    assert {entry.label for entry in found.entries} == {composed}


def test_links_are_followed_inside_the_root_only(plant: Plant, tmp_path: Path) -> None:
    root = plant({"cats/1.jpg": None, "all/dogs/2.jpg": None})
    outside = tmp_path / "outside"
    outside.mkdir()
    Image.new("RGB", (4, 4)).save(outside / "3.jpg")
    (root / "cats" / "same.jpg").symlink_to("1.jpg")
    (root / "dogs").symlink_to("all/dogs")
    (root / "cats" / "away.jpg").symlink_to(outside / "3.jpg")
    (root / "birds").symlink_to(outside)
    (root / "cats" / "nothing.jpg").symlink_to("gone.jpg")
    found = find_pictures(root)
    assert labels(found) == {
        "all/dogs/2.jpg": "all",
        "cats/1.jpg": "cats",
        "cats/same.jpg": "cats",
        "dogs/2.jpg": "dogs",
    }
    assert reasons(found) == {
        "birds/": "a symbolic link that leaves the folder, which is not followed",
        "cats/away.jpg": "a symbolic link that leaves the folder, which is not followed",
        "cats/nothing.jpg": "a symbolic link to nothing",
    }
    assert {each.label for each in found.left_out} == {"birds", "cats"}


def test_links_in_circles_end(plant: Plant) -> None:
    root = plant({"cats/1.jpg": None, "dogs/2.jpg": None})
    (root / "cats" / "up").symlink_to("..")
    (root / "cats" / "self").symlink_to("self")
    (root / "dogs" / "cats").symlink_to("../cats")
    (root / "cats" / "dogs").symlink_to("../dogs")
    found = find_pictures(root)
    assert set(labels(found)) == {"cats/1.jpg", "cats/dogs/2.jpg", "dogs/2.jpg", "dogs/cats/1.jpg"}
    assert reasons(found)["cats/self/"] == "a symbolic link to nothing"
    assert "within a linked folder" in reasons(found)["cats/dogs/cats/"]
    assert "which is not followed" in reasons(found)["cats/up/"]


def test_the_root_itself_may_be_a_link(plant: Plant, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(plant({"cats/1.jpg": None}))
    assert labels(find_pictures(tmp_path / "link")) == {"cats/1.jpg": "cats"}


def test_a_pipe_with_a_pictures_name_does_not_hang(plant: Plant) -> None:
    root = plant({"cats/1.jpg": None})
    os.mkfifo(root / "cats" / "pipe.jpg")
    os.mkfifo(root / "cats" / "pipe")
    assert reasons(find_pictures(root)) == {"cats/pipe.jpg": "not a regular file"}


def test_a_folder_that_cannot_be_read_is_listed(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = plant({"cats/1.jpg": None, "dogs/1.jpg": None})
    really = os.scandir

    def scandir(folder: Path) -> object:
        if folder.name == "dogs":
            raise PermissionError(13, "Permission denied")
        return really(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    found = find_pictures(root)
    assert reasons(found) == {"dogs/": "a folder that cannot be read: Permission denied"}
    assert [each.label for each in found.left_out] == ["dogs"]


def test_very_deep_folders_are_left_out(plant: Plant) -> None:
    found = find_pictures(plant({"cats/1.jpg": None, "/".join(["d"] * 80) + "/1.jpg": None}))
    assert labels(found) == {"cats/1.jpg": "cats"}
    assert list(reasons(found).values()) == ["more than 64 folders deep"]


def test_where_nothing_is_found_the_error_says_what_was_expected(
    plant: Plant, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"there is no folder or file .*nowhere"):
        find_pictures(tmp_path / "nowhere")
    with pytest.raises(
        DataError, match=r"no pictures in pets \(there are 1 .txt\): expected class"
    ):
        find_pictures(plant({"a.txt": b"x"}))
    with pytest.raises(DataError, match=r"a\.txt is not something that holds pictures"):
        find_pictures(tmp_path / "pets" / "a.txt")


PARTS = st.sampled_from(["cats", "dogs", "train", "val", "Test", ".hidden", "猫", "a b", "x.y"])
FILES = st.sampled_from(["1.jpg", "2.PNG", "3.tiff", "4.txt", ".5.jpg", "Thumbs.db", "6.svg"])
TREES = st.sets(st.tuples(st.lists(PARTS, max_size=4).map(tuple), FILES), min_size=1, max_size=12)


@settings(max_examples=60, deadline=None)
@given(TREES, st.sampled_from(get_args(Topics)))
def test_any_tree_is_laid_out_as_the_rules_say(
    tree: set[tuple[tuple[str, ...], str]], topics: Topics
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for above, name in tree:
            root.joinpath(*above).mkdir(parents=True, exist_ok=True)
            root.joinpath(*above, name).touch()
        expected = laid_out_by_the_rules(tree, topics)
        if not expected:
            with pytest.raises(DataError, match="no pictures in"):
                find_pictures(root, topics=topics)
            return
        found = find_pictures(root, topics=topics)
        assert {entry.name: (entry.split, entry.label) for entry in found.entries} == expected
        assert len(found.entries) == len(expected)


def laid_out_by_the_rules(
    tree: set[tuple[tuple[str, ...], str]], topics: str
) -> dict[str, tuple[str | None, str | None]]:
    """Name → split and label, written down from the module's docstring."""
    called = {"train": "train", "val": "valid", "test": "test"}
    pictures = [
        (*above, name)
        for above, name in tree
        if name.lower().endswith((".jpg", ".png", ".tiff"))
        and not any(part.startswith(".") for part in (*above, name))
    ]
    tops = {parts[0] for parts in pictures if len(parts) > 1}
    by_split = "train" in {top.lower() for top in tops} or all(
        top.lower() in called for top in tops
    )
    expected: dict[str, tuple[str | None, str | None]] = {}
    for parts in pictures:
        split, above = None, parts[:-1]
        if by_split and len(parts) > 1:
            split = called.get(parts[0].lower())
            above = parts[1:-1] if split else ()
        label = "/".join(above if topics == "path" else above[:1]) or None
        expected["/".join(parts)] = (split, label)
    return expected
