"""The league: every strategy on several real tasks, and what the numbers allow to be said.

    .venv/bin/python benchmarks/league/league.py --write

Trains what is missing and prints the tables; `--write` puts them into docs/strategies.md. Each
task is a study folder below `--output`, so a command that was killed goes on where it stopped.
`--tables` trains nothing and tells of the tasks that are done.

All strategies of a task share seeds, splits, order and heads, so every difference is paired. Three
families of comparisons are made, each corrected as one (Holm, simultaneous intervals): at each
budget all against `scratch`, and all against the one with the highest accuracy; over all tasks and
budgets together, Co-Tuning and L2-SP against plain fine-tuning.
"""

import argparse
import datetime
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headstart.data.tasks import Budget
from headstart.errors import RecordsError
from headstart.statistics.multiplicity import Claim, correct_family
from headstart.statistics.paired import Comparison, compare_pairs
from headstart.study.compare import train_and_score
from headstart.study.folder import study_folder
from headstart.study.records import Records
from headstart.study.results import StudyRecords
from headstart.study.spec import Study, study_from

HERE = Path(__file__).parent
TASKS = ("clothing", "digits", "animals", "cats_or_dogs")
PAGE = HERE.parents[1] / "docs" / "strategies.md"
START, END = "<!-- league: made by benchmarks/league/league.py -->", "<!-- end of the league -->"
BASELINE, PLAIN, PUBLISHED = "scratch", "fine_tune", ("co_tuning", "l2_sp")
RESAMPLES = 2000
MARKS = {"better": "▲", "worse": "▼", "equivalent": "=", "undecided": "?"}


@dataclass(frozen=True)
class Row:
    """A strategy in one league: one task, one label budget.

    Attributes:
        name: Its name.
        accuracy: Mean over seeds, a share.
        to_scratch: Beside `scratch`; None for itself.
        to_best: Beside the one with the highest accuracy; None for itself.
        seconds: Of a trial, the median.
        steps: Optimiser steps of a trial.
    """

    name: str
    accuracy: float
    to_scratch: Claim | None
    to_best: Claim | None
    seconds: float
    steps: int

    @property
    def may_be_best(self) -> bool:
        """Whether it was not found to be worse than the best."""
        return self.to_best is None or self.to_best.verdict != "worse"


@dataclass(frozen=True)
class League:
    """All strategies of one task at one label budget, the highest accuracy first."""

    task: str
    question: str
    labels: Budget
    seeds: int
    test_pictures: int
    rows: tuple[Row, ...]


def study_of(task: str) -> Study:
    """The study of a task: what all tasks share, and its own."""
    shared = tomllib.loads((HERE / "strategies.toml").read_text(encoding="utf-8"))
    values = merged(shared, tomllib.loads((HERE / f"{task}.toml").read_text(encoding="utf-8")))
    take = values.pop("take", None)
    if take is not None:
        values["strategy"] = {name: values["strategy"][name] for name in take}
    return study_from(values, where=task)


def merged(shared: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Tables inside each other, the second's values over the first's."""
    found = dict(shared)
    for key, value in own.items():
        inside = isinstance(value, Mapping) and isinstance(found.get(key), Mapping)
        found[key] = merged(found[key], value) if inside else value
    return found


def family(
    records: StudyRecords, names: Sequence[str], against: str, labels: Budget
) -> dict[str, Claim]:
    """Strategies beside one of them, corrected as one family."""
    others = [name for name in names if name != against]
    made = [compared(records, name, against, labels) for name in others]
    claims = correct_family([(name, against) for name in others], made)
    return dict(zip(others, claims, strict=True))


def compared(records: StudyRecords, a: str, b: str, labels: Budget) -> Comparison:
    """One strategy beside another over their shared seeds."""
    pairing = records.pair(a, b, labels)
    if pairing is None:
        raise RecordsError(f"{a} and {b} share no seed with {labels} labels")
    return compare_pairs(
        pairing.a.correct,
        pairing.b.correct,
        margin=records.study.study.margin,
        confidence=records.confidence,
        resamples=RESAMPLES,
        groups=records.test_groups,
    )


def leagues(records: StudyRecords, task: str) -> Iterator[League]:
    """The leagues of a task, one a label budget."""
    for labels in records.study.study.labels:
        answers = {name: records.told(name, labels) for name in records.study.strategy}
        means = {name: float(a.accuracies.mean()) for name, a in answers.items() if a is not None}
        if len(means) < 2 or BASELINE not in means:
            continue
        names = sorted(means, key=lambda name: -means[name])
        to_scratch = family(records, names, BASELINE, labels)
        to_best = family(records, names, names[0], labels)
        cost = costs(records, labels)
        rows = [
            Row(name, means[name], to_scratch.get(name), to_best.get(name), *cost[name])
            for name in names
        ]
        assert records.test_labels is not None
        seeds = len(records.study.study.seeds)
        yield League(
            task, records.study.question, labels, seeds, len(records.test_labels), tuple(rows)
        )


def costs(records: StudyRecords, labels: Budget) -> dict[str, tuple[float, int]]:
    """By strategy, the median seconds of a trial and its optimiser steps."""
    with closing(Records.open(records.directory, create=False)) as opened:
        rows = [
            row
            for row in opened.trials()
            if (row["labels"], row["state"]) == (str(labels), "complete")
        ]
    found: dict[str, tuple[float, int]] = {}
    for name in records.study.strategy:
        own = [row for row in rows if row["strategy"] == name]
        if own:
            seconds = float(np.median([row["fit_seconds"] for row in own]))
            found[name] = seconds, int(np.median([row["steps"] for row in own]))
    return found


def points(claim: Claim | None) -> str:
    """A difference with its simultaneous interval in points, and the verdict's mark."""
    if claim is None:
        return ""
    seen = f"{100 * claim.comparison.difference:+.1f}"
    if claim.low is not None and claim.high is not None:
        seen += f" ({100 * claim.low:+.1f} to {100 * claim.high:+.1f})"
    return minus(f"{seen} {MARKS[claim.verdict]}")


def league_table(league: League) -> list[str]:
    """A league in Markdown, with what can be told apart."""
    lines = [
        f"**{league.question}**, {league.labels} labels, {league.seeds} paired seeds, "
        f"{league.test_pictures:,} test pictures:",
        "",
        "| strategy | accuracy | to `scratch`, points | to the best, points | seconds | steps |",
        "|---|---|---|---|---|---|",
    ]
    for row in league.rows:
        lines.append(
            f"| {row.name} | {100 * row.accuracy:.1f} | {points(row.to_scratch)} | "
            f"{points(row.to_best)} | {row.seconds:.2g} | {row.steps} |"
        )
    return [*lines, "", told_apart(league), ""]


def told_apart(league: League) -> str:
    """Which strategies may be the best, in a sentence."""
    tied = [row.name for row in league.rows if row.may_be_best]
    best, *others = tied
    if not others:
        return f"{best} is better than every other."
    if len(tied) == len(league.rows):
        return f"No strategy is found to be worse than {best}: none can be told from the best."
    return f"{best} cannot be told from {', '.join(others)}; all others are worse than it."


def standings(told: Sequence[League]) -> list[str]:
    """The league table over all tasks and budgets."""
    lines = [
        "| strategy | in the leading group | better than `scratch` | worse than `scratch` | mean "
        "rank | times the cost of `fine_tune` |",
        "|---|---|---|---|---|---|",
    ]
    found = []
    for name in dict.fromkeys(row.name for league in told for row in league.rows):
        places = [
            (league, rank, row)
            for league in told
            for rank, row in enumerate(league.rows, 1)
            if row.name == name
        ]
        verdicts = [row.to_scratch.verdict for *_, row in places if row.to_scratch is not None]
        leading = sum(row.may_be_best for *_, row in places)
        # As shares of each league's length, since not all strategies are in all of them.
        rank = float(np.mean([(rank - 1) / (len(each.rows) - 1) for each, rank, _ in places]))
        cost = float(np.median([row.seconds / plain_seconds(each) for each, _, row in places]))
        cells = [f"{leading} of {len(places)}"]
        cells += [f"{verdicts.count(told)}" if verdicts else "" for told in ("better", "worse")]
        found.append((-leading / len(places), rank, [name, *cells, f"{rank:.2f}", f"{cost:.2g}"]))
    return lines + [f"| {' | '.join(cells)} |" for *_, cells in sorted(found)]


def plain_seconds(league: League) -> float:
    """What plain fine-tuning costs in a league."""
    return next(row.seconds for row in league.rows if row.name == PLAIN)


def published(all_records: Mapping[str, StudyRecords]) -> list[str]:
    """Whether what was published of Co-Tuning and L2-SP on small data survives here."""
    places = [
        (task, name, labels)
        for task, records in all_records.items()
        for name in PUBLISHED
        for labels in records.study.study.labels
        if {name, PLAIN} <= set(records.study.strategy)
    ]
    made = [compared(all_records[task], name, PLAIN, labels) for task, name, labels in places]
    claims = correct_family([(name, PLAIN) for _, name, _ in places], made)
    lines = [
        "| task | labels | co_tuning − fine_tune, points | l2_sp − fine_tune, points |",
        "|---|---|---|---|",
    ]
    by_place = dict(zip(places, claims, strict=True))
    for task, labels in dict.fromkeys((task, labels) for task, _, labels in places):
        cells = [points(by_place.get((task, name, labels))) for name in PUBLISHED]
        lines.append(f"| {task} | {labels} | {' | '.join(cells)} |")
    return [*lines, "", *(survives(name, by_place) for name in PUBLISHED)]


def survives(name: str, claims: Mapping[tuple[str, str, Budget], Claim]) -> str:
    """A sentence on one of them."""
    own = [claim for (_, each, _), claim in claims.items() if each == name]
    verdicts = [claim.verdict for claim in own]
    gaps = [100 * claim.comparison.difference for claim in own]
    counted = ", ".join(
        f"{verdict} in {verdicts.count(verdict)}" for verdict in MARKS if verdict in verdicts
    )
    answer = "not found here" if "better" not in verdicts else (
        "found here" if "worse" not in verdicts else "found in places"
    )  # fmt: skip
    highest = max((claim.high for claim in own if claim.high is not None), default=np.nan)
    sentence = (
        f"The gain of `{name}` over `{PLAIN}` is {answer}: of {len(own)} comparisons, {counted}; "
        f"differences of {min(gaps):+.1f} to {max(gaps):+.1f} points, and no interval reaches "
        f"above {100 * highest:+.1f}."
    )
    return f"- {minus(sentence)}"


def minus(text: str) -> str:
    """Signs before digits as true minus signs."""
    return re.sub(r"(?<![\w-])-(?=\d)", "−", text)


def page(all_records: Mapping[str, StudyRecords]) -> str:
    """Everything, in Markdown."""
    told = [league for task, records in all_records.items() for league in leagues(records, task)]
    seeds = sorted({league.seeds for league in told})
    today = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    reads = {task: records.counted_reads for task, records in all_records.items()}
    lines = [
        f"Made by `make league` on {today}: {len(all_records)} of {len(TASKS)} tasks are done "
        f"({', '.join(all_records)}), "
        f"{' or '.join(map(str, seeds))} paired seeds. Nothing is tuned: every strategy has one "
        "try with the settings of `benchmarks/league/`, the papers' where they name one. ▲ better, "
        "▼ worse, = equivalent within half a point, ? undecided; intervals hold together within a "
        "column of a table. Among 25 comparisons ten pairs can only claim a difference when all of "
        "them point the same way, so that some intervals leave zero out and are still undecided.",
        "",
        *standings(told),
        "",
        "Mean rank: 0 is always the first, 1 always the last. Seconds were taken on a busy "
        "machine: read them as ratios. In the leading group: not found to be worse than the one "
        "with the highest accuracy, which was picked on these same numbers.",
        "",
        "### Do published gains on small data survive?",
        "",
        "Co-Tuning reports 4.3 to 7.9 points over plain fine-tuning with 15% of the labels of "
        "three sets of fine-grained classes (ResNet-50, one seed).",
        "",
        *published(all_records),
        "",
        "### Task by task",
        "",
        *(line for league in told for line in league_table(league)),
        "Times that each test split was read: "
        + ", ".join(f"{task} {count}" for task, count in reads.items())
        + ".",
    ]
    return "\n".join(lines)


def written_into(text: str, made: str) -> str:
    """A page with what stands between the markers replaced; put at its end where there are none."""
    if START not in text:
        return f"{text.rstrip()}\n\n## The league\n\n{START}\n{made}\n{END}\n"
    before, rest = text.split(START, 1)
    return f"{before}{START}\n{made}\n{END}{rest.split(END, 1)[1]}"


def done(output: Path, tasks: Sequence[str]) -> dict[str, StudyRecords]:
    """The records of the tasks that are done; tells how far the others are."""
    found = {}
    for task in tasks:
        try:
            records = StudyRecords.read(output / task)
        except RecordsError as error:
            print(f"{task}: not begun ({'; '.join(error.problems)})")
            continue
        complete = sum(row["state"] == "complete" for row in records.rows)
        if records.answers:
            found[task] = records
        else:
            print(f"{task}: {complete} of {len(records.rows)} trials are done, none is scored yet")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--output", type=Path, default=Path("studies/league"))
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS)
    parser.add_argument("--jobs", type=int, default=None, help="trials at a time")
    parser.add_argument("--tables", action="store_true", help="train nothing")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/")
    given = parser.parse_args()
    for task in () if given.tables else given.tasks:
        with study_folder(given.output / task) as folder:  # and no report: `headstart report`
            print(f"training {task}, in {folder}", flush=True)
            train_and_score(study_of(task), folder, jobs=given.jobs)
    records = done(given.output, given.tasks)
    if not records:
        return
    made = page(records)
    print(made)
    if given.write:
        draft = PAGE.with_suffix(".draft")
        draft.write_text(written_into(PAGE.read_text(encoding="utf-8"), made), encoding="utf-8")
        draft.replace(PAGE)


if __name__ == "__main__":
    main()
