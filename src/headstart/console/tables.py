"""The tables of the command line, on standard output."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from headstart.data.catalog import CatalogEntry
    from headstart.report.results import Results
    from headstart.study.layout import Layout

_VERDICT_STYLES = {"better": "green", "worse": "red", "equivalent": "blue", "undecided": "yellow"}

_WIDE = 100  # from so many characters on there is room for a further interval

_GAP = 2  # between columns
_NARROWEST = 8  # of what is left for names

_LEGEND = {
    "accuracy": "accuracy in percent: mean ± standard deviation over {pairs} (the deviation that "
    "so few test pictures alone would give)",
    "trained": "trained: parameters",
    "seconds": "seconds: median of one fit",
}


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
    """Print the tables, the answer in sentences, what is warned of, and where the report lies."""
    from headstart.report.results import labels_words
    from headstart.report.searching import search_sentences

    out, summary = output(), results.summary
    out.print()
    out.print(Text(summary["question"], style="bold"))
    _print_strategies(summary)
    folds = summary["cross_validation"]
    if folds:
        _print_dim(folds_words(**folds))
    out.print()
    if summary["comparisons"]:
        _print_comparisons(summary)
        for entry, sentence in zip(summary["comparisons"], results.sentences(), strict=True):
            out.print(item(Text(sentence, style=_VERDICT_STYLES[entry["verdict"]])))
    for entry in [*summary["best"], *summary["choices"]]:
        out.print(item(Text(f"{labels_words(entry['labels'])}: {entry['sentence']}")))
    gate = summary["gate"] or {"tries": [], "statements": []}
    for one in [*gate["tries"], *gate["statements"]]:
        out.print(item(Text(one["sentence"])))
    for sentence in search_sentences(summary["search"]):
        out.print(item(Text(sentence)))
    for sentence in _failures(results.records.rows):
        out.print(item(Text(sentence, style="red")))
    for warning in summary["warnings"]:
        out.print(Text(f"warning: {warning}", style="bold yellow"))
    reads = summary["test_reads"]
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


@dataclass(frozen=True)
class _Column:
    """A column of numbers or short words.

    Attributes:
        heading: What stands above it.
        cells: A cell for each row.
        missable: How soon it is given up for want of room, the highest first; never with 0.
    """

    heading: str
    cells: Sequence[str]
    missable: int = 0

    @property
    def width(self) -> int:
        """How much room it takes, with the gap before it."""
        return _GAP + max(map(cell_len, [self.heading, *self.cells]))


def _print_fitted(heading: str, names: Sequence[str], columns: Sequence[_Column]) -> list[str]:
    """Print a table with the names of strategies in front, which are never cut.

    Columns are given up for that, and a name that is still too long goes on below.

    Returns:
        The headings of the columns that were given up.
    """
    from headstart.report import words

    out, kept = output(), [*columns]
    longest = max(map(cell_len, [*names, *heading.split()]))
    while longest + sum(each.width for each in kept) > out.width:
        first = max(kept, key=lambda each: each.missable)
        if not first.missable:
            break
        kept.remove(first)
    room = max(_NARROWEST, out.width - sum(each.width for each in kept))
    broken = ["\n".join(words.wrapped(name, room, len(name))) for name in names]
    heads = heading.split() if cell_len(heading) > room else [heading]
    shown = table()
    shown.add_column(
        "\n".join(line for head in heads for line in words.wrapped(head, room, len(head))),
        overflow="fold",
    )
    for each in kept:
        shown.add_column(each.heading, justify="right", no_wrap=True)
    for row in zip(broken, *(each.cells for each in kept), strict=True):
        shown.add_row(*(Text(cell) for cell in row))
    out.print(shown)
    return [each.heading for each in columns if each not in kept]


def _left_out_words(headings: Sequence[str]) -> str:
    """Which columns there was no room for."""
    if not headings:
        return ""
    return f"not shown, for want of room, but in the report: {', '.join(headings)}"


def _print_strategies(summary: Mapping[str, Any]) -> None:
    """Print how every strategy did, and what the columns mean."""
    from headstart.report import words

    told = summary["strategies"]
    ends = [(entry["accuracy"]["low"], entry["accuracy"]["high"]) for entry in told]
    columns = [
        _Column("labels", [words.budget(entry["labels"]) for entry in told]),
        _Column("trials", [str(entry["trials"]) for entry in told], 2),
        _Column("accuracy", [_accuracy_words(entry) for entry in told]),
        _Column(
            _interval_words(summary),
            [
                words.NONE if None in (low, high) else f"{100 * low:.2f} to {100 * high:.2f}"
                for low, high in ends
            ],
            1,
        ),
        _Column("trained", [words.whole(entry["trainable_parameters"]) for entry in told], 4),
        _Column("seconds", [words.decimal(entry["fit_seconds"], 2) for entry in told], 3),
    ]
    left_out = _print_fitted("strategy", [entry["name"] for entry in told], columns)
    pairs = "folds" if summary["cross_validation"] else "seeds"
    legend = {heading: text.format(pairs=pairs) for heading, text in _LEGEND.items()}
    said = [text for heading, text in legend.items() if heading not in left_out]
    _print_dim("; ".join([*said, *filter(None, [_left_out_words(left_out)])]))


def _accuracy_words(entry: Mapping[str, Any]) -> str:
    """An accuracy, its deviation over seeds, and that which the test pictures alone would give."""
    from headstart.report import words

    mean, spread = entry["accuracy"]["mean"], entry["spread"]
    if mean is None:
        return words.NONE
    if spread is None:
        return f"{100 * mean:.2f}"
    observed, alone = 100 * spread["observed"], 100 * spread["finite_test_set"]
    return f"{100 * mean:.2f} ±{observed:.2f} ({alone:.1f})"


def _print_comparisons(summary: Mapping[str, Any]) -> None:
    """Print every comparison with the baseline in numbers."""
    from headstart.report import words

    told = summary["comparisons"]
    wide = output().width >= _WIDE and len(told) > 1
    together = [_ends_words(entry["simultaneous"]) for entry in told]
    columns = [
        _Column("labels", [words.budget(entry["labels"]) for entry in told]),
        _Column(
            "folds" if summary["cross_validation"] else "pairs",
            [str(entry["pairs"]) for entry in told],
            1,
        ),
        _Column("points", [words.points(entry["difference"]) for entry in told]),
        _Column(_interval_words(summary), [_ends_words(entry) for entry in told]),
        *([_Column("all together", together, 4)] if wide else []),
        _Column("p", [words.p_value(entry["p_value"]) for entry in told], 2),
        _Column("errors", [_errors_words(entry["relative_error_reduction"]) for entry in told], 3),
    ]
    names = [entry["a"] for entry in told]
    _print_dim(_left_out_words(_print_fitted(f"against {told[0]['b']}", names, columns)))


def _print_dim(text: str) -> None:
    if text:
        output().print(Text(text, style="dim"))


def _interval_words(summary: Mapping[str, Any]) -> str:
    return f"{100 * summary['confidence']:.3g}% interval"


def _ends_words(ends: Mapping[str, float | None]) -> str:
    """An interval of points."""
    from headstart.report import words

    low, high = ends["low"], ends["high"]
    if low is None or high is None:
        return words.NONE
    return f"{words.points(low)} to {words.points(high)}"


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
