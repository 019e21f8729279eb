"""Splits: disjoint by content, stratified, seeded, and the notebooks' cuts as they were."""

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from headstart.data.image_set import ImageSet
from headstart.data.splits import Split, SplitSettings, check_classes, make_split, stratified_order
from headstart.errors import DataError
from headstart.seeding import generator
from headstart.settings import describe_problems


def numbered(contents: Any, labels: Any = None, parts: Any = None) -> ImageSet:
    """Pictures of one pixel whose colour tells a number; equal numbers are equal pictures."""
    shades = np.asarray(contents, dtype="<u4")
    pixels = shades.view(np.uint8).reshape(-1, 1, 1, 4)[..., :3]
    marks = np.zeros(len(shades), np.int64) if labels is None else np.asarray(labels, np.int64)
    names = tuple(f"class {number}" for number in range(int(marks.max()) + 1))
    rows = {name: np.asarray(part, np.int64) for name, part in (parts or {}).items()}
    return ImageSet(np.ascontiguousarray(pixels), marks, names, name="shades", parts=rows)


def of_classes(*sizes: int) -> ImageSet:
    """Different pictures, so many of each class, classes mixed up."""
    labels = np.repeat(np.arange(len(sizes)), sizes)
    return numbered(np.arange(len(labels)), np.random.default_rng(0).permutation(labels))


def counts(images: ImageSet, rows: np.ndarray) -> list[int]:
    found: list[int] = np.bincount(images.labels[rows], minlength=len(images.class_names)).tolist()
    return found


def refusal(images: ImageSet, **settings: Any) -> tuple[str, ...]:
    with pytest.raises(DataError) as caught:
        make_split(images, SplitSettings.model_validate(settings), seed=0)
    return caught.value.problems


def invalid(**settings: Any) -> tuple[str, ...]:
    with pytest.raises(ValidationError) as caught:
        SplitSettings.model_validate(settings)
    return describe_problems(caught.value, SplitSettings, values=settings)


def assert_apart(images: ImageSet, split: Split) -> None:
    """No row and no picture is in two of the three."""
    rows = np.concatenate([split.train, split.valid, split.test])
    assert len(set(rows.tolist())) == len(rows)
    pictures = [
        {picture.tobytes() for picture in images.pictures[part]}
        for part in (split.train, split.valid, split.test)
    ]
    assert not pictures[0] & pictures[1]
    assert not pictures[0] & pictures[2]
    assert not pictures[1] & pictures[2]


def test_shuffled_by_default_a_fifth_for_the_test_and_a_tenth_of_the_rest_to_choose_with() -> None:
    images = of_classes(100, 50, 50)
    split = make_split(images, SplitSettings(), seed=3)
    assert_apart(images, split)
    assert counts(images, split.test) == [20, 10, 10]
    assert counts(images, split.valid) == [8, 4, 4]
    assert counts(images, split.train) == [72, 36, 36]
    assert split.left_out == 0


def test_amounts_can_be_numbers_of_pictures() -> None:
    images = of_classes(100, 60, 40)
    split = make_split(images, SplitSettings(valid=20, test=50), seed=0)
    assert counts(images, split.test) == [25, 15, 10]
    assert counts(images, split.valid) == [10, 6, 4]
    assert len(split.train) == 130


def test_rows_are_given_in_stored_order() -> None:
    split = make_split(of_classes(30, 30), SplitSettings(), seed=0)
    for rows in (split.train, split.valid, split.test):
        assert np.all(np.diff(rows) > 0)


def test_the_test_split_is_the_same_for_all_seeds_the_validation_split_is_not() -> None:
    images = of_classes(60, 60)
    settings = SplitSettings()
    first, again, other = (make_split(images, settings, seed) for seed in (1, 1, 2))
    assert np.array_equal(first.valid, again.valid)
    assert np.array_equal(first.train, again.train)
    assert np.array_equal(first.test, other.test)
    assert not np.array_equal(first.valid, other.valid)
    redrawn = make_split(images, SplitSettings(seed=1), seed=1)
    assert not np.array_equal(first.test, redrawn.test)


@given(
    contents=st.lists(st.integers(0, 25), min_size=12, max_size=40),
    seed=st.integers(0, 5),
    data=st.data(),
)
def test_copies_of_a_picture_are_never_in_two_splits(
    contents: list[int], seed: int, data: st.DataObject
) -> None:
    size = len(contents)
    labels = data.draw(st.lists(st.integers(0, 2), min_size=size, max_size=size))
    border = data.draw(st.sampled_from([0, size // 3, size // 2]))
    own = data.draw(st.sampled_from([("test",), ("valid",), ("valid", "test")]))
    cuts = np.array_split(np.arange(border), len(own))
    parts = {"train": np.arange(border, size), **dict(zip(own, cuts, strict=True))}
    assume(len(set(contents[border:])) >= 8)  # else there may be nothing but copies
    images = numbered(contents, labels, parts if border else None)
    split = make_split(images, SplitSettings(valid=3 if "valid" not in own else None), seed)
    assert_apart(images, split)
    kept = [split.train, split.valid, split.test]
    assert sum(map(len, kept)) + split.left_out == size
    assert set(np.concatenate(kept).tolist()) <= set(range(size))


def test_copies_drawn_together_are_nobodys_loss() -> None:
    images = numbered(np.repeat(np.arange(40), 5), np.repeat(np.arange(40) % 2, 5))
    split = make_split(images, SplitSettings(valid=0.25, test=0.5), seed=0)
    assert_apart(images, split)
    assert (len(split.test), len(split.valid), len(split.train)) == (100, 25, 75)
    assert split.left_out == 0


def test_planted_copies_leave_the_earlier_split() -> None:
    # Train 0–5, valid 6–8, test 9–11: 0 is also in valid, 1 and 7 are also in test.
    contents = [50, 51, 52, 53, 54, 55, 50, 57, 58, 59, 51, 57]
    parts = {"train": range(6), "valid": range(6, 9), "test": range(9, 12)}
    split = make_split(numbered(contents, parts=parts), SplitSettings(), seed=0)
    assert split.train.tolist() == [2, 3, 4, 5]
    assert split.valid.tolist() == [6, 8]
    assert split.test.tolist() == [9, 10, 11]
    assert split.left_out == 3


def test_a_picture_that_is_twice_in_training_stays() -> None:
    parts = {"train": range(8), "valid": [8], "test": [9]}
    images = numbered([5, 5, 5, 1, 2, 3, 4, 6, 7, 8], parts=parts)
    assert make_split(images, SplitSettings(), seed=0).train.tolist() == list(range(8))


def test_parts_of_the_set_itself_are_respected() -> None:
    parts = {"train": range(20, 60), "valid": range(10), "test": range(10, 20)}
    images = numbered(np.arange(60), np.arange(60) % 2, parts)
    split = make_split(images, SplitSettings(), seed=0)
    assert split.train.tolist() == list(range(20, 60))
    assert split.valid.tolist() == list(range(10))
    assert split.test.tolist() == list(range(10, 20))


def test_amounts_are_drawn_from_the_parts_that_are_there() -> None:
    parts = {"train": range(20, 60), "valid": range(10), "test": range(10, 20)}
    images = numbered(np.arange(60), np.arange(60) % 2, parts)
    split = make_split(images, SplitSettings(valid=4, test=0.6), seed=0)
    assert split.train.tolist() == list(range(20, 60))
    assert counts(images, split.valid) == [2, 2]
    assert counts(images, split.test) == [3, 3]
    assert set(split.valid) < set(range(10))
    assert set(split.test) < set(range(10, 20))
    assert np.array_equal(split.test, make_split(images, SplitSettings(test=0.6), seed=9).test)
    other = make_split(images, SplitSettings(test=0.6, seed=5), seed=0)
    assert not np.array_equal(split.test, other.test)
    whole = make_split(images, SplitSettings(test=10), seed=0)
    assert whole.test.tolist() == list(range(10, 20))


def test_what_is_in_no_part_is_training() -> None:
    images = numbered(np.arange(30), parts={"test": range(5, 10)})
    split = make_split(images, SplitSettings(valid=5), seed=0)
    assert sorted([*split.train, *split.valid]) == [*range(5), *range(10, 30)]
    assert split.left_out == 0
    images = numbered(np.arange(30), parts={"valid": range(5, 10)})
    split = make_split(images, SplitSettings(test=5), seed=0)
    assert sorted([*split.train, *split.test]) == [*range(5), *range(10, 30)]


def test_the_stored_order_repeats_the_first_notebooks_cuts() -> None:
    rng = np.random.default_rng(0)
    images = numbered(
        rng.permutation(70_000),
        rng.integers(0, 10, 70_000),
        {"train": range(60_000), "test": range(60_000, 70_000)},
    )
    settings = SplitSettings(order="stored", train=(5000, 30000), valid=(0, 5000), test=(0, 5000))
    split = make_split(images, settings, seed=0)
    # As the notebook has it, on labels: X_train_full[:30000], its first 5,000 to validate with.
    y_train_full, y_test = images.labels[:60_000][:30_000], images.labels[60_000:][:5_000]
    y_valid, y_train = y_train_full[:5000], y_train_full[5000:]
    assert np.array_equal(images.labels[split.train], y_train)
    assert np.array_equal(images.labels[split.valid], y_valid)
    assert np.array_equal(images.labels[split.test], y_test)
    assert split.left_out == 0
    again = make_split(images, settings, seed=7)
    assert np.array_equal(split.train, again.train)


def test_the_stored_order_takes_the_whole_test_part_where_none_is_named() -> None:
    images = numbered(np.arange(30), parts={"train": range(10, 30), "test": range(10)})
    split = make_split(images, SplitSettings(order="stored", train=(0, 15), valid=(15, 20)), seed=0)
    assert split.train.tolist() == list(range(10, 25))
    assert split.valid.tolist() == list(range(25, 30))
    assert split.test.tolist() == list(range(10))


def test_the_stored_order_counts_through_a_set_without_parts() -> None:
    settings = SplitSettings(order="stored", train=(0, 5), valid=(5, 7), test=(7, 9))
    split = make_split(numbered([0, 1, 2, 3, 4, 0, 6, 7, 4, 9]), settings, seed=0)
    assert split.train.tolist() == [1, 2, 3]
    assert split.valid.tolist() == [5, 6]
    assert split.test.tolist() == [7, 8]
    assert split.left_out == 2


def test_stored_ranges_are_checked_all_at_once() -> None:
    found = refusal(
        numbered(np.arange(20)), order="stored", train=[0, 50], valid=[3, 9], test=[8, 12]
    )
    assert found == (
        "split.train = [0, 50] goes beyond the 20 stored pictures",
        "split.valid and split.test overlap: make the ranges disjoint",
    )
    found = refusal(numbered(np.arange(20)), order="stored", train=[0, 9], valid=[5, 21])
    assert found == (
        "split.valid = [5, 21] goes beyond the 20 stored pictures",
        'split.test: shades has no test part, so order = "stored" needs [from, to] (row numbers)',
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"test": 20}, "split.test = 20 of 20 pictures makes 20: expected 1 to 19"),
        ({"test": 0.01}, "split.test = 0.01 of 20 pictures makes 0: expected 1 to 19"),
        ({"test": 10, "valid": 10}, "split.valid = 10 of 10 pictures makes 10: expected 1 to 9"),
    ],
)
def test_a_split_that_leaves_a_side_empty_is_refused(
    settings: dict[str, Any], message: str
) -> None:
    assert refusal(numbered(np.arange(20)), **settings) == (message,)


def test_copies_that_leave_a_side_empty_are_told() -> None:
    images = numbered([7] * 6)
    assert refusal(images, test=3) == (
        "split.test takes 3 of 6 pictures, and with them their copies, which are all the others: "
        "leave copies out",
    )


def test_more_than_a_part_holds_is_refused() -> None:
    images = numbered(np.arange(20), parts={"train": range(15), "test": range(15, 20)})
    assert refusal(images, test=6) == ("split.test = 6 of 5 pictures makes 6: expected 1 to 5",)


def test_a_seed_that_draws_nothing_is_refused() -> None:
    images = numbered(np.arange(20), parts={"train": range(15), "test": range(15, 20)})
    assert "split.seed has no effect, as shades has a test part" in refusal(images, seed=3)[0]


@pytest.mark.parametrize(
    ("settings", "messages"),
    [
        (
            {"order": "stored"},
            [
                'train: order = "stored" needs [from, to] (row numbers)',
                'valid: order = "stored" needs [from, to] (row numbers)',
            ],
        ),
        (
            {"order": "stored", "train": [5, 5], "valid": [-1, 4], "test": 0.2, "seed": 3},
            [
                "train: [5, 5] is not a range [from, to] of rows",
                "valid: [-1, 4] is not a range [from, to] of rows",
                'test: order = "stored" needs [from, to] (row numbers)',
                'seed: nothing is drawn with order = "stored": leave it out',
            ],
        ),
        (
            {"train": [0, 5], "valid": [5, 9], "test": 0},
            [
                'train: [from, to] needs order = "stored"; else leave it out',
                'valid: [from, to] needs order = "stored"; else give a share between 0 and 1, or '
                "a whole number of pictures",
                "test: 0 leaves no picture: give a share between 0 and 1, or a whole number of "
                "pictures",
            ],
        ),
        (
            {"valid": -0.5, "test": 1.5},
            [
                "valid: -0.5 leaves no picture: give a share between 0 and 1, or a whole number "
                "of pictures",
                "test: 1.5 is no share: give a share between 0 and 1, or a whole number of "
                "pictures",
            ],
        ),
        ({"order": "storde"}, ["order: 'storde' is not known; did you mean 'stored'?"]),
        ({"vaild": 0.1}, ["vaild: unknown key; did you mean 'valid'?"]),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(
    settings: dict[str, Any], messages: list[str]
) -> None:
    found = invalid(**settings)
    assert len(found) == len(messages)
    for sentence, message in zip(found, messages, strict=True):
        assert sentence.startswith(message)


@pytest.mark.parametrize("amount", [True, "0.2", "all"])
def test_an_amount_is_a_number(amount: Any) -> None:
    assert all(text.startswith("test: ") for text in invalid(test=amount))


LABELS = st.lists(st.integers(0, 4), min_size=1, max_size=60).map(
    lambda marks: np.unique(marks, return_inverse=True)[1].astype(np.int64)
)


@given(LABELS, st.integers(0, 3))
def test_every_prefix_is_as_fair_as_seats_in_a_parliament(labels: np.ndarray, seed: int) -> None:
    """Sainte-Laguë's rule with one seat for every party: the reference, seat by seat."""
    order = stratified_order(labels, generator(seed, "test"))
    assert sorted(order.tolist()) == list(range(len(labels)))
    sizes = np.bincount(labels)
    assert sorted(labels[order[: len(sizes)]]) == list(range(len(sizes)))
    seats = np.ones(len(sizes))
    for label in labels[order[len(sizes) :]]:
        claims = np.where(seats < sizes, sizes / (2 * seats + 1), -np.inf)
        assert claims[label] == pytest.approx(claims.max())
        seats[label] += 1


@given(st.integers(1, 6), st.integers(1, 12), st.integers(0, 3))
def test_classes_of_one_size_are_within_one(classes: int, size: int, seed: int) -> None:
    labels = np.repeat(np.arange(classes), size)
    order = stratified_order(labels, generator(seed, "test"))
    for length in range(1, len(labels) + 1):
        found = np.bincount(labels[order[:length]], minlength=classes)
        assert found.max() - found.min() <= 1


def test_the_order_within_a_class_is_drawn() -> None:
    labels = np.zeros(50, dtype=np.int64)
    orders = [stratified_order(labels, generator(seed, "test")).tolist() for seed in (0, 0, 1)]
    assert orders[0] == orders[1]
    assert orders[0] != orders[2]
    assert orders[0] != sorted(orders[0])


def test_every_missing_class_is_named() -> None:
    check_classes([0, 1, 2, 3], ["a", "b", "c", "d"], "train")
    with pytest.raises(DataError, match=r"the valid split has no picture of 'b', 'd': enlarge"):
        check_classes(np.array([0, 2, 2]), ["a", "b", "c", "d"], "valid")
