"""Known strategies: our own, those of installed packages, and those given from Python.

A package names its strategies in the entry point group ``headstart.strategies``, the kind on the
left and the class or function on the right::

    [project.entry-points."headstart.strategies"]
    mine = "my_package.strategies:Mine"

From Python, `register` does the same for one process.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from pydantic_core import to_jsonable_python

from headstart.errors import StudyError
from headstart.strategies._base import Strategy
from headstart.strategies.functions import strategy_from

GROUP = "headstart.strategies"

_own: dict[str, type[Strategy]] = {}
_given: dict[str, type[Strategy]] = {}


def add_own(strategies: Mapping[str, type[Strategy]]) -> None:
    """Tell which strategies are headstart's own; nobody else can take their names."""
    _own.update(strategies)


def register(strategy: type[Strategy] | Callable[..., Any]) -> type[Strategy]:
    """Make a strategy known to the studies of this process; may decorate a class or function.

    Args:
        strategy: A class, or a function as `headstart.strategies.functions.strategy_from` takes it.

    Returns:
        The strategy's class.

    Raises:
        StudyError: If it is no strategy, or its name is taken.
    """
    made = _as_strategy(strategy, "register")
    kind = kind_of(made)
    if kind in _own and _own[kind] is not made:
        raise StudyError(f"headstart has a strategy {kind!r} already: give yours another kind")
    if kind not in _own:
        _given[kind] = made
    return made


def strategy_names() -> tuple[str, ...]:
    """Every kind that can be asked for, our own first; nothing is loaded for it."""
    return tuple(dict.fromkeys([*_own, *_given, *(point.name for point in _entry_points())]))


def find_strategy(kind: str) -> type[Strategy] | None:
    """The strategy of that kind, or None.

    Raises:
        StudyError: If the package that has it cannot be loaded, or has two meanings for it.
    """
    if kind in _own or kind in _given:
        return _own.get(kind) or _given[kind]
    points = [point for point in _entry_points() if point.name == kind]
    if not points:
        return None
    if len(points) > 1:
        raise StudyError(
            f"{' and '.join(map(_package, points))} both have a strategy {kind!r}: uninstall one"
        )
    return _loaded(points[0])


@dataclass(frozen=True)
class Listed:
    """A strategy in the list of what can be asked for.

    Attributes:
        name: Its kind.
        summary: What it does, in a line; what is wrong, where it cannot be loaded.
        paper: Who proposed it.
        origin: ``"headstart"``, the package that has it, or ``"given"`` from Python.
        parameters: Its own settings and their defaults, and defaults of its own for settings that
            all strategies have.
        problem: Why it cannot be used, or None.
    """

    name: str
    summary: str
    paper: str
    origin: str
    parameters: Mapping[str, Any]
    problem: str | None = None


def list_strategies() -> tuple[Listed, ...]:
    """Every strategy that can be asked for; those that cannot be loaded say why."""
    packages = {point.name: _package(point) for point in _entry_points()}
    return tuple(_listed(name, packages) for name in strategy_names())


def _listed(name: str, packages: Mapping[str, str]) -> Listed:
    origin = "headstart" if name in _own else "given" if name in _given else packages[name]
    try:
        strategy = find_strategy(name)
    except StudyError as error:
        problem = "; ".join(error.problems)
        return Listed(name, problem, "", origin, {}, problem)
    assert strategy is not None
    shared = Strategy.model_fields
    parameters = {
        key: "(needed)" if field.is_required() else to_jsonable_python(field.get_default())
        for key, field in strategy.model_fields.items()
        if key != "kind" and (key not in shared or field.default != shared[key].default)
    }
    return Listed(name, strategy.summary, strategy.paper, origin, parameters)


def kind_of(strategy: type[Strategy]) -> str:
    """The name that a strategy's class gives itself.

    Raises:
        StudyError: If it gives itself none.
    """
    kind = strategy.model_fields["kind"].default
    if not isinstance(kind, str):
        raise StudyError(
            f"{strategy.__name__} does not name itself: give it "
            f'kind: Literal["{strategy.__name__.lower()}"] = "{strategy.__name__.lower()}"'
        )
    return kind


def _entry_points() -> tuple[EntryPoint, ...]:
    """What installed packages offer; names that are our own are left to us."""
    return tuple(point for point in entry_points(group=GROUP) if point.name not in _own)


def _loaded(point: EntryPoint) -> type[Strategy]:
    try:
        offered = point.load()
    except Exception as error:  # whatever somebody's module does while it is imported
        raise StudyError(
            f"strategy {point.name!r} of {_package(point)} cannot be loaded from {point.value}: "
            f"{type(error).__name__}: {error}"
        ) from error
    made = _as_strategy(offered, f"{_package(point)}, {point.value}")
    if kind_of(made) != point.name:
        raise StudyError(
            f"{_package(point)} offers the strategy {point.name!r}, but {point.value} calls itself "
            f"{kind_of(made)!r}: the two names must agree"
        )
    return made


def _as_strategy(offered: Any, where: str) -> type[Strategy]:
    if isinstance(offered, type) and issubclass(offered, Strategy):
        return offered
    if callable(offered) and not isinstance(offered, type):
        return strategy_from(offered)
    raise StudyError(
        f"{where}: {offered!r} is no strategy: give a subclass of headstart.strategies.Strategy, "
        "or a function that makes a plan"
    )


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else "an installed package"
