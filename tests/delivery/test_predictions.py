"""Predictions for folders: in order, whole or not at all, going on after a kill."""

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import headstart
from headstart.delivery.bundle import Bundle, write_bundle
from headstart.errors import DataError, RecordsError, StudyError

Colours = Callable[..., Path]


def table(path: Path) -> tuple[list[str], list[list[str]]]:
    with path.open(encoding="utf-8", newline="") as file:
        heads, *rows = list(csv.reader(file))
    return heads, rows


@pytest.fixture
def output(tmp_path: Path) -> Path:
    (tmp_path / "answers").mkdir()
    return tmp_path / "answers" / "predictions.csv"


class _StoppedError(Exception):
    """The power went off."""


def stop_at(number: int) -> Callable[[str, int, int], None]:
    def progress(_doing: str, done: int, _total: int) -> None:
        if done == number:
            raise _StoppedError

    return progress


def test_every_picture_is_answered_in_the_order_of_the_names(
    folder: Path, colours: Colours, output: Path
) -> None:
    root = colours(7)
    done = headstart.predict(folder, root, output, batch_size=4)
    heads, rows = table(output)
    assert heads == ["filename", "label", "pred", "prob_blue", "prob_green", "prob_red"]
    names = [row[0] for row in rows]
    assert names == sorted(path.relative_to(root).as_posix() for path in root.rglob("*.png"))
    assert [row[2] for row in rows] == [row[1] for row in rows]
    expected = headstart.load(folder).predict_proba([root / name for name in names])
    np.testing.assert_allclose(np.array([row[3:] for row in rows], float), expected, rtol=1e-6)
    assert (done.pictures, done.unreadable, done.taken_over) == (21, 0, 0)
    assert sorted(path.name for path in output.parent.iterdir()) == [
        "predictions.csv",
        "predictions.unreadable.csv",
    ]


def test_the_batch_size_changes_nothing(folder: Path, colours: Colours, output: Path) -> None:
    root = colours(5)
    seen = set()
    for size in (1, 2, 15, 100):
        headstart.predict(folder, root, output, batch_size=size)
        heads, rows = table(output)
        seen.add(json.dumps([heads, [[*row[:3], *(f"{float(p):.5f}" for p in row[3:])]
                                     for row in rows]]))  # fmt: skip
    assert len(seen) == 1


def test_top_k_names_the_most_probable(folder: Path, colours: Colours, output: Path) -> None:
    headstart.predict(folder, colours(2), output, top_k=2)
    heads, rows = table(output)
    assert heads == ["filename", "label", "pred", "prob", "pred_2", "prob_2"]
    for row in rows:
        assert row[2] == row[1] != row[4]
        assert float(row[3]) > float(row[5])


@pytest.mark.parametrize(
    ("options", "expected"),
    [({"top_k": 4}, "the model has 3 classes"), ({"top_k": 0}, "so give 1 to 3"),
     ({"batch_size": 0}, "at least 1 is needed")],
)  # fmt: skip
def test_impossible_numbers_are_refused(
    folder: Path, colours: Colours, output: Path, options: dict[str, int], expected: str
) -> None:
    with pytest.raises(StudyError, match=expected):
        headstart.predict(folder, colours(1), output, **options)  # type: ignore[arg-type]


def test_unreadable_files_are_listed_apart(folder: Path, colours: Colours, output: Path) -> None:
    root = colours(2)
    (root / "red" / "broken.png").write_bytes(b"not a picture")
    (root / "blue" / "empty.jpg").write_bytes(b"")
    (root / "green" / "gone.png").symlink_to(root / "nowhere.png")
    done = headstart.predict(folder, root, output)
    assert (done.pictures, done.unreadable) == (6, 3)
    heads, rows = table(done.unreadable_list)
    assert heads == ["filename", "reason"]
    assert sorted(row[0] for row in rows) == ["blue/empty.jpg", "green/gone.png", "red/broken.png"]
    assert dict(rows)["blue/empty.jpg"] == "empty file"
    assert len(table(output)[1]) == 6


def test_pictures_without_labels_are_predicted(
    folder: Path, colours: Colours, output: Path, tmp_path: Path
) -> None:
    root = colours(1)
    loose = tmp_path / "loose"
    loose.mkdir()
    for number, path in enumerate(sorted(root.rglob("*.png"))):
        path.rename(loose / f"ürban 猫, {number}.png")
    headstart.predict(folder, loose, output)
    rows = table(output)[1]
    assert [row[:3] for row in rows] == [
        [f"ürban 猫, {number}.png", "", name]
        for number, name in enumerate(("blue", "green", "red"))
    ]


def test_arrays_are_predicted(folder: Path, output: Path, tmp_path: Path) -> None:
    pictures = np.zeros((3, 16, 16, 3), dtype=np.uint8)
    pictures[0, ..., 0] = pictures[1, ..., 2] = 255
    np.savez(tmp_path / "set.npz", pictures=pictures[:2], labels=np.array([1, 0]))
    headstart.predict(folder, tmp_path / "set.npz", output)
    assert [row[2] for row in table(output)[1]] == ["red", "blue"]


class TestInterruptions:
    def test_it_goes_on_and_ends_with_the_same_file(
        self, folder: Path, colours: Colours, output: Path
    ) -> None:
        root = colours(9)
        (root / "blue" / "bad.png").write_bytes(b"x")
        whole = output.with_name("whole.csv")
        headstart.predict(folder, root, whole, batch_size=3)
        with pytest.raises(_StoppedError):
            headstart.predict(folder, root, output, batch_size=3, progress=stop_at(20))
        assert not output.exists()
        with pytest.raises(_StoppedError):
            headstart.predict(folder, root, output, batch_size=3, progress=stop_at(4))
        done = headstart.predict(folder, root, output, batch_size=3)
        assert done.taken_over >= 15
        assert (done.pictures, done.unreadable) == (27, 1)
        assert output.read_bytes() == whole.read_bytes()
        assert len(table(done.unreadable_list)[1]) == 1

    def test_other_pictures_of_the_same_names_are_not_taken_for_these(
        self, folder: Path, colours: Colours, output: Path, tmp_path: Path
    ) -> None:
        root = colours(9)
        with pytest.raises(_StoppedError):
            headstart.predict(folder, root, output, batch_size=4, progress=stop_at(20))
        other = tmp_path / "others"
        shutil.copytree(root, other)
        done = headstart.predict(folder, other, output, batch_size=4)
        assert done.taken_over == 0

    def test_pictures_that_changed_meanwhile_are_predicted_again(
        self, folder: Path, colours: Colours, output: Path
    ) -> None:
        root = colours(9)
        with pytest.raises(_StoppedError):
            headstart.predict(folder, root, output, batch_size=4, progress=stop_at(20))
        first = min(root.rglob("*.png"))
        os.utime(first, (1e9, 1e9))
        assert headstart.predict(folder, root, output, batch_size=4).taken_over == 0

    def test_a_killed_process_is_taken_up(
        self, folder: Path, colours: Colours, output: Path
    ) -> None:
        root = colours(9)
        code = (
            "import os, sys, headstart\n"
            "def kill(_doing, done, _total):\n"
            "    if done == 20: os.kill(os.getpid(), 9)\n"
            "headstart.predict(*sys.argv[1:], batch_size=4, progress=kill)\n"
        )
        killed = subprocess.run(
            [sys.executable, "-c", code, str(folder), str(root), str(output)], check=False
        )
        assert killed.returncode == -9
        part = output.with_name(".predictions.csv.part")
        part.write_bytes(part.read_bytes()[:-7])  # as if its last line was half written
        done = headstart.predict(folder, root, output, batch_size=4)
        assert done.taken_over in (11, 15)
        rows = table(output)[1]
        assert [row[2] for row in rows] == [row[1] for row in rows]
        assert len({row[0] for row in rows}) == 27

    def test_what_another_model_did_is_not_taken_over(
        self, folder: Path, bundle: Bundle, colours: Colours, output: Path, tmp_path: Path
    ) -> None:
        root = colours(3)
        with pytest.raises(_StoppedError):
            headstart.predict(folder, root, output, batch_size=2, progress=stop_at(7))
        import dataclasses

        swapped = dataclasses.replace(bundle, class_names=("red", "green", "blue"))
        other = write_bundle(swapped, tmp_path / "other", "")
        done = headstart.predict(other, root, output, batch_size=2)
        assert done.taken_over == 0
        assert [row[2] for row in table(output)[1]] == 3 * ["red"] + 3 * ["green"] + 3 * ["blue"]

    def test_a_folder_that_changed_is_begun_anew(
        self, folder: Path, colours: Colours, output: Path
    ) -> None:
        root = colours(3)
        with pytest.raises(_StoppedError):
            headstart.predict(folder, root, output, batch_size=2, progress=stop_at(7))
        (root / "blue" / "000.png").unlink()
        done = headstart.predict(folder, root, output, batch_size=2)
        assert (done.taken_over, done.pictures) == (0, 8)

    def test_an_older_answer_stays_until_the_new_one_is_whole(
        self, folder: Path, colours: Colours, output: Path
    ) -> None:
        root = colours(3)
        output.write_text("the older answer")
        with pytest.raises(_StoppedError):
            headstart.predict(folder, root, output, batch_size=2, progress=stop_at(7))
        assert output.read_text() == "the older answer"


class TestPlaces:
    def test_a_missing_folder_is_told(self, folder: Path, colours: Colours, tmp_path: Path) -> None:
        with pytest.raises(RecordsError, match="there is no folder"):
            headstart.predict(folder, colours(1), tmp_path / "no" / "where.csv")

    def test_a_folder_as_output_is_told(
        self, folder: Path, colours: Colours, tmp_path: Path
    ) -> None:
        with pytest.raises(RecordsError, match=r"is a folder: give a file"):
            headstart.predict(folder, colours(1), tmp_path)

    def test_two_cannot_write_the_same(self, folder: Path, colours: Colours, output: Path) -> None:
        root = colours(2)
        seen: list[str] = []

        def meanwhile(_doing: str, done: int, _total: int) -> None:
            if done == 1:
                with pytest.raises(RecordsError, match="another process is writing") as caught:
                    headstart.predict(folder, root, output)
                seen.append(str(caught.value))

        headstart.predict(folder, root, output, progress=meanwhile)
        assert len(seen) == 1

    def test_nothing_to_predict_is_told(self, folder: Path, tmp_path: Path, output: Path) -> None:
        (tmp_path / "empty").mkdir()
        with pytest.raises(DataError, match="no pictures in empty"):
            headstart.predict(folder, tmp_path / "empty", output)
