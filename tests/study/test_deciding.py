"""Until decided: looks declared before the first seed, kept to, and stopped at."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from headstart.data.image_set import ImageSet
from headstart.errors import RecordsError, StudyError
from headstart.report.results import Results
from headstart.statistics.sequential import Design, declare, follow
from headstart.study import deciding
from headstart.study.compare import train_and_score
from headstart.study.deciding import declare_looks, path_of, until_decided
from headstart.study.folder import study_folder
from headstart.study.records import Records
from headstart.study.results import StudyRecords
from headstart.study.spec import Study, with_settings

Make = Callable[..., Study]
Compare = Callable[..., Results]
Fingerprint = Callable[[Path], list[tuple[object, ...]]]

TWINS = {"scratch": {}, "again": {"kind": "scratch"}}
ONE = {"seeds": 2, "labels": ["all"], "margin": 0.001}


@pytest.fixture
def decide(digits: ImageSet) -> Callable[..., StudyRecords]:
    """`compare --until-decided` in this process, without the files that it writes last."""

    def go(study: Study, folder: Path, max_seeds: int | None, stop_after: int = 99) -> StudyRecords:
        looked: list[tuple[int, ...]] = []

        def compare(wanted: Study, reader: str) -> StudyRecords:
            if len(looked) == stop_after:
                raise KeyboardInterrupt
            looked.append(wanted.study.seeds)
            return train_and_score(wanted, folder, images=digits, jobs=1, reader=reader)

        with study_folder(folder, fresh=False):
            return until_decided(study, folder, compare, max_seeds)

    return go


def design_in(folder: Path) -> dict[str, object] | None:
    records = Records.open(folder, create=False)
    try:
        found: dict[str, object] | None = json.loads(records.meta("design") or "null")
        return found
    finally:
        records.close()


def test_there_are_at_most_a_dozen_looks_and_every_comparison_has_its_share_of_alpha(
    small_study: Make,
) -> None:
    study = small_study(strategy={"scratch": {}, "frozen": {}, "fine_tune": {}})
    for most in (6, 7, 18, 40, 200):
        design = declare_looks(study, most)
        assert design.looks[0] == 6
        assert design.looks[-1] == most
        assert len(design.looks) <= 12
        assert design.alpha == pytest.approx(0.05 / (2 * 2))
    with pytest.raises(StudyError, match="at least the first look's 6 pairs: 5"):
        declare_looks(study, 5)


def test_looks_are_written_down_before_the_first_seed(small_study: Make, folder: Path) -> None:
    seen = []

    def compare(wanted: Study, reader: str) -> StudyRecords:
        seen.append((wanted.study.seeds, reader, design_in(folder)))
        raise KeyboardInterrupt

    with study_folder(folder, fresh=False), pytest.raises(KeyboardInterrupt):
        until_decided(small_study(), folder, compare, 8)

    ((seeds, reader, design),) = seen
    assert seeds == tuple(range(6))
    assert reader == "until decided, at most 8 seeds"
    assert design is not None
    assert design["looks"] == [6, 7, 8]


@pytest.mark.parametrize(
    ("max_seeds", "margin", "alpha", "changed"),
    [
        (9, None, None, "looks"),
        (8, 0.02, None, "margin: was 0.005, is now 0.02"),
        (8, None, 0.1, "alpha: was 0.025, is now 0.05"),
    ],
)
def test_other_looks_in_the_same_folder_are_refused(
    small_study: Make,
    folder: Path,
    max_seeds: int,
    margin: float | None,
    alpha: float | None,
    changed: str,
) -> None:
    def interrupted(wanted: Study, reader: str) -> StudyRecords:
        raise KeyboardInterrupt

    def never(wanted: Study, reader: str) -> StudyRecords:
        raise AssertionError("looked although the looks had changed")

    with study_folder(folder, fresh=False), pytest.raises(KeyboardInterrupt):
        until_decided(small_study(), folder, interrupted, 8)

    other = with_settings(small_study(), margin=margin, alpha=alpha)
    with study_folder(folder, fresh=False), pytest.raises(RecordsError) as caught:
        until_decided(other, folder, never, max_seeds)
    assert "declared other looks before its first seed" in str(caught.value)
    assert changed in str(caught.value)
    assert "give another --output" in str(caught.value)


def test_a_folder_that_was_read_without_looks_is_refused(
    small_study: Make, digits: ImageSet, folder: Path, compare: Compare, decide: Compare
) -> None:
    compare(small_study(study=ONE), folder, images=digits)

    with pytest.raises(RecordsError, match="were read without declared looks"):
        decide(small_study(study=ONE), folder, 8)
    assert design_in(folder) is None


def test_it_stops_at_the_first_look_that_decides(
    small_study: Make, folder: Path, decide: Callable[..., StudyRecords]
) -> None:
    study = small_study(strategy={"scratch": {}, "frozen": {"lr": 1e-9}}, study=ONE)

    records = decide(study, folder, 30)

    assert records.study.study.seeds == tuple(range(6))
    path = path_of(records, records.pairings()[0][1])
    assert (path.stop, path.verdict) == ("worse", "worse")
    (entry,) = Results(records).summary["comparisons"]
    assert entry["verdict"] == "worse"
    assert entry["pairs"] == 6
    assert entry["note"] == "look 1 of at most 9 declared"
    assert [entry["low"], entry["high"]] == [path.looks[0].low, path.looks[0].high]
    assert Results(records).summary["test_reads"] == 1


def test_killed_and_called_again_it_goes_on_to_the_same_end(
    small_study: Make,
    tmp_path: Path,
    decide: Callable[..., StudyRecords],
    fingerprint: Fingerprint,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(deciding, "declare", partial(declare, futility=0))
    study = small_study(strategy=TWINS, study=ONE)
    straight = decide(study, tmp_path / "straight", 7)
    with pytest.raises(KeyboardInterrupt):
        decide(study, tmp_path / "killed", 7, stop_after=1)

    resumed = decide(study, tmp_path / "killed", 7)

    assert fingerprint(tmp_path / "killed") == fingerprint(tmp_path / "straight")
    assert resumed.study == straight.study
    assert resumed.study.study.seeds == tuple(range(7))
    ends = [path_of(records, records.pairings()[0][1]) for records in (straight, resumed)]
    assert ends[0] == ends[1]
    assert ends[0].stop == "maximum"
    assert resumed.counted_reads == straight.counted_reads == 1
    assert len(resumed.test_reads) == len(straight.test_reads) == 2


def test_the_verdict_is_that_of_the_looks_levels_not_of_one_plain_test() -> None:
    """A gain that one test of 6 pairs would claim is not enough for the first of many looks."""
    random = np.random.default_rng(3)
    right = random.random((6, 4000)) < 0.5
    gains = random.permuted(np.arange(4000))[:90]
    other = right.copy()
    for seed in range(6):
        other[seed, gains[: 40 + 10 * seed]] = ~right[seed, gains[: 40 + 10 * seed]]
    plain: Design = declare(6)
    many: Design = declare(40)
    one, first = follow(plain, other, right).looks[-1], follow(many, other, right).looks[0]
    assert one.p_value == first.p_value
    assert first.level < one.level / 10
    assert first.high - first.low > one.high - one.low


def test_an_open_end_is_declared_followed_and_resumed(
    small_study: Make, digits: ImageSet, folder: Path, decide: Callable[..., StudyRecords]
) -> None:
    slow = {"kind": "scratch", "lr": 1e-6}
    study = small_study(strategy={"scratch": {}, "slow": slow}, study=ONE, source=None)
    with pytest.raises(KeyboardInterrupt):
        decide(study, folder, None, stop_after=0)

    records = decide(study, folder, None)

    assert records.design == {"alpha": 0.05, "margin": 0.001, "futility": 0.1}
    assert {entry.reader for entry in records.test_reads} == {"until decided, no last seed"}
    assert records.counted_reads == 1
    (entry,) = Results(records).summary["comparisons"]
    assert entry["verdict"] == "worse"
    assert entry["path"]["open_end"] is True
    last = entry["path"]["looks"][-1]
    assert last["e_value"] >= 20
    assert last["p_value"] == pytest.approx(1 / last["e_value"])
    assert "with no last one declared (e-value)" in entry["note"]
    with pytest.raises(RecordsError, match="declared other looks"):
        decide(study, folder, 8)


def test_with_margin_zero_it_goes_on_until_a_difference_is_told(
    small_study: Make, folder: Path, decide: Callable[..., StudyRecords]
) -> None:
    settings = {**ONE, "margin": 0}
    records = decide(small_study(strategy=TWINS, study=settings, source=None), folder, 7)
    (entry,) = Results(records).summary["comparisons"]
    assert entry["verdict"] == "undecided"
    assert entry["path"]["stop"] in ("futile", "maximum")
