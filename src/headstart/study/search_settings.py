"""What a study says of its search: the budget, and for strategies by name from where to where."""

from collections.abc import Iterator, Mapping
from numbers import Real
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, ValidationError, model_validator

from headstart.errors import nearest
from headstart.settings import Count, ManyProblemsError, Positive, Settings, Whole, list_problems
from headstart.strategies import Strategy
from headstart.strategies.search_space import Space, Span, settings_by_path, with_values

Problem = tuple[tuple[str, ...], str]

_LOG_FROM = 10.0  # a range whose end is so many times its beginning is searched by its logarithm
_DURATIONS = ("epochs", "steps", "freeze_epochs", "thaw_epochs")

SEED_IS_TAKEN = (
    "search.seed = {} is one of the study's seeds, whose trials would then be chosen on their own "
    "validation pictures: name another"
)


class SearchSettings(Settings):
    """How settings are chosen by search on validation pictures, the same for every strategy.

    A table ``[search.NAME]`` names what is searched for a strategy, each from where to where, in
    place of what the strategy itself finds worth searching.

    Attributes:
        trials: The budget: so many trials for each strategy and label budget.
        seconds: Or so many seconds of fitting for each of them; the trial in which they end counts.
        sampler: ``"tpe"``: by what earlier trials said; ``"random"``.
        seed: Draws what is drawn, and stands for a seed of its own that is none of the study's.
        each: One search for all of the ``"study"``, on `seed`; or each ``"seed"`` its own, on its
            own training and validation pictures, as with cross-validation it must be.
        together: How many trials are proposed at a time; those that differ only in rates may be
            trained together.
    """

    model_config = ConfigDict(extra="allow")

    trials: Count | None = None
    seconds: Positive | None = None
    sampler: Literal["tpe", "random"] = "tpe"
    seed: Annotated[Whole, Field(ge=0)] = 1000
    each: Literal["study", "seed"] = "study"
    together: Count = 8

    @property
    def ranges(self) -> Mapping[str, Mapping[str, tuple[float, float]]]:
        """By the name of a strategy: the paths of settings, and from where to where."""
        return self.__pydantic_extra__ or {}

    @model_validator(mode="before")
    @classmethod
    def _read_ranges(cls, values: Any) -> Any:
        """Tables are those of strategies; whatever else is not known is refused."""
        if not isinstance(values, Mapping):
            return values
        read = dict(values)
        problems: list[Problem] = []
        for name in [name for name in values if name not in cls.model_fields]:
            if isinstance(values[name], Mapping):
                read[name] = dict(_ranges(values[name], (name,), problems))
            else:
                hint = nearest(str(name), cls.model_fields)
                problems.append(((name,), f"unknown key; {hint}"))
        if problems:
            raise ManyProblemsError(problems)
        return read

    @model_validator(mode="after")
    def _has_one_budget(self) -> Self:
        if (self.trials is None) == (self.seconds is None):
            said = "it is missing" if self.trials is None else "trials and seconds both say it"
            raise ManyProblemsError(
                [(("trials",), f"{said}: give one budget, trials = 20 or seconds = 300")]
            )
        return self


def _ranges(
    table: Mapping[str, Any], above: tuple[str, ...], problems: list[Problem]
) -> Iterator[tuple[str, tuple[float, float]]]:
    """The ranges of a strategy's table by path; tables within it are steps of a path."""
    for key, value in table.items():
        path = (*above, str(key))
        if isinstance(value, Mapping):
            yield from _ranges(value, path, problems)
        elif not _is_range(value):
            expected = "expected [from, to], two numbers, the lower one first"
            problems.append((path, f"{expected}; got {value!r}"))
        else:
            yield ".".join(path[1:]), (value[0], value[1])


def _is_range(value: Any) -> bool:
    return (
        isinstance(value, list | tuple)
        and len(value) == 2
        and all(isinstance(end, Real) and not isinstance(end, bool) for end in value)
        and value[0] < value[1] < float("inf")
        and value[0] > -float("inf")
    )


def search_problems(
    search: SearchSettings, strategies: Mapping[str, Strategy]
) -> Iterator[Problem]:
    """What cannot be searched: unknown strategies, settings that they have not, or cannot take."""
    for name, table in search.ranges.items():
        if name not in strategies:
            hint = nearest(name, [*strategies, *SearchSettings.model_fields])
            yield (name,), f"there is no strategy {name!r} in this study; {hint}"
            continue
        for path, ends in table.items():
            for sentence in _range_problems(strategies[name], path, ends):
                yield (name, *path.split(".")), sentence


def _range_problems(strategy: Strategy, path: str, ends: tuple[float, float]) -> Iterator[str]:
    known = settings_by_path(strategy)
    open_to_numbers = [
        other for other, value in known.items() if other != "kind" and not isinstance(value, bool)
    ]
    if path in _DURATIONS:
        yield "every trial lasts as long as the strategy states: leave it out"
    elif path not in open_to_numbers:
        yield f"{strategy.kind} has no such setting; {nearest(path, open_to_numbers)}"
    else:
        for end in ends:
            try:
                with_values(strategy, {path: end})
            except ValidationError as error:
                told = "; ".join(sentence for _, sentence in list_problems(error, type(strategy)))
                yield f"{end} cannot be taken: {told}"


def space_of(search: SearchSettings, name: str, strategy: Strategy) -> Space:
    """What is searched for a strategy: what the study names, else what the strategy says."""
    if name not in search.ranges:
        return strategy.search_space()
    known, usual = settings_by_path(strategy), strategy.search_space()
    found = {}
    for path, (low, high) in search.ranges[name].items():
        value = known[path]
        now = float(value) if isinstance(value, Real) else None
        if now is None and path in usual:
            now = usual[path].now
        whole = _takes_only_whole(strategy, path, low, high)
        found[path] = Span(low, high, low > 0 and high >= _LOG_FROM * low, whole, now)
    return found


def _takes_only_whole(strategy: Strategy, path: str, low: float, high: float) -> bool:
    if not (isinstance(low, int) and isinstance(high, int)):
        return False
    try:
        with_values(strategy, {path: low + 0.5})
    except ValidationError:
        return True
    return False
