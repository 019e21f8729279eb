"""A fresh test split in the same folder: new pictures, old ledger, what was found kept."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from headstart.data.image_set import ImageSet
from headstart.errors import RecordsError
from headstart.report.from_records import report_content
from headstart.report.page import render
from headstart.report.results import Results
from headstart.statistics.ledger import check_chain
from headstart.study import fresh_split
from headstart.study.results import StudyRecords
from headstart.study.spec import Study

Make = Callable[..., Study]
Compare = Callable[..., Results]


@pytest.fixture
def on_split(
    small_study: Make, digits: ImageSet, folder: Path, compare: Compare
) -> Callable[..., Results]:
    """Compare on a test split by its number; more seeds are one more reading."""

    def go(number: int, seeds: int = 2, **settings: object) -> Results:
        study = small_study(
            split={"number": number},
            source=None,
            strategy={"scratch": {}},
            study={"seeds": seeds, "labels": ["all"], **settings},
        )
        return compare(study, folder, images=digits)

    return go


def test_a_shut_door_tells_of_the_fresh_split_which_opens_another(
    on_split: Callable[..., Results], folder: Path
) -> None:
    first = on_split(1, test_read_limit=1)
    with pytest.raises(RecordsError) as caught:
        on_split(1, seeds=3, test_read_limit=1)
    assert "its door stays shut" in str(caught.value)
    assert "split.number = 2 draws one of pictures that nobody looked at" in str(caught.value)

    second = on_split(2, test_read_limit=1)

    assert second.summary["test_reads"] == 1
    assert second.summary["confidence"] == pytest.approx(0.95)
    chain = second.records.test_reads
    check_chain(chain)
    assert [entry.split.partition(":")[0] for entry in chain][1] == "2"
    assert chain[0] == first.records.test_reads[0]
    said = second.summary["ledger"]["sentence"]
    assert said.startswith("test split 2 was read once")
    assert said.endswith("1 reading before that were of splits that are closed")
    page = render(report_content(second.records, second.summary))
    assert "Test split 2 was read once" in page
    closed = StudyRecords.read(folder / "split-1")
    assert closed.answers.keys() == first.records.answers.keys()
    tested = [np.asarray(records.test_labels) for records in (closed, second.records)]
    assert not np.array_equal(tested[0], tested[1])


def test_a_closed_split_stays_closed_and_none_is_left_out(
    on_split: Callable[..., Results], folder: Path
) -> None:
    on_split(1)
    with pytest.raises(RecordsError, match="so the next fresh one is 2: state"):
        on_split(3)
    on_split(2)
    with pytest.raises(RecordsError, match="split 1 is closed, and what it showed lies in"):
        on_split(1)
    assert (folder / "split-1" / "study.sqlite").exists()


def test_killed_between_two_splits_the_same_command_goes_on(
    on_split: Callable[..., Results], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_split(1)
    replace, moved = Path.replace, []

    def killed(self: Path, target: Path) -> Path:
        if self.name == fresh_split._NEXT:
            raise KeyboardInterrupt
        moved.append(self.name)
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            on_split(2)
    assert "study.sqlite" in moved

    again = on_split(2)

    assert again.summary["test_reads"] == 1
    assert len(again.records.test_reads) == 2
