"""Several claims at once: Holm against statsmodels, families, orders with ties."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from headstart.errors import RecordsError, StudyError
from headstart.statistics.multiplicity import (
    compare_family,
    correct_family,
    holm,
    order_with_ties,
    pairs_needed,
)
from headstart.statistics.paired import compare_pairs


def arms(seeds: int, accuracies: dict[str, float]) -> dict[str, NDArray[np.float64]]:
    random = np.random.default_rng(0)
    return {
        name: (random.random((seeds, 1500)) < accuracy).astype(float)
        for name, accuracy in accuracies.items()
    }


def test_holm_agrees_with_statsmodels() -> None:
    # statsmodels 0.15.0: multipletests([...], method="holm")
    adjusted = holm([0.01, 0.04, 0.03, 0.005, 0.2, 0.04])

    assert adjusted == pytest.approx((0.05, 0.12, 0.12, 0.03, 0.2, 0.12))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_between_the_p_values_and_bonferroni_and_keeps_their_order(p: list[float]) -> None:
    adjusted = [float(q) for q in holm(p) if q is not None]

    for value, mended in zip(p, adjusted, strict=True):
        assert value <= mended <= min(1.0, len(p) * value) + 1e-12
    assert [adjusted[i] for i in np.argsort(p)] == sorted(adjusted)


def test_a_claim_without_p_value_stays_without_and_still_counts() -> None:
    assert holm([0.02, None]) == (0.04, None)
    with pytest.raises(StudyError, match=r"p-values must be in \[0, 1\]"):
        holm([1.2])


def test_more_comparisons_need_more_pairs() -> None:
    assert [pairs_needed(m) for m in (1, 2, 9, 45)] == [6, 7, 9, 11]


def test_a_family_makes_each_claim_harder_and_says_so() -> None:
    scores = arms(6, {"scratch": 0.90, "frozen": 0.96, "fine_tune": 0.97})

    claims = compare_family(scores, baseline="scratch")

    assert [(claim.a, claim.b) for claim in claims] == [
        ("frozen", "scratch"),
        ("fine_tune", "scratch"),
    ]
    assert compare_pairs(scores["frozen"], scores["scratch"]).verdict == "better"
    assert [claim.verdict for claim in claims] == ["undecided", "undecided"]
    note = claims[0].comparison.note
    assert "among 2 comparisons a difference can only be claimed from 7 pairs on" in note
    assert "better on its own, but not among 2 comparisons (Holm)" in note


def test_with_enough_pairs_clear_differences_survive_and_intervals_widen() -> None:
    scores = arms(12, {"scratch": 0.90, "frozen": 0.96, "fine_tune": 0.97})

    claims = compare_family(scores)

    assert len(claims) == 3
    by_pair = {(claim.a, claim.b): claim for claim in claims}
    claim = by_pair["frozen", "scratch"]
    assert claim.verdict == "better"
    assert claim.sentence().startswith("frozen is better than scratch by ")
    assert claim.adjusted_p is not None
    assert claim.comparison.claim_p is not None
    assert claim.adjusted_p >= claim.comparison.claim_p
    assert claim.low is not None
    assert claim.comparison.low is not None
    assert claim.low < claim.comparison.low


def test_equivalence_is_corrected_too() -> None:
    same = np.ones((8, 1000))
    a = same.copy()
    a[:, :1] = 0
    comparison = compare_pairs(a, same)
    assert comparison.verdict == "equivalent"

    alone = correct_family([("a", "b")], [comparison])
    many = correct_family([("a", "b")] * 40, [comparison] * 40)

    assert alone[0].verdict == "equivalent"
    assert many[0].verdict == "undecided"
    assert "equivalent on its own, but not among 40 comparisons" in many[0].comparison.note


def test_ties_are_shown_as_ties_and_do_not_carry_over() -> None:
    order = order_with_ties(
        {"c": 0.90, "a": 0.95, "b": 0.93, "d": 0.80},
        [("a", "c"), ("d", "a"), ("d", "b"), ("c", "d")],
    )

    assert order.names == ("a", "b", "c", "d")
    assert order.ties == (("a", "b"), ("b", "c"), ("d",))
    assert order_with_ties({"x": 1.0, "y": 2.0}, []).ties == (("y", "x"),)


def test_unknown_names_and_lonely_strategies_are_refused() -> None:
    with pytest.raises(StudyError, match="did you mean 'scratch'"):
        compare_family(arms(2, {"scratch": 0.5, "frozen": 0.5}), baseline="scrach")
    with pytest.raises(RecordsError, match="at least two strategies"):
        compare_family(arms(2, {"scratch": 0.5}))
    with pytest.raises(RecordsError, match="no mean for 'z'"):
        order_with_ties({"x": 1.0}, [("x", "z")])
