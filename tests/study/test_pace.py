"""The time that is left: near the truth for jobs that differ in what they cost."""

from collections.abc import Callable
from pathlib import Path

import pytest

from headstart.data.image_set import ImageSet
from headstart.data.tasks import Budget
from headstart.report.results import Results
from headstart.study.jobs import Job, Stack
from headstart.study.pace import Kind, Pace, TimedRunner, kind, pictures_trained_on
from headstart.study.records import Records, TrialKey
from headstart.study.runner import InlineRunner
from headstart.study.spec import Study
from headstart.study.workplace import Workplace

Make = Callable[..., Study]
Compare = Callable[..., Results]

# What each kind of job costs in truth, and how many pictures it trains on: the frozen strategies
# are cheaper a picture, as they are in life.
SECONDS: dict[Kind, float] = {
    (None, "all"): 40.0,
    ("scratch", "all"): 20.0,
    ("scratch", 50): 1.5,
    ("frozen", "all"): 8.0,
    ("frozen", 50): 0.5,
}
PICTURES: dict[Kind, float] = {
    (None, "all"): 100_000,
    ("scratch", "all"): 50_000,
    ("scratch", 50): 1_500,
    ("frozen", "all"): 50_000,
    ("frozen", 50): 1_500,
}


def jobs() -> list[Job]:
    """Ten sources, then each seed's four trials."""
    trials = [
        Job(seed, TrialKey(name, seed, labels))
        for seed in range(10)
        for name in ("frozen", "scratch")
        for labels in (50, "all")
    ]
    return [Job(seed) for seed in range(10)] + trials


@pytest.mark.parametrize("slots", [1, 2, 8])
def test_estimates_follow_the_truth(slots: int) -> None:
    """Simulate a study of known costs and compare each estimate with what was really left."""
    pace = Pace(PICTURES)
    waiting, now = jobs(), 0.0
    in_hand: dict[Job, float] = {}
    told: list[tuple[float, float]] = []
    while waiting or in_hand:
        while waiting and len(in_hand) < slots:
            in_hand[waiting.pop(0)] = now
        first = min(in_hand, key=lambda job: in_hand[job] + SECONDS[kind(job)])
        now = in_hand.pop(first) + SECONDS[kind(first)]
        pace.note(first, SECONDS[kind(first)])
        spent = {job: now - taken for job, taken in in_hand.items()}
        left = pace.seconds_left(waiting, spent, slots)
        assert left is not None
        told.append((now, left))
    for at, left in told[:-1]:
        assert (now - at) / 2 <= left <= 2 * (now - at)
    for at, left in told[-40 + slots : -1]:  # every kind was seen by then
        assert left == pytest.approx(now - at, rel=0.2, abs=SECONDS["scratch", "all"])
    assert told[-1][1] == 0


def test_nothing_is_estimated_from_nothing() -> None:
    assert Pace(PICTURES).seconds_left(jobs(), {}, 2) is None


def test_a_job_that_takes_longer_than_expected_takes_nothing_from_the_others() -> None:
    pace = Pace(PICTURES)
    pace.note(Job(0), 40)
    assert pace.seconds_left([Job(1)], {Job(2): 1000.0}, 2) == 40


def test_pictures_are_counted_as_they_are_trained_on(
    small_study: Make, digits: ImageSet, folder: Path, compare: Compare
) -> None:
    study = small_study(
        strategy={
            "scratch": {"steps": 7, "batch_size": 16},
            "frozen": {},
            "freeze_then_thaw": {"freeze_epochs": 3},
        }
    )
    compare(study, folder, images=digits)
    records = Records.open(folder, create=False)
    trials, sources = records.trials(), records.sources()
    records.close()

    counted = pictures_trained_on(Workplace(study, lambda: digits, folder))

    assert len(counted) == 3 * 2 + 1
    assert counted["scratch", 60] == 7 * 16
    for row in trials:
        labels: Budget = "all" if row["labels"] == "all" else int(row["labels"])
        batch = 16 if row["strategy"] == "scratch" else 32
        pictures = counted[row["strategy"], labels]
        assert (row["steps"] - row["epochs"]) * batch < pictures <= row["steps"] * batch
    for row in sources.values():
        assert (row["steps"] - row["epochs"]) * 32 < counted[None, "all"] <= row["steps"] * 32


def test_whoever_makes_features_does_not_seem_to_take_longer(
    small_study: Make,
    digits: ImageSet,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What they took is told by itself, once, though the first trial to come makes them."""
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "kept"))
    workplace = Workplace(small_study(study={"seeds": 1}), lambda: digits, folder)
    runner = TimedRunner(InlineRunner(workplace))
    trial = Job(0, TrialKey("frozen", 0, 60), needs_source=True)
    for job in (Job(0), trial, trial):
        runner.submit(Stack((job,)))
        ((_, ended),) = runner.finished()
        assert ended.work >= 0
    cuts = [each for each in runner.took if isinstance(each, str)]
    assert cuts
    assert all(len(runner.took[cut]) == 1 for cut in cuts)
    assert len(runner.took["frozen", 60]) == 2
    assert len(runner.took[None, "all"]) == 1


def test_what_is_spent_on_features_is_taken_out_once(
    small_study: Make, digits: ImageSet, folder: Path
) -> None:
    workplace = Workplace(small_study(study={"seeds": 1}), lambda: digits, folder)
    assert workplace.spent_on_features() == {}
    workplace.keeper.spent["body_pool_1"] = 2.0
    assert workplace.spent_on_features() == {"body_pool_1": 2.0}
    assert workplace.spent_on_features() == {}
