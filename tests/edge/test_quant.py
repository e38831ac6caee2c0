from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge.bundle.manifest import Normalisation, Quantisation
from edge.quant import LIMITS, dequantise, is_identity, pixel_table, quantise

DTYPES = st.sampled_from(["uint8", "int8"])


def slow_quantise(real: float, spec: Quantisation) -> int:
    """By the definition, in exact arithmetic on the quotient: round half away from zero, add the zero point, saturate."""
    steps = Fraction(float(np.float64(real) / spec.scale))
    size = int(abs(steps) + Fraction(1, 2))
    low, high = LIMITS[spec.dtype]
    return min(max((size if steps >= 0 else -size) + spec.zero_point, low), high)


def spec_of(dtype: str, scale: float, zero_point: int) -> Quantisation:
    low, high = LIMITS[dtype]
    return Quantisation(dtype, scale, min(max(zero_point, low), high))


@given(st.floats(-1e6, 1e6), DTYPES, st.floats(1e-4, 10), st.integers(-128, 255))
@example(0.49999999999999994, "uint8", 1.0, 0)
@example(-0.49999999999999994, "int8", 1.0, 0)
@example(0.5, "uint8", 1.0, 0)
@example(-0.5, "int8", 1.0, 0)
@example(1.5, "uint8", 1.0, 0)
@example(254.5, "uint8", 1.0, 0)
@example(1e6, "uint8", 1e-4, 255)
def test_quantising_is_the_definition(real: float, dtype: str, scale: float, zero_point: int) -> None:
    spec = spec_of(dtype, scale, zero_point)
    found = quantise(np.array([real]), spec)
    assert found.dtype == np.dtype(dtype)
    assert int(found[0]) == slow_quantise(real, spec)


@pytest.mark.parametrize(
    ("real", "value"),
    [
        (0.5, 1),
        (-0.5, -1),
        (1.5, 2),
        (2.5, 3),
        (-2.5, -3),
        (0.4999, 0),
        (126.4, 126),
        (127.6, 127),
        (1e9, 127),
        (-1e9, -128),
    ],
)
def test_rounding_and_saturation(real: float, value: int) -> None:
    assert int(quantise(np.float32([real]), Quantisation("int8", 1.0, 0))[0]) == value


@given(DTYPES, st.floats(1e-4, 10), st.integers(-128, 255))
def test_every_value_survives_the_round_trip(dtype: str, scale: float, zero_point: int) -> None:
    spec = spec_of(dtype, scale, zero_point)
    low, high = LIMITS[dtype]
    values = np.arange(low, high + 1).astype(dtype)
    real = dequantise(values, spec)
    assert real.dtype == np.float32
    assert np.array_equal(quantise(real, spec), values)
    expected = [float(Fraction(int(value) - spec.zero_point) * Fraction(float(np.float32(scale)))) for value in values]
    assert np.abs(real - np.float32(expected)).max() <= np.abs(expected).max() * 1e-7


def test_float_stays_float() -> None:
    spec = Quantisation("float32")
    values = np.array([0.25, -1e9, 3.5])
    assert quantise(values, spec).dtype == np.float32
    assert np.array_equal(dequantise(quantise(values, spec), spec), values.astype(np.float32))


@given(st.floats(0, 255), st.floats(0.5, 300), DTYPES, st.floats(0.003, 2), st.integers(-128, 255))
def test_the_table_is_normalising_and_then_quantising(
    mean: float, std: float, dtype: str, scale: float, zero_point: int
) -> None:
    spec = spec_of(dtype, scale, zero_point)
    table = pixel_table(Normalisation("fixed", mean, std), spec)
    assert table.dtype == np.dtype(dtype)
    assert [int(value) for value in table] == [slow_quantise((pixel - mean) / std, spec) for pixel in range(256)]


@pytest.mark.parametrize(
    ("normalisation", "spec", "expected"),
    [
        (Normalisation("fixed", 0.0, 1.0), Quantisation("uint8", 1.0, 0), True),
        (Normalisation("fixed", 128.0, 128.0), Quantisation("uint8", 1 / 128, 128), True),
        (Normalisation("fixed", 127.5, 127.5), Quantisation("uint8", 1 / 127.5, 127), False),
        (Normalisation("fixed", 0.0, 1.0), Quantisation("uint8", 1.0, 1), False),
        (Normalisation("fixed", 0.0, 1.0), Quantisation("float32"), False),
        (Normalisation("fixed", 128.0, 1.0), Quantisation("int8", 1.0, 0), False),
    ],
)
def test_pixels_that_may_be_fed_as_they_are(normalisation: Normalisation, spec: Quantisation, expected: bool) -> None:  # noqa: FBT001
    assert is_identity(pixel_table(normalisation, spec)) is expected
