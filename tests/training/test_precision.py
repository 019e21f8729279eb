"""Precision, clipping and averaging, each against PyTorch's own."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from headstart.errors import TrainingError
from headstart.training.averaging import WeightAverage
from headstart.training.precision import Arithmetic, choose_precision

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(
    ("name", "there", "device", "dtype"),
    [
        ("auto", True, CPU, torch.float32),
        ("auto", True, CUDA, torch.bfloat16),
        ("auto", False, CUDA, torch.float32),
        ("auto", True, torch.device("mps"), torch.float32),
        ("float32", True, CUDA, torch.float32),
        ("bfloat16", False, CPU, torch.bfloat16),
        ("float16", True, CUDA, torch.float16),
    ],
)
def test_the_precision_follows_from_name_and_device(
    monkeypatch: pytest.MonkeyPatch,
    name: Any,
    there: bool,
    device: torch.device,
    dtype: torch.dtype,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: there)
    assert choose_precision(name, device) == dtype


def test_float16_on_a_cpu_is_refused() -> None:
    with pytest.raises(TrainingError, match=r"gains nothing on a CPU, .* use \"auto\""):
        choose_precision("float16", CPU)


class Descent:
    """The plainest of optimisers."""

    def __init__(self, parameters: list[nn.Parameter]) -> None:
        self.parameters = parameters
        self.steps = 0

    @torch.no_grad()
    def step(self, factor: float) -> None:
        self.steps += 1
        for parameter in self.parameters:
            assert parameter.grad is not None
            parameter.sub_(factor * parameter.grad)


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Linear(5, 3))


@pytest.mark.parametrize("clip_norm", [0.0, 0.05, 100.0])
def test_clipping_is_pytorchs(clip_norm: float) -> None:
    ours, theirs = network(), network()
    inputs = torch.randn(6, 4)
    for model in (ours, theirs):
        model(inputs).square().sum().backward()
    parameters = list(ours.parameters())
    arithmetic = Arithmetic(torch.float32, CPU, parameters)
    arithmetic.step(Descent(parameters), 0.1, clip_norm)
    if clip_norm:
        torch.nn.utils.clip_grad_norm_(theirs.parameters(), clip_norm)
    torch.optim.SGD(theirs.parameters(), lr=0.1).step()
    for mine, other in zip(parameters, theirs.parameters(), strict=True):
        assert torch.allclose(mine, other, rtol=1e-5, atol=1e-6)


def test_bfloat16_is_autocast_and_leaves_weights_in_float32() -> None:
    ours, inputs = network(), torch.randn(6, 4)
    parameters = list(ours.parameters())
    arithmetic = Arithmetic(torch.bfloat16, CPU, parameters)
    with arithmetic.forward():
        found = ours(inputs)
    theirs = network()
    with torch.autocast("cpu", torch.bfloat16):
        expected = theirs(inputs)
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, expected)
    arithmetic.backward(found.float().square().sum())
    arithmetic.step(Descent(parameters), 0.1, 0.0)
    assert all(parameter.dtype == torch.float32 for parameter in parameters)


@pytest.mark.parametrize("clip_norm", [0.0, 0.05])
def test_scaled_gradients_are_taken_down_again_and_clipped(
    monkeypatch: pytest.MonkeyPatch, clip_norm: float
) -> None:
    """Float16's scaler, on a CPU, where the arithmetic itself stays in float32."""
    ours, theirs, inputs = network(), network(), torch.randn(6, 4)
    parameters = list(ours.parameters())
    scaled = Arithmetic(torch.float16, CPU, parameters)
    scaled.backward(ours(inputs).square().sum())
    assert parameters[0].grad is not None
    assert parameters[0].grad.norm() > 1000
    scaled.step(Descent(parameters), 0.1, clip_norm)
    plain = Arithmetic(torch.float32, CPU, list(theirs.parameters()))
    plain.backward(theirs(inputs).square().sum())
    plain.step(Descent(list(theirs.parameters())), 0.1, clip_norm)
    for mine, other in zip(parameters, theirs.parameters(), strict=True):
        assert torch.allclose(mine, other, rtol=1e-5, atol=1e-6)


def test_a_step_whose_gradients_overflow_is_left_out() -> None:
    ours = network()
    parameters = list(ours.parameters())
    before = [parameter.clone() for parameter in parameters]
    scaled, descent = Arithmetic(torch.float16, CPU, parameters), Descent(parameters)
    scaled.backward(ours(torch.randn(6, 4)).square().sum() * 1e38)
    scaled.step(descent, 0.1, 1.0)
    assert descent.steps == 0
    assert all(torch.equal(now, then) for now, then in zip(parameters, before, strict=True))


@pytest.mark.parametrize("decay", [0.5, 0.9, 0.999])
def test_the_average_is_pytorchs(decay: float) -> None:
    model = network()
    parameters = list(model.parameters())
    ours = WeightAverage(parameters, decay)
    theirs = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay))  # type: ignore[no-untyped-call]
    for step in range(7):
        with torch.no_grad():
            for number, parameter in enumerate(parameters):
                rng = torch.Generator().manual_seed(10 * step + number)
                parameter.add_(torch.randn(parameter.shape, generator=rng))
        model(torch.randn(6, 4))  # moves running statistics
        ours.update()
        theirs.update_parameters(model)
        assert_shows(ours, model, theirs.module)


def assert_shows(average: WeightAverage, model: nn.Module, expected: nn.Module) -> None:
    """Within `shown` the model is as expected, buffers too; afterwards it is as before."""
    before = copy.deepcopy(model.state_dict())
    with average.shown():
        shown: dict[str, Tensor] = model.state_dict()
        wanted = expected.state_dict()
        assert all(torch.equal(shown[key], wanted[key]) for key in wanted)
    after = model.state_dict()
    assert all(torch.equal(after[key], before[key]) for key in before)


def test_weights_are_put_back_after_an_error_too() -> None:
    model = network()
    average = WeightAverage(list(model.parameters()), 0.5)
    average.update()
    with torch.no_grad():
        model[0].weight.add_(1)  # type: ignore[operator]
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ZeroDivisionError), average.shown():
        _ = 1 / 0
    assert all(torch.equal(model.state_dict()[key], before[key]) for key in before)
    average.keep()
    assert not torch.equal(model.state_dict()["0.weight"], before["0.weight"])
