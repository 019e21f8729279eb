"""Folds: pictures dealt out for cross-validation, what belongs together on one side."""

import numpy as np
from numpy.typing import NDArray

from headstart.data.image_set import ImageSet

Numbers = NDArray[np.int64]


def units(images: ImageSet, rows: Numbers) -> Numbers:
    """What no split may tear apart: equal pictures, and pictures of one group.

    Args:
        images: The set; its `groups` say what belongs together.
        rows: Which of its rows.

    Returns:
        A number for each row, shape (rows,); rows of one number belong together. Without groups
        numbers rise with the content hashes.
    """
    content = np.unique(images.hashes[rows], return_inverse=True)[1].astype(np.int64)
    if images.groups is None:
        return content
    from scipy.sparse import coo_array  # loaded where there are groups only
    from scipy.sparse.csgraph import connected_components

    group = np.unique(images.groups[rows], return_inverse=True)[1]
    # rows of one picture or one group hang together, also by way of other rows
    count = int(content.max(initial=-1)) + 1
    size = count + int(group.max(initial=-1)) + 1
    edges = coo_array((np.ones(len(rows)), (content, count + group)), shape=(size, size))
    member: Numbers = connected_components(edges, directed=False)[1].astype(np.int64)
    return member[content]


def fold_numbers(
    labels: Numbers, member: Numbers, folds: int, random: np.random.Generator
) -> Numbers:
    """Deal rows out to folds, stratified by class, units whole.

    Large units are dealt first, each to the fold that has least of what it brings, as in
    scikit-learn's `StratifiedGroupKFold`; among those to the smallest fold. Where every unit is a
    single row, each class and the whole are spread as evenly as whole numbers allow.

    Args:
        labels: The class of each row, shape (N,).
        member: The unit of each row, shape (N,).
        folds: How many.
        random: Draws the order.

    Returns:
        The fold of each row, 0 to `folds` − 1.
    """
    classes = np.unique(labels, return_inverse=True)[1]
    unit = np.unique(member, return_inverse=True)[1]
    brings = np.zeros((int(unit.max()) + 1, int(classes.max()) + 1))
    np.add.at(brings, (unit, classes), 1)
    shuffled = random.permutation(len(brings))
    weights = 1 / brings.sum(axis=0)
    # large units first; then class by class, so that what is left over evens out the sizes
    keys = brings[shuffled].argmax(axis=1), -brings[shuffled].sum(axis=1)
    order = shuffled[np.lexsort(keys)]
    has = np.zeros((folds, brings.shape[1]))
    place = np.empty(len(brings), dtype=np.int64)
    for number in order.tolist():
        crowded = has @ (brings[number] * weights**2)
        emptiest = np.flatnonzero(crowded <= crowded.min() + 1e-12)
        fold = emptiest[has[emptiest].sum(axis=1).argmin()]
        place[number] = fold
        has[fold] += brings[number]
    return place[unit]
