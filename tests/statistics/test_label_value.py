"""Worth in labels: curves against scikit-learn, inverses against closed forms, censoring."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.stats import norm
from sklearn.isotonic import isotonic_regression

from headstart.errors import RecordsError
from headstart.statistics.label_curves import (
    isotonic,
    monotone_inverse,
    power_inverse,
    power_laws,
)
from headstart.statistics.label_value import LabelCount, Worth, check_nested, worth_in_labels

Table = NDArray[np.float64]
BUDGETS = [50, 100, 200, 400, 800]


def arm(errors: list[float], seeds: int = 8, pictures: int = 1000, seed: int = 0) -> list[Table]:
    random = np.random.default_rng(seed)
    hard = random.standard_normal(pictures)
    return [
        (random.standard_normal((seeds, pictures)) + hard < norm.isf(e) * np.sqrt(2)).astype(float)
        for e in errors
    ]


@given(arrays(np.float64, (6, 3), elements=st.floats(0, 1)))
def test_isotonic_curves_are_scikit_learns(accuracy: Table) -> None:
    fit = isotonic(accuracy)

    for column in range(3):
        assert fit[:, column] == pytest.approx(isotonic_regression(accuracy[:, column]))


def test_inverse_of_a_logarithmic_curve_is_exact() -> None:
    budgets = np.array([10.0, 100.0, 1000.0])
    curves = np.array([[0.5], [0.6], [0.7]])

    assert monotone_inverse(budgets, curves, np.array([0.65]))[0] == pytest.approx(10**2.5)
    assert monotone_inverse(budgets, curves, np.array([0.6]))[0] == pytest.approx(100, rel=1e-3)
    assert monotone_inverse(budgets, curves, np.array([0.71]))[0] == np.inf
    assert monotone_inverse(budgets, curves, np.array([0.49]))[0] == 0


def test_on_a_plateau_the_first_crossing_counts() -> None:
    budgets = np.array([10.0, 100.0, 1000.0])
    flat = np.array([[0.6], [0.7], [0.7]])

    assert monotone_inverse(budgets, flat, np.array([0.7]))[0] == pytest.approx(100, rel=0.03)


def test_power_laws_find_the_curve_that_made_the_points() -> None:
    budgets = np.array([50.0, 100, 200, 400, 800, 1600])
    accuracy = 1 - 0.02 - 0.9 * budgets[:, None] ** -0.5

    floor, scale, exponent = (x[0] for x in power_laws(budgets, accuracy))
    fitted = 1 - floor - scale * budgets**-exponent

    assert fitted == pytest.approx(accuracy[:, 0], abs=1e-4)
    needed = power_inverse(budgets, accuracy, np.array([1 - 0.02 - 0.9 * 300**-0.5]))
    assert needed[0] == pytest.approx(300, rel=0.01)
    beyond = power_inverse(budgets, accuracy, np.array([0.999]))
    assert beyond[0] == np.inf


def test_worth_of_curves_that_are_shifted_by_a_factor_of_two() -> None:
    errors = [0.35, 0.25, 0.18, 0.13, 0.10]
    transfer, scratch = arm([*errors[1:], 0.08]), arm(errors, seed=1)

    worth = worth_in_labels(BUDGETS, transfer, scratch)

    for at in worth.worths[:3]:
        assert at.low is not None
        assert at.high is not None
        assert at.low.labels < 2 * at.at < at.high.labels or at.high.beyond == "≥"
        assert at.multiplier == pytest.approx(2, rel=0.25)
        assert at.saving == pytest.approx(at.at, rel=0.5)
    assert worth.worths[4].needed == LabelCount(800, "≥")
    assert "are worth at least 800 from scratch: ≥ ×1" in worth.worths[4].sentence()
    assert worth.by_power_law[1].multiplier == pytest.approx(2, rel=0.3)
    assert worth.transfer.monotone == tuple(sorted(worth.transfer.monotone))
    assert worth.scratch.intervals[0].mean == scratch[0].mean()
    assert worth.pairs == 8


def test_negative_worth_is_said_plainly() -> None:
    errors = [0.35, 0.25, 0.18, 0.13, 0.10]
    worth = worth_in_labels(BUDGETS, arm([0.5, *errors[:4]]), arm(errors, seed=1))

    assert worth.worths[0].needed == LabelCount(50, "≤")
    assert worth.worths[2].saving < 0
    assert "; transfer costs about " in worth.worths[2].sentence()


def test_sentences_of_worth() -> None:
    worth = Worth(200, LabelCount(560, ""), LabelCount(380, ""), LabelCount(800, "≥"))

    assert worth.sentence() == (
        "200 labels with transfer are worth about 560 from scratch: ×2.8 (×1.9 to ≥×4)"
    )
    few = Worth(200, LabelCount(100, "≤"), None, None).sentence()
    assert few == (
        "200 labels with transfer are worth at most 100 from scratch: ≤ ×0.5; transfer costs at "
        "least 100 labels here; no interval with fewer than 6 pairs"
    )
    assert str(LabelCount(1200.4, "≥")) == "≥ 1,200"


def test_few_pairs_get_no_interval() -> None:
    errors = [0.35, 0.25, 0.18, 0.13, 0.10]
    worth = worth_in_labels(BUDGETS, arm(errors, seeds=3), arm(errors, seeds=3, seed=1))

    assert worth.worths[0].low is None


def test_rows_that_share_a_draw_count_once() -> None:
    errors = [0.35, 0.25, 0.18, 0.13, 0.10]
    transfer, scratch = arm(errors, seed=2), arm(errors, seed=3)
    twice = [np.repeat(table, 2, axis=0) for table in transfer]
    twice_scratch = [np.repeat(table, 2, axis=0) for table in scratch]

    alone = worth_in_labels(BUDGETS, transfer, scratch)
    copied = worth_in_labels(BUDGETS, twice, twice_scratch, draws=np.repeat(np.arange(8), 2))

    assert copied.pairs == 8
    assert copied.worths == alone.worths


def test_budgets_that_are_not_nested_are_refused() -> None:
    check_nested([[1, 2], [2, 1, 3], [1, 2, 3, 4, 5]])
    with pytest.raises(RecordsError, match="1 of the 2 labels of budget 2 are not in budget 3"):
        check_nested([[1, 9], [1, 2, 3]])


def test_curves_that_do_not_fit_together_are_refused() -> None:
    tables = arm([0.3, 0.2])
    with pytest.raises(RecordsError, match="budgets must be at least two, and rise"):
        worth_in_labels([100, 50], tables, tables)
    with pytest.raises(RecordsError, match="scratch has scores for 1 of 2 budgets"):
        worth_in_labels([50, 100], tables, tables[:1])
    with pytest.raises(RecordsError, match="same seeds and test pictures at every budget"):
        worth_in_labels([50, 100], tables, [tables[0], tables[1][:4]])
    with pytest.raises(RecordsError, match="transfer at 100 labels holds scores that are not"):
        worth_in_labels([50, 100], [tables[0], tables[1] * np.nan], tables)
