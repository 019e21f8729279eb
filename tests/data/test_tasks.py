"""Tasks: classes by name, nested label budgets, and test labels behind a door that counts."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from headstart.data.image_set import ImageSet
from headstart.data.splits import Split
from headstart.data.tasks import Task, TaskSettings, make_task
from headstart.errors import DataError
from headstart.settings import describe_problems

NAMES = ("ant", "bee", "cat", "dog")


def image_set(labels: Any) -> ImageSet:
    marks = np.asarray(labels, dtype=np.int64)
    pixels = np.arange(len(marks), dtype=np.uint8).reshape(-1, 1, 1, 1)
    return ImageSet(pixels, marks, NAMES, name="zoo")


def cut(train: Any, valid: Any, test: Any) -> Split:
    first, second, third = (np.asarray(rows, dtype=np.int64) for rows in (train, valid, test))
    return Split(first, second, third)


# Four classes in turn: rows 0–23 to learn from, 24–31 to choose with, 32–47 sealed.
ZOO = image_set([0, 1, 2, 3] * 12)
ZOO_SPLIT = cut(range(24), range(24, 32), range(32, 48))


def task_of(**settings: Any) -> Task:
    return make_task(ZOO, TaskSettings.model_validate(settings), ZOO_SPLIT)


def unsealed(task: Task) -> list[int]:
    labels: list[int] = task.test.open_labels("a test", lambda *_: None).tolist()
    return labels


def binary_task(labels: Any) -> Task:
    """A task to learn from all of these labels, each class sealed and chosen with once."""
    marks = np.asarray(labels)
    classes = int(marks.max()) + 1
    more = np.tile(np.arange(classes), 2)
    pixels = np.zeros((len(marks) + len(more), 1, 1, 1), dtype=np.uint8)
    names = tuple(f"class {number}" for number in range(classes))
    images = ImageSet(pixels, np.concatenate([marks, more]), names)
    rows = np.split(np.arange(len(pixels)), [len(marks), len(marks) + classes])
    return make_task(images, TaskSettings(), cut(*rows))


def test_all_classes_keep_their_numbers() -> None:
    task = task_of()
    assert task.class_names == NAMES
    assert task.train_rows.tolist() == list(range(24))
    assert task.train.labels.tolist() == [0, 1, 2, 3] * 6
    assert len(task.train) == 24
    assert unsealed(task) == [0, 1, 2, 3] * 4


def test_chosen_classes_are_numbered_in_the_order_in_which_they_are_named() -> None:
    task = task_of(classes=["dog", "bee"])
    assert task.class_names == ("dog", "bee")
    assert task.train_rows.tolist() == [row for row in range(24) if row % 4 in (1, 3)]
    assert task.train.labels.tolist() == [1, 0] * 6
    assert task.valid.labels.tolist() == [1, 0] * 2
    assert unsealed(task) == [1, 0] * 4
    assert np.array_equal(task.train.pictures, ZOO.pictures[task.train_rows])
    assert np.array_equal(task.test.pictures, ZOO.pictures[task.test.rows])
    assert task.numbers(np.arange(4)).tolist() == [-1, 1, -1, 0]


def test_one_class_against_the_rest() -> None:
    task = task_of(positive="cat")
    assert task.class_names == ("not cat", "cat")
    assert task.train.labels.tolist() == [0, 0, 1, 0] * 6
    assert unsealed(task) == [0, 0, 1, 0] * 4
    among = task_of(classes=["cat", "ant", "dog"], positive="ant")
    assert among.class_names == ("not ant", "ant")
    assert among.train.labels.tolist() == [1, 0, 0] * 6
    assert 1 not in ZOO.labels[among.train_rows]


def test_every_unknown_class_is_told_with_the_nearest_name() -> None:
    with pytest.raises(DataError) as caught:
        task_of(classes=["cta", "dog", "be"], positive="be")
    assert caught.value.problems == (
        "zoo has no class 'cta': did you mean 'cat'? Known: ant, bee, cat, dog",
        "zoo has no class 'be': did you mean 'bee'? Known: ant, bee, cat, dog",
    )


@pytest.mark.parametrize(
    ("settings", "messages"),
    [
        ({"classes": ["cat"]}, ["classes: at least two classes are needed to tell apart"]),
        ({"classes": []}, ["classes: at least two classes are needed to tell apart"]),
        (
            {"classes": ["cat", "cat", "dog"], "positive": "dgo"},
            [
                "classes: 'cat' is named twice",
                "positive: 'dgo' is not among classes; did you mean 'dog'? Known: cat, dog",
            ],
        ),
        ({"clases": "all"}, ["clases: unknown key; did you mean 'classes'? Known: classes, "
                              "positive"]),
    ],
)  # fmt: skip
def test_settings_that_ask_nothing_are_refused(
    settings: dict[str, Any], messages: list[str]
) -> None:
    with pytest.raises(ValidationError) as caught:
        TaskSettings.model_validate(settings)
    assert describe_problems(caught.value, TaskSettings, values=settings) == tuple(messages)


def test_a_set_of_one_class_has_no_task() -> None:
    images = ImageSet(np.zeros((3, 1, 1, 1), np.uint8), np.zeros(3, np.int64), ("ant",), "ants")
    with pytest.raises(DataError, match="ants has fewer than two classes"):
        make_task(images, TaskSettings(), cut([0], [1], [2]))


def test_classes_missing_from_splits_are_told_all_at_once() -> None:
    with pytest.raises(DataError) as caught:
        make_task(ZOO, TaskSettings(), cut(range(8), [8, 9], [12, 15]))
    assert [text.split(":")[0] for text in caught.value.problems] == [
        "the valid split has no picture of 'cat', 'dog'",
        "the test split has no picture of 'bee', 'cat'",
    ]


def test_the_door_is_opened_only_after_it_was_noted() -> None:
    task, ledger = task_of(classes=["ant", "dog"]), []
    labels = task.test.open_labels("scoring", lambda *reading: ledger.append(reading))
    assert ledger == [("scoring", 8)]
    assert labels.tolist() == [0, 1] * 4
    labels[:] = 9
    assert unsealed(task) == [0, 1] * 4

    def refuse(purpose: str, count: int) -> None:
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        task.test.open_labels("scoring", refuse)


def test_nobody_sees_test_labels_by_printing_or_by_asking_for_examples() -> None:
    task = task_of()
    assert "_labels" not in repr(task.test)
    for rows in ([32], [0, 1, 47], task.test.rows):
        with pytest.raises(DataError, match="open the test split's door"):
            task.examples(np.asarray(rows))


def test_examples_are_of_the_tasks_classes() -> None:
    task = task_of(classes=["ant", "dog"])
    assert task.examples(np.array([7, 4])).labels.tolist() == [1, 0]
    with pytest.raises(DataError, match=r"other classes than the task's \(ant, dog\)"):
        task.examples(np.array([0, 1, 3]))


def test_source_and_target_share_no_picture() -> None:
    source, target = task_of(classes=["ant", "bee"]), task_of(classes=["cat", "dog"])
    for part in ("train_rows", "valid_rows"):
        assert not set(getattr(source, part)) & set(getattr(target, part))
    with pytest.raises(DataError, match="other classes"):
        source.examples(target.test.rows)


LABELS = (
    st.lists(st.integers(0, 4), min_size=2, max_size=50)
    .map(lambda marks: np.unique(marks, return_inverse=True)[1])
    .filter(lambda marks: marks.max() >= 1)
)


@given(LABELS, st.integers(0, 4), st.data())
def test_label_budgets_are_nested_fair_and_hold_every_class(
    labels: np.ndarray, seed: int, data: st.DataObject
) -> None:
    task = binary_task(labels)
    sizes = np.bincount(labels)
    budgets = data.draw(st.lists(st.integers(len(sizes), len(labels)), min_size=2, max_size=4))
    smaller: set[int] = set()
    for budget in sorted(budgets):
        rows = task.budget_rows(budget, seed)
        assert len(rows) == budget
        assert np.all(np.diff(rows) > 0)
        assert smaller <= set(rows.tolist())
        smaller = set(rows.tolist())
        given_out = np.bincount(labels[rows], minlength=len(sizes))
        assert given_out.min() >= 1
        # Each class has its share, to within one, of the labels beyond one for every class.
        for a in range(len(sizes)):
            for b in range(len(sizes)):
                if given_out[b] > 1 and given_out[a] < sizes[a]:
                    assert (given_out[b] - 0.5) / sizes[b] <= (given_out[a] + 0.5) / sizes[a] + 1e-9
    assert set(task.budget_rows("all", seed)) == set(range(len(labels)))


@given(st.integers(2, 5), st.integers(1, 10), st.integers(0, 4), st.data())
def test_budgets_over_classes_of_one_size_are_within_one(
    classes: int, size: int, seed: int, data: st.DataObject
) -> None:
    labels = np.tile(np.arange(classes), size)
    budget = data.draw(st.integers(classes, len(labels)))
    found = np.bincount(labels[binary_task(labels).budget_rows(budget, seed)])
    assert found.max() - found.min() <= 1


def test_budgets_are_drawn_from_the_seed() -> None:
    task = binary_task([0, 1] * 50)
    assert np.array_equal(task.budget_rows(20, 1), task.budget_rows(20, 1))
    assert not np.array_equal(task.budget_rows(20, 1), task.budget_rows(20, 2))


def test_stored_budgets_are_the_first_labels_for_every_seed() -> None:
    """As the second notebook cuts: ``X_train_B[:200]``."""
    task = task_of(classes=["ant", "dog"])
    first = task.budget_rows(5, 0, stored=True)
    assert first.tolist() == [0, 3, 4, 7, 8]
    assert np.array_equal(first, task.budget_rows(5, 9, stored=True))
    assert len(task.budget_rows("all", 0, stored=True)) == 12


def test_stored_budgets_without_a_class_are_refused() -> None:
    task = binary_task([0, 0, 0, 1])
    with pytest.raises(DataError, match=r"training \(first 3 stored\) split has no picture of"):
        task.budget_rows(3, 0, stored=True)


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        (25, 'a label budget of 25 is above the 24 training pictures of this task: lower it, or'),
        (3, "a label budget of 3 cannot hold one label of each of the 4 classes: raise it"),
        (0, "a label budget of 0 cannot hold one label of each"),
        (-5, "a label budget of -5 cannot hold one label of each"),
    ],
)  # fmt: skip
def test_impossible_budgets_are_refused(budget: int, message: str) -> None:
    with pytest.raises(DataError) as caught:
        task_of().budget_rows(budget, 0)
    assert str(caught.value).startswith(message)
