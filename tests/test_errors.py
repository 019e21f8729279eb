"""Errors: every problem a line, and the nearest valid name."""

import pytest

from headstart import errors
from headstart.errors import HeadstartError, nearest


def test_every_problem_is_a_line_of_the_message() -> None:
    error = HeadstartError("the first", "the second")
    assert error.problems == ("the first", "the second")
    assert str(error) == "the first\nthe second"


@pytest.mark.parametrize(
    "kind", ["StudyError", "DataError", "NetworkError", "RecordsError", "TrainingError"]
)
def test_every_kind_can_be_caught_as_ours(kind: str) -> None:
    with pytest.raises(HeadstartError, match="it happened"):
        raise getattr(errors, kind)("it happened")


@pytest.mark.parametrize(
    ("name", "names", "hint"),
    [
        ("amad", ["sgd", "adam"], "did you mean 'adam'? Known: adam, sgd"),
        ("ADAM", ["sgd", "adam"], "did you mean 'adam'? Known: adam, sgd"),
        ("shirt", ["Shirt", "T-shirt/top"], "did you mean 'Shirt'? Known: Shirt, T-shirt/top"),
        ("momentum", ["sgd", "adam"], "Known: adam, sgd"),
        ("adam", ["b", "a", "b"], "Known: a, b"),
        ("", ["sgd"], "Known: sgd"),
        ("sgd", [], "Known: (none)"),
    ],
)
def test_the_nearest_name_comes_with_the_whole_list(name: str, names: list[str], hint: str) -> None:
    assert nearest(name, names) == hint
