"""The league's tables: what the records of its tasks allow to be said, in Markdown."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from headstart.data.tasks import Budget
from headstart.errors import RecordsError
from headstart.networks.groups import HEAD
from headstart.statistics.multiplicity import Claim, correct_family
from headstart.statistics.paired import Comparison, compare_pairs
from headstart.strategies import Strategy
from headstart.study.records import Records
from headstart.study.results import StudyRecords

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


def family(
    records: StudyRecords, names: Sequence[str], against: str, labels: Budget
) -> dict[str, Claim]:
    """Strategies beside one of them, corrected as one family."""
    others = [name for name in names if name != against]
    made = [compared(records, name, against, labels) for name in others]
    claims = correct_family([(name, against) for name in others], made)
    return dict(zip(others, claims, strict=True))


def compared(
    records: StudyRecords, a: str, b: str, labels: Budget, confidence: float | None = None
) -> Comparison:
    """One strategy beside another over their shared seeds."""
    pairing = records.pair(a, b, labels)
    if pairing is None:
        raise RecordsError(f"{a} and {b} share no seed with {labels} labels")
    return compare_pairs(
        pairing.a.correct,
        pairing.b.correct,
        margin=records.study.study.margin,
        confidence=confidence or records.confidence,
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
    """Which strategies were not found to be worse than the best, in a sentence."""
    best, *others = [row.name for row in league.rows if row.may_be_best]
    leader = f"{best}, the highest in this sample"
    if not others:
        return f"All others are found to be worse than {leader}."
    if len(others) + 1 == len(league.rows):
        return f"None is found to be worse than {leader}."
    return f"Not found to be worse than {leader}: {', '.join(others)}."


def chooses(strategy: Strategy) -> bool:
    """Whether a strategy's training looks at the labels of validation pictures."""
    plan = strategy.plan(("low", "middle", "high", HEAD))  # the same for any body
    if plan.soup or (plan.interpolation is not None and plan.interpolation.alpha == "auto"):
        return True
    return any(
        phase.patience is not None
        if phase.solver is None
        else len(phase.solver.choices) > 1 and phase.solver.choose == "validation"
        for phase in plan.phases
    )


def standings(told: Sequence[League], choosers: Collection[str]) -> list[str]:
    """The league table over all tasks and budgets, by mean rank."""
    lines = [
        "| strategy | mean rank | in the leading group | better than `scratch` | worse than "
        "`scratch` | chooses with validation labels | times the cost of `fine_tune` |",
        "|---|---|---|---|---|---|---|",
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
        cells = [name, f"{rank:.2f}", f"{leading} of {len(places)}"]
        cells += [f"{verdicts.count(told)}" if verdicts else "" for told in ("better", "worse")]
        found.append((rank, [*cells, "yes" if name in choosers else "", f"{cost:.2g}"]))
    return lines + [f"| {' | '.join(cells)} |" for _, cells in sorted(found)]


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
    sure = max(records.confidence for records in all_records.values())  # one family, one level
    made = [compared(all_records[task], name, PLAIN, labels, sure) for task, name, labels in places]
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
