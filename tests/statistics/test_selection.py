"""The best of several, with its luck taken off."""

import numpy as np
import pytest

from headstart.errors import RecordsError
from headstart.statistics.selection import best_of


def test_the_replayed_choice_is_the_one_done_by_hand() -> None:
    random = np.random.default_rng(0)
    scores = (random.random((6, 80)) < 0.8).astype(float)
    by_hand: list[float] = []
    larger_bags: list[float] = []
    for _ in range(3000):
        for bag, results in ((80, by_hand), (160, larger_bags)):
            rows = random.integers(0, 80, bag)
            winner = scores[:, rows].mean(axis=1).argmax()
            results.append(scores[winner, np.setdiff1d(np.arange(80), rows)].mean())

    selection = best_of(scores, resamples=4000)

    assert selection.estimate == pytest.approx(np.mean(larger_bags), abs=0.006)
    assert selection.low == pytest.approx(np.quantile(by_hand, 0.025), abs=0.02)
    assert selection.uncorrected == scores.mean(axis=1).max()
    assert selection.winner == scores.mean(axis=1).argmax()
    assert selection.configurations == 6
    assert selection.standard_error == pytest.approx(scores[selection.winner].std() / np.sqrt(80))
    assert sum(selection.share_won) == pytest.approx(1)


def test_the_only_configuration_keeps_its_mean() -> None:
    scores = (np.random.default_rng(1).random((1, 300)) < 0.7).astype(float)

    selection = best_of(scores)

    assert selection.estimate == pytest.approx(scores.mean(), abs=0.003)
    assert selection.luck == pytest.approx(0, abs=0.003)


def test_a_clear_winner_keeps_nearly_all_of_its_score() -> None:
    random = np.random.default_rng(2)
    scores = (random.random((20, 500)) < np.r_[0.95, np.full(19, 0.6)][:, None]).astype(float)

    selection = best_of(scores)

    assert selection.winner == 0
    assert selection.share_won[0] == 1
    assert abs(selection.luck) < 0.005


def test_a_winner_without_an_error_is_no_certainty() -> None:
    assert best_of(np.ones((3, 50))).standard_error == pytest.approx(np.sqrt(2) / 50)


def test_groups_are_drawn_as_a_whole() -> None:
    random = np.random.default_rng(3)
    scores = (random.random((5, 60)) < 0.8).astype(float)
    copies = np.repeat(np.arange(60), 3)

    alone, copied = best_of(scores), best_of(scores[:, copies], groups=copies)

    assert copied.estimate == pytest.approx(alone.estimate)
    assert copied.standard_error == pytest.approx(alone.standard_error)


def test_unusable_scores_are_refused() -> None:
    with pytest.raises(RecordsError, match="finite numbers of shape"):
        best_of(np.full((3, 20), np.nan))
    with pytest.raises(RecordsError, match="too few to choose on"):
        best_of(np.ones((3, 4)))
    with pytest.raises(RecordsError, match="a group for each of the 20 rows"):
        best_of(np.ones((3, 20)), groups=[1, 2])
