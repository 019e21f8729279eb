"""Search spaces: which settings of a strategy are worth searching, and from where to where.

A setting is named by its path, as in the study file: ``lr``, ``optimizer.weight_decay``, and
``regularisers.l2_sp.alpha`` for a regulariser of that name.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from headstart.settings import Settings

RATE_FACTOR = 30.0
"""Rates are searched this many times below and above what is stated."""

STRENGTH_FACTOR = 10.0
"""The same for decay and for the strengths of regularisers."""

_STRENGTHS = ("alpha", "beta", "strength", "eta")

S = TypeVar("S", bound=Settings)


@dataclass(frozen=True)
class Span:
    """From where to where a setting is searched.

    Attributes:
        low: The lowest value, which may be taken.
        high: The highest value, which may be taken.
        log: Whether values are spread evenly over their logarithms.
        whole: Whether only whole numbers are taken.
        now: What the strategy takes as it is stated; None where that is no number.
    """

    low: float
    high: float
    log: bool = True
    whole: bool = False
    now: float | None = None

    @property
    def holds_now(self) -> bool:
        """Whether what is stated lies within."""
        return self.now is not None and self.low <= self.now <= self.high


Space = dict[str, Span]


def around(value: float, factor: float = RATE_FACTOR) -> Span:
    """So many times below and above a value, on a logarithmic scale."""
    return Span(value / factor, value * factor, now=value)


def under(lr: float, value: float) -> Span:
    """A rate that is usually below `lr`, and may be as high as that may be."""
    return Span(value / RATE_FACTOR, max(lr, value) * RATE_FACTOR, now=value)


def between(low: float, high: float, now: float, *, log: bool = False) -> Span:
    """From one value to another, or as far as to what is stated."""
    return Span(min(low, now), max(high, now), log, now=now)


def rates_and_strengths(strategy: Settings) -> Space:
    """Every rate that is stated, and decay and strengths of regularisers that are above 0.

    A strength of 0 is left at that: what a strategy does without, a search does not bring in.
    """
    found = {
        name: around(getattr(strategy, name))
        for name in type(strategy).model_fields
        if (name == "lr" or name.endswith("_lr")) and getattr(strategy, name) is not None
    }
    decay = getattr(getattr(strategy, "optimizer", None), "weight_decay", 0.0)
    if decay:
        found["optimizer.weight_decay"] = around(decay, STRENGTH_FACTOR)
    for regulariser in getattr(strategy, "regularisers", ()):
        for name in _STRENGTHS:
            value = getattr(regulariser, name, 0.0)
            if value:
                path = f"regularisers.{regulariser.name}.{name}"
                found[path] = around(value, STRENGTH_FACTOR)
    return found


def settings_by_path(strategy: Settings) -> dict[str, Any]:
    """Every single setting of a strategy by its path."""
    return dict(_flat(strategy.model_dump(), ""))


def with_values(strategy: S, values: Mapping[str, float]) -> S:
    """A strategy with other values for some settings.

    Args:
        strategy: As it is stated.
        values: By path.

    Raises:
        pydantic.ValidationError: If it cannot take them.
    """
    settings = strategy.model_dump()
    for path, value in values.items():
        *above, last = path.split(".")
        table: Any = settings
        for step in above:
            table = _inside(table, step)
        table[last] = value
    return type(strategy).model_validate(settings)


def _flat(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """The single values inside tables and lists of named tables, with their paths."""
    start = f"{path}." if path else ""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _flat(inner, f"{start}{name}")
    elif isinstance(value, list | tuple) and all(_is_named(inner) for inner in value):
        for inner in value:
            yield from _flat(inner, f"{start}{inner['name']}")
    else:
        yield path, value


def _is_named(value: Any) -> bool:
    return isinstance(value, dict) and "name" in value


def _inside(tables: Any, step: str) -> Any:
    """One step of a path: a key, or the name of one of several tables."""
    if isinstance(tables, dict):
        return tables[step]
    return next(table for table in tables if table["name"] == step)
