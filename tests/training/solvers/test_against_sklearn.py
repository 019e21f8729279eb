"""Solved heads against scikit-learn: the same probabilities to 1e-4."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier, RidgeCV
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
from torch import Tensor

from headstart.networks.heads import probabilities
from headstart.training.solvers import (
    fit_lda,
    fit_nearest_mean,
    fit_probes,
    fit_ridge,
    fold_weights,
    neighbour_heads,
)

CLOSE = 1e-4
# Few pictures of many numbers, and many of few, as both ways of decomposing are taken.
SHAPES = [(40, 60), (90, 12)]
PENALTIES = [3.0, 1000.0, 0.01, 0.1, 30.0]


def blobs(
    count: int, width: int, classes: int, seed: int = 0
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Overlapping classes of uneven size, far from 0, of uneven spread."""
    rng = np.random.default_rng(seed)
    drawn = np.minimum(rng.integers(0, 2 * classes, count), classes - 1)
    labels = np.concatenate([np.arange(3 * classes) % classes, drawn])[:count]
    spread = np.geomspace(3, 0.01, width)
    shift = rng.normal(size=(classes, width)) * spread
    return 5 + rng.normal(size=(count, width)) * spread + shift[labels], labels


def tensors(*arrays: NDArray[np.generic]) -> list[Tensor]:
    return [torch.from_numpy(array) for array in arrays]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("at_once", [1, 2, 9])
def test_probes_are_logistic_regressions(
    shape: tuple[int, int], classes: int, at_once: int
) -> None:
    features, labels = blobs(*shape, classes)
    queries, _ = blobs(30, shape[1], classes, seed=1)
    x, y, q = tensors(features, labels, queries)
    found = fit_probes(x, y, classes, PENALTIES, tolerance=1e-13, penalties_at_once=at_once)
    assert found.head.weight.shape == (1, 5, 1 if classes == 2 else classes, shape[1])
    for number, penalty in enumerate(PENALTIES):
        reference = LogisticRegression(C=1 / penalty, solver="newton-cholesky", tol=1e-12)
        said = reference.fit(features, labels).predict_proba(queries)
        ours = probabilities(found.head[0, number].scores(q)).numpy()
        np.testing.assert_allclose(ours, said, atol=CLOSE)


@pytest.mark.parametrize("at_once", [1, 2, 8])
def test_a_path_of_penalties_ends_where_each_of_them_alone_does(at_once: int) -> None:
    """Also where one is given twice or lies far from the others, and sets need unlike steps."""
    features, labels = blobs(90, 12, 2)
    x, y = tensors(features, labels)
    penalties = [1.0, 0.5, 0.5, 0.25, 100.0, 1.0, 0.7, 0.5]
    weights = fold_weights(y, 3, torch.Generator().manual_seed(0))
    weights[1] *= 20
    found = fit_probes(
        x, y, 2, penalties, weights=weights, tolerance=1e-13, penalties_at_once=at_once
    )
    assert bool((found.gap <= 1e-13).all())
    for number, penalty in enumerate(penalties):
        for fold in range(3):
            alone = fit_probes(x, y, 2, [penalty], weights=weights[[fold]], tolerance=1e-13)
            for ours, theirs in (
                (found.head.weight[fold, number], alone.head.weight[0, 0]),
                (found.head.bias[fold, number], alone.head.bias[0, 0]),
            ):
                torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("classes", [2, 3])
def test_probes_of_folds_are_fits_without_them(classes: int) -> None:
    features, labels = blobs(90, 12, classes)
    labels = np.arange(90) % classes
    x, y = tensors(features, labels)
    weights = fold_weights(y, 3, torch.Generator().manual_seed(0))
    weights[2] *= 2.5
    found = fit_probes(x, y, classes, [0.3, 3.0], weights=weights, tolerance=1e-13)
    for fold, counts in enumerate(weights.numpy()):
        for number, penalty in enumerate([0.3, 3.0]):
            reference = LogisticRegression(C=1 / penalty, solver="newton-cholesky", tol=1e-12)
            said = reference.fit(features, labels, counts).predict_proba(features)
            ours = probabilities(found.head[fold, number].scores(x)).numpy()
            np.testing.assert_allclose(ours, said, atol=CLOSE)


def test_two_units_of_two_classes_are_a_softmax() -> None:
    """The penalty is shared by two weights then, each half as long: twice the C."""
    features, labels = blobs(90, 12, 2)
    x, y = tensors(features, labels)
    found = fit_probes(x, y, 2, [1.0], units=2, tolerance=1e-13)
    reference = LogisticRegression(C=2.0, solver="newton-cholesky", tol=1e-12).fit(features, labels)
    ours = probabilities(found.head[0, 0].scores(x)).numpy()
    np.testing.assert_allclose(ours, reference.predict_proba(features), atol=CLOSE)


def test_probes_in_single_precision_reach_what_scikit_learn_does_by_default() -> None:
    """Objectives at least as low as its own, for penalties that are hard and easy."""
    features, labels = blobs(120, 80, 2)
    x, y = tensors(features.astype(np.float32), labels)
    penalties = (10 ** np.linspace(-5, 6, 12)).tolist()
    found = fit_probes(x, y, 2, penalties)
    assert bool((found.gap <= 1e-8).all())
    sign = 2 * labels - 1
    for number, penalty in enumerate(penalties):
        reference = LogisticRegression(C=1 / penalty, max_iter=1000).fit(features, labels)
        head = found.head[0, number]
        weight, margin = head.weight.double().numpy(), head.scores(x)[:, 0].double().numpy()
        ours = np.logaddexp(0, -sign * margin).sum() + penalty / 2 * (weight**2).sum()
        theirs = np.logaddexp(0, -sign * reference.decision_function(features)).sum()
        theirs += penalty / 2 * (reference.coef_**2).sum()
        assert ours <= theirs * (1 + 1e-5)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("classes", [2, 4])
def test_ridge_heads_are_scikit_learns(shape: tuple[int, int], classes: int) -> None:
    features, labels = blobs(*shape, classes)
    x, y = tensors(features, labels)
    found = fit_ridge(x, y, classes, PENALTIES)
    for number, penalty in enumerate(PENALTIES):
        reference = RidgeClassifier(alpha=penalty).fit(features, labels)
        said = reference.decision_function(features).reshape(len(features), -1)
        np.testing.assert_allclose(found.head[number].scores(x).numpy(), said, atol=1e-8)
    targets = 2.0 * (labels[:, None] == np.arange(classes)) - 1
    targets = targets[:, 1:] if classes == 2 else targets
    chosen = RidgeCV(alphas=PENALTIES).fit(features, targets)
    best = int(found.left_out_error.argmin())
    assert PENALTIES[best] == chosen.alpha_
    np.testing.assert_allclose(float(found.left_out_error[best]), -chosen.best_score_, rtol=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_leaving_a_picture_out_is_a_fit_without_it(shape: tuple[int, int]) -> None:
    features, labels = blobs(*shape, 3)
    x, y = tensors(features, labels)
    found = fit_ridge(x, y, 3, [0.5])
    targets = 2.0 * (labels[:, None] == np.arange(3)) - 1
    for left in range(0, len(labels), 7):
        kept = np.arange(len(labels)) != left
        reference = Ridge(alpha=0.5).fit(features[kept], targets[kept])
        said = reference.predict(features[[left]])[0]
        np.testing.assert_allclose(found.left_out_scores[0, left].numpy(), said, atol=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("classes", [2, 4])
def test_discriminant_analysis_is_scikit_learns(shape: tuple[int, int], classes: int) -> None:
    features, labels = blobs(*shape, classes)
    queries, _ = blobs(30, shape[1], classes, seed=1)
    x, y, q = tensors(features, labels, queries)
    shrinkages = [0.01, 0.3, 1.0]
    found = fit_lda(x, y, classes, shrinkages)
    for number, shrinkage in enumerate(shrinkages):
        reference = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage)
        said = reference.fit(features, labels).predict_proba(queries)
        ours = torch.softmax(found[number].scores(q), dim=1).numpy()
        np.testing.assert_allclose(ours, said, atol=CLOSE)


@pytest.mark.parametrize("classes", [2, 4])
def test_the_nearest_mean_is_scikit_learns(classes: int) -> None:
    """Its probabilities are those of features of unit spread within classes."""
    features, labels = blobs(90, 12, classes)
    means = np.stack([features[labels == each].mean(axis=0) for each in range(classes)])
    within = ((features - means[labels]) ** 2).sum(axis=0) / (90 - classes)
    features = features / np.sqrt(within)
    x, y = tensors(features, labels)
    head = fit_nearest_mean(x, y, classes).head
    reference = NearestCentroid().fit(features, labels)
    scores = head.scores(x)
    assert scores.argmax(dim=1).tolist() == reference.predict(features).tolist()
    ours = torch.softmax(2 * scores, dim=1).numpy()
    np.testing.assert_allclose(ours, reference.predict_proba(features), atol=CLOSE)


def test_leaving_a_picture_out_of_its_mean_is_a_mean_without_it() -> None:
    features, labels = blobs(40, 5, 3)
    labels[labels == 2] = 0
    labels[7] = 2  # alone
    x, y = tensors(features, labels)
    found = fit_nearest_mean(x, y, 3).left_out_scores
    for left in range(len(labels)):
        kept = np.arange(len(labels)) != left
        for each in range(3):
            members = features[kept & (labels == each)]
            if not len(members):
                assert found[left, each] == -np.inf
                continue
            away = ((features[left] - members.mean(axis=0)) ** 2).sum()
            reference = ((features[left] - features[kept & (labels == 0)].mean(axis=0)) ** 2).sum()
            ours = 2 * float(found[left, 0] - found[left, each])
            np.testing.assert_allclose(ours, away - reference, atol=1e-8)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_neighbours_vote_as_in_scikit_learn(dtype: type) -> None:
    features, labels = blobs(90, 12, 3)
    queries, _ = blobs(30, 12, 3, seed=1)
    x, y, q = tensors(features.astype(dtype), labels, queries.astype(dtype))
    head, numbers = neighbour_heads(x, y, 3, [1, 5, 17, 91])
    assert numbers.tolist() == [1, 5, 17]
    shares = head.shares(q, numbers)
    for number, k in enumerate([1, 5, 17]):
        reference = KNeighborsClassifier(k).fit(features, labels).predict_proba(queries)
        np.testing.assert_allclose(shares[number].numpy(), reference, atol=1e-6)
    np.testing.assert_allclose(torch.softmax(head(q), dim=1).numpy(), shares[2].numpy(), atol=CLOSE)
