"""Enlarging by a whole factor as a transposed convolution, for runtimes that have no Resize or no integer one.

Keras' UpSampling2D and TensorFlow's resize_* give these forms of ONNX Resize (https://onnx.ai/onnx/operators/onnx__Resize.html):
nearest, and linear with half-pixel centres or (before TensorFlow 2) with `asymmetric` ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from convert.network import Floats, Network, Node
from convert.passes.rewriting import Rewriting, rewritten

_HALF = frozenset({"half_pixel", "pytorch_half_pixel"})
_ROUNDINGS: dict[str, Callable[[Any], Any]] = {
    "floor": np.floor,
    "ceil": np.ceil,
    "round_prefer_ceil": lambda x: np.floor(x + 0.5),
    "round_prefer_floor": lambda x: np.ceil(x - 0.5),
}
LARGEST_FACTOR = 16
"""A larger one would make more multiplications than it saves trouble."""


@dataclass(frozen=True, slots=True)
class Axis:
    """How one axis is enlarged: a kernel at steps of `factor`, on the axis with its rims repeated, and what is cut off."""

    factor: int
    kernel: tuple[float, ...]
    before: int = 0
    """Whether the first pixel is there once more, 0 or 1."""
    after: int = 0
    cut_before: int = 0
    cut_after: int = 0


def upsampling_as_transposed_convolution(network: Network) -> Network:
    """Every Resize by whole factors becomes a depthwise ConvTranspose with fixed weights.

    What has another form stays: sizes that are no multiple, align_corners, cubic, an open number of channels, inputs that are
    not float32.
    """
    return rewritten(network, {"Resize": _rewrite})


def _rewrite(made: Rewriting, node: Node) -> bool:
    port = made.ports.get(node.inputs[0])
    if port is None or len(port.shape) != 4 or port.shape[1] is None or port.dtype != "float32":
        return False
    factors = _factors(made, node)
    if factors is None:
        return False
    axes = [_axis(node, factor) for factor in factors]
    if axes[0] is None or axes[1] is None:
        return False
    return _write(made, node, int(port.shape[1]), (axes[0], axes[1]))


def _factors(made: Rewriting, node: Node) -> tuple[int, int] | None:
    """Of rows and columns; None where they are not whole, or other axes change."""
    sizes = made.value(node, 3)
    scales: Any = made.value(node, 2)
    if sizes is not None and sizes.size == 4:
        shape = made.ports[node.inputs[0]].shape
        if None in shape[1:] or int(sizes[1]) != shape[1] or shape[0] not in {None, int(sizes[0])}:
            return None
        scales = np.array([1.0, 1.0, *(float(sizes[axis]) / float(shape[axis] or 1) for axis in (2, 3))])
    if scales is None or scales.size != 4 or tuple(scales[:2]) != (1.0, 1.0):
        return None
    height, width = float(scales[2]), float(scales[3])
    if height != int(height) or width != int(width) or min(height, width) < 1 or max(height, width) == 1:
        return None
    return (int(height), int(width)) if max(height, width) <= LARGEST_FACTOR else None


def _axis(node: Node, factor: int) -> Axis | None:
    mode, places = (
        node.attributes.get("mode", "nearest"),
        node.attributes.get("coordinate_transformation_mode", "half_pixel"),
    )
    rounding = node.attributes.get("nearest_mode", "round_prefer_floor")
    if factor == 1:
        return Axis(1, (1.0,))
    if mode == "nearest":
        return nearest(factor) if _repeats(factor, places, rounding) else None
    if mode != "linear":
        return None
    if places in _HALF:
        return half_pixel(factor)
    return asymmetric(factor) if places == "asymmetric" else None


def _repeats(factor: int, places: str, rounding: str) -> bool:
    """Whether each pixel is repeated `factor` times; some roundings give the first pixel less and the last one more."""
    if places not in _HALF and places != "asymmetric":
        return False
    steps = np.arange(factor)
    source = (steps + 0.5) / factor - 0.5 if places in _HALF else steps / factor
    rounded = _ROUNDINGS.get(rounding)
    return rounded is not None and not np.any(rounded(source))


def nearest(factor: int) -> Axis:
    """Output i is input floor(i / f): each pixel spreads over f places, and no two spread over the same one."""
    return Axis(factor, (1.0,) * factor)


def half_pixel(factor: int) -> Axis:
    """Linear between pixels' centres.

    Output i lies at s = (i + 1/2) / f - 1/2 of the input, and input p counts there by max(0, 1 - |s - p|). With d = i - p f,
    the place relative to the pixel, that is w(d) = max(0, 1 - |(d + 1/2) / f - 1/2|): the same for every pixel, and not 0 for
    the 2 f - f mod 2 places from d = -floor(f/2) on. A transposed convolution of stride f puts pixel p's kernel at p f, so
    w(d) is its element d + floor(f/2). At the rims s lies outside of the pixels and ONNX takes the outermost one: as if it
    were there once more on either side. With it in front, output i is element i + f + floor(f/2), and what is before is cut.
    """
    first, count = -(factor // 2), 2 * factor - factor % 2
    places = np.arange(first, first + count)
    kernel = 1 - np.abs((places + 0.5) / factor - 0.5)
    cut_before = factor + factor // 2
    # n + 2 pixels reach over (n + 1) f + count places, of which n f are kept.
    return Axis(factor, tuple(kernel.tolist()), 1, 1, cut_before, factor + count - cut_before)


def asymmetric(factor: int) -> Axis:
    """Linear, output i at i / f of the input: TensorFlow 1 without aligned corners.

    w(d) = max(0, 1 - |d| / f), from d = 1 - f to f - 1, and a zero at d = -f, so that as much is cut before as after: OpenCV has
    no other paddings here. Only behind the last pixel is there anything outside: it is repeated there, and n + 1 pixels reach
    over n f + 2 f places. Output i is element i + f.
    """
    places = np.arange(-factor, factor)
    return Axis(factor, tuple((1 - np.abs(places) / factor).tolist()), 0, 1, factor, factor)


def _write(made: Rewriting, node: Node, channels: int, axes: tuple[Axis, Axis]) -> bool:
    source = node.inputs[0]
    for number, axis in zip((2, 3), axes, strict=True):
        source = _with_rims(made, node, source, number, axis)
    plane = np.outer(*(np.asarray(axis.kernel, np.float64) for axis in axes))
    weights: Floats = np.broadcast_to(plane.astype(np.float32), (channels, 1, *plane.shape)).copy()
    return made.last(
        node, "ConvTranspose", (source, made.constant(node, "weights", weights)),
        kernel_shape=plane.shape, strides=(axes[0].factor, axes[1].factor), group=channels,
        pads=(axes[0].cut_before, axes[1].cut_before, axes[0].cut_after, axes[1].cut_after),
    )  # fmt: skip


def _with_rims(made: Rewriting, node: Node, source: str, axis: int, how: Axis) -> str:
    """The first and last row or column once more, by Slice and Concat: not every runtime can pad by repeating."""
    what = {2: "rows", 3: "columns"}[axis]
    ends = {"first": (0, 1), "last": (-1, np.iinfo(np.int64).max)}
    parts = [source]
    for end, is_wanted in (("first", how.before), ("last", how.after)):
        if not is_wanted:
            continue
        values = zip(("from", "to", "axis"), (*ends[end], axis), strict=True)
        limits = [made.constant(node, f"{end} of {what}, {name}", [value], np.int64) for name, value in values]
        part = made.step(node, f"{end} of {what}", "Slice", (source, *limits))
        parts = [part, *parts] if end == "first" else [*parts, part]
    return source if len(parts) == 1 else made.step(node, f"{what} with rims", "Concat", tuple(parts), axis=axis)
