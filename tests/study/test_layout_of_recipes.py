"""What `headstart show` says of changed training pictures."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from headstart import console
from headstart.data.image_set import ImageSet
from headstart.study.layout import layout
from headstart.study.spec import Study
from headstart.study.workplace import Workplace


@pytest.mark.parametrize(
    ("augment", "expected"),
    [
        ("none", {"scratch": "", "frozen": ""}),
        ("light", {"scratch": "changed anew every epoch", "frozen": "as they are: no views"}),
        (
            {"flip": 0.5, "views": 3},
            {"scratch": "changed anew every epoch", "frozen": "3 fixed views"},
        ),
    ],
)
def test_phases_say_how_they_see_the_pictures(
    augment: object,
    expected: dict[str, str],
    small_study: Callable[..., Study],
    digits: ImageSet,
    capsys: pytest.CaptureFixture[str],
) -> None:
    study = small_study(training={"augment": augment})
    shown = layout(Workplace(study, partial(lambda images: images, digits), Path()))
    assert {phase.strategy: phase.pictures for phase in shown.phases} == expected
    console.print_layout(shown)
    printed = capsys.readouterr().out
    assert ("training pictures" in printed) == (augment != "none")
