"""Strategies written as functions: their keyword parameters become settings."""

import inspect
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, ClassVar, Literal, get_type_hints

from pydantic import create_model

from headstart.errors import StudyError
from headstart.strategies._base import Strategy
from headstart.strategies.plan import Plan


class FunctionStrategy(Strategy):
    """A strategy whose plan a function makes."""

    function: ClassVar[Callable[..., Plan]]
    own: ClassVar[tuple[str, ...]]

    def plan(self, groups: Sequence[str]) -> Plan:
        """What the function makes of the layer groups and the settings."""
        own = {name: getattr(self, name) for name in self.own}
        return type(self).function(tuple(groups), self, **own)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by the function, as the class itself has no place to be found at."""
        return _rebuilt, (type(self).function, self.model_dump())


def _rebuilt(function: Callable[..., Plan], values: dict[str, Any]) -> Strategy:
    return strategy_from(function).model_validate(values)


@cache
def strategy_from(function: Callable[..., Any]) -> type[Strategy]:
    """A strategy's class from a function ``(groups, training, *, own settings …) -> Plan``.

    Its name is the strategy's kind and the first line of its docstring the summary; a line that
    starts with ``Paper:`` names the paper. `groups` are the names of the layer groups, the head
    last; `training` holds everything of ``[training]`` and makes phases
    (`headstart.strategies.Training.phase`). Every keyword parameter has a type and a default, and
    can be set in ``[strategy.NAME]``.

    Args:
        function: For example ``def mine(groups, training, *, top: int = 1) -> Plan``.

    Raises:
        StudyError: If it takes other parameters, or tells nothing about itself.
    """
    kind = function.__name__
    parameters = list(inspect.signature(function).parameters.values())
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    named = [p for p in parameters if p.kind is p.KEYWORD_ONLY]
    hints = get_type_hints(function, include_extras=True)
    lines = [line.strip() for line in (inspect.getdoc(function) or "").splitlines()]
    problems = []
    if len(positional) != 2 or len(positional) + len(named) != len(parameters):
        problems.append(f"{kind} must take two parameters, groups and training, and named ones")
    problems += [
        f"{kind}: {p.name} needs a type and a default"
        for p in named
        if p.name not in hints or p.default is p.empty
    ]
    taken = [p.name for p in named if p.name in Strategy.model_fields]
    if taken:
        problems.append(f"{kind}: {', '.join(taken)} is a setting of all strategies: rename it")
    if not lines or not lines[0]:
        problems.append(f"{kind} needs a docstring whose first line says what it does")
    if problems:
        raise StudyError(*problems)
    own: dict[str, Any] = {p.name: (hints[p.name], p.default) for p in named}
    fields: dict[str, Any] = {"kind": (Literal[kind], kind), **own}
    made = create_model(kind, __base__=FunctionStrategy, **fields)
    made.summary = lines[0].rstrip(".")
    papers = [line.removeprefix("Paper:").strip() for line in lines if line.startswith("Paper:")]
    made.paper = papers[0] if papers else ""
    made.function, made.own = staticmethod(function), tuple(own)
    return made
