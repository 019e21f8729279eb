"""Everything a report shows, as plain data: no network, no records file, nothing to look up."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from headstart.errors import RecordsError

if TYPE_CHECKING:
    import pandas as pd

Budget = int | Literal["all"]
Verdict = Literal["better", "worse", "equivalent", "undecided"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)

COMPLETE = "complete"
FAILED = "failed"

TRIAL_COLUMNS = (
    "strategy",
    "seed",
    "labels",
    "state",
    "val_accuracy",
    "test_accuracy",
    "test_log_loss",
    "trainable_parameters",
    "total_parameters",
    "fit_seconds",
    "epochs",
    "error",
)
CURVE_COLUMNS = (
    "strategy",
    "labels",
    "seed",
    "phase",
    "epoch",
    "train_loss",
    "val_loss",
    "val_accuracy",
)
COUNT_COLUMNS = ("task", "split", "class_name", "count")
SOURCE_COLUMNS = ("seed", "val_accuracy", "epochs", "fit_seconds", "weights_hash")


class Confusion(NamedTuple):
    """How often each class was taken for each class by one strategy at one label budget.

    Attributes:
        strategy: Its name.
        labels: The label budget.
        class_names: C names in label order.
        matrix: Shape (C, C), float: row = truth, column = what was said, each cell the count of
            test pictures, averaged over the seeds.
    """

    strategy: str
    labels: Budget
    class_names: Sequence[str]
    matrix: NDArray[np.float64]


class Mistake(NamedTuple):
    """A test picture that many trials got wrong.

    Attributes:
        png: The picture as a PNG file's bytes.
        truth: Its class.
        said: The class that was said most often by the trials that were wrong.
        wrong_share: Share of the trials that were wrong, 0 to 1.
        trials: How many trials were asked.
    """

    png: bytes
    truth: str
    said: str
    wrong_share: float
    trials: int


class Example(NamedTuple):
    """A picture that stands for its class: a PNG file's bytes, and the class name."""

    png: bytes
    class_name: str


class Estimate(NamedTuple):
    """A number with its 95% interval; None where it could not be had."""

    value: float | None
    low: float | None
    high: float | None

    @classmethod
    def read(cls, value: object, low: object, high: object) -> "Estimate":
        """From what a JSON file holds: NaN counts as missing."""
        return cls(finite(value), finite(low), finite(high))


@dataclass(frozen=True)
class StrategyResult:
    """One entry of the summary's `strategies`; `accuracy` is the mean over seeds, 0 to 1.

    `by_chance` is the standard deviation over seeds that so few test pictures alone would give.
    """

    name: str
    labels: Budget
    trials: int
    accuracy: Estimate
    trainable_parameters: int | None
    fit_seconds: float | None
    by_chance: float | None = None


@dataclass(frozen=True)
class Comparison:
    """One entry of the summary's `comparisons`: strategy `a` minus strategy `b`, paired by seed.

    Attributes:
        a: The strategy asked about.
        b: What it is compared with, as a rule the baseline.
        labels: The label budget.
        pairs: How many seeds both have finished.
        difference: Accuracy of `a` minus accuracy of `b`, as a share (0.01 is one point).
        p_value: Exact sign-flip p-value, or None below six pairs.
        relative_error_reduction: Share of `b`'s errors that `a` avoids, or None.
        verdict: What may be said.
        sentence: The verdict in words.
        note: What else the reader should know of it, for example why there is no p-value.
        together: The interval that holds together with all others of the study, or None.
        adjusted_p: Holm's p among all comparisons of the study, or None.
    """

    a: str
    b: str
    labels: Budget
    pairs: int
    difference: Estimate
    p_value: float | None
    relative_error_reduction: Estimate | None
    verdict: Verdict
    sentence: str
    note: str = ""
    together: Estimate | None = None
    adjusted_p: float | None = None


@dataclass(frozen=True)
class ReportContent:
    """Everything a report shows.

    Attributes:
        title: The study's name.
        question: The question it asks, a sentence.
        generated: When the report was made, as it shall be shown.
        warnings: Sentences that belong above everything else, for example that a source was
            never trained.
        summary: What `summary.json` holds: `question`, `strategies` (each `name, labels, trials,
            accuracy {mean, low, high}, trainable_parameters, fit_seconds`, the median),
            `comparisons` (each `a, b, labels, pairs, difference, low, high, p_value,
            relative_error_reduction, verdict`, `sentence` and, if there is one, `note`),
            `test_reads`; and, each optional, what the statistics add: `orders`, `best`, `worth`,
            `ledger`, and in a comparison `spread` and `path`, all as
            `headstart.report.summary.summarise` gives them. Accuracies and differences are
            shares (0.01 is one point); `labels` is a whole number or "all";
            `relative_error_reduction` is `{value, low, high}` or None; `p_value` may be None; the
            numbers of a strategy without a finished trial are None.
        trials: One row a trial: `strategy, seed, labels, state` ("complete", "failed", "running",
            "waiting"), `val_accuracy, test_accuracy, test_log_loss, trainable_parameters,
            total_parameters, fit_seconds, epochs, error`; missing numbers are NaN or None.
        curves: One row an epoch of a trial, in the order they happened: `strategy, labels, seed,
            phase` (its name), `epoch, train_loss, val_loss, val_accuracy`. May have no rows.
        confusions: One for each strategy and label budget that has finished trials.
        mistakes: The pictures most often got wrong, worst first; may be empty.
        examples: A few pictures, for the reader to see what the task is.
        class_counts: Columns `task` ("target" or "source"), `split`, `class_name`, `count`.
        sources: The source networks trained here: `seed, val_accuracy, epochs, fit_seconds,
            weights_hash`. May have no rows.
        provenance: What a reader needs to repeat it: versions, seeds, hashes, device, threads,
            how the split was made. Shown in this order.
        margin: Half the width of the band within which two strategies count as equivalent, as a
            share of accuracy (0.005 is half a point).
        baseline: The strategy that the others are compared with.
    """

    title: str
    question: str
    generated: str
    warnings: tuple[str, ...]
    summary: Mapping[str, Any]
    trials: "pd.DataFrame"
    curves: "pd.DataFrame"
    confusions: Sequence[Confusion]
    mistakes: Sequence[Mistake]
    examples: Sequence[Example]
    class_counts: "pd.DataFrame"
    sources: "pd.DataFrame"
    provenance: Mapping[str, str]
    margin: float
    baseline: str

    def __post_init__(self) -> None:
        problems = [
            *_missing("trials", self.trials, TRIAL_COLUMNS),
            *_missing("curves", self.curves, CURVE_COLUMNS),
            *_missing("class_counts", self.class_counts, COUNT_COLUMNS),
            *_missing("sources", self.sources, SOURCE_COLUMNS),
            *(
                f"the summary has no {key!r}: write the study's summary again"
                for key in ("strategies", "comparisons", "test_reads")
                if key not in self.summary
            ),
        ]
        problems += [
            f"unknown verdict {entry.get('verdict')!r}, expected one of {', '.join(VERDICTS)}"
            for entry in self.summary.get("comparisons", ())
            if entry.get("verdict") not in VERDICTS
        ]
        if problems:
            raise RecordsError(*(f"the report cannot be drawn: {text}" for text in problems))

    @cached_property
    def results(self) -> tuple[StrategyResult, ...]:
        """The summary's strategies, by label budget, within it the baseline first."""
        read = [
            StrategyResult(
                name=str(entry["name"]),
                labels=budget(entry["labels"]),
                trials=int(entry["trials"]),
                accuracy=_estimate(entry.get("accuracy"), "mean"),
                trainable_parameters=_whole(entry.get("trainable_parameters")),
                fit_seconds=finite(entry.get("fit_seconds")),
                by_chance=finite((entry.get("spread") or {}).get("finite_test_set")),
            )
            for entry in self.summary["strategies"]
        ]
        place = {name: number for number, name in enumerate(self.strategies)}
        return tuple(sorted(read, key=lambda r: (budget_order(r.labels), place[r.name])))

    @cached_property
    def comparisons(self) -> tuple[Comparison, ...]:
        """The summary's comparisons, by label budget, else in the order given."""
        read = [
            Comparison(
                a=str(entry["a"]),
                b=str(entry["b"]),
                labels=budget(entry["labels"]),
                pairs=int(entry["pairs"]),
                difference=Estimate.read(
                    entry.get("difference"), entry.get("low"), entry.get("high")
                ),
                p_value=finite(entry.get("p_value")),
                relative_error_reduction=_optional(entry.get("relative_error_reduction")),
                verdict=entry["verdict"],
                sentence=str(entry.get("sentence", "")),
                note=str(entry.get("note") or ""),
                together=_optional(entry.get("simultaneous")),
                adjusted_p=finite(entry.get("adjusted_p")),
            )
            for entry in self.summary["comparisons"]
        ]
        return tuple(sorted(read, key=lambda comparison: budget_order(comparison.labels)))

    @cached_property
    def strategies(self) -> tuple[str, ...]:
        """The names of all strategies, the baseline first, else in the order given."""
        named = [str(entry["name"]) for entry in self.summary["strategies"]]
        named += [str(name) for name in self.trials["strategy"]]
        names = list(dict.fromkeys(named))
        return tuple(sorted(names, key=lambda name: name != self.baseline))

    @cached_property
    def budgets(self) -> tuple[Budget, ...]:
        """The label budgets, smallest first, "all" last."""
        found = {budget(entry["labels"]) for entry in self.summary["strategies"]}
        found |= {budget(value) for value in self.trials["labels"]}
        return tuple(sorted(found, key=budget_order))

    @cached_property
    def finished(self) -> "pd.DataFrame":
        """The trials that ended well, `labels` as a budget, `seed` whole, index renewed."""
        import pandas as pd  # loaded when the report is drawn

        done = self.trials[self.trials["state"] == COMPLETE]
        done = done[pd.to_numeric(done["test_accuracy"], errors="coerce").notna()]
        return done.assign(
            strategy=done["strategy"].astype(str),
            labels=[budget(value) for value in done["labels"]],
            seed=done["seed"].astype(int),
            test_accuracy=done["test_accuracy"].astype(float),
        ).reset_index(drop=True)

    @cached_property
    def _accuracies(self) -> dict[tuple[str, Budget], "pd.Series[float]"]:
        done = self.finished.set_index("seed").sort_index()
        return {
            (str(strategy), budget(labels)): own["test_accuracy"]
            for (strategy, labels), own in done.groupby(["strategy", "labels"], sort=False)
        }

    def accuracies(self, strategy: str, labels: Budget) -> "pd.Series[float]":
        """Test accuracy by seed of a strategy's finished trials at one label budget."""
        nothing = self.finished.iloc[:0].set_index("seed")["test_accuracy"]
        return self._accuracies.get((strategy, labels), nothing)

    @property
    def interval_name(self) -> str:
        """What intervals are called: wider than 95% once the test split was read too often."""
        return f"{100 * float(self.summary.get('confidence', 0.95)):.3g}% interval"

    @property
    def pair_name(self) -> str:
        """What a pair of trials has in common: a seed, or in a cross-validation a fold."""
        return "fold" if self.summary.get("cross_validation") else "seed"

    @cached_property
    def training_pictures(self) -> int | None:
        """How many labelled training pictures the target task has, that is what "all" means."""
        counts = self.class_counts
        rows = counts[(counts["task"] == "target") & (counts["split"] == "train")]
        return int(rows["count"].sum()) if len(rows) else None


def budget(value: object) -> Budget:
    """A label budget as a whole number or "all", from a number or a text.

    Raises:
        RecordsError: If it is neither.
    """
    text = str(value).strip()
    if text == "all":
        return "all"
    try:
        return int(float(text))
    except (ValueError, OverflowError):
        raise RecordsError(
            f"the report cannot be drawn: {text!r} is not a label budget, expected a whole "
            "number or 'all'"
        ) from None


def budget_order(labels: Budget) -> tuple[int, int]:
    """Sort key: smallest budget first, "all" last."""
    return (1, 0) if isinstance(labels, str) else (0, labels)


def _missing(what: str, frame: "pd.DataFrame", columns: Sequence[str]) -> list[str]:
    absent = [column for column in columns if column not in frame.columns]
    return (
        [f"{what} lacks the column{'s'[: len(absent) > 1]} {', '.join(absent)}"] if absent else []
    )


def finite(value: object) -> float | None:
    """A finite float, or None for what is missing, is no number or is not finite."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _whole(value: object) -> int | None:
    number = finite(value)
    return None if number is None else int(number)


def _estimate(entry: Mapping[str, Any] | None, key: str) -> Estimate:
    entry = entry or {}
    return Estimate.read(entry.get(key), entry.get("low"), entry.get("high"))


def _optional(entry: Mapping[str, Any] | None) -> Estimate | None:
    return None if entry is None else _estimate(entry, "value")
