"""The training loss against PyTorch's and scikit-learn's."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight
from torch import Tensor
from torch.nn import functional

from headstart.errors import StudyError
from headstart.networks.heads import loss
from headstart.strategies.recipe import PLAIN, Recipe
from headstart.training.objective import Objective, balanced_weights, named_weights

NAMES = ("ant", "bee", "cat", "dog")
WEIGHTS = {"bee": 3.0, "dog": 0.5}


def batch(units: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    labels = torch.randint(max(2, units), (9,), generator=rng)
    return torch.randn(9, units, generator=rng, dtype=torch.float64), labels


def two_units(logits: Tensor) -> Tensor:
    """The two logits whose softmax is the sigmoid of one: written out, not derived."""
    of_second = torch.sigmoid(logits[:, 0])
    return torch.stack([torch.log(1 - of_second), torch.log(of_second)], dim=1)


@pytest.mark.parametrize("units", [1, 2, 4])
def test_plain_is_the_plain_loss_to_the_bit(units: int) -> None:
    logits, labels = batch(units)
    assert torch.equal(Objective(PLAIN, labels, ())(logits, labels), loss(logits, labels))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("units", [1, 2, 4])
def test_smoothing_and_weights_are_pytorchs(smoothing: float, weighted: bool, units: int) -> None:
    logits, labels = batch(units)
    names = NAMES[: max(2, units)]
    table = {name: value for name, value in WEIGHTS.items() if name in names}
    recipe = Recipe(label_smoothing=smoothing, class_weights=table if weighted else "none")
    dense = two_units(logits) if units == 1 else logits
    weight = torch.tensor([table.get(name, 1.0) for name in names], dtype=torch.float64)
    expected = functional.cross_entropy(
        dense, labels, weight=weight if weighted else None, label_smoothing=smoothing
    )
    found = Objective(recipe, labels, names)(logits, labels)
    assert float(found) == pytest.approx(float(expected), rel=1e-9)


def test_one_unit_smooths_toward_the_middle() -> None:
    """By hand: a smoothed label of 1 is 1 − s/2 for the sigmoid."""
    logits, labels = batch(1)
    found = Objective(Recipe(label_smoothing=0.2), labels, ())(logits, labels)
    expected = functional.binary_cross_entropy_with_logits(
        logits[:, 0], 0.1 + 0.8 * labels.double()
    )
    assert float(found) == pytest.approx(float(expected), rel=1e-9)


def test_one_unit_weighs_as_the_weighted_mean_of_its_own_losses() -> None:
    logits, labels = batch(1)
    recipe = Recipe(class_weights={"bee": 3.0})
    each = functional.binary_cross_entropy_with_logits(
        logits[:, 0], labels.to(logits.dtype), reduction="none"
    )
    weight = 1.0 + 2.0 * labels
    expected = (weight * each).sum() / weight.sum()
    found = Objective(recipe, labels, NAMES[:2])(logits, labels)
    assert float(found) == pytest.approx(float(expected), rel=1e-9)


@pytest.mark.parametrize("units", [1, 3])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_mixed_labels_are_pytorchs_probabilities(units: int, smoothing: float) -> None:
    logits, labels = batch(units)
    shares = torch.rand(9, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    targets = torch.zeros(9, max(2, units), dtype=torch.float64)
    for row in range(9):
        targets[row, labels[row]] += shares[row]
        targets[row, labels[row - 1]] += 1 - shares[row]
    dense = two_units(logits) if units == 1 else logits
    expected = functional.cross_entropy(dense, targets, label_smoothing=smoothing)
    found = Objective(Recipe(label_smoothing=smoothing), labels, ())(logits, labels, shares)
    assert float(found) == pytest.approx(float(expected), rel=1e-9)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_weights_count_the_same_whether_or_not_labels_could_be_mixed(smoothing: float) -> None:
    logits, labels = batch(4)
    objective = Objective(Recipe(label_smoothing=smoothing, class_weights=WEIGHTS), labels, NAMES)
    unmixed = objective(logits, labels, torch.ones(9, dtype=torch.float64))
    assert float(unmixed) == pytest.approx(float(objective(logits, labels)), rel=1e-9)


@settings(max_examples=50)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=40))
def test_balanced_is_scikit_learns(labels: list[int]) -> None:
    present = np.unique(labels)
    expected = compute_class_weight("balanced", classes=present, y=np.array(labels))
    found = balanced_weights(torch.tensor(labels)).numpy()
    assert found[present] == pytest.approx(expected, rel=1e-6)
    assert (np.delete(found, present) == 1).all()


def test_balanced_weights_reach_the_loss_also_where_a_class_has_no_picture() -> None:
    logits, _ = batch(4)
    labels = torch.tensor([0, 0, 0, 0, 0, 0, 2, 2, 2])
    found = Objective(Recipe(class_weights="balanced"), labels, ())(logits, labels)
    weight = torch.tensor([0.75, 1, 1.5, 1], dtype=torch.float64)
    expected = functional.cross_entropy(logits, labels, weight=weight)
    assert float(found) == pytest.approx(float(expected), rel=1e-6)


def test_an_unknown_class_is_refused_with_the_nearest() -> None:
    with pytest.raises(StudyError) as caught:
        named_weights({"catt": 2, "dog": 1, "emu": 3}, NAMES)
    assert caught.value.problems == (
        "class_weights: there is no class 'catt'; did you mean 'cat'? Known: ant, bee, cat, dog",
        "class_weights: there is no class 'emu'; Known: ant, bee, cat, dog",
    )
