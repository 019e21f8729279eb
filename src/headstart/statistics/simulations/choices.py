"""Simulations of choosing: worth in labels, the best of many, and analysts at the test split."""

from functools import partial

import numpy as np
from scipy.special import ndtri

from headstart.statistics.access import Ladder, Thresholdout, interval_after_reads
from headstart.statistics.intervals import Interval, interval_at_level, mean_interval
from headstart.statistics.label_value import Worth, worth_in_labels
from headstart.statistics.selection import best_of
from headstart.statistics.simulations.tallies import Cell, Outcome, draw_seed
from headstart.statistics.simulations.worlds import LABEL_WORLDS, LabelWorld, Table


def worth_cells(seeds: tuple[int, ...], pictures: tuple[int, ...]) -> list[Cell]:
    """Worth in labels, at every budget whose truth lies within those that were tried."""
    return [
        Cell({"world": world.name, "seeds": s, "pictures": n}, partial(_worth, world, s, n))
        for world in LABEL_WORLDS
        for s in seeds
        for n in pictures
    ]


def best_cells(rows: tuple[int, ...]) -> list[Cell]:
    """The best of 20 configurations, equal or not."""
    return [
        Cell(
            {"true accuracies": f"85% ± {100 * spread:g} points", "rows": n},
            partial(_best, spread, n),
        )
        for spread in (0.0, 0.01, 0.02, 0.05)
        for n in rows
    ]


def analyst_cells(pictures: tuple[int, ...]) -> list[Cell]:
    """An analyst who tries 200 configurations on the test split and tells the best."""
    return [
        Cell({"analyst": "random search", "pictures": n}, partial(_search, n)) for n in pictures
    ]


def adaptive_cells(pictures: tuple[int, ...]) -> list[Cell]:
    """An analyst who learns the test labels from the answers (Blum and Hardt's attack)."""
    return [Cell({"analyst": "votes", "pictures": n}, partial(_votes, n)) for n in pictures]


def _worth(world: LabelWorld, seeds: int, pictures: int, random: np.random.Generator) -> Outcome:
    transfer, scratch = world.draw(seeds, pictures, random)
    worth = worth_in_labels(world.budgets, transfer, scratch, resamples=800, seed=draw_seed(random))
    inside = [
        k
        for k, labels in enumerate(world.budgets)
        if world.budgets[0] < world.truth(labels) < world.budgets[-1]
    ]
    # one budget a data set, at random, so that data sets stay independent
    k = inside[int(random.integers(len(inside)))]
    truth = world.truth(world.budgets[k])
    return {
        "worth covered": _worth_holds(worth.worths[k], truth),
        "by power law": _worth_holds(worth.by_power_law[k], truth),
    }


def _worth_holds(worth: Worth, truth: float) -> bool:
    """Whether the truth lies in the interval; an end beyond the budgets is open."""
    if worth.low is None or worth.high is None:
        return False
    above = worth.low.beyond == "≤" or worth.low.labels <= truth
    return above and (worth.high.beyond == "≥" or truth <= worth.high.labels)


def _best(spread: float, rows: int, random: np.random.Generator) -> Outcome:
    accuracy = np.clip(0.85 + spread * random.standard_normal(20), 0.05, 0.995)
    hard = 0.7 * random.standard_normal(rows)
    noise = random.standard_normal((20, rows))
    bar = ndtri(accuracy)[:, None] * np.sqrt(1 + 0.7**2)
    scores = (noise < bar + hard).astype(np.float64)
    chosen = best_of(scores, resamples=400, seed=draw_seed(random))
    truth = float(accuracy[chosen.winner])
    # the true standard error: the estimated one is smaller where luck was greater
    error = np.sqrt(truth * (1 - truth) / rows)
    return {
        "bias / SE": (chosen.estimate - truth) / error,
        "uncorrected bias / SE": (chosen.uncorrected - truth) / error,
        "covered": chosen.low <= truth <= chosen.high,
    }


def _search(pictures: int, random: np.random.Generator) -> Outcome:
    """200 configurations around 85%, six seeds each; the best on the test split is told."""
    accuracy = 0.85 + 0.005 * random.standard_normal(200)
    hard = random.standard_normal(pictures).astype(np.float32)
    best, truth = np.zeros((6, pictures)), 0.0
    for true in accuracy:
        bar = np.float32(ndtri(true) * np.sqrt(2.01))
        by_seed = np.float32(0.1) * random.standard_normal((6, 1), dtype=np.float32)
        taste = random.standard_normal(pictures, dtype=np.float32) * np.float32(0.5)
        noise = random.standard_normal((6, pictures), dtype=np.float32) * np.float32(np.sqrt(0.75))
        scores = (noise + taste < bar + by_seed + hard).astype(np.float64)
        if scores.mean() > best.mean():
            best, truth = scores, float(true)
    return {
        "covered, read once": _covers(mean_interval(best), truth),
        "covered, 200 reads counted": _covers(interval_after_reads(best, 200), truth),
    }


def _votes(pictures: int, random: np.random.Generator) -> Outcome:
    """Coin-flipping models are asked about, and those that look good vote; the truth is 50%."""
    tries = random.integers(0, 2, (200, pictures)).astype(np.float64)
    validation = random.integers(0, 2, (200, pictures)).mean(axis=1)
    free = tries[tries.mean(axis=1) > 0.5]
    ladder, gate = (
        Ladder(),
        Thresholdout(threshold=4 / np.sqrt(pictures), noise=1 / np.sqrt(pictures)),
    )
    climbed, heard = [], []
    for scores, seen in zip(tries, validation, strict=True):
        told = ladder.told
        ladder = ladder.climb(scores[None])
        if ladder.told != told:
            climbed.append(scores)
        if gate.answers < gate.budget:
            gate = gate.ask(float(seen), float(scores.mean()))
            if gate.told is not None and gate.told > 0.5:
                heard.append(scores)
    final = ladder.climb(_vote(np.array(climbed))[None])
    return {
        "covered, reads counted only": _covers(interval_after_reads(_rows(_vote(free)), 201), 0.5),
        "covered, ladder": _covers(
            interval_at_level(
                _rows(final.best if final.best is not None else free[0]), final.alpha()
            ),
            0.5,
        ),
        "covered, thresholdout": _covers(
            interval_at_level(_rows(_vote(np.array(heard) if heard else free[:1])), gate.alpha()),
            0.5,
        ),
    }


def _vote(rows: Table) -> Table:
    """The majority's scores; on a tie the first model's."""
    share = rows.mean(axis=0)
    scores: Table = np.where(share == 0.5, rows[0], (share > 0.5).astype(np.float64))
    return scores


def _rows(scores: Table) -> Table:
    """A model that is the same in every seed."""
    return np.repeat(scores[None], 6, axis=0)


def _covers(interval: Interval, truth: float) -> bool:
    return (
        interval.low is not None
        and interval.high is not None
        and (interval.low <= truth <= interval.high)
    )
