"""Reading the test split: what it costs, gates, and a chain that shows tampering."""

from dataclasses import replace

import numpy as np
import pytest

from headstart.errors import RecordsError, StudyError
from headstart.statistics.access import (
    AccessPolicy,
    Ladder,
    Thresholdout,
    interval_after_reads,
    transcript_alpha,
    widened_alpha,
)
from headstart.statistics.intervals import interval_at_level, mean_interval
from headstart.statistics.ledger import Entry, check_chain, next_entry, reads_of


def chain(*reads: int) -> list[Entry]:
    entries: list[Entry] = []
    for number, count in enumerate(reads):
        entries.append(
            next_entry(
                entries,
                when=f"2025-01-0{number + 1}T00:00:00Z",
                split="abc" if number % 2 == 0 else "other",
                reader="headstart compare",
                purpose="frozen against scratch",
                reads=count,
            )
        )
    return entries


def test_a_chain_counts_reads_of_each_split() -> None:
    entries = chain(2, 5, 1)

    check_chain(entries)
    assert reads_of(entries, "abc") == 3
    assert reads_of(entries, "other") == 5
    assert reads_of(entries, "never") == 0


@pytest.mark.parametrize("field", ["when", "split", "reader", "purpose", "previous", "digest"])
def test_a_changed_entry_is_named(field: str) -> None:
    entries = chain(1, 1, 1)
    entries[1] = replace(entries[1], **{field: "0" * 63 + "1"})  # type: ignore[arg-type]

    with pytest.raises(RecordsError, match="ledger of test reads is broken: entry 1 "):
        check_chain(entries)


def test_fewer_reads_a_dropped_or_a_swapped_entry_break_the_chain() -> None:
    entries = chain(1, 9, 1)

    with pytest.raises(RecordsError, match="changed after it was written"):
        check_chain([entries[0], replace(entries[1], reads=1), entries[2]])
    with pytest.raises(RecordsError, match="dropped or slipped in"):
        check_chain([entries[0], entries[2]])
    with pytest.raises(RecordsError, match="entry 0 "):
        check_chain([entries[1], entries[0], entries[2]])
    with pytest.raises(RecordsError, match="does not follow"):
        check_chain([entries[0], replace(entries[1], previous="f" * 64), entries[2]])
    with pytest.raises(RecordsError, match="at least 1 read"):
        chain(0)


def test_the_door_shuts_at_the_limit() -> None:
    policy = AccessPolicy(budget=2, limit=5)

    policy.allow(4)
    with pytest.raises(RecordsError, match="name a fresh test split"):
        policy.allow(5)
    with pytest.raises(RecordsError, match="its limit is 5"):
        policy.allow(3, more=3)


def test_the_sentence_tells_reads_and_what_they_cost() -> None:
    policy = AccessPolicy(budget=3)

    assert policy.sentence(1) == "the test split was read once, within its budget of 3"
    assert policy.sentence(10) == (
        "the test split was read 10 times, beyond its budget of 3: intervals are widened to "
        "99.5% each, so that all hold together with 95%"
    )


def test_a_policy_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(StudyError, match="did you mean 'ladder'") as caught:
        AccessPolicy(budget=0, limit=-1, gate="lader")  # type: ignore[arg-type]
    assert len(caught.value.problems) == 3


def test_beyond_the_budget_intervals_are_bonferronis() -> None:
    correct = np.random.default_rng(0).random((10, 500)) < 0.9

    assert widened_alpha(3, budget=3) == 0.05
    assert widened_alpha(4, budget=3) == 0.0125
    assert interval_after_reads(correct, 3, budget=3) == mean_interval(correct)
    assert interval_after_reads(correct, 200) == interval_at_level(correct, 0.05 / 200)
    with pytest.raises(StudyError, match="at least 1"):
        widened_alpha(0)


def test_transcripts_are_counted() -> None:
    # 3 tries, at most 1 answer of 2 values: none, or one of three places and two values
    assert transcript_alpha(3, 1, 2) == pytest.approx(0.05 / 7)
    assert transcript_alpha(5, 0, 100) == pytest.approx(0.05)
    assert 0 < transcript_alpha(10_000, 500, 10_000) < 1e-300
    with pytest.raises(StudyError, match="answers between 0 and reads"):
        transcript_alpha(3, 4, 2)


def test_the_ladder_answers_only_clear_improvements() -> None:
    base = np.zeros((1, 1000))
    base[:, :800] = 1
    hardly, clearly = base.copy(), base.copy()
    hardly[:, 800:801] = 1
    clearly[:, 800:850] = 1

    ladder = Ladder().climb(base)
    assert ladder.told == 0.8
    ladder = ladder.climb(hardly)
    assert (ladder.told, ladder.reads, ladder.improvements) == (0.8, 2, 1)
    ladder = ladder.climb(clearly)
    assert (ladder.told, ladder.reads, ladder.improvements) == (0.85, 3, 2)
    assert ladder.climb(base).told == 0.85
    assert ladder.alpha() == pytest.approx(transcript_alpha(3, 2, 1001))
    with pytest.raises(RecordsError, match="different test splits"):
        ladder.climb(np.ones((1, 10)))
    with pytest.raises(RecordsError, match="nothing was tried"):
        Ladder().alpha()


def test_thresholdout_repeats_validation_until_the_test_split_disagrees() -> None:
    gate = Thresholdout(threshold=0.1, noise=0.001, budget=2)

    agreed = gate.ask(0.90, 0.91)
    assert (agreed.told, agreed.answers, agreed.reads) == (0.9, 0, 1)
    disagreed = agreed.ask(0.95, 0.70)
    assert disagreed.told == pytest.approx(0.70, abs=0.01)
    assert disagreed.answers == 1
    assert agreed.ask(0.95, 0.70) == disagreed  # replayable
    assert disagreed.alpha() == pytest.approx(transcript_alpha(2, 1, 1001))
    spent = disagreed.ask(0.95, 0.70)
    with pytest.raises(RecordsError, match="its door stays shut"):
        spent.ask(0.9, 0.9)
    with pytest.raises(RecordsError, match=r"scores must be in \[0, 1\]"):
        gate.ask(1.5, 0.5)
    with pytest.raises(RecordsError, match="nothing was tried"):
        gate.alpha()
