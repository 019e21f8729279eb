"""Extraction gives every picture its own features, by PyTorch or by ONNX Runtime."""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from headstart.data.scaling import Scaling
from headstart.engine import fastest as fastest_module
from headstart.engine.extract import Extracting, block_size, extract
from headstart.engine.fastest import ONNX_RUNTIME, PYTORCH, Way, fastest
from headstart.engine.measured import Measured
from headstart.networks.onnx_files import answer_of
from headstart.training.batches import Batches

ONE = np.ones((1, 1, 1), dtype=np.float32)
UNIT = Scaling(0 * ONE, 255 * ONE)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.5), nn.Conv2d(8, 4, 3)
    )


def batches(count: int, side: int = 16) -> Batches:
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    return Batches(pictures, None, UNIT, torch.device("cpu"), channels_last=True)


def expected(prefix: nn.Module, shown: Batches) -> Tensor:
    with torch.inference_mode():
        result: Tensor = prefix.eval()(shown.inputs(slice(0, len(shown))))
    prefix.train()
    return result


@pytest.mark.parametrize("way", [PYTORCH, ONNX_RUNTIME], ids=str)
@pytest.mark.parametrize("count", [1, 5, 256, 300])
@pytest.mark.parametrize("channels_last", [False, True])
def test_features_are_what_the_network_computes(count: int, channels_last: bool, way: Way) -> None:
    prefix, shown = network(), batches(count)
    found = np.concatenate(list(extract(prefix, shown, channels_last=channels_last, way=way)))
    if channels_last:
        found = found.transpose(0, 3, 1, 2)
    torch.testing.assert_close(torch.from_numpy(found), expected(prefix, shown))
    assert prefix.training


def test_features_do_not_depend_on_how_many_pictures_there_are() -> None:
    prefix = network()
    few, many = (np.concatenate(list(extract(prefix, batches(n)))) for n in (7, 400))
    np.testing.assert_array_equal(few[:7], many[:7])


@pytest.mark.parametrize("count", [1, 256, 300, 700])
def test_blocks_made_ready_ahead_change_nothing(
    monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """With several threads the next block is made ready while one is computed."""
    threads = torch.get_num_threads()
    shown = batches(count)
    calls: list[object] = []
    whole = shown.inputs

    def noted(rows: Tensor | slice) -> Tensor:
        calls.append(rows)
        return whole(rows)

    monkeypatch.setattr(shown, "inputs", noted)
    found = []
    try:
        for number in (1, 2):
            torch.set_num_threads(number)
            found.append(np.concatenate(list(extract(network(), shown))))
    finally:
        torch.set_num_threads(threads)
    np.testing.assert_allclose(found[1], found[0], rtol=1e-5, atol=1e-6)
    blocks = math.ceil(count / 256)
    assert len(calls) == 2 * blocks
    assert calls[:blocks] == calls[blocks:]


@pytest.mark.parametrize("count", [1, 8, 20, 100])
def test_onnx_runtime_gives_the_same_bits_on_any_number_of_threads(count: int) -> None:
    """With several, as many blocks are computed at a time."""
    threads = torch.get_num_threads()
    found: list[np.ndarray] = []
    told: list[int] = []
    try:
        for number in (1, 3):
            torch.set_num_threads(number)
            blocks = extract(
                network(), batches(count), lambda each: told.append(each.done),
                way=ONNX_RUNTIME, block=8,
            )  # fmt: skip
            found.append(np.concatenate(list(blocks)))
    finally:
        torch.set_num_threads(threads)
    np.testing.assert_array_equal(found[1], found[0])
    assert told == 2 * [min(stop, count) for stop in range(8, count + 8, 8)]


@pytest.mark.parametrize("most", [1, 2, None])
def test_no_more_blocks_are_computed_at_a_time_than_there_is_memory_for(
    monkeypatch: pytest.MonkeyPatch, most: int | None
) -> None:
    threads = torch.get_num_threads()
    at_work: list[int] = []
    highest: list[int] = []

    def slow(*arguments: Any) -> Any:
        at_work.append(1)
        highest.append(len(at_work))
        time.sleep(0.02)
        at_work.pop()
        return answer_of(*arguments)

    monkeypatch.setattr(fastest_module, "answer_of", slow)
    try:
        torch.set_num_threads(4)
        list(extract(network(), batches(120), way=ONNX_RUNTIME, block=4, most=most))
    finally:
        torch.set_num_threads(threads)
    assert max(highest) <= (most or 4)
    assert len(highest) == 30


def test_it_is_told_how_far_extraction_is() -> None:
    told: list[Extracting] = []
    list(extract(network(), batches(300), told.append))
    assert [(each.done, each.total) for each in told] == [(256, 300), (300, 300)]
    assert "300 (" in str(told[-1])


def test_large_pictures_go_in_small_blocks() -> None:
    assert block_size((28, 28, 1)) == 256
    assert 1 <= block_size((224, 224, 3)) <= 16
    assert block_size((4000, 4000, 3)) == 1


def _other(change: Callable[[Tensor], Tensor]) -> Callable[..., Callable[[Tensor], Tensor]]:
    """Stands for ONNX Runtime, and gives something else."""

    def made(prefix: nn.Module, _: Tensor) -> Callable[[Tensor], Tensor]:
        return lambda values: change(prefix(values))

    return made


@pytest.fixture
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Measured:
    """An empty memory; ONNX Runtime is worth trying, and is taken if it computes the same."""
    monkeypatch.setattr(fastest_module, "_WORTH_TRYING_S", 0.0)
    monkeypatch.setattr(fastest_module, "_CLEARLY_FASTER", 0.0)
    return Measured(tmp_path / "measured")


def block() -> Tensor:
    return batches(4).inputs(slice(0, 4))


@pytest.mark.parametrize(
    ("change", "is_taken"),
    [
        (lambda values: values, True),
        (lambda values: values + 1e-7, True),
        (lambda values: values + 1e-2, False),
        (lambda values: values[:, :2], False),
        (lambda values: values * math.nan, False),
    ],
)
def test_what_gives_other_numbers_is_not_taken(
    monkeypatch: pytest.MonkeyPatch,
    measured: Measured,
    change: Callable[[Tensor], Tensor],
    is_taken: bool,
) -> None:
    monkeypatch.setattr(fastest_module, "_with_onnx_runtime", _other(change))
    way = fastest(network().eval(), "these weights", block, 10, measured)
    assert way == (ONNX_RUNTIME if is_taken else PYTORCH)


def test_the_way_is_measured_once_and_remembered(
    monkeypatch: pytest.MonkeyPatch, measured: Measured
) -> None:
    prefix = network().eval()
    asked: list[int] = []

    def noted() -> Tensor:
        asked.append(1)
        return block()

    first = fastest(prefix, "these weights", noted, 10, measured)
    monkeypatch.setattr(fastest_module, "_with_onnx_runtime", _other(lambda values: values + 1))
    assert fastest(prefix, "these weights", noted, 10, measured) == first == ONNX_RUNTIME
    assert len(asked) == 1
    assert fastest(prefix, "other weights", noted, 10, measured) == PYTORCH
    assert len(asked) == 2


def test_what_was_tried_is_not_made_again(
    monkeypatch: pytest.MonkeyPatch, measured: Measured
) -> None:
    made: list[int] = []

    def noted(prefix: nn.Module, _: Tensor) -> Callable[[Tensor], Tensor]:
        made.append(1)
        return lambda values: prefix(values)

    monkeypatch.setattr(fastest_module, "_with_onnx_runtime", noted)
    prefix = network().eval()
    tried = fastest(prefix, "these weights", block, 10, measured)
    list(extract(prefix, batches(4), way=tried))
    assert (tried, len(made)) == (ONNX_RUNTIME, 1)
    known = fastest(prefix, "these weights", block, 10, measured)
    list(extract(prefix, batches(4), way=known))
    assert (known, len(made)) == (ONNX_RUNTIME, 2)


def test_other_weights_are_as_fast_and_only_asked_whether_they_give_the_same(
    monkeypatch: pytest.MonkeyPatch, measured: Measured
) -> None:
    """One making: PyTorch takes 4 seconds a block, ONNX Runtime 1, and for no weights otherwise."""
    timed = iter([4.0, 1.0, 1.0, 4.0, 1.0, 4.0])
    monkeypatch.setattr(
        fastest_module, "_timed", lambda compute, pictures, *_: (next(timed), compute(pictures))
    )
    monkeypatch.setattr(fastest_module, "_CLEARLY_FASTER", 1.2)
    ways = []
    for weights, change in (("a", 0.0), ("b", 0.0), ("c", 1.0), ("b", 0.0)):
        other = _other(lambda values, change=change: values + change)  # type: ignore[misc]
        monkeypatch.setattr(fastest_module, "_with_onnx_runtime", other)
        ways.append(fastest(network().eval(), weights, block, 10, measured, "making"))
    assert ways == [ONNX_RUNTIME, ONNX_RUNTIME, PYTORCH, ONNX_RUNTIME]
    assert [way.seconds for way in ways] == [1.0, 1.0, 4.0, 1.0]
    monkeypatch.setattr(fastest_module, "_CLEARLY_FASTER", 1e9)
    assert fastest(network().eval(), "d", block, 10, measured, "making") == PYTORCH


def test_the_way_does_not_depend_on_what_was_asked_before(
    monkeypatch: pytest.MonkeyPatch, measured: Measured
) -> None:
    """The machine gets slower with every look at the clock: nothing that was chosen changes."""
    timed = iter([1.0, 4.0, 0.8])  # PyTorch for few; for many PyTorch again, and ONNX Runtime
    monkeypatch.setattr(
        fastest_module, "_timed", lambda compute, pictures, *_: (next(timed), compute(pictures))
    )
    monkeypatch.setattr(fastest_module, "_WORTH_TRYING_S", 5.0)
    monkeypatch.setattr(fastest_module, "_CLEARLY_FASTER", 1.2)
    prefix = network().eval()
    few, many = 4, 100  # at 4 seconds a block few would be worth it
    ways = [fastest(prefix, "w", block, blocks, measured) for blocks in (few, many, few, many)]
    assert ways == [PYTORCH, ONNX_RUNTIME, PYTORCH, ONNX_RUNTIME]


def test_blocks_of_one_picture_are_measured_once(measured: Measured) -> None:
    asked: list[int] = []

    def noted() -> Tensor:
        asked.append(1)
        return batches(1).inputs(slice(0, 1))

    ways = [fastest(network().eval(), "these weights", noted, 10, measured) for _ in range(3)]
    assert (ways, len(asked)) == ([PYTORCH] * 3, 1)


def test_where_nothing_can_be_remembered_the_way_is_pytorch(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    measured = Measured(tmp_path / "file")
    assert fastest(network().eval(), "these weights", block, 10**6, measured) == PYTORCH
