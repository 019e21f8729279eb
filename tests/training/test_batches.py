"""Batches: scaled as NumPy would, in the wanted layout, sizes that add up."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from headstart.data.scaling import Scaling, fit_scaling
from headstart.data.tasks import Examples
from headstart.training.batches import Batches, batch_sizes

CPU = torch.device("cpu")
KINDS = ["raw", "unit", "standardised", "standardised_pixels"]


def pictures(count: int = 30, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 5, 4, channels), dtype=np.uint8)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("channels_last", [False, True])
def test_inputs_are_scaled_as_numpy_does(kind: str, channels: int, channels_last: bool) -> None:
    shown = pictures(channels=channels)
    scaling = fit_scaling(kind, shown, np.arange(20))  # type: ignore[arg-type]
    batches = Batches(shown, None, scaling, CPU, channels_last=channels_last)
    rows = torch.tensor([4, 0, 4, 29])
    shift, divisor = scaling.shift.astype(np.float64), scaling.divisor.astype(np.float64)
    expected = ((shown[rows.numpy()] - shift) / divisor).transpose(0, 3, 1, 2)
    found = batches.inputs(rows)
    assert found.dtype == torch.float32
    assert found.shape == (4, channels, 5, 4)
    assert found.numpy() == pytest.approx(expected, rel=1e-6, abs=1e-6)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    assert found.is_contiguous(memory_format=layout)
    assert torch.equal(batches.inputs(slice(3, 9)), batches.inputs(torch.arange(3, 9)))


def test_giving_out_changes_nothing() -> None:
    shown = pictures()
    before = shown.copy()
    batches = Batches(shown, None, fit_scaling("standardised", shown, np.arange(30)), CPU)
    first = batches.inputs(slice(0, 30))
    first.zero_()
    assert np.array_equal(shown, before)
    assert batches.inputs(slice(0, 30)).any()


def test_evaluation_goes_through_everything_in_order() -> None:
    count = 2345
    shown = np.arange(count, dtype="<u4").view(np.uint8).reshape(count, 2, 2, 1)
    labels = np.arange(count)
    batches = Batches.of(Examples(shown, labels), fit_scaling("raw", shown, labels), CPU)
    assert len(batches) == count
    assert batches.device == CPU
    parts = list(batches.in_order())
    assert max(len(inputs) for inputs, _ in parts) <= 1000
    given_out = torch.cat([inputs for inputs, _ in parts]).numpy().reshape(count, 4)
    assert np.array_equal(given_out, shown.reshape(count, 4))
    found = torch.cat([part for _, part in parts if part is not None])
    assert np.array_equal(found.numpy(), labels)


def test_large_pictures_are_evaluated_a_few_at_a_time() -> None:
    shown = np.zeros((40, 300, 300, 3), dtype=np.uint8)
    batches = Batches(shown, None, fit_scaling("raw", shown, np.arange(40)), CPU)
    sizes = [inputs.nbytes for inputs, _ in batches.in_order()]
    assert len(sizes) > 1
    assert max(sizes) <= 2**24


def test_pictures_without_labels_have_none() -> None:
    scaling = Scaling(np.zeros((1, 1, 1), np.float32), np.ones((1, 1, 1), np.float32))
    batches = Batches(pictures(), None, scaling, CPU)
    assert batches.labels is None
    assert [labels for _, labels in batches.in_order()] == [None]


def test_read_only_and_strided_pictures_are_taken() -> None:
    shown = pictures(60)[::2]
    shown.flags.writeable = False
    batches = Batches(shown, None, fit_scaling("raw", shown, np.arange(30)), CPU)
    assert np.array_equal(batches.inputs(slice(None)).numpy(), shown.transpose(0, 3, 1, 2))


@given(st.integers(1, 200), st.integers(1, 40), st.booleans())
def test_batch_sizes(pictures: int, batch_size: int, lone_picture: bool) -> None:
    sizes = batch_sizes(pictures, batch_size, lone_picture=lone_picture)
    assert sum(sizes) == pictures
    assert all(size == batch_size for size in sizes[:-1])
    if lone_picture:
        assert 1 <= sizes[-1] <= batch_size
    elif pictures > 1 and batch_size > 1:
        assert 2 <= sizes[-1] <= batch_size + 1


def test_a_lone_last_picture_joins_the_batch_before_it() -> None:
    assert batch_sizes(9, 4) == [4, 4, 1]
    assert batch_sizes(9, 4, lone_picture=False) == [4, 5]
    assert batch_sizes(10, 4, lone_picture=False) == [4, 4, 2]
    assert batch_sizes(1, 4, lone_picture=False) == [1]
    assert batch_sizes(3, 1, lone_picture=False) == [1, 1, 1]
