"""Settings: frozen, typed, validated records, and errors about them that can be mended."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, get_args

from pydantic import BaseModel, ConfigDict, Field, Tag, ValidationError

from headstart.errors import nearest

# Strict, as "5" and true would be numbers otherwise.
Whole = Annotated[int, Field(strict=True)]
Count = Annotated[Whole, Field(ge=1)]
Number = Annotated[float, Field(strict=True)]
Positive = Annotated[Number, Field(gt=0)]


class Settings(BaseModel):
    """A frozen record of settings; unknown keys are refused with the nearest valid name."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ManyProblemsError(ValueError):
    """Several problems found by one validator, each with the path of its key below it."""

    def __init__(self, problems: Sequence[tuple[tuple[str, ...], str]]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(f"{'.'.join(path)}: {text}" for path, text in problems))


def describe_problems(
    error: ValidationError,
    model: type[BaseModel],
    text: str | None = None,
    where: str = "",
    values: Any = None,
) -> tuple[str, ...]:
    """Every problem of a validation in words, with the key and, for a file, its line.

    Args:
        error: What pydantic found.
        model: The record that was validated, to know the valid keys.
        text: The TOML text that the values came from, to name lines.
        where: What to put in front, for example the file's name.
        values: What was validated, to tell the user's keys from pydantic's own.

    Returns:
        One sentence a problem, duplicates removed, in the order found.
    """
    sentences: dict[str, None] = {}
    for path, sentence in list_problems(error, model, values):
        line = line_of(text, list(path)) if text is not None else None
        place = f"{where}:{line}: " if line else (f"{where}: " if where else "")
        sentences[f"{place}{'.'.join(path)}{': ' if path else ''}{sentence}"] = None
    return tuple(sentences)


def list_problems(
    error: ValidationError, model: type[BaseModel], values: Any = None
) -> list[tuple[tuple[str, ...], str]]:
    """Every problem of a validation as the path of its key and a sentence."""
    found: list[tuple[tuple[str, ...], str | None]] = []
    unions: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    problems = error.errors(include_url=False)
    for problem in problems:
        loc = problem["loc"]
        deeper = any(other["loc"][: len(loc)] == loc != other["loc"] for other in problems)
        if problem["type"] == "too_short" and deeper:
            continue  # pydantic counts only what was valid; the reason is told by itself
        path = _users_path(loc, values, problem["type"] == "missing")
        cause = problem.get("ctx", {}).get("error")
        if isinstance(cause, ManyProblemsError):
            found += [((*path, *below), sentence) for below, sentence in cause.problems]
        elif len(path) < len(loc) and path[-1:] != (str(loc[-1]),):
            if path not in unions:
                found.append((path, None))  # told below, when all of its branches are known
            unions.setdefault(path, []).append(problem)
        else:
            found.append((path, _sentence(problem, loc, model)))
    told = [path for path, sentence in found if sentence is not None]
    return [
        (path, _branches_sentence(unions[path], model) if sentence is None else sentence)
        for path, sentence in found
        if sentence is not None or not any(other[: len(path)] == path for other in told)
    ]


def _users_path(loc: Sequence[int | str], values: Any, missing: bool) -> tuple[str, ...]:
    """Pydantic's path without the steps that are its own, such as a union's tag.

    Args:
        loc: Pydantic's path.
        values: What was validated; everything is taken for the user's where it is not known.
        missing: Whether the last step is a key that should be there.
    """
    if values is None:
        return tuple(map(str, loc))
    path: list[str] = []
    current = values
    for place, part in enumerate(loc):
        if isinstance(current, Mapping):
            known = part in current
        else:
            known = isinstance(part, int) and isinstance(current, Sequence) and part < len(current)
        if known:
            current = current[part]
        elif not (missing and place == len(loc) - 1):
            continue
        path.append(str(part))
    return tuple(path)


def line_of(text: str, path: list[str]) -> int | None:
    """The line (from 1) on which a key stands in a TOML text, or its table, or None."""
    for length in range(len(path), 0, -1):
        for line, (table, key) in _keys(text):
            full = [*table, *([key] if key else [])]
            if full == [part for part in path[:length] if not part.isdecimal()]:
                return line
    return None


def _keys(text: str) -> Iterator[tuple[int, tuple[list[str], str | None]]]:
    """Line, table path and key of every line that opens a table or sets a key."""
    table: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        opened = re.match(r"\s*\[\[?\s*([^\[\]]+?)\s*\]\]?\s*(#.*)?$", line)
        if opened:
            table = [part.strip(" \"'") for part in opened[1].split(".")]
            yield number, (table, None)
            continue
        assigned = re.match(r"\s*([\w.\-\"']+)\s*=", line)
        if assigned:
            *inner, key = [part.strip(" \"'") for part in assigned[1].split(".")]
            yield number, ([*table, *inner], key)


def _branches_sentence(branches: Sequence[Mapping[str, Any]], model: type[BaseModel]) -> str:
    """One sentence for a value that fits none of the kinds that a key takes."""
    if len(branches) == 1:
        return _sentence(branches[0], branches[0]["loc"], model)
    kinds = dict.fromkeys(
        _in_toml_words(problem["msg"]).removeprefix("input should be ") for problem in branches
    )
    return f"expected {', or '.join(kinds)}, got {branches[0]['input']!r}"


def _sentence(problem: Mapping[str, Any], loc: Sequence[int | str], model: type[BaseModel]) -> str:
    """One problem in words."""
    kind, given = problem["type"], problem.get("input")
    if kind == "extra_forbidden":
        return f"unknown key; {nearest(str(loc[-1]), _valid_keys(model, loc[:-1]))}"
    if kind == "missing":
        return "is missing and has no default"
    if kind == "literal_error":
        return f"{given!r} is not known; {nearest(str(given), _quoted(problem, 'expected'))}"
    if kind == "union_tag_invalid":
        tag = problem["ctx"]["tag"]
        hint = nearest(tag, _quoted(problem, "expected_tags"))
        return f"{problem['ctx']['discriminator'].strip(chr(39))} = {tag!r} is not known; {hint}"
    if kind == "union_tag_not_found":
        return f"{problem['ctx']['discriminator'].strip(chr(39))} is missing and has no default"
    if kind == "value_error":
        return str(problem["ctx"]["error"])
    return f"{_in_toml_words(problem['msg'])}, got {given!r}"


def _in_toml_words(message: str) -> str:
    """Pydantic's message with TOML's names for Python's types."""
    message = re.sub(r"a valid dictionary( or instance of \w+)?", "a table", message)
    message = message.replace("a valid tuple", "a list").replace("a valid", "a")
    return f"{message[0].lower()}{message[1:]}".replace(" a integer", " an integer")


def _quoted(problem: Mapping[str, Any], key: str) -> list[str]:
    """The names that pydantic quotes in a problem's context."""
    return re.findall(r"'([^']*)'", str(problem.get("ctx", {}).get(key, "")))


def _valid_keys(model: type[BaseModel], loc: Sequence[int | str]) -> set[str]:
    """The keys that the record at pydantic's path takes, where a tag picks one of a union."""
    found: list[tuple[str | None, type[BaseModel]]] = [(None, model)]
    for part in loc:
        fields = [kind.model_fields[part] for _, kind in found if part in kind.model_fields]
        if fields:
            found = [record for field in fields for record in _records(field.annotation)]
        else:
            tagged = [record for record in found if part in _tags(*record)]
            found = tagged or found
    return {key for _, kind in found for key in kind.model_fields}


def _records(annotation: Any, tag: str | None = None) -> Iterator[tuple[str | None, Any]]:
    """Every record inside an annotation with its tag, so that unions are looked through."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield tag, annotation
    own = [part.tag for part in getattr(annotation, "__metadata__", ()) if isinstance(part, Tag)]
    for inner in get_args(annotation):
        yield from _records(inner, own[0] if own else tag)


def _tags(tag: str | None, kind: type[BaseModel]) -> set[Any]:
    """What pydantic may call a record within a union: its tag, or a literal such as its kind."""
    literals = (get_args(field.annotation) for field in kind.model_fields.values())
    return {tag}.union(*literals)
