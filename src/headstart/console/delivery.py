"""What the commands `fit`, `predict`, `evaluate` and `export` print."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from headstart.console.tables import item, output, table

if TYPE_CHECKING:
    from headstart.data.entries import LeftOut
    from headstart.delivery.delivering import Fitted
    from headstart.delivery.evaluation import Evaluation
    from headstart.delivery.exporting import Exported
    from headstart.delivery.predictions import Predicted
    from headstart.statistics.intervals import Interval

_MOST_NAMED = 20
_IN_PERCENT = ("accuracy", "balanced_accuracy", "f1_macro", "roc_auc")


def print_fitted(fitted: "Fitted") -> None:
    """Print which strategy was delivered and why, how good it is, and where it all lies."""
    out = output()
    choice = fitted.choice
    for sentence in (*choice.why, choice.rule_of_thumb):
        out.print(item(Text(sentence)))
    print_evaluation(fitted.evaluation)
    if fitted.left_out:
        out.print(Text(f"{fitted.left_out:,} file(s) could not be used", style="yellow"))
    _print_notes(fitted.warnings)
    out.print(f"model: {fitted.folder} (README.md is its card)", soft_wrap=True)
    out.print(f"report: {fitted.results.directory / 'report.html'}", soft_wrap=True)


def print_predicted(predicted: "Predicted") -> None:
    """Print how many pictures were predicted, and where it all lies."""
    out = output()
    by = f" by {predicted.engine}" if predicted.engine else ""
    out.print(f"{predicted.pictures:,} pictures predicted{by}: {predicted.output}", soft_wrap=True)
    if predicted.taken_over:
        out.print(f"{predicted.taken_over:,} of them were done before the interruption")
    if predicted.unreadable:
        files = "file" if predicted.unreadable == 1 else "files"
        said = f"{predicted.unreadable:,} {files} could not be read: {predicted.unreadable_list}"
        out.print(Text(said, style="yellow"), soft_wrap=True)
    _print_notes(predicted.warnings)


def print_evaluation(evaluation: "Evaluation") -> None:
    """Print metrics with their intervals, and a row a class."""
    out = output()
    percent = f"{100 * evaluation.confidence:.3g}%"
    shown = table("metric")
    for name in ("value", f"{percent} interval"):
        shown.add_column(name, justify="right")
    for name, value in evaluation.metrics.items():
        shown.add_row(Text(name), *_interval_words(value, name in _IN_PERCENT))
    out.print(shown)
    rows = table("class")
    for name in ("pictures", "called so", "recall", "precision"):
        rows.add_column(name, justify="right")
    rows.add_column("taken for")
    for row in evaluation.classes:
        shares = (_share_words(row.recall), _share_words(row.precision))
        counts = (f"{row.pictures:,}", f"{row.predicted:,}")
        rows.add_row(Text(row.name), *counts, *shares, Text(row.mistaken_for))
    out.print(rows)
    out.print(f"{evaluation.pictures:,} pictures; shares in percent; intervals over new pictures")
    _print_left_out(evaluation.left_out)
    _print_notes(evaluation.warnings)


def print_exported(exported: "Exported") -> None:
    """Print where an exported file lies, and how it did."""
    out = output()
    out.print(f"exported: {exported.file}", soft_wrap=True)
    out.print(f"how to use it: {exported.note}", soft_wrap=True)
    out.print(
        f"on {exported.pictures:,} pictures {100 * exported.agreement:.4g}% of the classes are "
        f"PyTorch's, and probabilities differ by at most {exported.difference:.1g}",
        soft_wrap=True,
    )


def _interval_words(value: "Interval", in_percent: bool) -> tuple[str, str]:
    factor, digits = (100, 2) if in_percent else (1, 4)
    mean = f"{factor * value.mean:.{digits}f}"
    if value.low is None or value.high is None:
        return mean, "–"
    return mean, f"{factor * value.low:.{digits}f} to {factor * value.high:.{digits}f}"


def _share_words(value: "Interval | None") -> str:
    if value is None:
        return "–"
    if value.low is None or value.high is None:
        return f"{100 * value.mean:.1f}"
    return f"{100 * value.mean:.1f} ({100 * value.low:.0f} to {100 * value.high:.0f})"


def _print_left_out(left_out: "Sequence[LeftOut]") -> None:
    out = output()
    if left_out:
        out.print(Text(f"left out: {len(left_out):,}", style="bold"))
    for each in left_out[:_MOST_NAMED]:
        out.print(Text(f"  {each.name}: {each.reason}"))
    if len(left_out) > _MOST_NAMED:
        out.print(f"  and {len(left_out) - _MOST_NAMED:,} more (--json names them all)")


def _print_notes(warnings: Sequence[str]) -> None:
    for warning in warnings:
        output().print(Text(f"note: {warning}", style="yellow"))
