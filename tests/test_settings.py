"""Settings: every problem in words, with its key, its line and the nearest valid name."""

import tomllib
from typing import Annotated, Any, Literal, Self

import pytest
from pydantic import Discriminator, Field, Tag, ValidationError, model_validator

from headstart.settings import (
    Count,
    ManyProblemsError,
    Number,
    Positive,
    Settings,
    describe_problems,
    line_of,
    list_problems,
)


class Round(Settings):
    kind: Literal["round"]
    radius: Positive = 1.0


class Square(Settings):
    kind: Literal["square"]
    side: Positive = 1.0

    @model_validator(mode="after")
    def _is_small(self) -> Self:
        if self.side > 100:
            raise ValueError(f"side = {self.side} is too long")
        return self


class Red(Settings):
    red: Count


class Blue(Settings):
    blue: Count
    pale: bool = False


Colour = Annotated[
    Annotated[Red, Tag("tag:red")] | Annotated[Blue, Tag("tag:blue")],
    Discriminator(lambda value: "tag:red" if "red" in value else "tag:blue"),
]


class Parcel(Settings):
    name: str
    weight: Number = 1.0
    size: Literal["small", "large"] | Count | tuple[str, ...] = "small"
    shape: Annotated[Round | Square, Field(discriminator="kind")] | None = None
    colours: Annotated[tuple[Colour, ...], Field(min_length=1)] | None = None
    lid: Square | None = None

    @model_validator(mode="after")
    def _can_be_sent(self) -> Self:
        problems = []
        if self.weight < 0:
            problems.append((("weight",), f"{self.weight} is less than nothing"))
        if self.name == "":
            problems.append((("name",), "is empty"))
        if problems:
            raise ManyProblemsError(problems)
        return self


def refused(values: Any) -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        Parcel.model_validate(values)
    return caught.value


def problems(values: Any) -> tuple[str, ...]:
    return describe_problems(refused(values), Parcel, values=values)


def problems_in(text: str) -> tuple[str, ...]:
    values = tomllib.loads(text)
    return describe_problems(refused(values), Parcel, text, "parcel.toml", values)


def test_settings_are_frozen_and_refuse_what_they_do_not_know() -> None:
    parcel = Parcel(name="a")
    with pytest.raises(ValidationError):
        parcel.name = "b"  # type: ignore[misc]
    assert problems({"nmae": "a", "colour": 1}) == (
        "name: is missing and has no default",
        "nmae: unknown key; did you mean 'name'? Known: colours, lid, name, shape, size, weight",
        "colour: unknown key; did you mean 'colours'? Known: colours, lid, name, shape, size, "
        "weight",
    )


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"name": 3}, "name: input should be a string, got 3"),
        ({"weight": "3"}, "weight: input should be a number, got '3'"),
        ({"weight": True}, "weight: input should be a number, got True"),
        ({"weight": float("inf")}, "weight: input should be a finite number, got inf"),
        ({"weight": -1}, "weight: -1.0 is less than nothing"),
        ({"name": ""}, "name: is empty"),
        ({"lid": 3}, "lid: input should be a table, got 3"),
        ({"lid": {"kind": "square", "side": 0}}, "lid.side: input should be greater than 0, got 0"),
        ({"lid": {"kind": "round"}}, "lid.kind: 'round' is not known; Known: square"),
        ({"colours": 3}, "colours: input should be a list, got 3"),
        ({"colours": []}, "colours: tuple should have at least 1 item after validation, not 0, "
                          "got []"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_told_with_its_key(values: dict[str, Any], sentence: str) -> None:
    assert problems({"name": "a", **values}) == (sentence,)


@pytest.mark.parametrize(
    ("shape", "sentence"),
    [
        ({"kind": "squar"}, "shape: kind = 'squar' is not known; did you mean 'square'? Known: "
                            "round, square"),
        ({}, "shape: kind is missing and has no default"),
        ({"kind": "round", "side": 2.0}, "shape.side: unknown key; did you mean 'kind'? "
                                           "Known: kind, radius"),
        ({"kind": "square", "sid": 2.0}, "shape.sid: unknown key; did you mean 'side'? Known: "
                                         "kind, side"),
        ({"kind": "square", "side": -2}, "shape.side: input should be greater than 0, got -2"),
        ({"kind": "square", "side": 200}, "shape: side = 200.0 is too long"),
    ],
)  # fmt: skip
def test_a_unions_own_steps_are_not_shown(shape: dict[str, Any], sentence: str) -> None:
    assert problems({"name": "a", "shape": shape}) == (sentence,)


def test_tagged_tables_in_a_list_are_told_by_their_place() -> None:
    values = {"name": "a", "colours": [{"red": 1}, {"red": 0}, {"blue": 1, "pal": True}, {}]}
    assert problems(values) == (
        "colours.1.red: input should be greater than or equal to 1, got 0",
        "colours.2.pal: unknown key; did you mean 'pale'? Known: blue, pale",
        "colours.3.blue: is missing and has no default",
    )


@pytest.mark.parametrize(
    ("size", "sentence"),
    [
        ("smal", "size: expected 'small' or 'large', or an integer, or a list, got 'smal'"),
        (True, "size: expected 'small' or 'large', or an integer, or a list, got True"),
        (["a", 3], "size.1: input should be a string, got 3"),
    ],
)
def test_a_value_that_fits_no_kind_is_told_once(size: Any, sentence: str) -> None:
    assert problems({"name": "a", "size": size}) == (sentence,)


def test_the_lines_of_a_file_are_named() -> None:
    text = """# A parcel, and what is wrong with it.
nam = "a"
weight = "heavy"

[lid]
kind = "square"   # side = 3
sid = 2.0

[shape]
"kind" = "square"
'side' = 0.0

[[colours]]
red = 1

[[colours]]
red = 0
"""
    assert problems_in(text) == (
        "parcel.toml: name: is missing and has no default",
        "parcel.toml:3: weight: input should be a number, got 'heavy'",
        "parcel.toml:11: shape.side: input should be greater than 0, got 0.0",
        "parcel.toml:14: colours.1.red: input should be greater than or equal to 1, got 0",
        "parcel.toml:7: lid.sid: unknown key; did you mean 'side'? Known: kind, side",
        "parcel.toml:2: nam: unknown key; did you mean 'name'? Known: colours, lid, name, shape, "
        "size, weight",
    )


TEXT = """a = 1
# b = 2
[b]  # the table
c = [1, 2]
d = {e = 3}
f = [
  {g = 4},
]
[h."i"]
k = "q = 3"
[[l]]
m = 1
[n]
o.p = 5
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("a", 1),
        ("b", 3),
        ("b.c", 4),
        ("b.d", 5),
        ("b.d.e", 5),
        ("b.x", 3),
        ("b.f.0.g", 6),
        ("h.i", 9),
        ("h.i.k", 10),
        ("l.1.m", 12),
        ("n.o.p", 14),
        ("q", None),
        ("g", None),
    ],
)
def test_a_key_is_found_on_its_line(path: str, line: int | None) -> None:
    assert line_of(TEXT, path.split(".")) == line


def test_without_a_text_no_line_is_named() -> None:
    values = {"name": "a", "weight": "3"}
    found = describe_problems(refused(values), Parcel, where="the parcel", values=values)
    assert found == ("the parcel: weight: input should be a number, got '3'",)


def test_a_problem_is_told_once() -> None:
    values = {"name": "a", "colours": [{"red": 0}]}
    error = refused(values)
    assert len(describe_problems(error, Parcel, values=values)) == 1
    assert list_problems(error, Parcel, values) == [
        (("colours", "0", "red"), "input should be greater than or equal to 1, got 0")
    ]


def test_many_problems_of_one_validator_keep_their_keys() -> None:
    assert problems({"name": "", "weight": -2.0}) == (
        "weight: -2.0 is less than nothing",
        "name: is empty",
    )
    assert str(ManyProblemsError([(("a", "b"), "is wrong")])) == "a.b: is wrong"
