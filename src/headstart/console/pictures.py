"""What the commands `audit` and `models` print."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from headstart.console.tables import output, table

if TYPE_CHECKING:
    from headstart.data.audit import Audit, Duplicates
    from headstart.networks.model_list import ModelEntry

_MOST_NAMED = 20  # so many files are named before the rest is only counted


def print_audit(audit: "Audit") -> None:
    """Print what would be used of some pictures, and what is left out and why."""
    out = output()
    shown = table("class")
    for name in ("train", "valid", "test", "unsplit", "left out"):
        shown.add_column(name, justify="right")
    for row in audit.classes:
        numbers = (row.train, row.valid, row.test, row.unsplit, row.left_out)
        shown.add_row(Text(row.name or "(no label)"), *(f"{n:,}" if n else "–" for n in numbers))
    out.print(shown)
    kinds = f"formats: {_counts(audit.formats)}; modes: {_counts(audit.modes)}"
    out.print(f"labels from: {audit.layout}; {kinds}", markup=False)
    if audit.sizes is not None:
        smallest, typical, largest = (
            f"{width} × {height}"
            for width, height in (audit.sizes.smallest, audit.sizes.typical, audit.sizes.largest)
        )
        out.print(f"sizes: {smallest} to {largest} pixels, typically {typical}")
    unread = sum(audit.others.values())
    if unread:
        out.print(f"other files, passed over: {unread:,} ({_counts(audit.others)})", markup=False)
    _print_names("left out", [f"{each.name}: {each.reason}" for each in audit.left_out])
    _print_names("there more than once", [_same(each) for each in audit.duplicates])
    _print_names("not what the suffix says", audit.mislabelled)
    _print_names("of one colour all over", audit.blank)
    _print_small_classes(audit.small_classes)
    for problem in audit.problems:
        out.print(Text(f"problem: {problem}", style="red"))
    for warning in audit.warnings:
        out.print(Text(f"note: {warning}", style="yellow"))


def print_models(entries: Sequence["ModelEntry"]) -> None:
    """Print pretrained networks: size, input, licence, where their weights come from."""
    shown = table()
    shown.add_column("name", no_wrap=True, overflow="fold")
    for name in ("weights", "pixels"):
        shown.add_column(name, justify="right", no_wrap=True)
    for name in ("licence", "from"):
        shown.add_column(name, no_wrap=True)
    shown.caption, shown.caption_justify = "*: on this machine, no network needed", "left"
    for entry in entries:
        height, width = entry.picture_size
        shown.add_row(
            Text(entry.name),
            f"{entry.parameters / 1e6:.1f} M" if entry.parameters is not None else "–",
            f"{height}×{width}",
            Text(entry.licence or "–"),
            Text(", ".join(_kind(each) + "*" * (each in entry.here) for each in entry.sources)),
        )
    output().print(shown)


def _kind(source: str) -> str:
    """A source without the package's or repository's name."""
    return "file" if source.startswith("a file") else source.split()[0]


def _print_names(what: str, names: Sequence[str]) -> None:
    if not names:
        return
    out = output()
    out.print(Text(f"{what}: {len(names):,}", style="bold"))
    for name in names[:_MOST_NAMED]:
        out.print(Text(f"  {name}"))
    if len(names) > _MOST_NAMED:
        out.print(f"  and {len(names) - _MOST_NAMED:,} more (--json names them all)")


def _same(pictures: "Duplicates") -> str:
    """Files that hold the same picture, and what is wrong with that."""
    names = " = ".join(pictures.names)
    if pictures.contradictory:
        return f"{names} (one picture, {len(pictures.labels)} classes: keep one of them)"
    if pictures.across_splits:
        return f"{names} (one picture, {len(pictures.splits)} splits: what is tested was learnt)"
    return names


def _print_small_classes(small: Mapping[str, int]) -> None:
    if small:
        told = ", ".join(f"{name} ({count:,})" for name, count in small.items())
        words = (
            f"note: too few pictures to learn from or to measure: {told}; leave such classes out, "
            "or add to them"
        )
        output().print(Text(words, style="yellow"))


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {number:,}" for name, number in counts.items()) or "none"
