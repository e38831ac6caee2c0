"""Constants of a TFLite file as real numbers."""

from __future__ import annotations

import numpy as np

from convert.importers.tflite.graph import Graph, Tensor
from convert.network import Array
from edge.errors import ModelError

_LEAST_BUDGET = 64 * 1024 * 1024
_GROWTH = 16
"""int8 becomes float32, and several tensors may share a buffer; more than this is no network."""
_LARGEST_SCALE = 1e15
"""So that even the largest int64 times it is a float32."""


class Constants:
    """Turns bytes into numbers when they are first needed, and keeps count of how many that makes."""

    def __init__(self, graph: Graph) -> None:
        self._where = graph.where
        self._left = max(_LEAST_BUDGET, _GROWTH * graph.file_bytes)

    def value(self, tensor: Tensor) -> Array | None:
        """Values in the file's layout, float32 where they have a scale; None of what is computed."""
        if tensor.raw is None:
            return np.zeros(tensor.shape, _numpy_name(tensor)) if tensor.shape and not tensor.size else None
        dtype = np.dtype(_numpy_name(tensor))
        if tensor.size * dtype.itemsize != len(tensor.raw):
            raise ModelError(
                f"constant {tensor.name!r} of shape {list(tensor.shape)} has {len(tensor.raw)} bytes",
                where=self._where,
                expected=f"{tensor.size * dtype.itemsize}",
            )
        self._left -= 4 * tensor.size
        if self._left < 0:
            raise ModelError("constants that are far larger than the file", where=self._where)
        stored = np.frombuffer(tensor.raw.tobytes(), dtype.newbyteorder("<")).reshape(tensor.shape)
        if tensor.dtype == "bfloat16":
            # The upper half of a float32.
            return (stored.astype(np.uint32) << 16).view(np.float32)
        if tensor.is_scaled:
            return _real(stored, tensor, self._where)
        return stored.astype(np.float32) if dtype.kind == "f" else stored


def _numpy_name(tensor: Tensor) -> str:
    return "uint16" if tensor.dtype == "bfloat16" else tensor.dtype


def _real(stored: Array, tensor: Tensor, where: str) -> Array:
    """(value - zero point) * scale (https://ai.google.dev/edge/litert/conversion/tensorflow/quantization/quantization_spec)."""
    scales = np.asarray(tensor.scales, np.float64)
    if not 0 <= scales.min() <= scales.max() <= _LARGEST_SCALE:
        raise ModelError(f"constant {tensor.name!r} has a scale of {scales.min():g} to {scales.max():g}", where=where)
    zeros = np.zeros(len(scales)) if tensor.zeros is None else np.asarray(tensor.zeros, np.float64)
    shape = [1] * stored.ndim
    if len(scales) > 1:
        if not 0 <= tensor.axis < stored.ndim or stored.shape[tensor.axis] != len(scales):
            raise ModelError(
                f"constant {tensor.name!r} of shape {list(stored.shape)} has {len(scales)} scales on axis {tensor.axis}",
                where=where,
            )
        shape[tensor.axis] = len(scales)
    return np.asarray((stored - zeros.reshape(shape)) * scales.reshape(shape), np.float32)
