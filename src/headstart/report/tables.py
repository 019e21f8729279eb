"""The report's tables: plain texts in rows, ready for the page."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from headstart.report import words
from headstart.report.content import (
    FAILED,
    ReportContent,
    StrategyResult,
    budget,
    budget_order,
    finite,
)

MOST_ROWS = 300
"""Longer tables are cut in the page: the records hold the rest, and a page must stay light."""


@dataclass(frozen=True)
class Column:
    """A column's heading; numbers are set flush right, names may be in any script."""

    heading: str
    numeric: bool = True


@dataclass(frozen=True)
class Table:
    """Rows of texts under headings.

    Attributes:
        caption: What it holds, a phrase.
        columns: The headings.
        rows: One text a column.
        note: What the reader should know, for example that rows were left out.
    """

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


def table(
    caption: str, columns: Sequence[str | Column], rows: Iterable[Sequence[str]], note: str = ""
) -> Table:
    """A table; plain headings are numeric columns, and rows beyond `MOST_ROWS` are left out."""
    kept = tuple(tuple(row) for row in itertools.islice(rows, MOST_ROWS + 1))
    if len(kept) > MOST_ROWS:
        note = f"{note} The first {MOST_ROWS} rows; the study’s records hold the rest.".strip()
    return Table(
        caption=caption,
        columns=tuple(c if isinstance(c, Column) else Column(c) for c in columns),
        rows=kept[:MOST_ROWS],
        note=note,
    )


NAME = Column("Strategy", numeric=False)
LABELS = Column("Labels")
SEED = Column("Seed", numeric=False)


def results(content: ReportContent) -> Table:
    """Each strategy at each label budget: trials, accuracy ± spread, parameters, seconds."""
    several = len(content.budgets) > 1
    by_chance = any(result.by_chance is not None for result in content.results)
    rows = [
        [
            result.name,
            *([words.budget(result.labels)] if several else []),
            _trials(content, result),
            _accuracy(content, result),
            *([_by_chance(result)] if by_chance else []),
            words.percent_interval(result.accuracy),
            _parameters(content, result),
            words.seconds(result.fit_seconds),
        ]
        for result in content.results
    ]
    headings: list[str | Column] = [
        NAME,
        *([LABELS] if several else []),
        "Trials",
        "Test accuracy ± spread",
        *(["Spread by chance alone"] if by_chance else []),
        f"{content.interval_name} of the mean",
        "Trainable parameters",
        "Seconds a fit",
    ]
    return table(
        "Every strategy",
        headings,
        rows,
        f"Spread is the standard deviation over {content.pair_name}s; seconds are the median of "
        "one fit."
        + (
            f" Spread by chance alone is what so few test pictures would give if every "
            f"{content.pair_name} were equally good: where both are alike, nothing else is seen."
            if by_chance
            else ""
        ),
    )


def comparisons(content: ReportContent) -> Table:
    """Every comparison in numbers; several also with what holds for all of them together."""
    known = [entry for entry in content.comparisons if entry.together is not None]
    together = len(known) > 1 and len(known) == len(content.comparisons)
    rows = [
        [
            f"{entry.a} − {entry.b}",
            words.budget(entry.labels),
            f"{entry.pairs:,}",
            words.points(entry.difference.value),
            words.points_interval(entry.difference),
            *([words.points_interval(entry.together)] if together and entry.together else []),
            words.p_value(entry.p_value),
            *([words.p_value(entry.adjusted_p)] if together else []),
            _reduction(entry.relative_error_reduction),
            entry.verdict,
        ]
        for entry in content.comparisons
    ]
    return table(
        "Differences of test accuracy",
        [
            Column("Comparison", numeric=False),
            LABELS,
            f"{content.pair_name}s".capitalize() if content.pair_name == "fold" else "Pairs",
            "Difference in points",
            content.interval_name,
            *(["All intervals together"] if together else []),
            "p-value",
            *(["p among all (Holm)"] if together else []),
            "Errors avoided",
            Column("Verdict", numeric=False),
        ],
        rows,
        "A p-value needs at least six pairs."
        + (
            " The intervals of the column for all together are so wide that every one of them "
            "holds at once (Bonferroni); verdicts follow the p-value among all."
            if together
            else ""
        ),
    )


METRIC_NAMES = {
    "balanced_accuracy": "Balanced accuracy",
    "f1_macro": "F1, mean over classes",
    "roc_auc": "Area under the ROC curve",
    "log_loss": "Log loss (less is better)",
    "ece": "Calibration error (less is better)",
}


def other_metrics(content: ReportContent) -> Table | None:
    """The differences in every other metric, and how often a wins; None without any."""
    rows = []
    for entry in sorted(
        content.summary["comparisons"], key=lambda own: budget_order(budget(own["labels"]))
    ):
        start = [f"{entry['a']} − {entry['b']}", words.budget(budget(entry["labels"]))]
        for metric, own in (entry.get("metrics") or {}).items():
            scale = 0.01 if metric == "log_loss" else 1.0  # told as it is, and not in points
            digits = 3 if metric == "log_loss" else 2
            value, low, high = (finite(own[key]) for key in ("difference", "low", "high"))
            told = [None if one is None else scale * one for one in (value, low, high)]
            ends = f"{words.points(told[1], digits)} to {words.points(told[2], digits)}"
            name = METRIC_NAMES.get(metric, metric)
            rows.append([*start, name, words.points(told[0], digits), ends])
        wins = entry.get("probability_of_improvement")
        if wins:
            ends = f"{words.percent(wins['low'], 0)} to {words.percent(wins['high'], 0)}"
            name = "Chance that a new seed of the first wins"
            rows.append([*start, name, words.percent(wins["value"], 0), ends])
    if not rows:
        return None
    names = [Column("Comparison", numeric=False), LABELS, Column("Of what", numeric=False)]
    return table(
        "Differences in other metrics",
        [*names, "Difference", content.interval_name],
        rows,
        "In points, log loss as it is; by the same crossed bootstrap over seeds and test pictures. "
        "Nothing is claimed here: verdicts are on accuracy.",
    )


def failures(content: ReportContent) -> Table | None:
    """The trials that failed, with their reasons; None when there are none."""
    failed = content.trials[content.trials["state"] == FAILED]
    if failed.empty:
        return None
    rows = [
        [str(row.strategy), words.budget(budget(row.labels)), f"{row.seed}", _text(row.error)]
        for row in failed.itertuples()
    ]
    return table(
        "Trials that failed", [NAME, LABELS, "Seed", Column("Reason", numeric=False)], rows
    )


def sources(content: ReportContent) -> Table | None:
    """The source networks trained here; None when there are none."""
    if content.sources.empty:
        return None
    rows = (
        [
            f"{row.seed}",
            words.percent(finite(row.val_accuracy)),
            words.whole(finite(row.epochs)),
            words.seconds(finite(row.fit_seconds)),
            _text(row.weights_hash)[:10],
        ]
        for row in content.sources.itertuples()
    )
    return table(
        "The source network, once a seed",
        [SEED, "Validation accuracy", "Epochs", "Fit", Column("Weights", numeric=False)],
        rows,
        "Validation accuracy is on the source's own classes.",
    )


def class_counts(content: ReportContent) -> tuple[Table, ...]:
    """Class × split, a table a task, with the sum below."""
    made = []
    for task, caption in (("target", "The target task"), ("source", "The source task")):
        counts = content.class_counts[content.class_counts["task"] == task]
        if counts.empty:
            continue
        splits = list(dict.fromkeys(counts["split"].astype(str)))
        cells = counts.pivot_table(
            index="class_name", columns="split", values="count", aggfunc="sum", sort=False
        )
        rows = [
            [str(name), *(words.whole(finite(line.get(split))) for split in splits)]
            for name, line in cells.iterrows()
        ]
        if len(rows) > 1:
            rows.append(["all classes", *(words.whole(float(cells[s].sum())) for s in splits)])
        made.append(table(caption, [Column("Class", numeric=False), *splits], rows))
    return tuple(made)


def trials(content: ReportContent) -> Table:
    """Every trial, one row each."""
    rows = (
        [
            str(row.strategy),
            words.budget(budget(row.labels)),
            f"{row.seed}",
            str(row.state),
            words.percent(finite(row.val_accuracy)),
            words.percent(finite(row.test_accuracy)),
            words.decimal(finite(row.test_log_loss), 4),
            words.whole(finite(row.epochs)),
            words.seconds(finite(row.fit_seconds)),
        ]
        for row in content.trials.itertuples()
    )
    return table(
        "Every trial",
        [
            NAME,
            LABELS,
            "Seed",
            Column("State", numeric=False),
            "Validation accuracy",
            "Test accuracy",
            "Test log loss",
            "Epochs",
            "Fit",
        ],
        rows,
    )


def _trials(content: ReportContent, result: StrategyResult) -> str:
    """Finished trials, and of how many when some did not finish."""
    named = content.trials[content.trials["strategy"] == result.name]
    asked = sum(budget(value) == result.labels for value in named["labels"])
    done = f"{result.trials:,}"
    return f"{done} of {asked:,}" if asked > result.trials else done


def _accuracy(content: ReportContent, result: StrategyResult) -> str:
    """Mean ± standard deviation over seeds; the mean alone for a single seed."""
    own = content.accuracies(result.name, result.labels)
    mean = words.percent(result.accuracy.value)
    if len(own) < 2:
        return mean
    spread = float(own.std(ddof=1))
    return f"{mean.removesuffix('%')} ± {words.percent(spread)}"


def _by_chance(result: StrategyResult) -> str:
    return words.NONE if result.by_chance is None else f"± {words.percent(result.by_chance)}"


def _parameters(content: ReportContent, result: StrategyResult) -> str:
    """Trainable parameters of all, when the trials tell the total."""
    import pandas as pd  # loaded when the report is drawn

    own = content.trials[content.trials["strategy"] == result.name]
    totals = pd.to_numeric(own["total_parameters"], errors="coerce").dropna()
    trainable = words.whole(result.trainable_parameters)
    return trainable if totals.empty else f"{trainable} of {words.whole(float(totals.max()))}"


def _reduction(estimate: object) -> str:
    """The relative error reduction with its interval."""
    if not isinstance(estimate, tuple):
        return words.NONE
    value, low, high = estimate
    if value is None:
        return words.NONE
    text = words.percent(value, 0)
    return text if low is None else f"{text} ({words.percent(low, 0)} to {words.percent(high, 0)})"


def _text(value: object) -> str:
    return words.NONE if value is None or value != value or value == "" else str(value)
