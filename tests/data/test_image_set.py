"""Image sets: what arrays are taken, what is refused, and which pictures are the same."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from headstart.data.image_set import ImageSet
from headstart.errors import DataError

GREY = np.arange(5 * 4 * 3, dtype=np.uint8).reshape(5, 4, 3)
PIXELS = arrays.arrays(np.uint8, st.tuples(st.integers(1, 4), st.just(3), st.just(2)))


def problems(pictures: Any, labels: Any, **options: Any) -> tuple[str, ...]:
    with pytest.raises(DataError) as caught:
        ImageSet.from_arrays(pictures, labels, **options)
    return caught.value.problems


def test_grey_pictures_get_a_channel_and_are_not_copied() -> None:
    images = ImageSet.from_arrays(GREY, [0, 1, 0, 1, 0], class_names=["cat", "dog"], name="pets")
    assert len(images) == 5
    assert images.picture_shape == (4, 3, 1)
    assert np.shares_memory(images.pictures, GREY)
    assert images.labels.dtype == np.int64
    assert (images.class_names, images.name, dict(images.parts)) == (("cat", "dog"), "pets", {})


def test_colour_pictures_keep_their_channels() -> None:
    images = ImageSet.from_arrays(np.zeros((2, 4, 5, 3), dtype=np.uint8), ["a", "b"])
    assert images.picture_shape == (4, 5, 3)


@given(PIXELS, st.sampled_from([np.int16, np.int64, np.uint16, np.float32, np.float64]))
def test_whole_numbers_of_any_type_are_the_pixels(pixels: np.ndarray, dtype: type) -> None:
    pixels[0, 0, 0] = 2  # floats within [0, 1] mean something else
    images = ImageSet.from_arrays(pixels.astype(dtype), [0] * len(pixels))
    assert images.pictures.dtype == np.uint8
    assert np.array_equal(images.pictures[..., 0], pixels)


@given(PIXELS, st.sampled_from([np.float32, np.float64]))
def test_floats_in_the_unit_interval_are_stretched_back_exactly(
    pixels: np.ndarray, dtype: type
) -> None:
    images = ImageSet.from_arrays((pixels / 255).astype(dtype), [0] * len(pixels))
    assert np.array_equal(images.pictures[..., 0], pixels)


def test_floats_between_two_pixel_values_go_to_the_nearer() -> None:
    images = ImageSet.from_arrays(np.array([[[0.999, 0.001], [0.002, 1.0]]]), [0])
    assert images.pictures.ravel().tolist() == [255, 0, 1, 255]


@pytest.mark.parametrize(
    ("pictures", "message"),
    [
        (np.zeros((2, 4)), "pictures has shape (2, 4), expected (N, height, width) or"),
        (np.full((2, 4, 4), -1.0), "pictures holds float64 from -1 to 0, expected uint8 in 0–255"),
        (np.full((2, 4, 4), 256), "pictures holds int64 from 0 to 256"),
        (np.full((2, 4, 4), 1.5), "undo any normalisation, headstart applies its own"),
        (np.full((2, 4, 4), np.nan), "pictures holds float64 or values that are not finite"),
        (np.full((2, 4, 4), True), "pictures holds bool"),
        ([np.zeros((2, 3)), np.zeros((3, 3))], "pictures differ in shape: make them all the same"),
        (np.zeros((2, 4, 4, 2), dtype=np.uint8), "with 1 or 3 channels"),
    ],
)
def test_pictures_that_would_have_to_be_guessed_are_refused(pictures: Any, message: str) -> None:
    assert message in problems(pictures, [0, 1])[0]


def test_names_found_in_labels_are_sorted_numbers_by_their_value() -> None:
    images = ImageSet.from_arrays(GREY, [10, 9, 2, 10, 9])
    assert images.class_names == ("2", "9", "10")
    assert images.labels.tolist() == [2, 1, 0, 2, 1]
    texts = ImageSet.from_arrays(GREY, ["dog", "cat", "eel", "dog", "cat"])
    assert texts.class_names == ("cat", "dog", "eel")
    assert texts.labels.tolist() == [1, 0, 2, 1, 0]


@pytest.mark.parametrize(
    "labels",
    [
        [1, 0, 1, 1, 0],
        np.array([1, 0, 1, 1, 0], dtype=np.uint8),
        np.array([1, 0, 1, 1, 0], dtype=np.float32),  # as the first notebook makes them
        np.array([1, 0, 1, 1, 0], dtype=bool),
        ["dog", "cat", "dog", "dog", "cat"],
        np.array(["dog", "cat", "dog", "dog", "cat"], dtype=object),
    ],
)
def test_labels_are_numbers_or_names_of_the_given_classes(labels: Any) -> None:
    images = ImageSet.from_arrays(GREY, labels, class_names=["cat", "dog"])
    assert images.class_names == ("cat", "dog")
    assert images.labels.tolist() == [1, 0, 1, 1, 0]


def test_a_given_test_split_becomes_a_part() -> None:
    other = GREY[:2] + 100
    images = ImageSet.from_arrays(
        GREY, ["a", "b", "a", "b", "a"], test_pictures=other / 255, test_labels=["c", "b"]
    )
    assert images.parts["train"].tolist() == [0, 1, 2, 3, 4]
    assert images.parts["test"].tolist() == [5, 6]
    assert np.array_equal(images.pictures[..., 0], np.concatenate([GREY, other]))
    assert images.class_names == ("a", "b", "c")
    assert images.labels.tolist() == [0, 1, 0, 1, 0, 2, 1]


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        ([0, 1], {}, "5 pictures but 2 labels"),
        (np.eye(5), {}, "labels have shape (5, 5), expected (N,): one label a picture"),
        ([0, 1, 2, 3, 0.5], {}, "labels hold float64 that are not whole, expected class numbers"),
        ([0, 1, 2, 3, np.nan], {}, "labels hold float64 that are not whole"),
        (np.array(["a", None, "a", "b", "b"], object), {}, "labels hold missing values"),
        (np.array(["a", np.nan, "a", "b", "b"], object), {}, "labels hold missing values"),
        ([[0], [1, 2], [3], [4], [5]], {}, "labels differ in shape"),
        ([0, 1, 2, 0, 1], {"class_names": ["a", "b"]}, "labels run from 0 to 2, but there are 2"),
        ([0, 1, -1, 0, 1], {"class_names": ["a", "b"]}, "labels run from -1 to 1"),
        ([0, 1, 0, 0, 1], {"class_names": ["a", "a"]}, "class names repeat: a, a"),
        (
            ["cat", "dgo", "cat", "dog", "owl"],
            {"class_names": ["cat", "dog"]},
            "the label 'dgo' is not among class_names: did you mean 'dog'? Known: cat, dog",
        ),
        ([0] * 5, {"test_pictures": GREY}, "test_pictures and test_labels go together"),
        ([0] * 5, {"test_labels": [0]}, "test_pictures and test_labels go together"),
        (
            [0] * 5,
            {"test_pictures": GREY[:, :2], "test_labels": [0] * 5},
            "test_pictures have shape (2, 3, 1), pictures (4, 3, 1)",
        ),
    ],
)
def test_labels_that_do_not_fit_are_refused(
    labels: Any, options: dict[str, Any], message: str
) -> None:
    assert message in problems(GREY, labels, **options)[0]


def test_counts_that_only_add_up_together_are_refused() -> None:
    found = problems(GREY, [0] * 4, test_pictures=GREY[:3], test_labels=[0] * 4)
    assert found == ("5 pictures but 4 labels", "3 test_pictures but 4 test_labels")


def test_all_problems_are_told_at_once() -> None:
    found = problems(GREY * 2.5, np.eye(5), test_pictures=GREY[0], test_labels=[0.5])
    assert [text.split(" h")[0] for text in found] == [
        "pictures", "labels", "test_pictures", "test_labels",
    ]  # fmt: skip
    found = problems(GREY, ["cat", "dgo", "owl", "cat", "dog"], class_names=["cat", "dog"])
    assert len(found) == 2


def test_an_image_set_checks_itself_and_says_its_name() -> None:
    with pytest.raises(DataError) as caught:
        ImageSet(GREY.astype(np.int16), np.arange(4), ("a", "a"), name="pets")
    assert caught.value.problems == (
        "image set 'pets': pictures are int16, expected uint8",
        "image set 'pets': pictures have shape (5, 4, 3), expected (N, height, width, channels) "
        "with 1 or 3 channels",
        "image set 'pets': 5 pictures but 4 labels",
        "image set 'pets': class names repeat: a, a",
        "image set 'pets': labels run from 0 to 3, but there are 2 class names",
    )
    with pytest.raises(DataError, match=r"labels are float64 of shape \(5,\), expected int64"):
        ImageSet(GREY[..., None], np.zeros(5), ("a",))  # type: ignore[arg-type]


def test_parts_are_checked() -> None:
    parts = {"train": np.array([0, 1, 2]), "test": np.array([2, 5]), "vald": np.array([3, 3])}
    with pytest.raises(DataError) as caught:
        ImageSet(GREY[..., None], np.zeros(5, dtype=np.int64), ("a",), parts=parts)
    assert caught.value.problems == (
        "image set 'pictures': there is no part 'vald': did you mean 'valid'? "
        "Known: test, train, valid",
        "image set 'pictures': part 'test' names rows beyond the 5 pictures",
        "image set 'pictures': some rows are in two parts, or twice in one: make the parts "
        "disjoint",
    )


@given(arrays.arrays(np.uint8, (6, 2, 2), elements=st.integers(0, 1)))
def test_hashes_are_equal_exactly_where_pixels_are(pixels: np.ndarray) -> None:
    hashes = ImageSet.from_arrays(pixels, [0] * 6).hashes
    assert hashes.shape == (6,)
    same = (pixels[:, None] == pixels[None]).all(axis=(2, 3))
    assert np.array_equal(hashes[:, None] == hashes[None], same)


def test_hashes_of_some_pictures_are_those_of_all_and_taken_once() -> None:
    images, whole = (ImageSet.from_arrays(GREY, [0] * 5, class_names=["a"]) for _ in range(2))
    rows = np.array([3, 1, 3])
    assert np.array_equal(images.hashes_of(rows), whole.hashes[rows])
    images._hashed[1] = b"taken before"
    assert images.hashes_of(rows).tolist()[1] == b"taken before"
    assert np.array_equal(images.hashes_of(np.array([0, 2, 4])), whole.hashes[[0, 2, 4]])


def test_hashes_tell_shapes_apart_but_not_sets() -> None:
    wide = ImageSet.from_arrays(np.zeros((1, 2, 6), dtype=np.uint8), [0])
    tall = ImageSet.from_arrays(np.zeros((1, 6, 2), dtype=np.uint8), [0])
    assert wide.hashes[0] != tall.hashes[0]
    other = ImageSet.from_arrays(np.zeros((3, 2, 6), dtype=np.uint8), ["x", "y", "z"])
    assert set(other.hashes) == set(wide.hashes)


def test_an_image_set_says_what_it_is_in_a_line() -> None:
    images = ImageSet.from_arrays(
        np.zeros((3, 4, 5), np.uint8),
        ["a", "b", "a"],
        test_pictures=np.ones((2, 4, 5), np.uint8),
        test_labels=["a", "b"],
        name="mine",
    )
    assert repr(images) == ("ImageSet('mine': 5 pictures of 4 × 5 × 1, 2 classes; train 3, test 2)")
