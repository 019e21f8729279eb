"""Schedules, by value."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from headstart.strategies import Schedule
from headstart.training.schedules import rate_factor


def factors(schedule: Schedule, steps: int) -> list[float]:
    return [rate_factor(schedule, step, steps) for step in range(steps)]


def test_constant() -> None:
    assert factors(Schedule(), 5) == [1.0] * 5


def test_cosine() -> None:
    half = math.sqrt(0.5)
    assert factors(Schedule(name="cosine"), 4) == pytest.approx(
        [1, (1 + half) / 2, 0.5, (1 - half) / 2]
    )
    assert factors(Schedule(name="cosine", final=0.2), 4) == pytest.approx(
        [1, 0.2 + 0.4 * (1 + half), 0.6, 0.2 + 0.4 * (1 - half)]
    )


@pytest.mark.parametrize("final", [0.0, 0.1])
def test_cosine_is_pytorchs(final: float) -> None:
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=17, eta_min=final)
    for ours in factors(Schedule(name="cosine", final=final), 17):
        assert ours == pytest.approx(theirs.get_last_lr()[0])
        optimizer.step()
        theirs.step()


@pytest.mark.parametrize("final", [0.0, 0.1])
def test_linear_is_pytorchs(final: float) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / 13 * (1 - final))
    for ours in factors(Schedule(name="linear", final=final), 13):
        assert ours == pytest.approx(theirs.get_last_lr()[0])
        optimizer.step()
        theirs.step()


@pytest.mark.parametrize(("steps", "rise"), [(2, 0.3), (5, 0.4), (17, 0.3), (40, 0.45)])
def test_one_cycle_is_pytorchs(steps: int, rise: float) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=1.0, total_steps=steps, pct_start=rise, cycle_momentum=False
    )
    found = factors(Schedule(name="one_cycle", rise=rise), steps)
    assert found[-1] < 1e-5
    for number, ours in enumerate(found):
        assert ours == pytest.approx(theirs.get_last_lr()[0]), number
        optimizer.step()
        if number < steps - 1:
            theirs.step()


def test_a_cycle_of_one_step_takes_the_whole_rate() -> None:
    assert factors(Schedule(name="one_cycle"), 1) == [1.0]


@pytest.mark.parametrize(
    ("name", "option"), [("one_cycle", {"warmup": 0.1}), ("linear", {"rise": 0.2})]
)
def test_an_option_that_a_schedule_does_not_take_is_refused(
    name: str, option: dict[str, float]
) -> None:
    with pytest.raises(ValidationError, match=f"{next(iter(option))} has no effect with the"):
        Schedule.model_validate({"name": name, **option})


def test_step() -> None:
    assert factors(Schedule(name="step"), 8) == pytest.approx([1] * 4 + [0.1] * 2 + [0.01] * 2)
    schedule = Schedule(name="step", milestones=(0.2, 0.4, 0.6), factor=0.5)
    assert factors(schedule, 5) == pytest.approx([1, 0.5, 0.25, 0.125, 0.125])


@given(st.integers(1, 99), st.integers(2, 400))
def test_a_milestone_is_met_exactly(percent: int, steps: int) -> None:
    found = factors(Schedule(name="step", milestones=(percent / 100,), factor=0.5), steps)
    assert found == [0.5 if 100 * step >= percent * steps else 1.0 for step in range(steps)]


def test_warm_up_rises_linearly_to_the_whole_rate() -> None:
    assert factors(Schedule(warmup=0.4), 10) == pytest.approx([0.25, 0.5, 0.75] + [1] * 7)
    cosine = factors(Schedule(name="cosine", warmup=0.2), 10)
    assert cosine[:2] == [0.5, 1]
    assert cosine[2:] == pytest.approx(factors(Schedule(name="cosine"), 8))
    # The milestones of a step schedule stay where they are.
    assert factors(Schedule(name="step", warmup=0.25), 8) == pytest.approx(
        [0.5, 1, 1, 1, 0.1, 0.1, 0.01, 0.01]
    )


@given(
    name=st.sampled_from(["constant", "cosine", "step"]),
    warmup=st.floats(0, 0.99),
    steps=st.integers(1, 50),
)
def test_factors_are_positive_and_at_most_one(name: str, warmup: float, steps: int) -> None:
    schedule = Schedule.model_validate({"name": name, "warmup": warmup})
    assert all(0 < factor <= 1 for factor in factors(schedule, steps))
