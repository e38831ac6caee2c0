"""The one small network of every format: what it holds, and what it computes, in NumPy alone.

Shaped like an embedder, and of nothing that a format rounds in its own way: windows meet the picture's edge exactly, padding is
the same on all sides.

    image 3x24x24
    stem      convolution 3x3, stride 2, no padding     8x11x11    batch norm, PReLU
    depth     depthwise 3x3, padded by 1                8x11x11    batch norm, PReLU
    point     convolution 1x1, + what the stem made     8x11x11
    pool      maximum of 3x3, stride 2                  8x5x5
    last      convolution 3x3                          16x3x3
    dense     of all 144 numbers                       16
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

Weights = dict[str, Any]
SHAPE = (1, 3, 24, 24)
EPSILON = 1e-3
NORMS = ("weight", "bias", "running_mean", "running_var")
CHANNELS, FLAT, EMBEDDING = 8, (16, 3, 3), 16


def weights() -> Weights:
    """float32 under PyTorch's names and in its layouts: OIHW, (out, in)."""
    random = np.random.default_rng(7)

    def normal(*shape: int, inside: int) -> Any:
        return random.normal(0, np.sqrt(1.5 / inside), shape).astype(np.float32)

    def around(middle: float, *shape: int) -> Any:
        return random.uniform(middle - 0.3, middle + 0.3, shape).astype(np.float32)

    made = {"stem.weight": normal(8, 3, 3, 3, inside=27), "depth.weight": normal(8, 1, 3, 3, inside=9)}
    for layer in ("stem", "depth"):
        made |= {f"{layer}_norm.{part}": around(middle, 8) for part, middle in zip(NORMS, (1, 0, 0, 1), strict=True)}
        made[f"{layer}_prelu.weight"] = around(0.25, 8)
    made |= {"point.weight": normal(8, 8, 1, 1, inside=8), "point.bias": around(0.5, 8)}
    made |= {"last.weight": normal(16, 8, 3, 3, inside=72), "last.bias": around(0, 16)}
    return made | {"dense.weight": normal(16, 144, inside=144), "dense.bias": around(0, 16)}


def pictures(count: int, seed: int = 0) -> Any:
    """float32 (count, 3, 24, 24), -1 to 1; smooth, as pictures are."""
    coarse = np.random.default_rng([11, seed]).uniform(-1, 1, (count, 3, 6, 6))
    return coarse.repeat(4, axis=2).repeat(4, axis=3).astype(np.float32)


def reference(held: Weights, images: Any) -> Any:
    """float64 (N, 16) for NCHW pictures."""
    stem = prelu(held, "stem", norm(held, "stem", conv(held, "stem", images, stride=2)))
    depth = prelu(held, "depth", norm(held, "depth", depthwise(held, "depth", stem)))
    pooled = windows(conv(held, "point", depth) + stem, 3, 2).max((4, 5))
    flat = conv(held, "last", pooled).reshape(len(images), -1)
    return flat @ held["dense.weight"].T.astype(np.float64) + held["dense.bias"]


def folded(held: Weights) -> list[Any]:
    """Constants of the layers in their order once batch norms are folded: kernel and bias, slopes, ..., matrix and bias."""
    made: list[Any] = []
    for layer in ("stem", "depth"):
        gamma, beta, mean, variance = (held[f"{layer}_norm.{part}"].astype(np.float64) for part in NORMS)
        factor = gamma / np.sqrt(variance + EPSILON)
        kernel = held[f"{layer}.weight"] * factor.reshape(-1, 1, 1, 1)
        made += [kernel, beta - mean * factor, held[f"{layer}_prelu.weight"]]
    return made + [held[f"{layer}.{part}"] for layer in ("point", "last", "dense") for part in ("weight", "bias")]


def windows(values: Any, size: int, stride: int) -> Any:
    """(N, C, rows, columns, size, size)"""
    return sliding_window_view(values, (size, size), axis=(2, 3))[:, :, ::stride, ::stride]


def conv(held: Weights, layer: str, values: Any, *, stride: int = 1) -> Any:
    kernel = held[f"{layer}.weight"].astype(np.float64)
    made = np.einsum("ncyxhw,ochw->noyx", windows(values, kernel.shape[-1], stride), kernel)
    return made + held.get(f"{layer}.bias", np.zeros(1)).reshape(1, -1, 1, 1)


def depthwise(held: Weights, layer: str, values: Any) -> Any:
    padded = np.pad(values, ((0, 0), (0, 0), (1, 1), (1, 1)))
    return np.einsum("ncyxhw,chw->ncyx", windows(padded, 3, 1), held[f"{layer}.weight"][:, 0].astype(np.float64))


def norm(held: Weights, layer: str, values: Any) -> Any:
    parts = (held[f"{layer}_norm.{part}"].reshape(1, -1, 1, 1).astype(np.float64) for part in NORMS)
    gamma, beta, mean, variance = parts
    return (values - mean) / np.sqrt(variance + EPSILON) * gamma + beta


def prelu(held: Weights, layer: str, values: Any) -> Any:
    return np.where(values < 0, values * held[f"{layer}_prelu.weight"].reshape(1, -1, 1, 1), values)
