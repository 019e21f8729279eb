"""The tables of the command line, on standard output."""

import json
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from headstart.data.catalog import CatalogEntry
    from headstart.report.results import Results
    from headstart.study.layout import Layout

_VERDICT_STYLES = {"better": "green", "worse": "red", "equivalent": "blue", "undecided": "yellow"}


def output() -> Console:
    """Standard output."""
    return Console(highlight=False)


def print_line(text: str) -> None:
    """Print a line as it is."""
    print(text)


def print_json(value: Mapping[str, Any]) -> None:
    """Print JSON and nothing else."""
    print(json.dumps(value, indent=2, allow_nan=False))


def print_results(results: "Results") -> None:
    """Print the table, the differences, a sentence for each, and where the report lies."""
    from headstart.report.results import labels_words

    out = output()
    out.print()
    out.print(Text(results.summary["question"], style="bold"))
    out.print(_strategies_table(results))
    if results.summary["comparisons"]:
        out.print(_comparisons_table(results.summary["comparisons"]))
        for entry, sentence in zip(
            results.summary["comparisons"], results.sentences(), strict=True
        ):
            out.print(Text("• ") + Text(sentence, style=_VERDICT_STYLES[entry["verdict"]]))
    for entry in results.summary["best"]:
        out.print(Text(f"• {labels_words(entry['labels'])}: {entry['sentence']}"))
    failed = [row for row in results.records.rows if row["state"] == "failed"]
    for row in failed:
        out.print(
            Text(f"failed: {row['strategy']}, seed {row['seed']}, ", style="red")
            + Text(f"{labels_words(row['labels'])}: {row['error']}", style="red")
        )
    reads = results.summary["test_reads"]
    out.print()
    out.print(f"test labels read {reads} time{'' if reads == 1 else 's'}")
    out.print(f"report: {results.directory / 'report.html'}", soft_wrap=True)


def _strategies_table(results: "Results") -> Table:
    shown = table("strategy")
    for name in ("labels", "trials", "accuracy", "95% interval", "trained", "seconds"):
        shown.add_column(name, justify="right", no_wrap=True)
    for entry in results.summary["strategies"]:
        answers = results.records.answers.get((entry["name"], entry["labels"]))
        accuracy, low, high = (entry["accuracy"][key] for key in ("mean", "low", "high"))
        spread = ""
        if answers is not None and len(answers.seeds) > 1:
            spread = f" ± {100 * answers.correct.mean(axis=1).std(ddof=1):.2f}"
        trained, seconds = entry["trainable_parameters"], entry["fit_seconds"]
        shown.add_row(
            entry["name"],
            str(entry["labels"]),
            str(entry["trials"]),
            f"{100 * accuracy:.2f}{spread}" if accuracy is not None else "–",
            f"{100 * low:.2f} to {100 * high:.2f}" if low is not None else "–",
            f"{trained:,}" if trained is not None else "–",
            f"{seconds:.2f}" if seconds is not None else "–",
        )
    shown.caption = (
        "accuracy in percent: mean ± standard deviation over seeds; trained: parameters; "
        "seconds: median of one fit"
    )
    shown.caption_justify = "left"
    return shown


def _comparisons_table(comparisons: Sequence[Mapping[str, Any]]) -> Table:
    shown = table("difference in points")
    for name in ("labels", "pairs", "mean", "95% interval", "p", "errors"):
        shown.add_column(name, justify="right", no_wrap=True)
    for entry in comparisons:
        low, high = entry["low"], entry["high"]
        shown.add_row(
            f"{entry['a']} − {entry['b']}",
            str(entry["labels"]),
            str(entry["pairs"]),
            f"{100 * entry['difference']:+.2f}",
            f"{100 * low:+.2f} to {100 * high:+.2f}" if low is not None else "–",
            f"{entry['p_value']:.3f}" if entry["p_value"] is not None else "–",
            _errors_words(entry["relative_error_reduction"]),
        )
    return shown


def _errors_words(reduction: Mapping[str, float] | None) -> str:
    if reduction is None:
        return "–"
    share = reduction["value"]
    return f"{100 * abs(share):.0f}% {'fewer' if share >= 0 else 'more'}"


def print_layout(layout: "Layout") -> None:
    """Print a study's network layer by layer, and what each phase trains."""
    out = output()
    layers = table("layer", "kind", "group", "output shape")
    layers.add_column("parameters", justify="right")
    for row in layout.layers:
        shape = " × ".join(map(str, row.output_shape))
        layers.add_row(row.name, row.kind, row.group, shape, f"{row.parameters:,}")
    out.print(layers)
    out.print(f"{layout.parameters:,} parameters")
    if layout.source_units is not None:
        out.print(
            f"The source is the same network with a head for its own {layout.source_units} "
            "classes; only its body is carried over."
        )
    phases = table("strategy", "phase", "lasts", "learning rates")
    phases.add_column("trains", justify="right")
    for phase in layout.phases:
        phases.add_row(
            phase.strategy,
            phase.phase,
            phase.duration,
            _rates_words(phase.rates),
            f"{phase.trainable:,}",
        )
    out.print()
    out.print(phases)


def _rates_words(rates: Mapping[str, float | None]) -> str:
    """Rates by layer group, neighbours with one rate told together."""
    parts = []
    for rate, names in groupby(rates, key=lambda name: rates[name]):
        first, *others = names
        who = f"{first} to {others[-1]}" if others else first
        parts.append(f"{who}: {'frozen' if rate is None else f'{rate:g}'}")
    return "\n".join(parts)


def print_catalog(entries: Sequence["CatalogEntry"]) -> None:
    """Print the catalogue of data sets."""
    shown = table("name", "title")
    for name in ("pictures", "classes"):
        shown.add_column(name, justify="right")
    shown.add_column("size")
    shown.add_column("here")
    for entry in entries:
        height, width, channels = entry.picture_shape
        shown.add_row(
            entry.name,
            entry.title,
            f"{entry.pictures:,}",
            str(len(entry.class_names)),
            f"{height} × {width} × {channels}",
            "yes" if entry.here else "no",
        )
    output().print(shown)


def table(*columns: str) -> Table:
    """An empty table in headstart's style."""
    shown = Table(box=box.SIMPLE, pad_edge=False, show_edge=False)
    for column in columns:
        shown.add_column(column)
    return shown
