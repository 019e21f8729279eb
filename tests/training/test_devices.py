"""Devices: chosen by name, refused where they are not, and left as they were found."""

import pytest
import torch

from headstart.errors import TrainingError
from headstart.training.devices import choose_device, describe_device, deterministic

CPU = torch.device("cpu")


def test_the_cpu_is_always_there() -> None:
    assert choose_device("cpu") == CPU
    assert describe_device(CPU) == "cpu"


@pytest.mark.parametrize(("there", "kind"), [(True, "cuda"), (False, "cpu")])
def test_auto_takes_cuda_where_there_is_one(
    monkeypatch: pytest.MonkeyPatch, there: bool, kind: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    assert choose_device("auto").type == kind


@pytest.mark.parametrize("name", ["cuda", "mps"])
def test_a_device_that_is_not_here_is_refused_with_those_that_are(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(TrainingError) as caught:
        choose_device(name)  # type: ignore[arg-type]
    assert str(caught.value) == f"device {name!r} is not available here; there is: cpu"


def test_an_unknown_device_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(TrainingError) as caught:
        choose_device("cdua")  # type: ignore[arg-type]
    assert str(caught.value) == (
        "there is no device 'cdua': did you mean 'cuda'? Known: auto, cpu, cuda, mps"
    )


def test_a_graphics_card_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"Card {device.index}")
    assert describe_device(torch.device("cuda", 1)) == "cuda (Card 1)"


def test_threads_are_set_within_and_restored_after_errors_too() -> None:
    before = torch.get_num_threads()
    with deterministic(before + 1, CPU):
        assert torch.get_num_threads() == before + 1
        assert not torch.are_deterministic_algorithms_enabled()
    assert torch.get_num_threads() == before
    with pytest.raises(ZeroDivisionError), deterministic(before + 2, CPU):
        _ = 1 / 0
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(("mode", "warn_only"), [(False, False), (True, False), (True, True)])
def test_deterministic_algorithms_are_switched_back(
    monkeypatch: pytest.MonkeyPatch, mode: bool, warn_only: bool
) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    torch.use_deterministic_algorithms(mode, warn_only=warn_only)
    try:
        with deterministic(1, torch.device("cuda")):
            assert torch.are_deterministic_algorithms_enabled()
        assert torch.are_deterministic_algorithms_enabled() == mode
        assert torch.is_deterministic_algorithms_warn_only_enabled() == warn_only
    finally:
        torch.use_deterministic_algorithms(False)
