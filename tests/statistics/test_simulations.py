"""The statistics held to their word in worlds whose truth is known: a short version.

``python -m headstart.statistics.simulations`` is the full one; docs/statistics.md has its numbers.
Bounds here allow for the few data sets of a short version, and streams are fixed.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from scipy import integrate, stats

from headstart.errors import StudyError
from headstart.statistics.simulations import choices, folds, pairs
from headstart.statistics.simulations.__main__ import CHECKS, insert, main
from headstart.statistics.simulations.tallies import Cell, Tally, markdown, pooled, tally, tally_all
from headstart.statistics.simulations.worlds import EQUAL, LABEL_WORLDS, UNEQUAL, World


@pytest.fixture(scope="module")
def comparisons() -> list[Tally]:
    return tally_all(pairs.comparison_cells((6, 12), (200,)), data_sets=50, seed=1)


def test_two_equal_strategies_are_falsely_told_apart_in_at_most_5_5_percent(
    comparisons: list[Tally],
) -> None:
    equal = [t for t in comparisons if "false claims" in t.means]

    assert len(equal) == 2 * len(EQUAL)
    assert pooled(equal, "false claims") <= 0.055


@pytest.mark.parametrize("what", ["covered", "error reduction covered", "accuracy covered"])
def test_intervals_hold_the_truth(comparisons: list[Tally], what: str) -> None:
    assert 0.93 <= pooled(comparisons, what) <= 0.98


def test_simpler_intervals_do_not_hold_the_truth_often_enough() -> None:
    tallies = tally_all(pairs.interval_cells((6,), (200,)), data_sets=100, seed=1)

    assert 0.93 <= pooled(tallies, "headstart's") <= 0.98
    assert pooled(tallies, "t over seeds") < 0.92
    assert max(t.means["plain crossed bootstrap"] for t in tallies) > 0.98


def test_looking_after_every_seed_makes_no_more_false_claims_unless_one_peeks() -> None:
    tallies = tally_all(pairs.stopping_cells((20,), (200,)), data_sets=100, seed=1)

    assert pooled(tallies, "false claims, declared maximum") <= 0.055
    assert pooled(tallies, "never giving up") <= 0.055
    assert pooled(tallies, "false claims, e-value") <= 0.055
    assert pooled(tallies, "interval covered at the stop") >= 0.93
    assert pooled(tallies, "false claims, plain peeking") > 0.15


def test_folds_fool_a_plain_t_test_but_not_the_corrected_one() -> None:
    tallies = tally_all(folds.fold_cells(((5, 2), (5, 10)), (100,)), data_sets=300, seed=1)

    assert pooled(tallies, "false claims") <= 0.055
    assert pooled(tallies, "covered") >= 0.93
    assert pooled(tallies, "false claims, plain t over folds") > 0.1


def test_among_many_equal_strategies_holm_keeps_false_claims_rare() -> None:
    tallies = tally_all(pairs.family_cells((2, 5, 10), (12,), (200,)), data_sets=25, seed=1)

    assert pooled(tallies, "any false claim") <= 0.055
    assert tallies[-1].means["any p ≤ 0.05, uncorrected"] > 0.3


def test_equivalence_at_the_margins_edge_is_rarely_claimed() -> None:
    cells = pairs.equivalence_cells((10,), (1000,))
    tallies = tally_all(cells, data_sets=150, seed=1)

    assert 0.01 < pooled(tallies, "wrongly equivalent") <= 0.055
    assert pooled(tallies, "wrongly equivalent, with stopping") <= 0.055


def test_worth_in_labels_is_covered() -> None:
    worth = tally(choices.worth_cells((8,), (500,))[0], data_sets=40, seed=1)

    assert worth.means["worth covered"] >= 0.9


def test_the_best_of_twenty_is_told_without_its_luck() -> None:
    best = tally_all(choices.best_cells((200,)), data_sets=150, seed=1)

    assert all(abs(t.means["bias / SE"]) < 0.25 for t in best)
    assert best[0].means["uncorrected bias / SE"] > 1.5


def test_an_analyst_at_the_test_split_is_caught() -> None:
    (search,) = tally_all(choices.analyst_cells((500,)), data_sets=60, seed=1)
    (votes,) = tally_all(choices.adaptive_cells((500,)), data_sets=40, seed=1)

    assert search.means["covered, 200 reads counted"] >= 0.93
    assert search.means["covered, read once"] < 0.9
    assert votes.means["covered, ladder"] >= 0.93
    assert votes.means["covered, thresholdout"] >= 0.93
    assert votes.means["covered, reads counted only"] < 0.5


@pytest.mark.parametrize("world", [*EQUAL[::2], EQUAL[-1], *UNEQUAL], ids=lambda w: w.name)
def test_a_worlds_truth_is_what_many_of_its_studies_show(world: World) -> None:
    random = np.random.default_rng(0)
    means = np.array([[arm.mean() for arm in world.draw(6, 500, random)] for _ in range(600)]).mean(
        axis=0
    )

    assert means == pytest.approx([world.accuracy_a, world.accuracy_b], abs=0.006)


def test_the_wild_worlds_truth_is_its_integral() -> None:
    world = World("wild", accuracy_a=0.8, seed_a=1.0, wild=True)
    threshold = world.threshold(0.8, 1.0)

    def given_scale(scale: float) -> float:
        accuracy = stats.norm.cdf(threshold / np.sqrt(1 + 1.5**2 + scale)) * np.exp(-scale)
        return float(accuracy)

    assert integrate.quad(given_scale, 0, np.inf)[0] == pytest.approx(0.8, abs=1e-6)


def test_a_label_worlds_truth_lies_on_the_other_curve() -> None:
    world = LABEL_WORLDS[0]
    error = world.scale_transfer * 200**-world.exponent_transfer

    assert world.scale_scratch * world.truth(200) ** -world.exponent_scratch == pytest.approx(error)


def small_check() -> dict[str, tuple[int, Callable[[], list[Cell]]]]:
    return {"best-of-20": (2, lambda: choices.best_cells((50,)))}


def test_one_command_writes_its_tables_between_the_marks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- simulation: best-of-20 -->\nold\n<!-- end -->\nafter\n")
    monkeypatch.setattr("headstart.statistics.simulations.__main__.CHECKS", small_check())

    assert main(["best-of-20", "--data-sets", "3", "--write", str(page)]) == 0

    text = page.read_text()
    assert text.startswith("before\n<!-- simulation: best-of-20 -->\n`python -m headstart.stat")
    assert "--data-sets 3 --seed 0`" in text
    assert "| 85% ± 0 points | 50 | 3 |" in text
    assert "old" not in text
    assert text.endswith("<!-- end -->\nafter\n")
    assert "| 85% ± 0 points | 50 | 3 |" in capsys.readouterr().out
    with pytest.raises(StudyError, match="has no mark"):
        insert(page, "worth", "x")


def test_an_unknown_check_is_refused_with_the_nearest_name(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["worht"]) == 2
    assert "did you mean 'worth'" in capsys.readouterr().err
    assert "comparisons" in CHECKS


def test_questions_that_do_not_arise_are_left_out_of_the_count() -> None:
    def simulate(random: np.random.Generator) -> dict[str, bool | None]:
        even = bool(random.integers(2))
        return {"always": True, "sometimes": even if even else None}

    result = tally(Cell({"x": 1}, simulate), data_sets=50, seed=0)

    assert result.counts["always"] == 50
    assert 10 < result.counts["sometimes"] < 40
    assert result.means["sometimes"] == 1
    rows: Sequence[str] = markdown([result]).splitlines()
    assert rows[0] == "| x | data sets | always | sometimes |"
    assert rows[2] == "| 1 | 50 | 100.0% | 100.0% |"
