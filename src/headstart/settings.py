"""Settings: frozen, typed, validated records, and errors about them that can be mended."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from headstart.errors import nearest


class Settings(BaseModel):
    """A frozen record of settings; unknown keys are refused with the nearest valid name."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def describe_problems(
    error: ValidationError, model: type[BaseModel], text: str | None = None, where: str = ""
) -> tuple[str, ...]:
    """Every problem of a validation in words, with the key and, for a file, its line.

    Args:
        error: What pydantic found.
        model: The record that was validated, to know the valid keys.
        text: The TOML text that the values came from, to name lines.
        where: What to put in front, for example the file's name.

    Returns:
        One sentence a problem, duplicates removed, in the order found.
    """
    sentences: dict[str, None] = {}
    for problem in error.errors(include_url=False):
        path = [str(part) for part in problem["loc"] if not _is_internal(part)]
        key = ".".join(path) or "the study"
        line = line_of(text, path) if text is not None else None
        place = f"{where}:{line}: " if line else (f"{where}: " if where else "")
        sentences[f"{place}{key}: {_sentence(problem, path, model)}"] = None
    return tuple(sentences)


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


def _is_internal(part: int | str) -> bool:
    """Whether a step of pydantic's path is its own (a union's tag), not the user's."""
    return isinstance(part, str) and (part.startswith("tag:") or "[" in part)


def _sentence(problem: Mapping[str, Any], path: list[str], model: type[BaseModel]) -> str:
    """One problem in words."""
    kind, given = problem["type"], problem.get("input")
    if kind == "extra_forbidden":
        return f"unknown key; {nearest(path[-1], _valid_keys(model, path[:-1]))}"
    if kind == "missing":
        return "is missing and has no default"
    if kind == "literal_error":
        return f"{given!r} is not known; {nearest(str(given), _literals(problem))}"
    if kind == "value_error":
        return str(problem["ctx"]["error"])
    message = problem["msg"]
    return f"{message[0].lower()}{message[1:]}, got {given!r}"


def _literals(problem: Mapping[str, Any]) -> list[str]:
    return re.findall(r"'([^']*)'", str(problem.get("ctx", {}).get("expected", "")))


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
