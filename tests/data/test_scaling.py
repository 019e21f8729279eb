"""Scaling: NumPy's own mean and deviation, of the given rows and of nothing else."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from headstart.data import scaling as scaling_module
from headstart.data.scaling import Scaling, fit_scaling
from headstart.errors import DataError

PICTURES = arrays.arrays(
    np.uint8, st.tuples(st.integers(1, 9), st.just(3), st.just(2), st.sampled_from([1, 3]))
)


def scaled(scaling: Scaling, pictures: np.ndarray) -> np.ndarray:
    return (pictures.astype(np.float64) - scaling.shift) / scaling.divisor


def every(pictures: np.ndarray) -> np.ndarray:
    return np.arange(len(pictures))


@given(PICTURES)
def test_raw_and_unit(pictures: np.ndarray) -> None:
    raw = fit_scaling("raw", pictures, every(pictures))
    assert np.array_equal(scaled(raw, pictures), pictures)
    unit = fit_scaling("unit", pictures, every(pictures))
    assert scaled(unit, pictures) == pytest.approx(pictures / 255)
    assert unit.shift.dtype == unit.divisor.dtype == np.float32


@given(PICTURES)
def test_standardised_by_channel(pictures: np.ndarray) -> None:
    scaling = fit_scaling("standardised", pictures, every(pictures))
    deviation = pictures.std(axis=(0, 1, 2))
    assert scaling.shift.shape == (1, 1, pictures.shape[-1])
    assert scaling.shift.ravel() == pytest.approx(pictures.mean(axis=(0, 1, 2)))
    assert scaling.divisor.ravel() == pytest.approx(np.where(deviation > 0, deviation, 1))


@given(PICTURES)
def test_standardised_by_pixel(pictures: np.ndarray) -> None:
    scaling = fit_scaling("standardised_pixels", pictures, every(pictures))
    deviation = pictures.std(axis=0)
    assert scaling.shift == pytest.approx(pictures.mean(axis=0))
    assert scaling.divisor == pytest.approx(np.where(deviation > 0, deviation, 1))
    assert np.isfinite(scaled(scaling, pictures)).all()


@pytest.mark.parametrize("kind", ["standardised", "standardised_pixels"])
def test_only_the_given_rows_count(kind: scaling_module.ScalingKind) -> None:
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (40, 3, 2, 3), dtype=np.uint8)
    rows = rng.permutation(40)[:25]
    before = fit_scaling(kind, pictures, rows)
    others = np.setdiff1d(np.arange(40), rows)
    pictures[others] = 255
    after = fit_scaling(kind, pictures, rows)
    assert np.array_equal(before.shift, after.shift)
    assert np.array_equal(before.divisor, after.divisor)
    assert not np.allclose(before.shift, fit_scaling(kind, pictures, others).shift)


def test_a_pixel_that_never_changes_becomes_zero() -> None:
    pictures = np.full((30, 2, 2, 1), 77, dtype=np.uint8)
    pictures[::2, 0, 0] = 10
    values = scaled(fit_scaling("standardised_pixels", pictures, every(pictures)), pictures)
    assert np.array_equal(values[:, 1, 1, 0], np.zeros(30))
    assert values[:, 0, 0, 0].std() == pytest.approx(1)


@pytest.mark.parametrize("kind", ["standardised", "standardised_pixels"])
def test_statistics_need_little_memory_and_do_not_depend_on_the_blocks(
    kind: scaling_module.ScalingKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = np.random.default_rng(1).integers(0, 256, (600, 16, 16, 3), dtype=np.uint8)
    whole = fit_scaling(kind, pictures, every(pictures))
    monkeypatch.setattr(scaling_module, "_BLOCK_BYTES", 2**17)
    tracemalloc.start()
    blocks = fit_scaling(kind, pictures, every(pictures))
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert blocks.shift == pytest.approx(whole.shift)
    assert blocks.divisor == pytest.approx(whole.divisor)
    assert peak_bytes < pictures.nbytes


def test_statistics_of_nothing_are_refused() -> None:
    pictures = np.zeros((3, 2, 2, 1), dtype=np.uint8)
    with pytest.raises(DataError, match='scaling = "standardised" needs training pictures'):
        fit_scaling("standardised", pictures, np.array([], dtype=np.int64))
