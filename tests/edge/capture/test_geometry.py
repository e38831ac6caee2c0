from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.capture.geometry import Geometry, fitted, shape, turn
from edge.config.settings import Camera
from edge.datatypes import Image

_fractions = st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted)


def _picture(width: int, height: int) -> Image:
    """Every pixel its own colour."""
    rows, columns = np.mgrid[:height, :width]
    return np.dstack([rows, columns, rows ^ columns]).astype(np.uint8)


@given(
    width=st.integers(1, 40), height=st.integers(1, 40), quarter=st.integers(0, 3), mirror=st.booleans(),
    x=_fractions, y=_fractions,
)  # fmt: skip
def test_is_turn_then_mirror_then_cut(
    width: int, height: int, quarter: int, *, mirror: bool, x: list[float], y: list[float]
) -> None:
    image = _picture(width, height)
    geometry = Geometry(None, quarter * 90, mirror, (x[0], y[0], x[1], y[1]))
    turned = np.rot90(image, k=-quarter)
    whole = turned[:, ::-1] if mirror else turned
    left, upper = (min(round(low * size), size - 1) for low, size in ((x[0], whole.shape[1]), (y[0], whole.shape[0])))
    right = max(left + 1, round(x[1] * whole.shape[1]))
    lower = max(upper + 1, round(y[1] * whole.shape[0]))
    result = turn(image, geometry)
    np.testing.assert_array_equal(result, whole[upper:lower, left:right])
    assert result.flags.c_contiguous


def test_nothing_to_do_copies_nothing() -> None:
    image = _picture(20, 10)
    assert shape(image, Geometry.of(Camera())) is image


@pytest.mark.parametrize(("size", "limit", "expected"), [
    ((160, 120), (80, 80), (80, 60)),
    ((120, 160), (80, 80), (60, 80)),
    ((160, 120), (160, 120), (160, 120)),
    ((160, 120), (1000, 1000), (160, 120)),
    ((1000, 2), (100, 100), (100, 1)),
])  # fmt: skip
def test_fits_without_enlarging(size: tuple[int, int], limit: tuple[int, int], expected: tuple[int, int]) -> None:
    result = fitted(np.zeros((size[1], size[0], 3), np.uint8), *limit)
    assert (result.shape[1], result.shape[0]) == expected


def test_size_is_meant_before_turning() -> None:
    geometry = Geometry.of(Camera(width_px=80, height_px=60, rotate_deg=90))
    assert shape(_picture(160, 120), geometry).shape == (80, 60, 3)
