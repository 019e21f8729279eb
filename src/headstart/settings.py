"""Settings: frozen, typed, validated records, and errors about them that can be mended."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from headstart.errors import nearest


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
    found: list[tuple[tuple[str, ...], str]] = []
    problems = error.errors(include_url=False)
    for problem in problems:
        loc = problem["loc"]
        deeper = any(other["loc"][: len(loc)] == loc != other["loc"] for other in problems)
        if problem["type"] == "too_short" and deeper:
            continue  # pydantic counts only what was valid; the reason is told by itself
        path = _users_path(loc, values)
        cause = problem.get("ctx", {}).get("error")
        if isinstance(cause, ManyProblemsError):
            found += [((*path, *below), sentence) for below, sentence in cause.problems]
        else:
            found.append((path, _sentence(problem, list(path), model)))
    return found


def _users_path(loc: Sequence[int | str], values: Any) -> tuple[str, ...]:
    """Pydantic's path without the steps that are its own, such as a union's tag."""
    path: list[str] = []
    current = values
    for place, part in enumerate(loc):
        inside: Any = None
        if isinstance(current, Mapping):
            known = part in current
            inside = current.get(part)
        elif isinstance(current, Sequence) and not isinstance(current, str):
            known = isinstance(part, int) and part < len(current)
            inside = current[part] if known and isinstance(part, int) else None
        else:
            known = False
        if known or (place == len(loc) - 1 and isinstance(current, Mapping)) or values is None:
            path.append(str(part))
            current = inside
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


def _sentence(problem: Mapping[str, Any], path: list[str], model: type[BaseModel]) -> str:
    """One problem in words."""
    kind, given = problem["type"], problem.get("input")
    if kind == "extra_forbidden":
        return f"unknown key; {nearest(path[-1], _valid_keys(model, path[:-1]))}"
    if kind == "missing":
        return "is missing and has no default"
    if kind == "literal_error":
        return f"{given!r} is not known; {nearest(str(given), _quoted(problem, 'expected'))}"
    if kind == "union_tag_invalid":
        tag = problem["ctx"]["tag"]
        hint = nearest(tag, _quoted(problem, "expected_tags"))
        return f"{problem['ctx']['discriminator'].strip(chr(39))} = {tag!r} is not known; {hint}"
    if kind == "value_error":
        return str(problem["ctx"]["error"])
    message = problem["msg"]
    return f"{message[0].lower()}{message[1:]}, got {given!r}"


def _quoted(problem: Mapping[str, Any], key: str) -> list[str]:
    """The names that pydantic quotes in a problem's context."""
    return re.findall(r"'([^']*)'", str(problem.get("ctx", {}).get(key, "")))


def _valid_keys(model: type[BaseModel], path: list[str]) -> list[str]:
    """The keys that the record at `path` below `model` takes."""
    current: Any = model
    for part in path:
        field = current.model_fields.get(part) if _is_model(current) else None
        if field is None:
            return []
        current = next((t for t in _types(field.annotation) if _is_model(t)), None)
    return list(current.model_fields) if _is_model(current) else []


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _types(annotation: Any) -> Iterator[Any]:
    """An annotation and everything inside it, so that unions and lists are looked through."""
    yield annotation
    for inner in getattr(annotation, "__args__", ()):
        yield from _types(inner)
