"""An open end: e-values look by look, honest stops, and no claim too many."""

from itertools import islice, pairwise

import numpy as np
import pytest

from headstart.errors import StudyError
from headstart.statistics.always_valid import evidence
from headstart.statistics.open_end import OpenDesign, follow_open, open_looks
from headstart.statistics.paired import compare_pairs
from headstart.statistics.power import Goal
from headstart.statistics.sequential import declare, follow
from headstart.statistics.simulations.worlds import World


def test_looks_begin_with_six_pairs_and_never_end() -> None:
    looks = list(islice(open_looks(), 40))
    assert looks[:8] == [6, 8, 10, 12, 14, 16, 18, 20]
    assert all(later > earlier for earlier, later in pairwise(looks))
    assert looks[-1] > 150


def test_each_look_tells_the_evidence_of_its_pairs_up_to_the_first_stop() -> None:
    world = World("apart", accuracy_a=0.93, accuracy_b=0.9, taste=0.3)
    a, b = world.draw(40, 2000, np.random.default_rng(0))

    path = follow_open(OpenDesign(alpha=0.01), a, b)

    assert path.stop == path.verdict == "better"
    for look in path.looks:
        reference = evidence(a[: look.pairs], b[: look.pairs], alpha=0.01)
        assert (look.difference, look.e_value) == (reference.difference, reference.e_value)
        assert look.low == max(reference.low, -1.0)
    assert all(look.stop is None for look in path.looks[:-1])
    last = path.looks[-1]
    assert last.p_value == pytest.approx(1 / last.e_value)
    assert last.p_value <= last.level
    assert last.low > 0


def test_sameness_is_told_and_too_few_pictures_end_it() -> None:
    random = np.random.default_rng(1)
    right = (random.random((60, 5000)) < 0.95).astype(float)
    nearly = right.copy()
    nearly[:, :3] = 1 - nearly[:, :3]
    same = follow_open(OpenDesign(margin=0.01), nearly, right)
    assert same.stop == "equivalent"

    # both answer the same way in every seed, but on other pictures: seeds tell nothing new
    table = (random.random((2, 1, 60)) < 0.8).repeat(40, axis=1).astype(float)
    path = follow_open(OpenDesign(), table[0], table[1])
    assert (path.stop, path.verdict) == ("futile", "undecided")
    assert len(path.looks) == 1


def test_two_equal_strategies_are_hardly_ever_told_apart_whenever_one_stops() -> None:
    world = World("equal", seed_a=0.3, seed_b=0.3)
    claims = 0
    for number in range(150):
        a, b = world.draw(40, 200, np.random.default_rng(number))
        path = follow_open(OpenDesign(futility=0.0), a, b)
        claims += path.verdict in ("better", "worse")
    assert claims / 150 <= 0.055


def test_with_margin_zero_nothing_is_equivalent_and_all_else_works() -> None:
    random = np.random.default_rng(2)
    a = (random.random((12, 300)) < 0.9).astype(float)
    b = (random.random((12, 300)) < 0.7).astype(float)
    assert compare_pairs(a, a, margin=0).verdict == "undecided"
    assert compare_pairs(a, b, margin=0).verdict == "better"
    assert follow(declare(12, margin=0), a, b).verdict == "better"
    assert follow(declare(12, margin=0), a, a).verdict == "undecided"
    assert follow_open(OpenDesign(margin=0), a, b).verdict == "better"
    assert Goal(margin=0).margin == 0


def test_a_design_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(StudyError) as caught:
        OpenDesign(alpha=0, margin=-1, futility=1)
    assert len(caught.value.problems) == 3
