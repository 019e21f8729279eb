"""What the commands `worth`, `power` and `ledger` print."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.text import Text

from headstart.console import output, table
from headstart.data.tasks import Budget
from headstart.errors import StudyError
from headstart.report import words
from headstart.report.planning import Curve, curves
from headstart.report.results import labels_words
from headstart.report.summary import ledger_sentence
from headstart.statistics.label_value import LabelWorth
from headstart.statistics.ledger import check_chain
from headstart.statistics.paired import Comparison, compare_pairs
from headstart.statistics.power import Advice, Goal, PowerCell, advise, power_table
from headstart.study.results import StudyRecords

_BLOCKS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True)
class Plan:
    """What would decide one comparison.

    Attributes:
        a: The strategy.
        b: The baseline.
        labels: The label budget.
        pilot: The comparison as it stands.
        difference: The true difference that is asked about, a share.
        cells: The chance of a verdict for numbers of seeds and pictures.
        advice: What would do, if the difference is the one seen.
        curves: The chance of a verdict against seeds, a curve for each number of pictures.
    """

    a: str
    b: str
    labels: Budget
    pilot: Comparison
    difference: float
    cells: tuple[PowerCell, ...]
    advice: Advice
    curves: tuple[Curve, ...]


def power_plans(records: StudyRecords, difference: float | None) -> list[Plan]:
    """A plan for every comparison of a pilot; each has its share of alpha (Bonferroni).

    Args:
        records: The pilot.
        difference: The true difference to ask about, a share; the one seen when omitted.

    Raises:
        StudyError: If the pilot has no comparison with at least two pairs.
    """
    plans = []
    pairings = records.pairings()
    alpha = records.study.study.alpha / max(1, len(pairings))
    for labels, pairing in pairings:
        pilot = compare_pairs(
            pairing.a.correct,
            pairing.b.correct,
            margin=records.study.study.margin,
            confidence=records.confidence,
            groups=records.test_groups,
        )
        if pilot.variance is None:
            continue
        asked = pilot.difference if difference is None else difference
        split = pilot.variance
        cells = power_table(
            split,
            asked,
            seeds=sorted({6, 10, 20, 40, max(6, pilot.pairs)}),
            pictures=sorted({split.n_pictures, 2 * split.n_pictures, 5 * split.n_pictures}),
            margin=records.study.study.margin,
            alpha=alpha,
        )
        plans.append(
            Plan(
                a=pairing.a.strategy,
                b=pairing.b.strategy,
                labels=labels,
                pilot=pilot,
                difference=asked,
                cells=cells,
                advice=advise(pilot, comparisons=len(pairings)),
                curves=curves(split, asked, Goal(records.study.study.margin, alpha)),
            )
        )
    if not plans:
        raise StudyError(
            "there is nothing to plan with: power needs a pilot of two strategies with at least "
            "two seeds each"
        )
    return plans


def print_plans(plans: Sequence[Plan]) -> None:
    """Print what would decide each comparison."""
    out = output()
    for plan in plans:
        out.print()
        out.print(
            Text(f"{plan.a} against {plan.b}, {labels_words(plan.labels)}", style="bold"),
            f"({plan.pilot.pairs} pairs, {plan.pilot.pictures:,} test pictures)",
        )
        out.print(plan.pilot.sentence(plan.a, plan.b))
        if not plan.advice.decided:
            out.print(plan.advice.sentence().removeprefix("undecided: ").capitalize() + ".")
        shown = table()
        for name in ("seeds", "test pictures", "interval ±", "chance to tell", "to tell a tie"):
            shown.add_column(name, justify="right")
        for cell in plan.cells:
            shown.add_row(
                str(cell.seeds),
                f"{cell.pictures:,}",
                f"{100 * cell.half_width:.2f}",
                f"{100 * cell.power:.0f}%",
                f"{100 * cell.power_equivalence:.0f}%",
            )
        out.print(shown)
        for curve in plan.curves:
            out.print(_plotted(curve))
    out.print(
        Text(
            "interval ±: half its expected width in points; chance to tell: of a verdict if the "
            'true difference is the one asked about; to tell a tie: of "equivalent" if there is '
            "none. The spread is the pilot's, and itself uncertain.",
            style="dim",
        )
    )


def _plotted(curve: Curve) -> str:
    """A curve as a line of blocks, with its ends and where it reaches the wanted chance."""
    blocks = "".join(_BLOCKS[min(int(8 * chance), 7)] for chance in curve.chances)
    first, last = curve.seeds[0], curve.seeds[-1]
    enough = curve.enough
    reached = f"80% from {enough} on" if enough else "not 80%"
    return (
        f"chance of a verdict, {curve.pictures:>7,} pictures: {first} {blocks} {last} seeds, "
        f"{reached}"
    )


def plans_data(plans: Sequence[Plan]) -> dict[str, Any]:
    """The plans as plain data."""
    return {
        "plans": [
            {
                "a": plan.a,
                "b": plan.b,
                "labels": plan.labels,
                "difference": plan.difference,
                "more_seeds": plan.advice.more_seeds,
                "more_pictures": plan.advice.more_pictures,
                "decided": plan.advice.decided,
                "table": [asdict(cell) for cell in plan.cells],
                "curves": [asdict(curve) for curve in plan.curves],
            }
            for plan in plans
        ]
    }


def print_worths(worths: Mapping[str, LabelWorth]) -> None:
    """Print what each way to transfer is worth in labels."""
    out = output()
    for name, worth in worths.items():
        out.print()
        out.print(Text(name, style="bold"), f"({worth.pairs} pairs)")
        shown = table()
        for column in ("labels", "transfer", "scratch", "worth", "× (interval)", "power law"):
            shown.add_column(column, justify="right")
        rows = zip(
            worth.budgets,
            worth.transfer.intervals,
            worth.scratch.intervals,
            worth.worths,
            worth.by_power_law,
            strict=True,
        )
        for labels, transfer, scratch, entry, beside in rows:
            times = f"{entry.needed.beyond}{entry.multiplier:.2g}"
            if entry.low is not None and entry.high is not None:
                ends = [f"{e.beyond}{e.labels / entry.at:.2g}" for e in (entry.low, entry.high)]
                times += f" ({' to '.join(ends)})"
            shown.add_row(
                f"{labels:,}",
                f"{100 * transfer.mean:.1f}",
                f"{100 * scratch.mean:.1f}",
                str(entry.needed),
                times,
                f"{beside.needed.beyond}{beside.multiplier:.2g}",
            )
        out.print(shown)
        for entry in worth.worths:
            out.print(f"• {entry.sentence()}")
    out.print(
        Text(
            "worth: the labels that training from scratch needs for the same accuracy, by curves "
            "that never fall; ≥ and ≤ where it lies beyond the budgets that were tried.",
            style="dim",
        )
    )


def worths_data(worths: Mapping[str, LabelWorth]) -> dict[str, Any]:
    """The worths as plain data."""
    return {name: asdict(worth) for name, worth in worths.items()}


def print_ledger(records: StudyRecords) -> None:
    """Print every reading of the test split.

    Raises:
        RecordsError: If the ledger was tampered with.
    """
    out = output()
    entries = records.test_reads
    check_chain(entries)
    shown = table("when", "split", "by", "for", "link")
    for entry in entries:
        split = words.test_split(entry.split)
        shown.add_row(entry.when, split, entry.reader, entry.purpose, entry.digest[:12])
    out.print(shown)
    if records.counted_reads:
        out.print(ledger_sentence(records))
    if len(records.split_reads) != records.counted_reads:
        out.print(
            f"{len(records.split_reads)} readings in all: the looks of a declared design count "
            "once, what they cost is in its levels"
        )
    out.print("The chain is whole: each link holds the hash of the one before.")
