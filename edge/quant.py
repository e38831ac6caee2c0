"""Quantisation arithmetic, as the TFLite specification defines it: real = (value - zero_point) * scale.

Pure, and shared with `convert`, so that calibration, proof and deployment round alike.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.bundle.manifest import Normalisation, Quantisation
from edge.datatypes import Floats

LIMITS = {"uint8": (0, 255), "int8": (-128, 127)}


def quantise(real: NDArray[Any], spec: Quantisation) -> NDArray[Any]:
    """Real numbers to the dtype of `spec`: rounded half away from zero as TfLiteRound does, saturated at both ends."""
    if spec.dtype == "float32":
        return np.asarray(real, np.float32)
    low, high = LIMITS[spec.dtype]
    steps = np.asarray(real, np.float64) / spec.scale
    whole = np.trunc(steps)
    # Not floor(|x| + 0.5): that sum is itself rounded, and takes the number next to 0.5 for 1.
    rounded = whole + np.sign(steps) * (np.abs(steps - whole) >= 0.5)
    return np.asarray(np.clip(rounded + spec.zero_point, low, high), spec.dtype)


def dequantise(values: NDArray[Any], spec: Quantisation) -> Floats:
    """The other way, to float32; the zero point is subtracted after widening."""
    if spec.dtype == "float32":
        return np.asarray(values, np.float32)
    return (values.astype(np.int32) - spec.zero_point).astype(np.float32) * np.float32(spec.scale)


def pixel_table(normalisation: Normalisation, spec: Quantisation) -> NDArray[Any]:
    """What each of the 256 pixel values becomes at the network's input.

    Normalising and quantising are one affine map of the pixel p:
        real = (p - mean) / std,   value = real / scale + zero_point = p / (std * scale) + (zero_point - mean / (std * scale))
    and a map of 256 values is a table, exact and the same price for every dtype.
    """
    pixels = np.arange(256, dtype=np.float64)
    return quantise((pixels - normalisation.mean) / normalisation.std, spec)


def is_identity(table: NDArray[Any]) -> bool:
    """Whether pixels may be fed to the network as they are."""
    return table.dtype == np.uint8 and bool(np.array_equal(table, np.arange(256)))
