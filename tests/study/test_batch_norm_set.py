"""`batch_norm` where nothing is a BatchNorm: refused if it was set, not where it is a default."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headstart.data.image_set import ImageSet
from headstart.errors import StudyError
from headstart.study.checks import check_study
from headstart.study.folder import resolved_toml
from headstart.study.spec import Study, parse_study
from headstart.study.workplace import Workplace

Make = Callable[..., Study]
LAYERS = [{"conv": 4}, {"batch_norm": True}, {"dense": 6}]


def check(study: Study, images: ImageSet) -> None:
    check_study(Workplace(study, lambda: images, Path()))


@pytest.mark.parametrize("value", ["frozen", "live"])
@pytest.mark.parametrize(
    ("changes", "where"),
    [
        (lambda value: {"training": {"batch_norm": value}}, ["training"]),
        (
            lambda value: {"strategy": {"scratch": {}, "frozen": {"batch_norm": value}}},
            ["strategy.frozen"],
        ),
        (
            lambda value: {
                "source": {"training": {"batch_norm": value}},
                "strategy": {"scratch": {"batch_norm": value}, "lp_ft": {"batch_norm": value}},
            },
            ["source.training", "strategy.scratch", "strategy.lp_ft"],
        ),
    ],
    ids=["training", "strategy", "several"],
)
def test_it_is_refused_where_it_was_set(
    changes: Callable[[str], dict[str, Any]],
    where: list[str],
    value: str,
    small_study: Make,
    digits: ImageSet,
) -> None:
    with pytest.raises(StudyError) as caught:
        check(small_study(**changes(value)), digits)
    assert caught.value.problems == tuple(
        f"{each}.batch_norm has no effect, since nothing in the network is a BatchNorm: leave it "
        "out"
        for each in where
    )


def test_a_default_of_a_strategy_is_no_setting(small_study: Make, digits: ImageSet) -> None:
    check(small_study(strategy={"scratch": {}, "lp_ft": {}}), digits)


def test_it_is_taken_where_there_is_a_batch_norm(small_study: Make, digits: ImageSet) -> None:
    network = {"kind": "cnn", "layers": LAYERS}
    check(small_study(network=network, training={"batch_norm": "frozen"}), digits)


def test_a_study_that_was_written_down_can_be_compared_again(
    small_study: Make, digits: ImageSet
) -> None:
    study = small_study(strategy={"scratch": {}, "lp_ft": {}})
    again = parse_study(resolved_toml(study, {}))
    assert again == study
    check(again, digits)
    network = {"kind": "cnn", "layers": LAYERS}
    stated = small_study(network=network, training={"batch_norm": "frozen"})
    assert parse_study(resolved_toml(stated, {})) == stated
