"""MXNet's operators written for clarity with NumPy, float64, from the formulae of its documentation."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from convert.network import Array


def softmax(values: Array, axis: int = -1) -> Array:
    powers = np.exp(values - values.max(axis, keepdims=True))
    return powers / powers.sum(axis, keepdims=True)


def erf(values: Array) -> Array:
    return np.vectorize(math.erf)(values)


def batch_norm(values: Array, parts: tuple[Array, Array, Array, Array], eps: float, axis: int = 1) -> Array:
    shape = [1] * values.ndim
    shape[axis] = -1
    gamma, beta, mean, variance = (part.astype(np.float64).reshape(shape) for part in parts)
    return (values - mean) / np.sqrt(variance + eps) * gamma + beta


def conv(image: Array, weights: Array, stride: int = 1, pad: int = 0, dilate: int = 1, *, groups: int = 1) -> Array:
    """Sum over windows; weights are (outputs, inputs / groups, rows, columns)."""
    padded = np.pad(image, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    outputs, inside, rows, columns = weights.shape
    reach = ((rows - 1) * dilate + 1, (columns - 1) * dilate + 1)
    sizes = [(padded.shape[axis + 2] - reach[axis]) // stride + 1 for axis in (0, 1)]
    made = np.zeros((len(image), outputs, *sizes))
    for out, y, x in itertools.product(range(outputs), *map(range, sizes)):
        first = out // (outputs // groups) * inside
        seen = padded[:, first : first + inside, y * stride :, x * stride :]
        made[:, out, y, x] = np.sum(seen[:, :, : reach[0] : dilate, : reach[1] : dilate] * weights[out], (1, 2, 3))
    return made


def deconv(image: Array, weights: Array, stride: int, pad: int, adjust: int = 0, *, groups: int = 1) -> Array:
    """Each pixel lays its weights into the output; weights are (inputs, outputs / groups, rows, columns)."""
    count, inputs, height, width = image.shape
    _, outputs, side, _ = weights.shape
    sizes = [(size - 1) * stride + side for size in (height, width)]
    made = np.zeros((count, outputs * groups, sizes[0] + adjust, sizes[1] + adjust))
    for channel, y, x in itertools.product(range(inputs), range(height), range(width)):
        first = channel // (inputs // groups) * outputs
        laid = image[:, channel, y, x][:, None, None, None] * weights[channel][None]
        made[:, first : first + outputs, y * stride : y * stride + side, x * stride : x * stride + side] += laid
    return made[:, :, pad : made.shape[2] - pad, pad : made.shape[3] - pad]


def pool(image: Array, kind: str, kernel: int, stride: int, pad: int = 0, **how: Any) -> Array:
    """pool.h of MXNet: a window is cut at the padded edge, and then, for all but a counted average, at the picture."""
    rounded = math.ceil if how.get("full") else math.floor
    sizes = [rounded((size + 2 * pad - kernel) / stride) + 1 for size in image.shape[2:]]
    made = np.zeros((*image.shape[:2], *sizes))
    for y, x in itertools.product(*map(range, sizes)):
        spans = []
        area = 1
        for place, size in zip((y, x), image.shape[2:], strict=True):
            begin = place * stride - pad
            end = min(begin + kernel, size + pad)
            area *= end - begin
            spans.append((max(begin, 0), min(end, size)))
        seen = image[:, :, slice(*spans[0]), slice(*spans[1])]
        if not how.get("counted", True):
            area = seen.shape[2] * seen.shape[3]
        made[:, :, y, x] = {"max": seen.max, "sum": seen.sum, "avg": seen.sum}[kind]((2, 3)) / (
            area if kind == "avg" else 1
        )
    return made


def local_response(image: Array, size: int, alpha: float, beta: float, knorm: float) -> Array:
    squares = np.pad(image**2, ((0, 0), (size // 2, size // 2), (0, 0), (0, 0)))
    total = sum(squares[:, shift : shift + image.shape[1]] for shift in range(size))
    return image / (knorm + alpha / size * total) ** beta


def instance_norm(image: Array, gamma: Array, beta: Array, eps: float) -> Array:
    mean, variance = image.mean((2, 3), keepdims=True), image.var((2, 3), keepdims=True)
    return (image - mean) / np.sqrt(variance + eps) * gamma.reshape(1, -1, 1, 1) + beta.reshape(1, -1, 1, 1)
