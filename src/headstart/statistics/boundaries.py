"""How much evidence each look must show, so that all looks together keep their level.

O'Brien–Fleming's spending function (Lan and DeMets 1983) gives early looks almost nothing of α and
the last nearly all. The boundary of each look follows by integrating the distribution of the test
statistic over the paths that have not stopped (Armitage, McPherson and Rowe 1969).
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from headstart.statistics.special import ndtr, ndtri

NODES = 240
"""Of the Gauss–Legendre rule over the paths that go on; 1e-6 accurate for 40 looks."""


def obrien_fleming_spending(fraction: float, alpha: float) -> float:
    """How much of a two-sided α may be spent once this fraction of the information is in.

    Each side spends ``2 − 2Φ(z/√fraction)`` of its α/2.
    """
    return float(4 * ndtr(ndtri(alpha / 4) / np.sqrt(fraction)))


@lru_cache(maxsize=64)
def nominal_levels(fractions: tuple[float, ...], alpha: float) -> tuple[float, ...]:
    """The two-sided p-value that each look must reach, so that all together spend α.

    Args:
        fractions: Information at each look as a fraction of the last, rising, the last 1.
        alpha: Two-sided, over all looks.

    Returns:
        One level a look; a |Z| of ``norm.isf(level / 2)`` has it.
    """
    spent = [obrien_fleming_spending(fraction, alpha) for fraction in fractions]
    levels = [spent[0]]
    start = float(np.sqrt(fractions[0]))
    bound = -float(ndtri(spent[0] / 2)) * start
    nodes, weights = _rule(bound)
    density = _normal(nodes / start) / start * weights
    for k in range(1, len(fractions)):
        step = float(np.sqrt(fractions[k] - fractions[k - 1]))
        bound = _bound(nodes, density, step, spent[k] - spent[k - 1])
        levels.append(float(2 * ndtr(-bound / np.sqrt(fractions[k]))))
        inside, weights = _rule(bound)
        density = _normal((inside[:, None] - nodes) / step) @ density / step * weights
        nodes = inside
    return tuple(levels)


def seed_fractions(looks: Sequence[int]) -> tuple[float, ...]:
    """Seeds at each look as fractions of the last look's."""
    return tuple(look / looks[-1] for look in looks)


def _bound(
    nodes: NDArray[np.float64], density: NDArray[np.float64], step: float, spend: float
) -> float:
    """The b for which the paths that went on so far leave ±b now with probability `spend`."""
    from scipy.optimize import brentq  # loaded where it is needed only

    def excess(bound: float) -> float:
        leaving = ndtr((nodes - bound) / step) + ndtr((-bound - nodes) / step)
        return float(leaving @ density) - spend

    return float(brentq(excess, 0.0, 20.0, xtol=1e-10))


def _normal(z: NDArray[np.float64]) -> NDArray[np.float64]:
    density: NDArray[np.float64] = np.exp(-z * z / 2) / np.sqrt(2 * np.pi)
    return density


def _rule(bound: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Nodes and weights of the integral from −bound to bound."""
    nodes, weights = _unit_rule()
    return nodes * bound, weights * bound


@lru_cache(maxsize=1)
def _unit_rule() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    return np.asarray(nodes), np.asarray(weights)
