"""The summary: verdicts of the family, ties, what would help, and what was left out."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from headstart.report import summary as summary_module
from headstart.report.choosing import chosen
from headstart.report.summary import claims, confidence, orders, summarise
from headstart.statistics.ledger import next_entry
from headstart.statistics.paired import compare_pairs
from headstart.statistics.selection import best_of
from headstart.statistics.sequential import declare, follow
from headstart.study.results import StudyRecords, Validation

MakeRecords = Callable[..., StudyRecords]
Correct = NDArray[np.bool_]

PICTURES = 300


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands beside the answer is not what is asked here."""
    monkeypatch.setattr(summary_module, "_RESAMPLES_BESIDE", 100)


def right(accuracy: float, seeds: int, seed: int = 0, pictures: int = PICTURES) -> Correct:
    """Right and wrong of so many seeds, hard pictures hard for all."""
    random = np.random.default_rng(seed)
    hardness = np.random.default_rng(99).random(pictures)
    return hardness + random.normal(0, 0.05, (seeds, pictures)) < accuracy


def gains(base: Correct, by_seed: list[int], seed: int = 5) -> Correct:
    """The same answers with so many mistakes mended in each seed."""
    random = np.random.default_rng(seed)
    better = base.copy()
    for own, mended in zip(better, by_seed, strict=True):
        own[random.permutation(np.flatnonzero(~own))[:mended]] = True
    return better


def test_the_summary_is_json_and_speaks_in_the_familys_verdicts(
    made_records: MakeRecords,
) -> None:
    base = right(0.7, 8)
    records = made_records({("scratch", 50): base, ("frozen", 50): gains(base, [30] * 8)})

    summary = summarise(records)

    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    (entry,) = summary["comparisons"]
    alone = compare_pairs(records.answers["frozen", 50].correct, base)
    assert entry["verdict"] == alone.verdict == "better"
    assert entry["adjusted_p"] == alone.claim_p
    assert entry["sentence"].startswith("frozen is better than scratch by 10.0 points")
    assert entry["sentence"].endswith("8 pairs")
    spread = entry["spread"]
    assert alone.variance is not None
    assert sum(part**2 for part in spread.values()) == pytest.approx(alone.variance.variance())
    assert set(entry["metrics"]) == {
        "balanced_accuracy", "f1_macro", "roc_auc", "log_loss", "ece",
    }  # fmt: skip
    assert entry["probability_of_improvement"]["value"] == 1.0
    assert entry["path"] is None
    seen = summary["strategies"][0]["spread"]
    assert seen["observed"] == pytest.approx(base.mean(axis=1).std(ddof=1))
    assert 0 < seen["finite_test_set"] < 1


def test_holm_takes_a_verdict_back_and_says_so(made_records: MakeRecords) -> None:
    base = right(0.7, 6)
    arms = {("scratch", 50): base, ("frozen", 50): gains(base, [30] * 6)}
    alone = summarise(made_records(arms))["comparisons"]
    idle = {(f"idle_{k}", 50): gains(base, [1, 0, 1, 0, 1, 0], seed=k) for k in range(3)}

    among = summarise(made_records(arms | idle))["comparisons"]

    assert alone[0]["verdict"] == "better"
    assert among[0]["verdict"] == "undecided"
    assert among[0]["adjusted_p"] == pytest.approx(4 * among[0]["p_value"])
    assert "better on its own, but not among 4 comparisons (Holm)" in among[0]["sentence"]
    assert "8 pairs on" in among[0]["note"]
    wide = among[0]["simultaneous"]
    assert wide["low"] < among[0]["low"] < among[0]["high"] < wide["high"]


def test_strategies_that_are_not_told_apart_are_tied(made_records: MakeRecords) -> None:
    base = right(0.6, 12)
    records = made_records(
        {
            ("scratch", 50): base,
            ("frozen", 50): gains(base, [45] * 12, seed=1),
            ("other", 50): gains(base, [46, 44] * 6, seed=2),
        }
    )

    order = orders(records)[50]

    assert order.names[-1] == "scratch"
    assert [set(group) for group in order.ties] == [{"frozen", "other"}, {"scratch"}]
    (entry,) = summarise(records)["orders"]
    assert entry["names"] == list(order.names)
    assert entry["means"] == sorted(entry["means"], reverse=True)


def test_trials_missing_in_one_arm_are_paired_on_what_is_there_and_said(
    made_records: MakeRecords,
) -> None:
    base = right(0.7, 8)
    better = gains(base, [30] * 8)
    records = made_records(
        {("scratch", 50): base, ("frozen", 50): better[:7]},
        seeds={("frozen", 50): [0, 1, 2, 3, 5, 6, 7]},
    )

    (entry,) = summarise(records)["comparisons"]

    assert entry["pairs"] == 7
    assert "1 seeds have a trial in only one of the two" in entry["note"]
    kept = [0, 1, 2, 3, 5, 6, 7]
    assert entry["difference"] == pytest.approx(float((better[:7] - 1.0 * base[kept]).mean()))


def test_more_readings_than_the_budget_make_all_intervals_wider(made_records: MakeRecords) -> None:
    base = right(0.7, 8)
    once = made_records({("scratch", 50): base, ("frozen", 50): gains(base, [25, 35] * 4)})
    second = next_entry(once.test_reads, when="2026", split="a", reader="compare", purpose="again")
    twice = replace(once, test_reads=[*once.test_reads, second])

    few, many = summarise(once), summarise(twice)

    assert (confidence(once), confidence(twice)) == (0.95, 0.975)
    assert many["comparisons"][0]["low"] < few["comparisons"][0]["low"]
    assert many["strategies"][0]["accuracy"]["high"] > few["strategies"][0]["accuracy"]["high"]
    assert few["ledger"]["sentence"] == "the test split was read once, within its budget of 1"
    assert "widened to 97.5% each" in many["ledger"]["sentence"]
    assert many["ledger"]["counted"] == 2


def test_a_declared_designs_looks_give_verdict_interval_and_path(
    made_records: MakeRecords,
) -> None:
    base = right(0.7, 10)
    better = gains(base, [30, 25] * 5)
    design = declare(12)
    records = made_records(
        {("scratch", 50): base, ("frozen", 50): better}, changes={"design": asdict(design)}
    )
    path = follow(design, better, base)

    (entry,) = summarise(records)["comparisons"]

    last = path.looks[-1]
    assert entry["verdict"] == path.verdict == "better"
    assert (entry["low"], entry["high"]) == (last.low, last.high)
    assert entry["pairs"] == last.pairs < 10
    assert entry["path"]["stop"] == "better"
    assert [look["pairs"] for look in entry["path"]["looks"]] == [n.pairs for n in path.looks]
    boundary = [declared["boundary"] for declared in entry["path"]["declared"]]
    assert boundary == pytest.approx(stats.norm.isf(np.array(design.claim_levels) / 2))
    assert boundary == sorted(boundary, reverse=True)
    assert entry["path"]["looks"][-1]["evidence"] > boundary[len(path.looks) - 1]


@pytest.mark.parametrize("case", ["one seed", "perfect", "all seeds equal", "chance"])
def test_odd_records_are_summarised_without_a_false_claim(
    made_records: MakeRecords, case: str
) -> None:
    base = {
        "one seed": right(0.7, 1),
        "perfect": np.ones((8, PICTURES), dtype=bool),
        "all seeds equal": np.repeat(right(0.7, 1), 8, axis=0),
        "chance": np.random.default_rng(2).random((8, PICTURES)) < 0.5,
    }[case]
    same = np.random.default_rng(3).random((8, PICTURES)) < 0.5 if case == "chance" else base
    records = made_records({("scratch", 50): base, ("frozen", 50): same}, margin=0.0001)

    summary = summarise(records)

    assert json.dumps(summary, allow_nan=False)
    (entry,) = summary["comparisons"]
    assert entry["verdict"] in ("undecided", "equivalent")
    if case == "one seed":
        assert (entry["low"], entry["p_value"], entry["spread"]) == (None, None, None)
        assert "one pair" in entry["sentence"]
    if case == "perfect":
        assert entry["relative_error_reduction"] is None
        assert entry["difference"] == 0


def test_the_best_is_chosen_on_validation_pictures_and_its_luck_taken_off(
    made_records: MakeRecords,
) -> None:
    random = np.random.default_rng(8)
    names = ("scratch", *(f"twin_{k}" for k in range(9)))
    correct = random.random((10, 2 * 150)) < 0.7
    pictures = np.concatenate([np.arange(150), np.arange(100, 250)])
    base = right(0.7, 2)
    records = made_records(
        {(name, 50): base for name in names},
        changes={"validation": {50: Validation(names, (0, 1), correct, pictures)}},
    )

    (entry,) = chosen(records)

    expected = best_of(correct, groups=pictures)
    assert entry["winner"] == names[expected.winner]
    assert entry["uncorrected"] == correct.mean(axis=1).max()
    assert entry["estimate"] == expected.estimate < entry["uncorrected"] - 0.01
    assert entry["low"] < 0.7 < entry["high"]
    assert sum(entry["share_won"].values()) == pytest.approx(1)
    assert "is the best of 10 on the validation pictures" in entry["sentence"]
    assert "once its luck is taken off" in entry["sentence"]
    assert summarise(records)["best"] == [entry]


def test_too_few_validation_pictures_choose_nothing(made_records: MakeRecords) -> None:
    few = Validation(("scratch", "frozen"), (0,), np.ones((2, 9), dtype=bool), np.arange(9))
    base = right(0.7, 2)
    arms = {("scratch", 50): base, ("frozen", 50): base}
    assert chosen(made_records(arms, changes={"validation": {50: few}})) == []


def test_claims_are_one_family_over_all_label_budgets(made_records: MakeRecords) -> None:
    base = right(0.7, 8)
    arms = {
        (name, labels): base if name == "scratch" else gains(base, [30] * 8)
        for name in ("scratch", "frozen")
        for labels in (50, "all")
    }
    found = claims(made_records(arms))
    assert [labels for labels, _, _ in found] == [50, "all"]
    for _, _, claim in found:
        assert claim.adjusted_p == pytest.approx(2 * (claim.comparison.claim_p or 0))


def test_seeds_that_all_gain_one_picture_but_not_the_same_are_no_certainty(
    made_records: MakeRecords,
) -> None:
    base = right(0.7, 6)
    better = base.copy()
    for seed in range(6):
        better[seed, np.flatnonzero(~base[seed])[seed]] = True
    (entry,) = summarise(made_records({("scratch", 50): base, ("frozen", 50): better}))[
        "comparisons"
    ]
    assert entry["difference"] == pytest.approx(1 / PICTURES)
    assert entry["verdict"] == "undecided"
    assert entry["low"] < 0 < entry["high"]
