"""What a reader of a study must know before anything else, in sentences."""

from collections.abc import Iterator

from headstart.report import words
from headstart.report.searching import search_warnings
from headstart.statistics.intervals import share_interval
from headstart.study.results import StudyRecords
from headstart.study.spec import Study

# A source that tells its classes apart less well than this far from chance to perfect might be
# trained further; what it knows so far is still what is transferred.
_LEARNED_SHARE = 0.6
_ALPHA = 0.05


def study_warnings(records: StudyRecords) -> tuple[str, ...]:
    """Everything that a study is warned of: `warnings` in its summary, and above its report."""
    return (*_warnings(records),)


def nothing_to_compare(study: Study) -> str | None:
    """That a study asks for one strategy only, and what to add; None where there are more.

    A single one that is its own baseline is meant to be measured alone, as `headstart.fit` does.
    """
    if len(study.strategy) > 1:
        return None
    (name,) = study.strategy
    if study.study.baseline == name and study.strategy[name].needs_source:
        return None
    add = (
        "add [strategy.scratch], which others are compared with unless [study] baseline names "
        "another"
        if study.strategy[name].needs_source
        else "add the strategy that you ask about, such as [strategy.frozen] with a [source]"
    )
    if study.strategy[name].needs_source and study.study.baseline != "scratch":
        add = "add another [strategy.NAME], and name as [study] baseline what to compare with"
    return (
        f"{name} is the only strategy, so there is nothing to compare it with, and the question "
        f"has no answer, though the test labels are read: {add}"
    )


def _warnings(records: StudyRecords) -> Iterator[str]:
    alone = nothing_to_compare(records.study)
    if alone is not None:
        yield f"{alone}."
    yield from (f"{text.rstrip('.')}." for text in records.warned_before)
    yield from _of_source(records)
    yield from search_warnings(records)
    waiting = [row for row in records.rows if row["state"] in ("waiting", "running")]
    if waiting:
        yield (
            f"The study was interrupted: {len(waiting)} of {len(records.rows)} trials have not "
            "been trained yet. Compare it again, and it goes on where it stopped."
        )
    failed = [row for row in records.rows if row["state"] == "failed"]
    if failed:
        yield (
            f"{len(failed)} of {len(records.rows)} trials failed and are missing from the "
            "comparisons; why is told for each of them."
        )


def _of_source(records: StudyRecords) -> Iterator[str]:
    """What a source that was trained here failed to learn, where that is no matter of chance.

    Said only if the upper end of Wilson's interval for its worst seed, over its validation pictures
    and corrected for the number of seeds (Bonferroni), lies below what it should have learned.
    """
    parts = [row for row in records.class_counts if row[:2] == ("source", "valid")]
    pictures = sum(row[3] for row in parts)
    if not records.sources or not pictures:
        return
    chance = max(row[3] for row in parts) / pictures
    wanted = chance + _LEARNED_SHARE * (1 - chance)
    reached = {seed: row["val_accuracy"] for seed, row in records.sources.items()}
    worst = min(reached, key=lambda seed: reached[seed])
    low, high = share_interval(reached[worst], pictures, _ALPHA / len(reached))
    if high >= wanted:
        return
    where = f"in its worst seed, {worst}, " if len(reached) > 1 else ""
    corrected = f", corrected for {len(reached)} seeds" if len(reached) > 1 else ""
    told = (
        f"{where}its validation accuracy is {words.percent(reached[worst], 1)} ({pictures:,} "
        f"pictures, 95% interval {words.percent(low, 1)} to {words.percent(high, 1)}{corrected})"
    )
    if low <= chance:
        yield (
            f"The source knows little of its own task: {told}, where always naming the commonest "
            f"class gives {words.percent(chance, 1)}. What is transferred is in good part its "
            "random start: train it longer, or with a higher rate."
        )
    else:
        yield (
            f"The source has more to learn of its own task: {told}. That is above the "
            f"{words.percent(chance, 1)} of always naming the commonest class, and below "
            f"{words.percent(wanted, 1)}, {_LEARNED_SHARE:.0%} of the way from there to all right. "
            "Trained longer, or with a higher rate, it might be worth more."
        )
