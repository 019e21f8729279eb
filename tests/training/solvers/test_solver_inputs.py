"""Solvers with examples that are poor, odd or of no use, and what is made of scores."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from torch import Tensor

from headstart.errors import TrainingError
from headstart.networks.heads import loss
from headstart.networks.neighbours import NeighbourHead
from headstart.training.solvers import (
    Spectrum,
    fit_factors,
    fit_lda,
    fit_nearest_mean,
    fit_probes,
    fit_ridge,
    fold_weights,
    neighbour_heads,
)

SOLVERS: dict[str, Callable[[Tensor, Tensor, int], Any]] = {
    "probe": lambda x, y, classes: fit_probes(x, y, classes, [1.0]).head[0, 0].scores(x),
    "ridge": lambda x, y, classes: fit_ridge(x, y, classes, [1.0]).head[0].scores(x),
    "lda": lambda x, y, classes: fit_lda(x, y, classes, [0.5])[0].scores(x),
    "nearest mean": lambda x, y, classes: fit_nearest_mean(x, y, classes).head.scores(x),
    "neighbours": lambda x, y, classes: neighbour_heads(x, y, classes, [1])[0](x),
}
each_solver = pytest.mark.parametrize("solve", SOLVERS.values(), ids=SOLVERS)


def noise(count: int, width: int, seed: int = 0) -> Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


def problems(call: Callable[[], Any]) -> tuple[str, ...]:
    with pytest.raises(TrainingError) as caught:
        call()
    return caught.value.problems


@each_solver
def test_every_problem_of_the_examples_is_told(solve: Any) -> None:
    x, y = noise(6, 3), torch.tensor([0, 0, 3, 3, 0, 0])
    x[1, 0], x[2, 2] = torch.nan, torch.inf
    assert problems(lambda: solve(x, y, 4)) == (
        "no training picture of class 1, 2 (of 4): give more labels",
        "the features of 2 of 6 pictures are not finite numbers: the body in front of the head "
        "gives no usable features",
    )
    assert problems(lambda: solve(noise(6, 3), y, 3)) == ("labels go from 0 to 2, but there is 3",)
    (shapes,) = problems(lambda: solve(x, y[:4], 4))
    assert shapes.endswith("a label a picture, got (6, 3) and (4,)")
    (empty,) = problems(lambda: solve(x[:0], y[:0], 2))
    assert empty.endswith("got (0, 3) and (0,)")
    (one,) = problems(lambda: solve(noise(2, 3), torch.zeros(2, dtype=torch.int64), 1))
    assert one == "a head tells at least two classes apart, not 1"


@each_solver
@pytest.mark.parametrize("shape", [(9, 4), (9, 30)])
def test_features_without_spread_tell_nothing_but_do_no_harm(
    solve: Any, shape: tuple[int, int]
) -> None:
    x, y = noise(*shape), torch.arange(9) % 3
    x[:, 1] = 7.0
    assert bool(torch.isfinite(solve(x, y, 3)).all())


@pytest.mark.parametrize("name", ["probe", "ridge", "nearest mean"])
def test_equal_features_give_the_shares_of_the_classes(name: str) -> None:
    x, y = torch.full((10, 4), 0.1), torch.tensor([0, 0, 0, 0, 0, 0, 0, 1, 1, 2])
    scores = SOLVERS[name](x, y, 3)
    assert bool((scores == scores[0]).all())
    if name == "probe":
        shares = torch.softmax(scores[0], dim=0)
        torch.testing.assert_close(shares, torch.tensor([0.7, 0.2, 0.1]), atol=1e-3, rtol=0)
    if name == "ridge":
        torch.testing.assert_close(scores[0], torch.tensor([0.4, -0.6, -0.8]))


def test_a_discriminant_analysis_needs_spread_within_classes() -> None:
    (problem,) = problems(lambda: fit_lda(noise(3, 4), torch.arange(3), 3, [0.5]))
    assert problem == (
        "no two training pictures of a class have different features, so there is no spread "
        "within classes: give more labels"
    )


def test_numbers_too_large_to_be_squared_are_refused() -> None:
    x = noise(6, 3).double() * 1e200
    (problem,) = problems(lambda: fit_ridge(x, torch.arange(6) % 2, 2, [1.0]))
    assert problem.startswith("the features are too large to be squared and added up")


def test_penalties_and_their_like_must_make_sense() -> None:
    x, y = noise(6, 3), torch.arange(6) % 2
    assert problems(lambda: fit_probes(x, y, 2, [1.0, 0.0, -1.0])) == (
        "the penalty 0.0 is not above 0: without one there is no single best head",
        "the penalty -1.0 is not above 0: without one there is no single best head",
    )
    assert problems(lambda: fit_probes(x, y, 2, [])) == ("no penalty is given: name at least one",)
    assert problems(lambda: fit_ridge(x, y, 2, [0.0])) == (
        "penalties above 0 are needed, got [0.0]",
    )
    assert problems(lambda: fit_lda(x, y, 2, [0.0, 1.1])) == (
        "shrinkages above 0 and at most 1 are needed, got [0.0, 1.1]",
    )
    none: list[int] = []
    for wrong in (none, [0], [7, 8]):
        (problem,) = problems(partial(neighbour_heads, x, y, 2, wrong))
        assert problem.endswith("at least one number from 1 to the 6 pictures is needed")


def test_weights_of_the_pictures_must_make_sense() -> None:
    x, y = noise(6, 3), torch.arange(6) % 2
    assert problems(lambda: fit_probes(x, y, 2, [1.0], weights=torch.ones(6))) == (
        "weights are (sets, 6 pictures), got (6,)",
    )
    assert problems(lambda: fit_probes(x, y, 2, [1.0], weights=-torch.ones(1, 6))) == (
        "a weight of a picture is negative or no number",
    )
    weights = torch.ones(3, 6)
    weights[1, ::2] = 0
    assert problems(lambda: fit_probes(x, y, 2, [1.0], weights=weights)) == (
        "set 1 has no picture of some class: give more labels",
    )


def test_pictures_of_weight_zero_might_as_well_not_be_there() -> None:
    x, y = noise(40, 6).double(), torch.arange(40) % 3
    weights = torch.ones(2, 40)
    weights[0, 25:] = 0
    found = fit_probes(x, y, 3, [0.2, 4.0], weights=weights, tolerance=1e-13)
    alone = fit_probes(x[:25], y[:25], 3, [0.2, 4.0], tolerance=1e-13)
    torch.testing.assert_close(found.head.weight[0], alone.head.weight[0], atol=1e-5, rtol=0)


@given(
    counts=st.lists(st.integers(3, 9), min_size=2, max_size=4),
    folds=st.integers(2, 3),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=30, deadline=None)
def test_folds_leave_each_picture_out_once_and_are_stratified(
    counts: list[int], folds: int, seed: int
) -> None:
    labels = torch.cat([torch.full((count,), each) for each, count in enumerate(counts)])
    weights = fold_weights(labels, folds, torch.Generator().manual_seed(seed))
    assert weights.shape == (folds, len(labels))
    assert bool((weights.sum(dim=0) == folds - 1).all())
    for each, count in enumerate(counts):
        left = (1 - weights[:, labels == each]).sum(dim=1)
        assert left.min() >= count // folds
        assert left.max() <= -(-count // folds)


def test_more_folds_than_pictures_are_refused() -> None:
    generator = torch.Generator()
    labels = torch.tensor([0, 0, 0, 1, 2, 2])
    assert problems(lambda: fold_weights(labels, 3, generator)) == (
        "3 folds need at least 3 pictures of each class, but class 1 has 1, class 2 has 2: use "
        "fewer folds, or give more labels",
    )
    assert problems(lambda: fold_weights(labels, 1, generator)) == (
        "folds = 1: at least 2 are needed",
    )
    assert problems(lambda: fold_weights(labels[:0], 2, generator))[0].startswith("2 folds need")


@pytest.mark.parametrize("shape", [(50, 8), (8, 50)])
def test_a_spectrum_is_the_singular_value_decomposition(shape: tuple[int, int]) -> None:
    x = noise(*shape).double() + 3
    found = Spectrum.of(x)
    centred = x - x.mean(dim=0)
    values = torch.linalg.svdvals(centred)[: len(found.squares)]
    torch.testing.assert_close(found.squares.sqrt(), values)
    assert len(found.squares) == min(shape[1], shape[0] - 1)
    torch.testing.assert_close(found.coordinates @ found.basis.T, centred)
    torch.testing.assert_close(found.basis.T @ found.basis, torch.eye(len(values)).double())


@pytest.mark.parametrize("units", [1, 3])
def test_factors_have_the_lowest_smoothed_loss(units: int) -> None:
    labels = torch.arange(60) % max(2, units)
    scores = noise(60, units).double()
    scores[torch.arange(60), labels.clamp_max(units - 1)] += 1 if units == 3 else labels * 2 - 1
    scores = torch.stack([scores, 20 * scores])
    found = fit_factors(scores, labels)
    assert float(found[0] / found[1]) == pytest.approx(20, rel=1e-6)
    share = max(2, units) / (60 + max(2, units))

    def smoothed(factor: float) -> float:
        logits = scores[0] * factor
        others = [float(loss(logits, torch.full_like(labels, k))) for k in range(max(2, units))]
        return (1 - share) * float(loss(logits, labels)) + share * float(np.mean(others))

    best = minimize_scalar(smoothed, bounds=(1e-3, 30), method="bounded", options={"xatol": 1e-8})
    assert float(found[0]) == pytest.approx(best.x, rel=1e-3)


def test_factors_of_scores_that_say_nothing_or_everything_are_finite() -> None:
    labels = torch.arange(12) % 3
    perfect = torch.nn.functional.one_hot(labels, 3).double()
    alone = torch.full((1, 12, 3), -torch.inf)
    for scores in (perfect[None], -perfect[None], torch.zeros(1, 12, 3), alone):
        (factor,) = fit_factors(scores, labels).tolist()
        assert 0 < factor < np.inf


def test_neighbours_far_from_zero_and_many_are_told_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x, y = noise(50, 3), torch.arange(50) % 2
    near = NeighbourHead(x, y, 2, 3)(x)
    far = NeighbourHead(x + 3000, y, 2, 3)(x + 3000)
    torch.testing.assert_close(near, far)
    monkeypatch.setattr("headstart.networks.neighbours._NUMBERS", 120)  # two rows at a time
    assert torch.equal(NeighbourHead(x, y, 2, 3)(x), near)
