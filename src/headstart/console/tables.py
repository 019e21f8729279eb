"""The tables of the command line, on standard output."""

import json
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
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

_WIDE = 100  # from so many characters on there is room for a further interval

_LEGEND = (
    "accuracy in percent: mean ± standard deviation over seeds (the deviation that so few test "
    "pictures alone would give); trained: parameters; seconds: median of one fit"
)


def output() -> Console:
    """Standard output; names that look like markup are shown as they are."""
    return Console(highlight=False, markup=False, emoji=False)


def print_line(text: str) -> None:
    """Print a line as it is."""
    print(text)


def print_json(value: Mapping[str, Any]) -> None:
    """Print JSON and nothing else."""
    print(json.dumps(value, indent=2, allow_nan=False))


def print_results(results: "Results") -> None:
    """Print the tables, a sentence for each comparison, and where the report lies."""
    from headstart.report.results import labels_words

    out = output()
    out.print()
    out.print(Text(results.summary["question"], style="bold"))
    folds = results.summary["cross_validation"]
    out.print(_strategies_table(results))
    out.print(Text(_LEGEND.replace("seeds", "folds") if folds else _LEGEND, style="dim"))
    if folds:
        out.print(Text(folds_words(**folds), style="dim"))
    out.print()
    if results.summary["comparisons"]:
        out.print(_comparisons_table(results.summary, out.width))
        for entry, sentence in zip(
            results.summary["comparisons"], results.sentences(), strict=True
        ):
            out.print(item(Text(sentence, style=_VERDICT_STYLES[entry["verdict"]])))
    for entry in [*results.summary["best"], *results.summary["choices"]]:
        out.print(item(Text(f"{labels_words(entry['labels'])}: {entry['sentence']}")))
    gate = results.summary["gate"] or {"tries": [], "statements": []}
    for one in [*gate["tries"], *gate["statements"]]:
        out.print(item(Text(one["sentence"])))
    for sentence in _failures(results.records.rows):
        out.print(item(Text(sentence, style="red")))
    reads = results.summary["test_reads"]
    out.print()
    out.print(f"test labels read {reads} time{'' if reads == 1 else 's'}")
    out.print(f"report: {results.directory / 'report.html'}", soft_wrap=True)


def folds_words(folds: int, repeats: int) -> str:
    """What pairs and intervals are in a cross-validation."""
    times = "" if repeats == 1 else f", dealt out {repeats} times"
    return (
        f"cross-validation over {folds} folds{times}: a pair is a fold, and intervals are widened "
        "for the training pictures that folds share (Nadeau and Bengio)"
    )


def item(text: Text) -> Table:
    """A sentence in a list, its further lines below its first."""
    grid = Table.grid(padding=(0, 1))
    grid.add_row("•", text)
    return grid


def _failures(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Which trials failed and why; those that differ only in their seed in one sentence."""
    from headstart.report.results import labels_words

    seeds: dict[tuple[str, str, str], list[str]] = {}
    for row in rows:
        if row["state"] == "failed":
            alike = labels_words(row["labels"]), row["strategy"], row["error"]
            seeds.setdefault(alike, []).append(str(row["seed"]))
    return [
        f"{labels}: {name} failed with seed{'s' if len(own) > 1 else ''} {', '.join(own)}: {error}"
        for (labels, name, error), own in seeds.items()
    ]


def _strategies_table(results: "Results") -> Table:
    shown = table("strategy")
    interval = _interval_words(results.summary)
    for name in ("labels", "trials", "accuracy", interval, "trained", "seconds"):
        shown.add_column(name, justify="right", no_wrap=True)
    for entry in results.summary["strategies"]:
        accuracy, low, high = (entry["accuracy"][key] for key in ("mean", "low", "high"))
        spread = _spread_words(entry["spread"])
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
    return shown


def _spread_words(spread: Mapping[str, float] | None) -> str:
    """The deviation over seeds, beside that which the test pictures alone would give."""
    if spread is None:
        return ""
    return f" ±{100 * spread['observed']:.2f} ({100 * spread['finite_test_set']:.1f})"


def _comparisons_table(summary: Mapping[str, Any], width: int) -> Table:
    comparisons = summary["comparisons"]
    shown = table(f"against {comparisons[0]['b']}")
    pairs = "folds" if summary["cross_validation"] else "pairs"
    wide = width >= _WIDE and len(comparisons) > 1
    together = ["all together"] if wide else []
    for name in ("labels", pairs, "points", _interval_words(summary), *together, "p", "errors"):
        shown.add_column(name, justify="right", no_wrap=True)
    for entry in comparisons:
        shown.add_row(
            entry["a"],
            str(entry["labels"]),
            str(entry["pairs"]),
            f"{100 * entry['difference']:+.2f}",
            _ends_words(entry),
            *([_ends_words(entry["simultaneous"])] if together else []),
            _p_words(entry["p_value"]),
            _errors_words(entry["relative_error_reduction"]),
        )
    return shown


def _interval_words(summary: Mapping[str, Any]) -> str:
    return f"{100 * summary['confidence']:.3g}% interval"


def _ends_words(ends: Mapping[str, float | None]) -> str:
    """An interval of points."""
    low, high = ends["low"], ends["high"]
    if low is None or high is None:
        return "–"
    return f"{100 * low:+.2f} to {100 * high:+.2f}"


def _p_words(p_value: float | None) -> str:
    if p_value is None:
        return "–"
    return f"{p_value:.3f}" if p_value >= 0.001 else "< 0.001"


def _errors_words(reduction: Mapping[str, float] | None) -> str:
    if reduction is None:
        return "–"
    share = reduction["value"]
    if share < -1:
        return f"{1 - share:.1f} times"
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
    augmented = any(phase.pictures for phase in layout.phases)
    if augmented:
        phases.add_column("training pictures")
    for phase in layout.phases:
        phases.add_row(
            phase.strategy,
            phase.phase,
            phase.duration,
            _rates_words(phase.rates),
            f"{phase.trainable:,}",
            *([phase.pictures or "as they are"] if augmented else []),
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
    shown = table()
    shown.add_column("name", no_wrap=True)
    for name in ("pictures", "classes"):
        shown.add_column(name, justify="right", no_wrap=True)
    shown.add_column("size", no_wrap=True)
    shown.add_column("licence")
    shown.add_column("here", no_wrap=True)
    for entry in entries:
        shape = entry.picture_shape
        shown.add_row(
            entry.name,
            f"{entry.pictures:,}",
            str(len(entry.class_names)),
            "a folder of pictures" if shape is None else " × ".join(map(str, shape)),
            entry.licence,
            "yes" if entry.here else "no",
        )
    output().print(shown)


def print_set(entry: "CatalogEntry", folder: Path) -> None:
    """Print the folder of a data set; of pictures to look through, what is in it too.

    Standard output has the folder alone, so that a script can use it.
    """
    if entry.picture_shape is None:
        beside = Console(stderr=True, highlight=False, markup=False, emoji=False)
        beside.print(f"{entry.title}: {entry.about}")
        beside.print(f"licence: {entry.licence} ({entry.home})")
        beside.print(f"{entry.pictures:,} pictures in {', '.join(entry.class_names)}")
    print_line(str(folder))


def table(*columns: str) -> Table:
    """An empty table in headstart's style."""
    shown = Table(box=box.SIMPLE, pad_edge=False, show_edge=False, collapse_padding=True)
    for column in columns:
        shown.add_column(column)
    return shown
