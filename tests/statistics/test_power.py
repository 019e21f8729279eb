"""Planning from a pilot: against statsmodels, against simulation, and in words."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from headstart.errors import RecordsError, StudyError
from headstart.statistics.paired import compare_pairs
from headstart.statistics.power import (
    Advice,
    Goal,
    advise,
    pictures_needed,
    power,
    power_equivalence,
    power_table,
    seeds_needed,
)
from headstart.statistics.variance import VarianceSplit
from headstart.statistics.verdicts import verdict_sentence

ONLY_SEEDS = VarianceSplit(seeds=1.0, pictures=0.0, both=0.0, n_seeds=8, n_pictures=1000)


def test_power_over_seeds_alone_is_that_of_the_t_test() -> None:
    # statsmodels 0.15.0: TTestPower().power(1.2, nobs=8, alpha=0.05)
    assert power(ONLY_SEEDS, 1.2, 8, 1000) == pytest.approx(0.8279200603832425)
    assert power(ONLY_SEEDS, 100.0, 8, 1000) == 1
    assert power(ONLY_SEEDS, 100.0, 5, 1000) == 0  # the sign-flip test cannot reach 0.05
    assert power(ONLY_SEEDS, -1.2, 8, 1000) == power(ONLY_SEEDS, 1.2, 8, 1000)


def test_power_of_equivalence_is_what_simulated_studies_reach() -> None:
    random = np.random.default_rng(0)
    x = random.normal(0, 1, (20_000, 30))
    half = stats.t.isf(0.05, 29) * x.std(axis=1, ddof=1) / np.sqrt(30)
    reached = np.mean(np.abs(x.mean(axis=1)) + half < 0.6)

    assert power_equivalence(ONLY_SEEDS, 30, 1000, margin=0.6) == pytest.approx(reached, abs=0.03)
    assert power_equivalence(ONLY_SEEDS, 5, 1000, margin=100) == 0
    assert power_equivalence(ONLY_SEEDS, 30, 1000, margin=0.01) == 0


def test_seeds_needed_is_the_smallest_that_reaches_the_chance() -> None:
    goal = Goal(margin=0.001)
    needed = seeds_needed(ONLY_SEEDS, 0.8, goal)

    assert needed is not None
    assert power(ONLY_SEEDS, 0.8, needed, 1000) >= 0.8 > power(ONLY_SEEDS, 0.8, needed - 1, 1000)
    assert pictures_needed(ONLY_SEEDS, 0.1, goal) is None


def test_where_pictures_are_the_spread_seeds_do_not_help_and_pictures_do() -> None:
    split = VarianceSplit(seeds=0.0, pictures=0.04, both=0.01, n_seeds=8, n_pictures=500)
    goal = Goal(margin=0.001)

    assert seeds_needed(split, 0.01, goal) is None
    needed = pictures_needed(split, 0.01, goal)
    assert needed is not None
    assert power(split, 0.01, 8, needed) >= 0.8
    assert power(split, 0.01, 8, int(0.98 * needed)) < 0.8


def test_the_table_holds_every_combination() -> None:
    split = VarianceSplit(seeds=1e-4, pictures=0.04, both=0.05, n_seeds=8, n_pictures=500)

    cells = power_table(split, 0.01, [6, 12], [500, 2000])

    assert [(cell.seeds, cell.pictures) for cell in cells] == [
        (6, 500), (6, 2000), (12, 500), (12, 2000),
    ]  # fmt: skip
    widths = [cell.half_width for cell in cells]
    assert widths[0] == max(widths)
    assert widths[3] == min(widths)
    assert cells[3].power == power(split, 0.01, 12, 2000)


def undecided(
    seeds: int, pictures: int, seed_sd: float, picture_sd: float, gap: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    random = np.random.default_rng(1)
    by_seed, by_picture = random.standard_normal(seeds), random.standard_normal(pictures)
    table = (
        gap
        + seed_sd * (by_seed - by_seed.mean())[:, None]
        + picture_sd * (by_picture - by_picture.mean())
    )
    return table, np.zeros_like(table)


def test_advice_names_seeds_where_seeds_are_the_spread() -> None:
    comparison = compare_pairs(*undecided(8, 2000, 0.02, 0.0, 0.01))

    advice = advise(comparison)

    assert comparison.verdict == "undecided"
    assert advice.more_seeds is not None
    assert advice.sentence() == f"undecided: {advice.more_seeds} more seeds would do"
    among_five = advise(comparison, comparisons=5)
    assert among_five.more_seeds is not None
    assert among_five.more_seeds > advice.more_seeds


def test_advice_names_pictures_where_pictures_are_the_spread() -> None:
    comparison = compare_pairs(*undecided(8, 500, 0.001, 0.2, 0.012))

    advice = advise(comparison)

    assert advice.more_seeds is None
    assert advice.more_pictures is not None
    assert advice.sentence() == (
        f"undecided: more seeds will not help, about {advice.more_pictures:,} more test pictures "
        "would"
    )


def test_advice_where_neither_alone_helps_and_where_nothing_does() -> None:
    both = advise(compare_pairs(*undecided(8, 500, 0.02, 0.3, 0.009)))
    assert both.both is not None
    assert "neither seeds nor test pictures alone" in both.sentence()
    hopeless = advise(compare_pairs(*undecided(8, 500, 0.05, 0.3, 0.005)))
    assert "so close to the margin" in hopeless.sentence()


def test_the_verdicts_sentence_carries_the_advice() -> None:
    comparison = compare_pairs(*undecided(8, 500, 0.001, 0.2, 0.012))

    sentence = verdict_sentence(comparison, "frozen", "scratch")

    assert sentence.startswith("undecided between frozen and scratch: the difference is 1.2 points")
    assert ", 8 pairs; more seeds will not help, about " in sentence
    same = np.ones((8, 2000))
    assert verdict_sentence(compare_pairs(same, same), "x", "y").startswith("x and y are equiv")
    assert "one pair" in verdict_sentence(compare_pairs(same[:1], same[:1]), "x", "y")


def test_planned_power_is_what_simulated_studies_reach() -> None:
    random = np.random.default_rng(0)
    split = VarianceSplit(seeds=4e-4, pictures=0.02, both=0.05, n_seeds=10, n_pictures=400)
    claims = 0
    for _ in range(200):
        table = (
            0.025
            + 0.02 * random.standard_normal((10, 1))
            + np.sqrt(0.02) * random.standard_normal(400)
            + np.sqrt(0.05) * random.standard_normal((10, 400))
        )
        claims += compare_pairs(table, 0 * table, resamples=100).verdict == "better"

    assert claims / 200 == pytest.approx(power(split, 0.025, 10, 400), abs=0.08)


def test_a_decided_comparison_needs_no_advice_and_one_pair_gets_none() -> None:
    same = np.ones((8, 5000))

    assert advise(compare_pairs(same, same)) == Advice(0, 0, None, decided=True)
    assert advise(compare_pairs(same, same)).sentence() == "decided"
    with pytest.raises(RecordsError, match="one pair has no spread"):
        advise(compare_pairs(same[:1], same[:1]))


def test_too_few_pairs_are_advised_to_be_six() -> None:
    comparison = compare_pairs(*undecided(3, 2000, 0.001, 0.0, 0.05))

    assert advise(comparison).sentence() == "undecided: 3 more seeds would do"


def test_plans_that_make_no_sense_are_refused() -> None:
    with pytest.raises(StudyError, match="seeds must be at least 2") as caught:
        power(ONLY_SEEDS, 0.1, 1, 1, alpha=2)
    assert len(caught.value.problems) == 3
    with pytest.raises(StudyError, match="margin must be 0 or more"):
        Goal(margin=-0.1, alpha=0, chance=1)


def test_every_chance_is_a_number_however_sure_the_verdict_is() -> None:
    # SciPy's noncentral t has no number for the far tail of these.
    split = VarianceSplit(
        0.021135265700483102, 0.1111111111111112, 0.2844202898550723, n_seeds=3, n_pictures=24
    )
    assert power(split, -0.2916666666666667, 40, 120, alpha=0.05 / 3) == pytest.approx(1)
    for difference in np.linspace(0.2, 0.4, 400).tolist():
        assert 0 <= power(split, difference, 40, 120, alpha=0.05 / 3) <= 1
