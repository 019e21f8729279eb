"""Simulations of comparisons: false claims, coverage, stopping, families, equivalence."""

from dataclasses import replace
from functools import partial

import numpy as np

from headstart.statistics.always_valid import evidence
from headstart.statistics.bootstrap import calibrated_interval, crossed_means
from headstart.statistics.intervals import mean_interval
from headstart.statistics.multiplicity import compare_family
from headstart.statistics.paired import compare_pairs
from headstart.statistics.sequential import Design, declare, follow
from headstart.statistics.simulations.tallies import Cell, Outcome, draw_seed
from headstart.statistics.simulations.worlds import EQUAL, UNEQUAL, Table, World
from headstart.statistics.variance import estimate_mean, t_quantile

RESAMPLES = 400
"""Enough for the shape of an interval, when thousands of intervals are averaged."""

CLAIMS = ("better", "worse")


def comparison_cells(seeds: tuple[int, ...], pictures: tuple[int, ...]) -> list[Cell]:
    """One look at the end: false claims and coverage."""
    return [
        Cell(
            {"world": world.name, "seeds": s, "pictures": n},
            partial(_compare, world, s, n),
            share=_share(s * n),
        )
        for world in (*EQUAL, *UNEQUAL)
        for s in seeds
        for n in pictures
    ]


def interval_cells(seeds: tuple[int, ...], pictures: tuple[int, ...]) -> list[Cell]:
    """Three intervals for a difference, to show why the simpler two do not do."""
    worlds = (EQUAL[0], EQUAL[3], UNEQUAL[1], UNEQUAL[3])
    return [
        Cell({"world": world.name, "seeds": s, "pictures": n}, partial(_intervals, world, s, n))
        for world in worlds
        for s in seeds
        for n in pictures
    ]


def stopping_cells(max_seeds: tuple[int, ...], pictures: tuple[int, ...]) -> list[Cell]:
    """Looking after every seed, three ways, with two equal strategies."""
    return [
        Cell(
            {"world": world.name, "at most": f"{s} seeds", "pictures": n},
            partial(_stop, world, s, n),
            share=_share(s * n * 10),
        )
        for world in EQUAL
        for s in max_seeds
        for n in pictures
    ]


def family_cells(
    strategies: tuple[int, ...], seeds: tuple[int, ...], pictures: tuple[int, ...]
) -> list[Cell]:
    """Any false claim among all pairs of K equal strategies."""
    return [
        Cell(
            {"strategies": k, "seeds": s, "pictures": n},
            partial(_family, k, s, n),
            share=_share(s * n * k),
        )
        for k in strategies
        for s in seeds
        for n in pictures
    ]


def equivalence_cells(seeds: tuple[int, ...], pictures: tuple[int, ...]) -> list[Cell]:
    """A true difference that lies exactly on the margin."""
    worlds = (
        World("2 points, at the margin of 2", accuracy_a=0.92, accuracy_b=0.90, hard=0.5),
        World(
            "the same, correlated pictures",
            accuracy_a=0.90,
            accuracy_b=0.92,
            hard=0.5,
            taste=0.3,
        ),
        World(
            "the same, unequal seeds",
            accuracy_a=0.92,
            accuracy_b=0.90,
            hard=0.5,
            seed_a=0.1,
            seed_b=0.02,
        ),
    )
    return [
        Cell(
            {"world": world.name, "seeds": s, "pictures": n},
            partial(_equivalence, world, s, n),
            share=_share(s * n * 10),
        )
        for world in worlds
        for s in seeds
        for n in pictures
    ]


def _share(cells: int) -> float:
    """Fewer data sets where tables are large."""
    for limit, share in ((50_000, 1.0), (150_000, 0.5), (1_000_000, 0.25)):
        if cells <= limit:
            return share
    return 0.1


def _compare(world: World, seeds: int, pictures: int, random: np.random.Generator) -> Outcome:
    a, b = world.draw(seeds, pictures, random)
    groups = world.groups(pictures)
    result = compare_pairs(a, b, resamples=RESAMPLES, seed=draw_seed(random), groups=groups)
    alone = mean_interval(a, resamples=RESAMPLES, groups=groups)
    outcome: dict[str, bool | float | None] = {}
    if world.difference == 0:
        outcome["false claims"] = result.verdict in CLAIMS
    outcome["covered"] = _holds(result.low, result.high, world.difference)
    reduction = result.relative_error_reduction
    outcome["error reduction covered"] = (
        None
        if reduction.value is None
        else _holds(
            -np.inf if reduction.low is None else reduction.low, reduction.high, world.reduction
        )
    )
    outcome["accuracy covered"] = _holds(alone.low, alone.high, world.accuracy_a)
    return outcome


def _intervals(world: World, seeds: int, pictures: int, random: np.random.Generator) -> Outcome:
    a, b = world.draw(seeds, pictures, random)
    gaps = a - b
    estimate = estimate_mean(gaps)
    resampled = crossed_means(gaps, RESAMPLES, draw_seed(random))
    low, high = np.quantile(resampled, [0.025, 0.975])
    by_seed = gaps.mean(axis=1)
    reach = t_quantile(0.05, seeds - 1) * by_seed.std(ddof=1) / np.sqrt(seeds)
    ends = calibrated_interval(estimate, resampled, 0.95)
    return {
        "t over seeds": abs(estimate.mean - world.difference) <= reach,
        "plain crossed bootstrap": _holds(float(low), float(high), world.difference),
        "headstart's": _holds(*ends, world.difference),
    }


def _stop(world: World, seeds: int, pictures: int, random: np.random.Generator) -> Outcome:
    a, b = world.draw(seeds, pictures, random)
    groups = world.groups(pictures)
    design = _design(seeds, 0.005)
    path = follow(design, a, b, groups=groups)
    relentless = follow(replace(design, futility=0.0), a, b, groups=groups)
    last = path.looks[-1]
    return {
        "false claims, declared maximum": path.verdict in CLAIMS,
        "never giving up": relentless.verdict in CLAIMS,
        "interval covered at the stop": last.low <= 0 <= last.high,
        "false claims, e-value": _ever_claims(a, b, groups),
        "false claims, plain peeking": _peeking_claims(a, b),
        "number of seeds at the stop": last.pairs,
    }


def _ever_claims(a: Table, b: Table, groups: np.ndarray | None) -> bool:
    """Whether the e-value allows a claim after any seed."""
    return any(
        evidence(a[:k], b[:k], groups=groups).verdict in CLAIMS for k in range(6, len(a) + 1)
    )


def _peeking_claims(a: Table, b: Table) -> bool:
    """What everybody does: a paired t test after every seed from the third on."""
    gaps = a.mean(axis=1) - b.mean(axis=1)
    for k in range(3, len(gaps) + 1):
        error = gaps[:k].std(ddof=1) / np.sqrt(k)
        if error > 0 and abs(gaps[:k].mean()) / error > t_quantile(0.05, k - 1):
            return True
    return False


def _family(strategies: int, seeds: int, pictures: int, random: np.random.Generator) -> Outcome:
    world = World("equal", hard=1.5)
    arms: dict[str, Table] = {}
    hard = world.hard * random.standard_normal(pictures)
    bar = world.threshold(world.accuracy_a, world.seed_a) + hard
    for k in range(strategies):
        by_seed = world.seed_a * random.standard_normal((seeds, 1))
        noise = random.standard_normal((seeds, pictures), dtype=np.float32)
        arms[f"s{k}"] = (noise < (bar + by_seed).astype(np.float32)).astype(np.float64)
    claims = compare_family(arms, resamples=100, seed=draw_seed(random))
    plain = [
        claim.comparison.p_value is not None and claim.comparison.p_value <= 0.05
        for claim in claims
    ]
    return {
        "any false claim": any(claim.verdict in CLAIMS for claim in claims),
        "any p ≤ 0.05, uncorrected": any(plain),
    }


def _equivalence(world: World, seeds: int, pictures: int, random: np.random.Generator) -> Outcome:
    a, b = world.draw(seeds, pictures, random)
    result = compare_pairs(a, b, margin=0.02, resamples=100, seed=draw_seed(random))
    path = follow(_design(seeds, 0.02), a, b)
    return {
        "wrongly equivalent": result.verdict == "equivalent",
        "wrongly equivalent, with stopping": path.verdict == "equivalent",
    }


def _design(seeds: int, margin: float) -> Design:
    return declare(seeds, margin=margin, every=1 if seeds <= 20 else 2)


def _holds(low: float | None, high: float | None, truth: float) -> bool:
    return low is not None and high is not None and low <= truth <= high
