"""NHWC files behind the NCHW interface of a runner: four axes are a picture, all other shapes stay as they are."""

from __future__ import annotations

import numpy as np

from convert.network import Array, Shape

_TO_NCHW = (0, 3, 1, 2)
_TO_NHWC = (0, 2, 3, 1)


def shape_to_nchw(shape: Shape) -> Shape:
    """(N, H, W, C) -> (N, C, H, W)."""
    return tuple(shape[axis] for axis in _TO_NCHW) if len(shape) == 4 else shape


def to_nchw(value: Array) -> Array:
    """(N, H, W, C) -> (N, C, H, W), contiguous."""
    return np.ascontiguousarray(value.transpose(_TO_NCHW)) if value.ndim == 4 else value


def to_nhwc(value: Array) -> Array:
    """(N, C, H, W) -> (N, H, W, C), contiguous."""
    return np.ascontiguousarray(value.transpose(_TO_NHWC)) if value.ndim == 4 else value
