"""Cross-validation's folds, groups kept whole, and test splits of fresh pictures."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from sklearn.model_selection import StratifiedGroupKFold

from headstart.data.folds import fold_numbers, units
from headstart.data.image_set import ImageSet
from headstart.data.splits import SplitSettings, make_split
from headstart.errors import DataError
from headstart.settings import describe_problems


def numbered(labels: Any, groups: Any = None, contents: Any = None) -> ImageSet:
    """Pictures of one pixel whose colour tells their number."""
    marks = np.asarray(labels, dtype=np.int64)
    shades = np.arange(len(marks)) if contents is None else np.asarray(contents)
    pixels = shades.astype("<u4").view(np.uint8).reshape(-1, 1, 1, 4)[..., :3]
    return ImageSet.from_arrays(pixels, marks, groups=groups)


def invalid(**settings: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        SplitSettings.model_validate(settings)
    return " ".join(describe_problems(caught.value, SplitSettings, values=settings))


@given(
    st.lists(st.integers(0, 3), min_size=12, max_size=60),
    st.integers(2, 5),
    st.integers(0, 2**31),
)
def test_every_class_is_spread_as_evenly_as_whole_numbers_allow(
    labels: list[int], folds: int, seed: int
) -> None:
    marks = np.array(labels)
    dealt = fold_numbers(marks, np.arange(len(marks)), folds, np.random.default_rng(seed))

    for label in np.unique(marks):
        counts = np.bincount(dealt[marks == label], minlength=folds)
        assert counts.max() - counts.min() <= 1
    sizes = np.bincount(dealt, minlength=folds)
    assert sizes.max() - sizes.min() <= 1


def test_in_each_repeat_every_picture_is_tested_on_once_and_repeats_differ() -> None:
    images = numbered([0] * 40 + [1] * 23)
    settings = SplitSettings(folds=5, repeats=2, valid=0.2)
    splits = [make_split(images, settings, number) for number in range(settings.rounds)]

    assert settings.rounds == 10
    for repeat in (splits[:5], splits[5:]):
        together = np.sort(np.concatenate([split.test for split in repeat]))
        assert together.tolist() == list(range(63))
    assert splits[0].test.tolist() != splits[5].test.tolist()
    for split in splits:
        parts = np.concatenate([split.train, split.valid, split.test])
        assert sorted(parts.tolist()) == list(range(63))


def test_groups_are_never_torn_apart_and_classes_as_even_as_with_scikit_learn() -> None:
    random = np.random.default_rng(0)
    groups = random.integers(0, 40, 300)
    labels = (groups % 3 == 0).astype(int) ^ (random.random(300) < 0.2)
    images = numbered(labels, groups)
    settings = SplitSettings(folds=5)

    share = labels.mean()
    ours, theirs = [], []
    for number in range(5):
        split = make_split(images, settings, number)
        inside = set(groups[split.test])
        assert not inside & set(groups[np.concatenate([split.train, split.valid])])
        assert not set(groups[split.valid]) & set(groups[split.train])
        ours.append(abs(labels[split.test].mean() - share))
    reference = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    for _, test in reference.split(np.zeros(300), labels, groups):
        theirs.append(abs(labels[test].mean() - share))
    assert np.mean(ours) <= np.mean(theirs) + 0.02


def test_rows_hang_together_by_copies_and_by_groups() -> None:
    images = numbered([0, 1, 0, 1, 0], groups=["a", "b", "b", "c", "d"], contents=[7, 7, 8, 9, 9])
    member = units(images, np.arange(5))

    # 0 and 1 are copies, 1 and 2 a group; 3 and 4 are copies
    assert len({member[0], member[1], member[2]}) == 1
    assert member[3] == member[4] != member[0]


def test_a_fresh_test_split_shares_no_picture_with_those_before_it() -> None:
    images = numbered([0, 1] * 50)
    splits = [make_split(images, SplitSettings(test=0.25, number=n), seed=0) for n in (1, 2, 3, 4)]

    assert [len(split.test) for split in splits] == [25, 25, 25, 25]
    assert len(set(np.concatenate([split.test for split in splits]).tolist())) == 100
    for before, after in pairwise(splits):
        assert np.isin(before.test, np.concatenate([after.train, after.valid])).all()
    first = make_split(images, SplitSettings(test=0.25), seed=0)
    assert first.test.tolist() == splits[0].test.tolist()
    with pytest.raises(DataError, match="number = 5: only 0 pictures were in none of the 4 test"):
        make_split(images, SplitSettings(test=0.25, number=5), seed=0)


def test_a_sets_own_test_part_has_no_fold_and_nothing_fresh() -> None:
    own = ImageSet.from_arrays(
        np.arange(20, dtype=np.uint8).reshape(20, 1, 1), [0, 1] * 10,
        test_pictures=np.arange(20, 30, dtype=np.uint8).reshape(10, 1, 1), test_labels=[0, 1] * 5,
    )  # fmt: skip
    with pytest.raises(DataError, match="has a test part of its own, which folds would leave"):
        make_split(own, SplitSettings(folds=2), seed=0)
    with pytest.raises(DataError, match="so there are no fresh pictures"):
        make_split(own, SplitSettings(number=2), seed=0)
    halves = [make_split(own, SplitSettings(test=5, number=n), seed=0).test for n in (1, 2)]
    assert sorted(np.concatenate(halves).tolist()) == list(range(20, 30))


def test_what_goes_not_together_with_folds_is_refused() -> None:
    assert "each fold is tested on in its turn" in invalid(folds=5, test=0.2)
    assert "folds leave no fresh pictures" in invalid(folds=5, number=2)
    assert "no effect without folds" in invalid(repeats=3)
    stored = {"order": "stored", "train": [0, 5], "valid": [5, 8], "test": [8, 10]}
    assert "nothing is drawn" in invalid(**stored, folds=2)
    assert "nothing is drawn" in invalid(**stored, number=2)
    with pytest.raises(DataError, match="only 2 pictures or groups that may be torn apart"):
        make_split(numbered([0, 0, 1, 1], groups=[0, 0, 1, 1]), SplitSettings(folds=3), seed=0)
