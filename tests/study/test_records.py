"""The records file: damaged, cut short, of other versions and programs, and never made worse."""

import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from headstart.data.image_set import ImageSet
from headstart.errors import HeadstartError, RecordsError
from headstart.report.results import Results
from headstart.study.records import Records, TrialKey
from headstart.study.spec import Study

Make = Callable[..., Study]
Compare = Callable[..., Results]


@pytest.fixture(scope="module")
def whole(
    small_study: Make,
    digits: ImageSet,
    compare: Compare,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """The folder of a study that was compared."""
    folder = tmp_path_factory.mktemp("whole") / "answers"
    compare(small_study(), folder, images=digits)
    return folder


@pytest.fixture
def broken(whole: Path, folder: Path) -> Path:
    """A copy of it, to be broken."""
    shutil.copytree(whole, folder)
    return folder


def change(folder: Path, statement: str) -> None:
    with closing(sqlite3.connect(folder / "study.sqlite")) as db:
        db.execute(statement)
        db.commit()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"these are no records at all" * 100, "is damaged (file is not a database): restore it"),
        (b"SQLite format 3\x00" + bytes(2000), "is damaged"),
    ],
    ids=["not a database", "only the beginning of one"],
)
def test_what_is_no_database_is_refused_and_left_as_it_is(
    broken: Path,
    small_study: Make,
    digits: ImageSet,
    compare: Compare,
    content: bytes,
    told: str,
) -> None:
    file = broken / "study.sqlite"
    file.write_bytes(content)

    with pytest.raises(RecordsError) as caught:
        Results.read(broken)
    assert told in str(caught.value)
    with pytest.raises(RecordsError, match=r"use --fresh to begin anew and keep the old folder"):
        compare(small_study(), broken, images=digits)
    assert file.read_bytes() == content

    compare(small_study(), broken, images=digits, fresh=True)
    kept = [path for path in broken.parent.iterdir() if path.name.startswith("answers.")]
    assert (kept[0] / "study.sqlite").read_bytes() == content


@pytest.mark.parametrize("share", [0.9, 0.5, 0.1])
def test_a_file_that_was_cut_short_is_refused(broken: Path, share: float) -> None:
    file = broken / "study.sqlite"
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])

    with pytest.raises(RecordsError, match="is damaged"):
        Results.read(broken)


def test_random_damage_is_told_and_never_a_crash(broken: Path, whole: Path) -> None:
    content = (whole / "study.sqlite").read_bytes()
    chance = random.Random(7)
    told = 0
    for _ in range(60):
        damaged = bytearray(content)
        for _ in range(chance.choice([1, 8, 64])):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        (broken / "study.sqlite").write_bytes(damaged)
        try:
            Results.read(broken)
        except HeadstartError:
            told += 1
    assert told > 5


@pytest.mark.parametrize("version", ["2", "0", "99"])
def test_records_of_another_version_are_refused(
    broken: Path, small_study: Make, digits: ImageSet, compare: Compare, version: str
) -> None:
    change(broken, f"UPDATE meta SET value = '{version}' WHERE key = 'schema'")
    before = (broken / "study.sqlite").read_bytes()

    told = rf"another version of headstart \(records {version}, this one reads 1\): use that"
    with pytest.raises(RecordsError, match=told):
        compare(small_study(), broken, images=digits)
    with pytest.raises(RecordsError, match=told):
        Results.read(broken)
    assert (broken / "study.sqlite").read_bytes() == before


def test_the_database_of_another_program_is_left_alone(
    folder: Path, small_study: Make, digits: ImageSet, compare: Compare
) -> None:
    folder.mkdir()
    change(folder, "CREATE TABLE invoices (amount REAL)")
    before = (folder / "study.sqlite").read_bytes()

    with pytest.raises(RecordsError, match="is a database of another program"):
        compare(small_study(), folder, images=digits)
    assert (folder / "study.sqlite").read_bytes() == before


def test_an_empty_file_is_a_beginning(
    folder: Path, small_study: Make, digits: ImageSet, compare: Compare
) -> None:
    folder.mkdir()
    (folder / "study.sqlite").touch()
    with pytest.raises(RecordsError, match="holds no records"):
        Results.read(folder)

    results = compare(small_study(), folder, images=digits)
    assert (results.trials["state"] == "complete").all()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE meta SET value = '{' WHERE key = 'task'",
        "UPDATE meta SET value = '[]' WHERE key = 'provenance'",
        "UPDATE trials SET labels = 'many' WHERE rowid = 1",
        "UPDATE predictions SET probabilities = x'00' WHERE rowid = 2",
        "UPDATE predictions SET classes = 4 WHERE rowid = 2",
        "DELETE FROM predictions",
        "UPDATE test_labels SET labels = x'0000000000000000'",
    ],
)
def test_values_that_headstart_never_wrote_are_damage(broken: Path, statement: str) -> None:
    change(broken, statement)
    with pytest.raises(RecordsError, match=r"study\.sqlite is damaged"):
        Results.read(broken)


def test_a_study_can_be_read_while_it_goes_on(
    small_study: Make, digits: ImageSet, folder: Path, compare: Compare
) -> None:
    seen: list[int] = []

    def read(progress: object) -> None:
        if (folder / "study.sqlite").exists():
            records = Records.open(folder, create=False)
            seen.append(sum(state == "complete" for state in records.states().values()))
            records.close()

    compare(small_study(), folder, images=digits, listener=read)
    assert seen == sorted(seen)
    assert {0, 1, 8} <= set(seen)


def test_an_outcome_is_written_whole_or_not_at_all(broken: Path, whole: Path) -> None:
    records = Records.open(broken, create=False)
    key = TrialKey("scratch", 0, "all")
    before = records.probabilities(key, "test")
    with pytest.raises(AttributeError):
        records.complete(key, None)  # type: ignore[arg-type]
    assert np.array_equal(records.probabilities(key, "test"), before)
    assert records.states()[key] == "complete"
    records.close()
