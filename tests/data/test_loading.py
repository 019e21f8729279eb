"""From files on disk to an image set: classes, splits, what is left out, and what is said."""

import hashlib
import io
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.data.image_set import ImageSet
from headstart.data.loading import LoadedPictures, load_pictures
from headstart.data.picture_cache import PictureCache
from headstart.data.transforms import Preprocessing
from headstart.errors import DataError

Plant = Callable[[Mapping[str, bytes | None]], Path]
SMALL = Preprocessing(6, 8, interpolation="bilinear")


def picture(number: int, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(number).integers(0, 256, (13, 11, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def pixels_of(data: bytes) -> list[list[list[int]]]:
    with Image.open(io.BytesIO(data)) as shown:
        pixels: list[list[list[int]]] = SMALL.apply(shown.convert("RGB")).tolist()
        return pixels


def labelled(loaded: LoadedPictures) -> dict[str, str]:
    names = loaded.images.class_names
    return {
        name: names[label]
        for name, label in zip(loaded.names, loaded.images.labels.tolist(), strict=True)
    }


FILES = {
    f"{kind}/{number}.png": picture(number) for kind, number in zip("bbaac", range(5), strict=True)
}


def test_an_image_set_from_class_folders(plant: Plant) -> None:
    loaded = load_pictures(plant(FILES), SMALL)
    assert loaded.images.class_names == ("a", "b", "c")
    assert labelled(loaded) == {name: name[0] for name in FILES}
    assert loaded.names == tuple(sorted(FILES))
    for row, name in enumerate(loaded.names):
        assert loaded.images.pictures[row].tolist() == pixels_of(FILES[name])
        assert loaded.file_hashes[row] == hashlib.sha256(FILES[name]).hexdigest()
    assert loaded.images.name == "pets"
    assert loaded.images.origin == "class folders"
    assert not loaded.images.parts
    assert loaded.groups is None
    assert not loaded.left_out
    assert not loaded.warnings
    assert isinstance(loaded.images.pictures, np.memmap)


def test_the_same_pictures_in_every_form(plant: Plant, tmp_path: Path) -> None:
    root = plant(FILES)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name, content in FILES.items():
            archive.writestr(f"pets/{name}", content)
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as tar:
        tar.add(root, "pets")
    (root / "all.csv").write_text("filename,label\n" + "".join(f"{n},{n[0]}\n" for n in FILES))
    expected = load_pictures(root, SMALL)
    for path in (tmp_path / "a.zip", tmp_path / "a.tar.gz", root / "all.csv"):
        loaded = load_pictures(path, SMALL)
        assert labelled(loaded) == labelled(expected)
        assert loaded.images.class_names == expected.images.class_names
        order = [expected.names.index(name) for name in loaded.names]
        np.testing.assert_array_equal(loaded.images.pictures, expected.images.pictures[order])
        assert loaded.file_hashes == tuple(expected.file_hashes[row] for row in order)
    arrays = np.stack([np.asarray(Image.open(io.BytesIO(FILES[n]))) for n in expected.names])
    np.savez(tmp_path / "a.npz", X=arrays, y=[name[0] for name in expected.names])
    from_arrays = load_pictures(tmp_path / "a.npz", SMALL)
    np.testing.assert_array_equal(from_arrays.images.pictures, expected.images.pictures)
    np.testing.assert_array_equal(from_arrays.images.labels, expected.images.labels)


def test_a_second_load_reads_and_decodes_nothing(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = plant(FILES)
    told: list[str] = []

    def load() -> ImageSet:
        told.clear()
        return load_pictures(root, SMALL, progress=lambda doing, *_: told.append(doing)).images

    # As if the files had been there for a minute.
    monkeypatch.setattr("headstart.data.marks._SETTLED_AFTER_NS", -(60 * 10**9))
    first = load()
    assert told == ["reading"] * 5 + ["decoding"] * 5
    second = load()
    assert told == []
    np.testing.assert_array_equal(first.pictures, second.pictures)
    (root / "a" / "new.png").write_bytes(picture(99))
    assert len(load()) == 6
    assert told == ["reading", "decoding"]


def test_other_splits_are_mapped_by_name_not_by_position(plant: Plant) -> None:
    files = {
        **{f"train/{kind}/{number}.png": None for number, kind in enumerate("abc")},
        **{"test/c/1.png": None, "test/b/1.png": None, "val/c/2.png": None},
    }
    loaded = load_pictures(plant(files), SMALL)
    assert loaded.images.class_names == ("a", "b", "c")
    assert labelled(loaded) == {name: name.split("/")[1] for name in files}
    assert {
        part: [loaded.names[row] for row in rows] for part, rows in loaded.images.parts.items()
    } == {
        "train": ["train/a/0.png", "train/b/1.png", "train/c/2.png"],
        "valid": ["val/c/2.png"],
        "test": ["test/b/1.png", "test/c/1.png"],
    }
    assert "the test split has no picture of: a" in loaded.warnings
    assert "the valid split has no picture of: a, b" in loaded.warnings


def test_class_names_are_sorted_by_their_characters(plant: Plant) -> None:
    names = ["猫", "b", "é", "A", "10", "9", "Z", "c d", "a"]
    loaded = load_pictures(plant({f"{name}/1.png": None for name in names}), SMALL)
    assert loaded.images.class_names == ("10", "9", "A", "Z", "a", "b", "c d", "é", "猫")
    assert labelled(loaded) == {f"{name}/1.png": name for name in names}


def test_a_class_that_training_does_not_know_is_an_error(plant: Plant) -> None:
    root = plant({"train/cats/1.png": None, "train/dogs/1.png": None, "test/catz/1.png": None})
    with pytest.raises(DataError) as caught:
        load_pictures(root, SMALL)
    message = str(caught.value)
    assert "the test split has classes that training does not know: catz" in message
    assert "'catz': did you mean 'cats'?" in message


def test_a_models_classes_fix_the_order(plant: Plant) -> None:
    root = plant({"cats/1.png": None, "dogs/1.png": None})
    loaded = load_pictures(root, SMALL, class_names=["dogs", "owls", "cats"])
    assert loaded.images.class_names == ("dogs", "owls", "cats")
    assert loaded.images.labels.tolist() == [2, 0]
    assert "the folder has no picture of: owls" in loaded.warnings
    with pytest.raises(DataError, match="there are classes that the model does not know: dogs"):
        load_pictures(root, SMALL, class_names=["cats", "dog"])


def test_bad_files_are_left_out_and_listed_never_replaced(plant: Plant) -> None:
    good = picture(1)
    root = plant(
        {
            **{"cats/good.png": good, "cats/empty.png": b"", "cats/short.png": good[:-400]},
            **{"cats/page.jpg": b"<html>404", "dogs/good.jpg": picture(2, "JPEG")},
            "dogs/png.jpg": picture(3),
        }
    )
    (root / "dogs" / "gone.png").symlink_to("nowhere.png")
    loaded = load_pictures(root, SMALL)
    assert labelled(loaded) == {
        **{"cats/good.png": "cats", "dogs/good.jpg": "dogs", "dogs/png.jpg": "dogs"},
    }
    reasons = {each.name: (each.label, each.reason) for each in loaded.left_out}
    assert reasons["cats/empty.png"] == ("cats", "empty file")
    assert "cut short" in reasons["cats/short.png"][1]
    assert reasons["cats/page.jpg"] == ("cats", "not a picture: its content is a web page")
    assert reasons["dogs/gone.png"] == ("dogs", "a symbolic link to nothing")
    assert len(reasons) == 4
    assert any("their suffix is wrong: dogs/png.jpg (PNG)" in each for each in loaded.warnings)
    again = load_pictures(root, SMALL)
    assert again.left_out == loaded.left_out
    assert again.warnings == loaded.warnings


@pytest.mark.parametrize("prefix", ["", "train/"])
def test_a_class_of_which_nothing_is_left_is_an_error(plant: Plant, prefix: str) -> None:
    root = plant(
        {f"{prefix}cats/1.png": None, f"{prefix}dogs/1.png": b"", f"{prefix}dogs/2.png": b"x"}
    )
    with pytest.raises(DataError) as caught:
        load_pictures(root, SMALL)
    assert str(caught.value) == (
        f"nothing is left of class 'dogs', all 2 of its files are left out: {prefix}dogs/1.png "
        f"(empty file), {prefix}dogs/2.png (not a picture of a kind that is read). Mend some of "
        "them, or take the class away"
    )


def test_a_file_that_changes_while_it_is_read_is_left_out_until_it_is_settled(
    plant: Plant,
) -> None:
    root = plant({"cats/1.png": picture(1), "cats/2.png": picture(2), "dogs/1.png": picture(3)})

    def rewrite(doing: str, done: int, _total: int) -> None:
        if (doing, done) == ("reading", 3):
            (root / "cats" / "1.png").write_bytes(picture(1)[:200])

    loaded = load_pictures(root, SMALL, progress=rewrite)
    assert [(each.name, each.reason) for each in loaded.left_out] == [
        ("cats/1.png", "changed while it was read")
    ]
    (root / "cats" / "1.png").write_bytes(picture(1))
    assert not load_pictures(root, SMALL).left_out


def test_a_class_that_is_gone_from_a_test_split_is_a_warning(plant: Plant) -> None:
    files = {f"{split}/{kind}/1.png": None for split in ("train", "test") for kind in "ab"}
    loaded = load_pictures(plant({**files, "test/b/1.png": b""}), SMALL)
    assert "the test split has no picture of: b" in loaded.warnings
    assert [each.name for each in loaded.left_out] == ["test/b/1.png"]


def test_a_class_that_only_a_test_split_had_and_lost_is_an_error(plant: Plant) -> None:
    root = plant({"train/a/1.png": None, "test/a/1.png": None, "test/b/notes.txt": b""})
    (root / "test" / "b" / "1.png").symlink_to("nowhere.png")
    with pytest.raises(DataError, match="nothing is left of class 'b', all 1 of its files"):
        load_pictures(root, SMALL)


def test_a_class_whose_folder_leads_elsewhere_is_an_error(plant: Plant, tmp_path: Path) -> None:
    root = plant({"cats/1.png": None})
    (tmp_path / "elsewhere").mkdir()
    (root / "dogs").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="nothing is left of class 'dogs', all 1 of its files"):
        load_pictures(root, SMALL)


def test_unlabelled_pictures_are_left_out_of_learning(plant: Plant) -> None:
    root = plant({"train/cats/1.png": None, "train/dogs/1.png": None, "test/1.png": None})
    loaded = load_pictures(root, SMALL)
    assert len(loaded.images) == 2
    assert [(each.name, each.split) for each in loaded.left_out] == [("test/1.png", "test")]
    assert "1 picture(s) have no label: they can be predicted, not learnt from" in loaded.warnings
    with pytest.raises(DataError, match="no picture in test has a label: expected class folders"):
        load_pictures(root / "test", SMALL)


def test_groups_and_splits_from_a_manifest(plant: Plant) -> None:
    root = plant({"1.png": None, "2.png": b"", "3.png": None})
    (root / "all.csv").write_text(
        "filename,label,split,group\n1.png,a,train,p1\n2.png,a,train,p2\n3.png,b,train,p3\n"
    )
    loaded = load_pictures(root / "all.csv", SMALL)
    assert loaded.groups == ("p1", "p3")
    assert loaded.names == ("1.png", "3.png")
    assert loaded.images.parts["train"].tolist() == [0, 1]


def test_class_numbers_in_arrays_keep_their_order(tmp_path: Path) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (3, 9, 9), dtype=np.uint8)
    np.savez(
        tmp_path / "a.npz", x_train=pictures, y_train=[10, 9, 2], x_test=pictures, y_test=[2, 2, 9]
    )
    grey = Preprocessing(5, 5, channels=1)
    loaded = load_pictures(tmp_path / "a.npz", grey)
    assert loaded.images.class_names == ("2", "9", "10")
    assert loaded.images.labels.tolist() == [2, 1, 0, 0, 0, 1]
    assert loaded.images.picture_shape == (5, 5, 1)
    expected = grey.apply(Image.fromarray(pictures[0]))
    np.testing.assert_array_equal(loaded.images.pictures[0], expected)


def test_names_that_differ_only_in_capitals_are_said(plant: Plant) -> None:
    loaded = load_pictures(plant({"Cat/1.png": None, "cat/1.png": None}), SMALL)
    assert any("differ only in capitals or blanks" in each for each in loaded.warnings)


def test_a_cache_of_ones_own(plant: Plant, tmp_path: Path) -> None:
    load_pictures(plant(FILES), SMALL, cache=PictureCache(tmp_path / "mine"))
    assert list((tmp_path / "mine" / "pictures").glob("*/*/pixels"))
    tiny = PictureCache(tmp_path / "tiny", limit_bytes=100)
    loaded = load_pictures(plant(FILES), SMALL, cache=tiny)
    assert any("are not kept for the next time" in each for each in loaded.warnings)
    assert len(loaded.images) == 5
