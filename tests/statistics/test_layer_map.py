"""The numbers of a map of layer transfer, against SciPy and worlds with known truth."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from headstart.errors import RecordsError, StudyError
from headstart.statistics.layer_transfer import AGAIN, BASE, Key, World, layer_map

CUTS = (1, 2, 3, 4, 5)
Truth = Callable[[str, int], float]
NOTHING: Truth = lambda _arm, _cut: 0.0  # noqa: E731  a truth is read as a formula


def yosinski(arm: str, cut: int) -> float:
    """Curves as the paper's: BnB dips in the middle, AnB falls, the others stay or rise."""
    return {
        "AnB": -0.05 * cut, "BnB": -0.12 if 1 < cut < 5 else 0.0, "AnB+": 0.04, "BnB+": 0.0,
    }.get(arm, 0.0)  # fmt: skip


def world(truth: Truth, seed: int, seeds: int = 2, pictures: int = 400) -> World:
    """0/1 answers: seeds and class splits shift every arm a little, pictures are hard or easy."""
    rng = np.random.default_rng(seed)
    hard = rng.random(pictures)
    keys: list[Key] = [(BASE, 0), (AGAIN, 0)]
    keys += [(arm, cut) for arm in ("AnB", "AnB+", "BnB", "BnB+") for cut in CUTS]
    split = {arm: rng.normal(0, 0.01) for arm, _ in keys}
    tables = {}
    for arm, cut in keys:
        level = 0.7 + truth(arm, cut) + split[arm] + rng.normal(0, 0.01, (seeds, 1))
        tables[arm, cut] = (hard + rng.normal(0, 0.1, (seeds, pictures)) < level).astype(float)
    return World(tables)


def means(worlds: list[World], key: Key) -> NDArray[np.float64]:
    return np.array([np.asarray(each.tables[key]).mean() for each in worlds])


def test_over_class_splits_the_interval_is_the_t_interval_of_their_means() -> None:
    worlds = [world(yosinski, seed) for seed in range(6)]
    found = layer_map(worlds)
    cut = found.cuts[2]
    gaps = means(worlds, ("BnB", 3)) - means(worlds, ("AnB", 3))
    own = stats.ttest_1samp(gaps, 0).confidence_interval(0.95)
    wide = stats.ttest_1samp(gaps, 0).confidence_interval(1 - 0.05 / 5)
    number = cut.derived["specificity"]
    told = (number.value, number.low, number.high, number.all_low, number.all_high)
    assert told == pytest.approx((gaps.mean(), *own, *wide))
    co = means(worlds, (BASE, 0)) - means(worlds, ("BnB", 3))
    assert cut.derived["co_adaptation"].value == pytest.approx(co.mean())
    boost = means(worlds, ("AnB+", 3)) - means(worlds, ("BnB+", 3))
    assert cut.derived["lasting_boost"].value == pytest.approx(boost.mean())
    assert cut.arms["AnB"].value == pytest.approx(
        (means(worlds, ("AnB", 3)) - means(worlds, (BASE, 0))).mean()
    )
    assert (found.worlds, found.seeds, len(found.cuts)) == (6, 2, 5)


def test_in_one_world_where_pictures_are_alike_it_is_the_t_interval_over_seeds() -> None:
    rng = np.random.default_rng(3)
    tables: dict[Key, NDArray[np.float64]] = {
        key: np.repeat(rng.random((7, 1)), 50, axis=1) for key in ((BASE, 0), ("AnB", 1))
    }
    number = layer_map([World(tables)]).cuts[0].arms["AnB"]
    gaps = tables["AnB", 1][:, 0] - tables[BASE, 0][:, 0]
    low, high = stats.ttest_1samp(gaps, 0).confidence_interval(0.95)
    assert (number.low, number.high) == pytest.approx((low, high), rel=1e-3)


def test_the_four_signs_are_seen_where_they_are_and_not_where_they_are_not() -> None:
    there = layer_map([world(yosinski, seed) for seed in range(8)])
    assert [sign.answer for sign in there.signs] == ["yes"] * 4
    assert [sign.name for sign in there.signs] == [
        "BnB dips in the middle", "BnB+ recovers", "AnB falls with n", "AnB+ at or above base",
    ]  # fmt: skip

    def upside_down(arm: str, cut: int) -> float:
        return -yosinski(arm, cut)

    turned = layer_map([world(upside_down, seed) for seed in range(8)])
    assert [sign.answer for sign in turned.signs] == ["no"] * 4
    assert "base B is −" in turned.signs[0].sentence
    assert "(mean over cuts 2 to 4)" in turned.signs[0].sentence


def test_where_nothing_is_a_sign_is_rarely_claimed_and_intervals_cover_together() -> None:
    claimed, covered, trials = np.zeros(3), 0, 200
    for number in range(trials):
        found = layer_map([world(NOTHING, 10 * number + k, pictures=60) for k in range(6)])
        claimed += [sign.answer == "yes" for sign in found.signs[:3]]
        bands = [cut.arms["BnB"] for cut in found.cuts]
        covered += all((b.all_low or 0.0) <= 0 <= (b.all_high or 0.0) for b in bands)
    assert (claimed / trials < 0.025 + 3 * np.sqrt(0.025 * 0.975 / trials)).all()
    assert covered / trials > 0.95 - 3 * np.sqrt(0.05 * 0.95 / trials)


def test_one_seed_has_no_interval_and_no_sign() -> None:
    found = layer_map([world(yosinski, 0, seeds=1)])
    assert found.cuts[0].arms["AnB"].low is None
    assert {sign.answer for sign in found.signs} == {"cannot tell"}
    assert found.few == "1 seed, at least 6 are needed"


@pytest.mark.parametrize(
    ("splits", "seeds", "few"),
    [
        (1, 2, "2 seeds, at least 6 are needed"),
        (1, 5, "5 seeds, at least 6 are needed"),
        (1, 6, ""),
        (2, 6, "2 class splits, at least 6 are needed"),
        (5, 2, "5 class splits, at least 6 are needed"),
        (6, 1, ""),
    ],
)
def test_fewer_than_six_units_answer_nothing_however_clear(
    splits: int, seeds: int, few: str
) -> None:
    found = layer_map([world(yosinski, seed, seeds=seeds) for seed in range(splits)])
    assert found.few == few
    assert found.units == (splits if splits > 1 else seeds)
    falls = found.signs[2]
    assert falls.number.high is not None
    if few:
        assert {sign.answer for sign in found.signs} == {"cannot tell"}
        assert falls.sentence.startswith(f"{few}; AnB changes by −")
        assert not any("no dip was found" in sign.sentence for sign in found.signs)
    else:
        assert [sign.answer for sign in found.signs] == ["yes"] * 4
        assert falls.sentence.startswith("AnB changes by −")


def test_no_interval_reaches_beyond_what_accuracies_can_differ_by() -> None:
    right, wrong = np.ones((2, 20)), np.zeros((2, 20))
    mixed = np.vstack([right[0], wrong[0]])
    tables: dict[Key, NDArray[np.float64]] = {
        (BASE, 0): mixed, (AGAIN, 0): mixed[::-1], ("AnB", 1): mixed, ("AnB", 2): mixed[::-1],
    }  # fmt: skip
    found = layer_map([World(tables)])
    assert found.again is not None
    assert (found.again.value, found.again.low, found.again.high) == (0, -1, 1)
    arm = found.cuts[1].arms["AnB"]
    assert (arm.low, arm.high, arm.all_low, arm.all_high) == (-1, 1, -1, 1)
    (slope,) = found.signs
    assert (slope.number.low, slope.number.high) == (-1, 1)  # of two neighbours
    tables["AnB", 3] = mixed[::-1]
    (slope,) = layer_map([World(tables)]).signs
    assert slope.number.low == pytest.approx(-0.5)  # from 1 to 0 over two groups
    assert slope.number.high == pytest.approx(0.5)


def test_arms_that_are_not_there_are_passed_over() -> None:
    whole = world(yosinski, 1)
    tables = {key: own for key, own in whole.tables.items() if key[0] in (BASE, "BnB")}
    found = layer_map([World(tables)])
    assert found.again is None
    assert set(found.cuts[0].derived) == {"co_adaptation"}
    assert [sign.name for sign in found.signs] == ["BnB dips in the middle"]


def test_each_sign_takes_the_cuts_that_its_arms_have() -> None:
    whole = world(yosinski, 1)

    def told(*keys: Key) -> list[tuple[str, str]]:
        tables = {key: whole.tables[key] for key in [(BASE, 0), *keys]}
        return [(sign.name, sign.sentence) for sign in layer_map([World(tables)]).signs]

    (only,) = told(("AnB", 1), ("BnB", 3))
    assert only[0] == "BnB dips in the middle"
    assert only[1].endswith("(mean over cut 3)")
    said = dict(told(*[("BnB", cut) for cut in CUTS], ("BnB+", 2), ("AnB", 5), ("AnB", 2)))
    assert said["BnB dips in the middle"].endswith("(mean over cuts 2 to 4)")
    assert said["BnB+ recovers"].endswith("(mean over cut 2)")
    assert "AnB falls with n" in said
    assert told(("AnB", 1)) == []


def test_nothing_recovers_where_nothing_dipped() -> None:
    def rises(arm: str, _cut: int) -> float:
        return 0.12 if arm == "BnB+" else 0.0

    dip, recovers, *_ = layer_map([world(rises, seed) for seed in range(8)]).signs
    assert dip.answer != "yes"
    assert recovers.number.low is not None
    assert recovers.number.low > 0
    assert recovers.answer == "cannot tell"
    assert recovers.sentence.endswith(", but no dip was found to recover from")


def test_class_splits_that_agree_by_chance_leave_some_doubt() -> None:
    ahead = np.zeros((1, 40))
    ahead[0, :4] = 1
    tables: dict[Key, NDArray[np.float64]] = {(BASE, 0): np.zeros((1, 40)), ("AnB", 1): ahead}
    number = layer_map([World(tables)] * 3).cuts[0].arms["AnB"]
    reach = stats.t.isf(0.025, 2) * np.sqrt(2) / 40
    assert (number.low, number.high) == pytest.approx((0.1 - reach, 0.1 + reach))


def test_tables_that_are_no_pairs_are_refused() -> None:
    whole = world(yosinski, 1)
    with pytest.raises(RecordsError, match="base B and its arms on the same seeds and pictures"):
        layer_map([World({**whole.tables, ("AnB", 1): np.ones((2, 7))})])
    fewer = {key: own for key, own in whole.tables.items() if key != ("AnB", 1)}
    with pytest.raises(RecordsError, match="every class split of a map needs the same arms"):
        layer_map([whole, World(fewer)])
    with pytest.raises(StudyError, match="confidence must be above 0 and below 1, not 95"):
        layer_map([whole], confidence=95)
