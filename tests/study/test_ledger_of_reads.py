"""The ledger of test reads: what counts, what it costs, and when the door stays shut."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from headstart.data.image_set import ImageSet
from headstart.errors import RecordsError
from headstart.report.results import Results
from headstart.statistics.ledger import Entry, check_chain, next_entry
from headstart.study.results import StudyRecords
from headstart.study.scoring import DECLARED, counted_reads
from headstart.study.spec import Study

Make = Callable[..., Study]
Compare = Callable[..., Results]


def chain(*readers: str) -> list[Entry]:
    entries: list[Entry] = []
    for reader in readers:
        entry = next_entry(entries, when="2026", split="ab", reader=reader, purpose="score")
        entries.append(entry)
    return entries


@pytest.fixture
def reads(
    small_study: Make, digits: ImageSet, folder: Path, compare: Compare
) -> Callable[..., Results]:
    """Compare with so many seeds and such settings; more seeds are one more reading."""

    def go(seeds: int, **settings: object) -> Results:
        study = small_study(study={"seeds": seeds, "labels": ["all"], **settings})
        return compare(study, folder, images=digits)

    return go


def test_every_plain_reading_counts_and_a_designs_looks_count_once() -> None:
    looks, others = f"{DECLARED}, at most 40 seeds", f"{DECLARED}, at most 60 seeds"
    assert counted_reads([]) == 0
    assert counted_reads(chain("compare", "compare")) == 2
    assert counted_reads(chain(looks, looks, looks)) == 1
    assert counted_reads(chain(looks, "compare", looks, others)) == 3


def test_a_second_reading_widens_every_interval(reads: Callable[..., Results]) -> None:
    first, second = reads(3), reads(4)

    assert first.summary["confidence"] == pytest.approx(0.95)
    assert second.summary["test_reads"] == 2
    assert second.summary["confidence"] == pytest.approx(0.975)


def test_readings_within_a_stated_budget_cost_nothing(reads: Callable[..., Results]) -> None:
    reads(2, test_read_budget=2)
    assert reads(3, test_read_budget=2).summary["confidence"] == pytest.approx(0.95)


def test_beyond_the_limit_the_door_stays_shut_and_nothing_is_scored(
    reads: Callable[..., Results], folder: Path
) -> None:
    before = reads(2, test_read_limit=1)

    with pytest.raises(RecordsError) as caught:
        reads(3, test_read_limit=1)

    assert "its door stays shut; name a fresh test split" in str(caught.value)
    records = StudyRecords.read(folder)
    assert len(records.test_reads) == len(before.records.test_reads) == 1
    unscored = records.trials.query("seed == 2")
    assert (unscored["state"] == "complete").all()
    assert unscored["test_accuracy"].isna().all()


@pytest.mark.parametrize("change", ["purpose = 'nothing'", "reads = 0", "split = 'fresh'"])
def test_a_changed_ledger_is_refused(
    reads: Callable[..., Results], folder: Path, change: str
) -> None:
    reads(2)
    with closing(sqlite3.connect(folder / "study.sqlite")) as db:
        db.execute(f"UPDATE test_reads SET {change} WHERE number = 0")
        db.commit()

    with pytest.raises(RecordsError, match="the ledger of test reads is broken: entry 0"):
        reads(3)


def test_a_dropped_entry_is_found() -> None:
    whole = chain("a", "b", "c")
    check_chain(whole)
    with pytest.raises(RecordsError, match="dropped or slipped in"):
        check_chain([whole[0], whole[2]])


def test_validation_labels_are_kept_by_seed_and_agree_with_the_scores(
    reads: Callable[..., Results],
) -> None:
    records = reads(2).records
    validation = records.validation["all"]

    assert validation.strategies == ("scratch", "frozen")
    assert validation.seeds == (0, 1)
    assert validation.correct.shape == (2, len(validation.pictures))
    half = len(validation.pictures) // 2
    assert len(set(validation.pictures[:half].tolist())) == half
    shown = records.trials.set_index(["strategy", "seed"])["val_accuracy"]
    for place, name in enumerate(validation.strategies):
        own = validation.correct[place].reshape(2, half).mean(axis=1)
        assert own == pytest.approx([shown[name, 0], shown[name, 1]])


def test_a_study_from_before_validation_labels_were_kept_can_be_read(
    reads: Callable[..., Results], folder: Path
) -> None:
    reads(2)
    with closing(sqlite3.connect(folder / "study.sqlite")) as db:
        db.execute("DROP TABLE valid_labels")
        db.commit()

    assert StudyRecords.read(folder).validation == {}
