"""Strategies and their rates on the command line."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.text import Text

from headstart.console.tables import output, print_line, table

if TYPE_CHECKING:
    from headstart.strategies.known import Listed
    from headstart.study.rates import FirstRate


def rates_data(rates: Sequence["FirstRate"]) -> dict[str, Any]:
    """The rates as ``--json`` prints them."""
    return {"rates": [asdict(each) for each in rates]}


def print_rates(rates: Sequence["FirstRate"]) -> None:
    """Print a line for each strategy: the rate it has, and the one that a range test suggests."""
    shown = table("strategy", "phase", "lr now", "suggested")
    for each in rates:
        suggested = "–" if each.suggested is None else f"{each.suggested:.2g}"
        shown.add_row(*map(Text, (each.strategy, each.phase, f"{each.now:g}", suggested)))
    output().print(shown)
    print_line("the rate of the fastest layer group; –: no rate gained anything")


def strategies_data(strategies: Sequence["Listed"]) -> dict[str, Any]:
    """The list as ``--json`` prints it."""
    return {"strategies": [asdict(each) for each in strategies]}


def print_strategies(strategies: Sequence["Listed"]) -> None:
    """Print a line for each strategy: what it does, and who proposed it."""
    elsewhere = any(each.origin != "headstart" for each in strategies)
    shown = table("strategy", "what it does", "paper", *(["from"] if elsewhere else []))
    for each in strategies:
        style = "red" if each.problem else ""
        row = [each.name, each.summary, each.paper, *([each.origin] if elsewhere else [])]
        shown.add_row(*(Text(cell, style=style) for cell in row))
    output().print(shown)
    print_line("parameters: docs/study-file.md; with their defaults: headstart strategies --json")
