"""From a study to the studies of its map."""

from collections.abc import Callable
from typing import Any

import pytest

from headstart.data.image_set import ImageSet
from headstart.errors import StudyError
from headstart.study.compare import train_and_score
from headstart.study.depth_map import arms_of, map_parts, null_arm_of
from headstart.study.spec import Study

Make = Callable[..., Study]
DRAWN: dict[str, Any] = {"task": {"classes": "all"}, "source": None, "strategy": None}


def test_a_map_has_every_arm_at_every_cut(small_study: Make, digits: ImageSet) -> None:
    study = small_study(map={"copied_lr": 0.01}, training={"lr": 0.3})
    (part,) = map_parts(study, images=digits)
    assert part.groups == ("dense_1", "dense_2")
    assert list(part.study.strategy) == [
        "scratch", "scratch again", "A1B", "A2B", "A1B+", "A2B+", "B1B", "B2B", "B1B+", "B2B+",
    ]  # fmt: skip
    assert arms_of(part.study)["BnB+", 2] == "B2B+"
    assert null_arm_of(part.study) == "scratch again"
    names = ("conv", "dense_1", "dense_2", "head")
    rates = {
        name: part.study.strategy[name].plan(names).phases[0].rates for name in ("A1B", "B2B+")
    }
    assert rates["A1B"] == {"conv": None, "dense_1": 0.3, "dense_2": 0.3, "head": 0.3}
    assert rates["B2B+"] == {"conv": 0.01, "dense_1": 0.01, "dense_2": 0.3, "head": 0.3}
    assert part.study.task == study.task


def test_class_splits_are_halves_that_all_differ_with_seeds_of_their_own(
    small_study: Make, digits: ImageSet
) -> None:
    def drawn(count: int, seeds: int) -> list[Study]:
        study = small_study(**DRAWN, map={"class_splits": count}, study={"seeds": seeds})
        return [part.study for part in map_parts(study, images=digits)]

    found = drawn(5, 2)
    for study in found:
        assert study.source is not None
        assert len(set(study.task.classes)) == len(set(study.source.classes)) == 5
        assert set(study.task.classes) | set(study.source.classes) == set(digits.class_names)
    assert len({study.task.classes for study in found}) == 5
    assert len({seed for study in found for seed in study.study.seeds}) == 10
    for fewer, more in zip(drawn(3, 1), found, strict=False):  # what is there stays as it is
        assert fewer.task == more.task
        assert set(fewer.study.seeds) < set(more.study.seeds)


@pytest.mark.parametrize(
    ("changes", "problems"),
    [
        ({"source": None, "strategy": None, "map": {}},
         "map: AnB and AnB+ need a source: add a [source] table, or"),
        ({"map": {"cuts": [1, 3]}},
         "map.cuts: 3, but the body has 2 layer groups (dense_1, dense_2)"),
        ({"training": {"batch_norm": "frozen"}}, 'training.batch_norm = "frozen" would leave'),
        ({"map": {"class_splits": 2}, "source": {"classes": ["3", "4"]}},
         "map.class_splits: the classes of the source are drawn, so that [source] may say nothing"),
        ({"map": {"class_splits": 2}, "source": None, "strategy": None},
         "map.class_splits = 2: 3 classes are too few for two halves of at least two"),
        ({"map": {"class_splits": 7}, "source": None, "strategy": None,
          "task": {"classes": ["0", "1", "2", "3"]}},
         "map.class_splits = 7: 4 classes can be split in 6 ways"),
        ({**DRAWN, "map": {"class_splits": 3}, "study": {"seeds": [0, 7, 1007, 2000]}},
         "study.seeds: each class split adds 1,000 to the seeds of the one before, so that two of "
         "them would have the seeds 1007, 2000: state seeds that lie less than 1,000 apart"),
        ({"split": {"folds": 5, "test": None}, "study": None}, "map: needs one test split"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_map_is_refused(
    changes: dict[str, Any], problems: str, small_study: Make, digits: ImageSet
) -> None:
    with pytest.raises(StudyError) as caught:
        map_parts(small_study(**changes), images=digits)
    assert str(caught.value).startswith(problems)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"arms": ["AnB", "CnB"]}, "map.arms.1: 'CnB' is not known"),
        ({"cuts": [1, 1]}, r"map.cuts: names one value twice: \[1, 1\]"),
        ({"cuts": []}, "map.cuts"),
        ({"arms": ["AnB"], "copied_lr": 0.1}, r"map.copied_lr: it has no effect without AnB\+"),
        ({"splits": 2}, "map.splits: unknown key; did you mean 'class_splits'?"),
    ],
)
def test_settings_of_a_map_are_checked(
    table: dict[str, Any], message: str, small_study: Make
) -> None:
    with pytest.raises(StudyError, match=message):
        small_study(map=table)


def test_a_study_with_a_map_needs_no_strategies_and_says_so_when_compared(
    small_study: Make, digits: ImageSet, tmp_path: Any
) -> None:
    study = small_study(strategy=None, map={})
    assert list(study.strategy) == ["scratch"]
    with pytest.raises(StudyError, match=r"it has a \[map\] table: headstart map draws it"):
        train_and_score(study, tmp_path, images=digits)
