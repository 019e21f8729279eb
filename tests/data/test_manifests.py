"""Tables of pictures: CSV as people write it, Parquet, and everything that contradicts itself."""

import csv
import io
import tempfile
import unicodedata
from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.data.entries import Found, Limits
from headstart.data.folders import find_pictures
from headstart.errors import DataError

Plant = Callable[[Mapping[str, bytes | None]], Path]


@pytest.fixture
def written(plant: Plant) -> Callable[[str | bytes], Path]:
    """Write a manifest beside a.jpg, b.jpg and sub/c.jpg."""

    def write(text: str | bytes) -> Path:
        root = plant({"a.jpg": None, "b.jpg": None, "sub/c.jpg": None})
        content = text.encode() if isinstance(text, str) else text
        (root / "table.csv").write_bytes(content)
        return root / "table.csv"

    return write


Written = Callable[[str | bytes], Path]


def rows(found: Found) -> list[tuple[str, str | None, str | None, str | None]]:
    return [(each.name, each.label, each.split, each.group) for each in found.entries]


def problems(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        find_pictures(path)
    return str(caught.value)


def test_all_columns(written: Written) -> None:
    found = find_pictures(
        written(
            "filename,label,split,group\n"
            "sub/c.jpg,dog,test,p2\na.jpg,cat,train,p1\nb.jpg,dog,Validation,p1\n"
        )
    )
    assert found.layout == "manifest"
    assert rows(found) == [
        ("sub/c.jpg", "dog", "test", "p2"),
        ("a.jpg", "cat", "train", "p1"),
        ("b.jpg", "dog", "valid", "p1"),
    ]
    assert all(entry.path.is_file() for entry in found.entries)


@pytest.mark.parametrize(
    "text",
    [
        "file_name,label\na.jpg,cat\nb.jpg,dog\n",
        "\ufefffilename,label\r\na.jpg,cat\r\n\r\nb.jpg,dog",
        "Label;FileName\ncat;a.jpg\ndog;b.jpg\n",
        'filename , label\n"a.jpg", cat \n"./b.jpg",dog\n',
        "filename\tlabel\na.jpg\tcat\nb.jpg\tdog\n",
    ],
)
def test_csv_as_people_write_it(written: Written, text: str) -> None:
    found = find_pictures(written(text))
    assert [entry.label for entry in found.entries] == ["cat", "dog"]
    assert {entry.split for entry in found.entries} == {entry.group for entry in found.entries}


def test_without_labels_pictures_can_be_predicted(written: Written) -> None:
    assert rows(find_pictures(written("filename\na.jpg\n"))) == [("a.jpg", None, None, None)]
    found = find_pictures(written("filename,label\na.jpg,\nb.jpg,cat\n"))
    assert [entry.label for entry in found.entries] == [None, "cat"]


def test_labels_in_any_script_and_with_commas(written: Written) -> None:
    parts = unicodedata.normalize("NFD", "café")
    found = find_pictures(written(f'filename,label\na.jpg,"猫, gross"\nb.jpg,{parts}\n'))
    assert [entry.label for entry in found.entries] == ["猫, gross", "café"]


def test_missing_files_are_listed_with_their_line(written: Written) -> None:
    found = find_pictures(written("filename,label\na.jpg,cat\ngone.jpg,dog\nsub,dog\n"))
    assert rows(found) == [("a.jpg", "cat", None, None)]
    assert [(each.name, each.reason, each.label) for each in found.left_out] == [
        ("gone.jpg", "no such file (line 3 of table.csv)", "dog"),
        ("sub", "not a file (line 4 of table.csv)", "dog"),
    ]


def test_names_from_other_systems_are_found(written: Written, tmp_path: Path) -> None:
    path = written("filename,label\nsub\\c.jpg,cat\n")
    composed = unicodedata.normalize("NFC", "é.jpg")
    (path.parent / composed).write_bytes(b"x")
    with path.open("a", encoding="utf-8") as file:
        file.write(unicodedata.normalize("NFD", composed) + ",cat\n")
    assert [entry.path.name for entry in find_pictures(path).entries] == ["c.jpg", composed]


def test_paths_that_leave_the_folder_are_refused_all_at_once(
    written: Written, tmp_path: Path
) -> None:
    (tmp_path / "secret.jpg").write_bytes(b"x")
    path = written(
        f"filename,label\n../secret.jpg,a\na.jpg,a\n{tmp_path}/secret.jpg,b\nlink.jpg,a\n"
    )
    (path.parent / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    message = problems(path)
    assert "3 file name(s) lead out of the manifest's folder, which is refused" in message
    for part in ("'../secret.jpg' (line 2)", "secret.jpg' (line 4)", "'link.jpg' (line 5)"):
        assert part in message
    within = find_pictures(written("filename,label\nsub/../a.jpg,cat\n"))
    assert [entry.path.name for entry in within.entries] == ["a.jpg"]


def test_absolute_paths_inside_the_folder_are_fine(written: Written) -> None:
    path = written("")
    path.write_text(f"filename,label\n{path.parent}/a.jpg,cat\n")
    assert [entry.path.name for entry in find_pictures(path).entries] == ["a.jpg"]


def test_everything_that_is_wrong_is_told_at_once(written: Written) -> None:
    message = problems(
        written(
            "filename,label,split,group\n"
            "a.jpg,cat,train,p1\nsub/../a.jpg,dog,train,p1\n,cat,train,p1\nb.jpg,cat,tran,\n../x,cat,,p2\n"
        )
    )
    for part in (
        "table.csv: no file name in line 4",
        "there is no split 'tran': did you mean 'train'?",
        "split is empty in line 6: fill it in every row, or drop the column",
        "group is empty in line 5",
        "1 file(s) are named twice with different label, split or group: ",
        "'sub/../a.jpg' (line 2 and line 3)",
        "1 file name(s) lead out",
    ):
        assert part in message


def test_repeated_rows_count_once(written: Written) -> None:
    found = find_pictures(written("filename,label\na.jpg,cat\n./sub/../a.jpg,cat\nb.jpg,cat\n"))
    assert [entry.name for entry in found.entries] == ["a.jpg", "b.jpg"]
    assert "table.csv: 1 row(s) repeat others, counted once" in found.warnings


def test_columns_without_effect_are_named(written: Written) -> None:
    found = find_pictures(written("filename,label,width\na.jpg,cat,3\n"))
    assert "table.csv: columns not used: width" in found.warnings


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "has no column filename (or file_name). It has: nothing"),
        ("path,label\na.jpg,cat\n", "no column filename (or file_name). It has: path, label"),
        ("filename,file_name\na.jpg,a.jpg\n", "has both filename and file_name: keep one"),
        ("filename,label,label\na.jpg,cat,dog\n", "has the column label twice"),
        ("filename,label\na,b.jpg,cat\n", "has 2 columns, but line 2 has 3 cells: put names that"),
        ('filename,label\n"a.jpg,cat\n', "table.csv, line"),
        (b"filename,label\na.jpg,caf\xe9\n", "is not UTF-8 text (byte 24)"),
        ("filename,label\n", "no pictures in table.csv"),
    ],
)
def test_tables_that_cannot_be_read(written: Written, text: str | bytes, part: str) -> None:
    assert part in problems(written(text))


def test_more_rows_than_the_limit_are_refused(written: Written) -> None:
    path = written("filename,label\na.jpg,cat\nb.jpg,cat\n")
    with pytest.raises(DataError, match="more than 1 rows, the limit"):
        find_pictures(path, limits=Limits(members=1))
    with pytest.raises(DataError, match="above the limit of 0 MB"):
        find_pictures(path, limits=Limits(file_bytes=10))
    pd.DataFrame({"filename": ["a.jpg", "b.jpg"]}).to_parquet(path.with_suffix(".parquet"))
    with pytest.raises(DataError, match="more than 1 rows, the limit"):
        find_pictures(path.with_suffix(".parquet"), limits=Limits(members=1))


def test_parquet_is_read_like_csv(written: Written) -> None:
    path = written("").with_suffix(".parquet")
    table = pd.DataFrame(
        {
            "file_name": ["sub/c.jpg", "a.jpg", "gone.jpg"],
            "label": [3, 4, 4],
            "split": pd.Categorical(["train", "test", "test"]),
            "width": [1, 2, 3],
        }
    )
    table.to_parquet(path)
    found = find_pictures(path)
    assert rows(found) == [("sub/c.jpg", "3", "train", None), ("a.jpg", "4", "test", None)]
    assert [each.reason for each in found.left_out] == ["no such file (row 3 of table.parquet)"]
    assert "table.parquet: columns not used: width" in found.warnings
    table.assign(label=[3.0, float("nan"), 4.0]).to_parquet(path)
    assert [entry.label for entry in find_pictures(path).entries] == ["3", None]


def test_parquet_that_is_none_is_refused(written: Written) -> None:
    path = written("").with_suffix(".parquet")
    path.write_bytes(b"PAR1 or not")
    assert "table.parquet cannot be read as Parquet" in problems(path)
    pd.DataFrame({"path": ["a.jpg"]}).to_parquet(path)
    assert "has no column filename (or file_name). It has: path" in problems(path)


def test_parquet_without_pyarrow_says_what_to_install(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written("").with_suffix(".parquet")
    pd.DataFrame({"filename": ["a.jpg"]}).to_parquet(path)

    def absent(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr("headstart.data.manifests.import_module", absent)
    assert "needs the package pyarrow: pip install pyarrow, or save" in problems(path)


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), max_size=8)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(CELLS, CELLS, st.sampled_from(["", "train", "test"])), max_size=6))
def test_any_table_is_read_or_refused(table: list[tuple[str, str, str]]) -> None:
    buffer = io.StringIO()
    csv.writer(buffer).writerows([("filename", "label", "split"), *table])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        path.write_text(buffer.getvalue(), encoding="utf-8", newline="")
        try:
            found = find_pictures(path)
        except DataError:
            return
        named = {name.strip() for name, _, _ in table}
        assert len(found.entries) + len(found.left_out) <= len(named)


@settings(max_examples=80, deadline=None)
@given(st.sampled_from([".csv", ".tsv", ".parquet"]), st.binary(max_size=120))
def test_random_bytes_are_no_table(suffix: str, data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"table{suffix}"
        path.write_bytes(data)
        with pytest.raises(DataError):
            find_pictures(path)
