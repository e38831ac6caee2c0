"""What can be computed of a TensorFlow graph before it runs: constants, and sizes worked out of shapes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from convert.importers.nhwc.sizes import Unknown, normal
from convert.importers.tensorflow.graph import LARGEST_VALUE, Op
from convert.network import Array
from edge.errors import ModelError

Fold = Callable[[Op, Sequence[Array]], Array | Sequence[Array] | None]
"""None: not now; a sequence: one array for each output."""


def folded(op: Op, values: Sequence[Array]) -> list[Array] | None:
    """The outputs of an operator whose inputs are all known; None where it is left to the network."""
    fold = FOLDS.get(op.kind)
    if fold is None:
        return None
    try:
        with np.errstate(all="ignore"):
            made = fold(op, values)
    except (TypeError, AttributeError):
        # Sizes that are open have no order and no square root.
        return None
    if made is None:
        return None
    several = [made] if isinstance(made, np.ndarray | np.generic) else list(made)
    return [normal(np.asarray(each)) for each in several]


def _plain(function: Callable[..., Any]) -> Fold:
    def fold(_op: Op, values: Sequence[Array]) -> Array:
        _refuse_large(np.broadcast_shapes(*(value.shape for value in values)))
        return np.asarray(function(*values))

    return fold


def _refuse_large(shape: Sequence[int]) -> None:
    if math.prod(int(size) for size in shape) > LARGEST_VALUE:
        raise ModelError(f"a constant of shape {list(shape)}", expected=f"at most {LARGEST_VALUE} values")


def _divided(left: Array, right: Array) -> Array:
    if left.dtype.kind in "iub" and right.dtype.kind in "iub":
        # Div of whole numbers rounds towards zero.
        return np.asarray(np.trunc(left / right).astype(left.dtype))
    return np.asarray(left / right)


def _axes(values: Sequence[Array]) -> tuple[int, ...]:
    rank = values[0].ndim
    axes = {int(axis) % rank for axis in values[1].reshape(-1)} if rank else set()
    return tuple(sorted(axes))


def _reduced(function: Callable[..., Any]) -> Fold:
    def fold(op: Op, values: Sequence[Array]) -> Array:
        keep = bool(op.attribute("keep_dims", op.attribute("keepdims", default=False)))
        made = function(values[0], axis=_axes(values), keepdims=keep)
        return np.asarray(made).astype(values[0].dtype)

    return fold


_CASTS = {"bfloat16": np.float32, "float16": np.float32, "float64": np.float32}


def _cast(op: Op, values: Sequence[Array]) -> Array | None:
    wanted = op.attribute("DstT")
    if values[0].dtype == object:
        return values[0]
    if not isinstance(wanted, str) or wanted in {"string", "resource"}:
        return None
    return values[0].astype(_CASTS.get(wanted, wanted))


def _fill(_op: Op, values: Sequence[Array]) -> Array:
    _refuse_large([int(size) for size in values[0].reshape(-1)])
    return np.full(tuple(int(size) for size in values[0].reshape(-1)), values[1])


def _tile(_op: Op, values: Sequence[Array]) -> Array:
    _refuse_large([size * int(times) for size, times in zip(values[0].shape, values[1].reshape(-1), strict=True)])
    return np.tile(values[0], values[1].reshape(-1))


def _range(_op: Op, values: Sequence[Array]) -> Array:
    start, limit, step = (value.reshape(()).item() for value in values)
    if step == 0 or (limit - start) / step > LARGEST_VALUE:
        raise ModelError(f"a range from {start} to {limit} by {step}", expected=f"at most {LARGEST_VALUE} values")
    return np.arange(start, limit, step, dtype=values[0].dtype)


def _broadcast_to(_op: Op, values: Sequence[Array]) -> Array:
    shape = tuple(int(size) for size in values[1].reshape(-1))
    _refuse_large(shape)
    return np.broadcast_to(values[0], shape)


def _reshape(_op: Op, values: Sequence[Array]) -> Array:
    return values[0].reshape(tuple(int(size) for size in values[1].reshape(-1)))


def _concat(_op: Op, values: Sequence[Array]) -> Array:
    return np.concatenate(values[:-1], int(values[-1]))


def _pack(op: Op, values: Sequence[Array]) -> Array:
    return np.stack(values, int(op.attribute("axis", 0)))


def _unpack(op: Op, values: Sequence[Array]) -> list[Array]:
    axis = int(op.attribute("axis", 0))
    return [np.take(values[0], index, axis) for index in range(values[0].shape[axis])]


def _slice(_op: Op, values: Sequence[Array]) -> Array:
    begins, sizes = values[1].reshape(-1), values[2].reshape(-1)
    parts = [slice(int(b), None if s == -1 else int(b) + int(s)) for b, s in zip(begins, sizes, strict=True)]
    return np.asarray(values[0][tuple(parts)])


def _strided_slice(op: Op, values: Sequence[Array]) -> Array:
    return np.asarray(values[0][strided_index(op, *values[1:4])])


def strided_index(op: Op, begins: Array, ends: Array, steps: Array) -> tuple[Any, ...]:
    """What StridedSlice means as NumPy's index."""

    def is_set(mask: str, place: int) -> bool:
        return bool(int(op.attribute(mask, 0)) >> place & 1)

    made: list[Any] = []
    for place, (begin, end, step) in enumerate(
        zip(begins.reshape(-1), ends.reshape(-1), steps.reshape(-1), strict=True)
    ):
        if is_set("ellipsis_mask", place):
            made.append(Ellipsis)
        elif is_set("new_axis_mask", place):
            made.append(None)
        elif is_set("shrink_axis_mask", place):
            made.append(int(begin))
        else:
            first = None if is_set("begin_mask", place) else int(begin)
            made.append(slice(first, None if is_set("end_mask", place) else int(end), int(step)))
    return tuple(made)


def _split(op: Op, values: Sequence[Array]) -> list[Array]:
    return np.split(values[1], int(op.attribute("num_split", 1)), int(values[0]))


def _split_v(_op: Op, values: Sequence[Array]) -> list[Array]:
    sizes = [int(size) for size in values[1]]
    axis = int(values[2])
    if -1 in sizes:
        sizes[sizes.index(-1)] = values[0].shape[axis] - sum(sizes) - 1
    return np.split(values[0], np.cumsum(sizes)[:-1], axis)


def _squeeze(op: Op, values: Sequence[Array]) -> Array:
    axes = op.integers("squeeze_dims") or op.integers("axis")
    return np.squeeze(values[0], axes or None)


def _gather(_op: Op, values: Sequence[Array]) -> Array:
    axis = int(values[2]) if len(values) > 2 else 0
    return np.take(values[0], values[1].astype(np.int64), axis)


def _pad(_op: Op, values: Sequence[Array]) -> Array:
    pads = [(int(before), int(after)) for before, after in values[1]]
    _refuse_large([size + before + after for size, (before, after) in zip(values[0].shape, pads, strict=True)])
    return np.pad(values[0], pads, constant_values=values[2] if len(values) > 2 else 0)


def _dequantized(op: Op, values: Sequence[Array]) -> Array | None:
    """Weights that were stored as bytes: low + q (high - low) / 255, q counted from the smallest byte.

    https://www.tensorflow.org/api_docs/python/tf/quantization/dequantize
    """
    mode, stored = op.attribute("mode", "MIN_COMBINED"), values[0]
    low, high = (value.astype(np.float64).reshape(-1) for value in values[1:3])
    is_plain = mode in {"MIN_COMBINED", "MIN_FIRST"} and low.size == high.size == 1
    if stored.dtype not in {np.dtype(np.uint8), np.dtype(np.int8)} or not is_plain:
        return None
    step = (high - low) / 255
    if mode == "MIN_FIRST" and step:
        # There 0 itself is one of the steps.
        low = np.round(low / step) * step
    return np.asarray(low + (stored.astype(np.float64) - np.iinfo(stored.dtype).min) * step, np.float32)


def _matmul(op: Op, values: Sequence[Array]) -> Array:
    left = values[0].T if op.attribute("transpose_a", default=False) else values[0]
    right = values[1].T if op.attribute("transpose_b", default=False) else values[1]
    return np.asarray(left @ right)


def _select(_op: Op, values: Sequence[Array]) -> Array:
    return np.where(*values)


def _shape(_op: Op, values: Sequence[Array]) -> Array:
    return np.asarray(values[0].shape, np.int64)


def _add_n(_op: Op, values: Sequence[Array]) -> Array:
    return np.asarray(sum(values[1:], values[0]))


def _first(_op: Op, values: Sequence[Array]) -> Array:
    return values[0]


def _refuse_open(*values: Array) -> None:
    if any(isinstance(each, Unknown) for value in values if value.dtype == object for each in value.flat):
        raise TypeError("a size that is open")


def _compared(function: Callable[..., Any]) -> Fold:
    def compare(left: Array, right: Array) -> Array:
        _refuse_open(left, right)
        return np.asarray(function(left, right))

    return _plain(compare)


FOLDS: dict[str, Fold] = {
    "Add": _plain(np.add), "AddV2": _plain(np.add), "BiasAdd": _plain(np.add), "Sub": _plain(np.subtract),
    "Mul": _plain(np.multiply), "RealDiv": _plain(np.true_divide), "Div": _plain(_divided),
    "FloorDiv": _plain(np.floor_divide), "FloorMod": _plain(np.mod), "Pow": _plain(np.power),
    "Maximum": _plain(np.maximum), "Minimum": _plain(np.minimum), "Neg": _plain(np.negative), "Abs": _plain(np.abs),
    "Square": _plain(np.square), "SquaredDifference": _plain(lambda a, b: np.square(a - b)), "Sqrt": _plain(np.sqrt),
    "Rsqrt": _plain(lambda a: (1 / np.sqrt(a)).astype(a.dtype)), "Exp": _plain(np.exp), "Log": _plain(np.log),
    "Reciprocal": _plain(np.reciprocal), "Inv": _plain(np.reciprocal), "Floor": _plain(np.floor),
    "Ceil": _plain(np.ceil), "Round": _plain(np.round), "Rint": _plain(np.rint),
    "Sigmoid": _plain(lambda a: (1 / (1 + np.exp(-a))).astype(a.dtype)), "Tanh": _plain(np.tanh),
    "Relu": _plain(lambda a: np.maximum(a, 0)),
    "Greater": _compared(np.greater), "GreaterEqual": _compared(np.greater_equal), "Less": _compared(np.less),
    "LessEqual": _compared(np.less_equal), "Equal": _compared(np.equal), "NotEqual": _compared(np.not_equal),
    "LogicalAnd": _plain(np.logical_and), "LogicalOr": _plain(np.logical_or), "LogicalNot": _plain(np.logical_not),
    "ZerosLike": _plain(np.zeros_like), "OnesLike": _plain(np.ones_like),
    "Sum": _reduced(np.sum), "Prod": _reduced(np.prod), "Mean": _reduced(np.mean), "Max": _reduced(np.max),
    "Min": _reduced(np.min), "All": _reduced(np.all), "Any": _reduced(np.any),
    "Identity": _first, "StopGradient": _first, "Snapshot": _first, "PreventGradient": _first, "CheckNumerics": _first,
    "PlaceholderWithDefault": _first, "EnsureShape": _first, "ReadVariableOp": _first,
    "Cast": _cast, "Fill": _fill, "Tile": _tile, "Range": _range, "BroadcastTo": _broadcast_to, "Reshape": _reshape,
    "ConcatV2": _concat, "Concat": lambda op, values: _concat(op, [*values[1:], values[0]]), "Pack": _pack,
    "Unpack": _unpack, "Slice": _slice, "StridedSlice": _strided_slice, "Split": _split, "SplitV": _split_v,
    "Squeeze": _squeeze, "ExpandDims": lambda _, values: np.expand_dims(values[0], int(values[1])),
    "Transpose": lambda _, values: np.transpose(values[0], [int(axis) for axis in values[1]]),
    "Gather": _gather, "GatherV2": _gather, "Pad": _pad, "PadV2": _pad, "MatMul": _matmul, "Select": _select,
    "SelectV2": _select, "Shape": _shape, "Size": lambda _, values: np.asarray(values[0].size),
    "Rank": lambda _, values: np.asarray(values[0].ndim), "AddN": _add_n, "Dequantize": _dequantized,
}  # fmt: skip
"""Operator -> its meaning in NumPy."""
