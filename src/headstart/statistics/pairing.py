"""From trials to pairs: the same seeds, the same test pictures, or nothing."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from headstart.errors import RecordsError
from headstart.statistics.scores import Scores, checked_scores


@dataclass(frozen=True)
class Pairs:
    """Scores of two strategies on the seeds that both have.

    Attributes:
        a: Shape (S, n).
        b: Shape (S, n).
        seeds: The seed of each row.
        note: Which trials found no partner, or "".
    """

    a: Scores
    b: Scores
    seeds: tuple[int, ...]
    note: str


def pair_trials(
    a: Mapping[int, ArrayLike],
    b: Mapping[int, ArrayLike],
    *,
    test_split_a: str,
    test_split_b: str,
    name_a: str = "a",
    name_b: str = "b",
) -> Pairs:
    """Pair two strategies' trials by seed; what has no partner is left out and named.

    Args:
        a: Seed → scores on the test pictures, each of shape (n,).
        b: The same for the other strategy.
        test_split_a: What identifies a's test split, for example its content hash.
        test_split_b: The same for b.
        name_a: How to call a in messages.
        name_b: How to call b in messages.

    Raises:
        RecordsError: If the test splits differ, no seed is in both, or scores are not usable.
    """
    if test_split_a != test_split_b:
        raise RecordsError(
            f"{name_a} was scored on test split {test_split_a} and {name_b} on {test_split_b}: "
            "differences between them would mix the strategies with the pictures; score both on "
            "the same split"
        )
    seeds = tuple(sorted(set(a) & set(b)))
    if not seeds:
        raise RecordsError(
            f"{name_a} and {name_b} have no seed in common (seeds {_listed(a)} and {_listed(b)}): "
            "there is nothing to pair"
        )
    lengths = {np.shape(trials[seed]) for trials in (a, b) for seed in seeds}
    if len(lengths) > 1:
        raise RecordsError(
            f"trials of {name_a} and {name_b} were scored on different numbers of pictures: "
            f"{', '.join(map(str, sorted(lengths)))}"
        )
    notes = [
        f"{name}: seed{'s' if len(alone) > 1 else ''} {_listed(alone)} left out, not in {other}"
        for name, alone, other in (
            (name_a, set(a) - set(b), name_b),
            (name_b, set(b) - set(a), name_a),
        )
        if alone
    ]
    return Pairs(
        a=checked_scores(np.stack([np.asarray(a[seed]) for seed in seeds]), name_a),
        b=checked_scores(np.stack([np.asarray(b[seed]) for seed in seeds]), name_b),
        seeds=seeds,
        note="; ".join(notes),
    )


def _listed(seeds: Mapping[int, ArrayLike] | set[int]) -> str:
    return ", ".join(map(str, sorted(seeds))) or "(none)"
