"""Operators whose inputs are all known: shapes that are put together, and weights that are kept in another form."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from convert.importers.nhwc.sizes import normal
from convert.importers.tflite.graph import Graph, Operator
from convert.network import Array
from edge.errors import ModelError

_MOST_VALUES = 1_000_000
"""Of a result that may be larger than what it was made of."""
Fold = Callable[[Operator, list[Array]], Array]


def folded(graph: Graph, operator: Operator, values: list[Array]) -> Array | None:
    """The value that an operator makes of known ones; None where it must stay."""
    fold = _FOLDS.get(operator.op)
    if fold is None or not values or operator.options.get("FusedActivationFunction"):
        return None
    try:
        return normal(np.asarray(fold(operator, values)))
    except (ValueError, TypeError, IndexError, ZeroDivisionError, OverflowError) as error:
        raise ModelError(f"{graph.shown(operator)} of constants ({error})", where=graph.where) from error


def _pair(function: Callable[[Array, Array], Array]) -> Fold:
    def fold(_: Operator, values: list[Array]) -> Array:
        left, right = values
        if math.prod(np.broadcast_shapes(left.shape, right.shape)) > _MOST_VALUES:
            raise ValueError("more than a million values")
        return function(left, right)

    return fold


def _joined(operator: Operator, values: list[Array]) -> Array:
    if sum(value.size for value in values) > _MOST_VALUES:
        raise ValueError("more than a million values")
    return np.concatenate(values, operator.options.get("Axis", 0))


def _packed(operator: Operator, values: list[Array]) -> Array:
    if sum(value.size for value in values) > _MOST_VALUES:
        raise ValueError("more than a million values")
    return np.stack(values, operator.options.get("Axis", 0))


def _gathered(operator: Operator, values: list[Array]) -> Array:
    if values[1].size * max(1, values[0].size) > _MOST_VALUES:
        raise ValueError("more than a million values")
    return values[0].take(values[1].astype(np.int64), operator.options.get("Axis", 0))


def _part(operator: Operator, values: list[Array]) -> Array:
    source, begins, ends, steps = values
    masks = {name: operator.options.get(name, 0) for name in ("BeginMask", "EndMask", "ShrinkAxisMask")}
    if operator.options.get("EllipsisMask") or operator.options.get("NewAxisMask"):
        raise ValueError("an ellipsis or a new axis")
    spans: list[slice | int] = []
    for axis, (begin, end, step) in enumerate(zip(begins, ends, steps, strict=True)):
        first = None if masks["BeginMask"] >> axis & 1 else int(begin)
        last = None if masks["EndMask"] >> axis & 1 else int(end)
        spans.append(int(begin) if masks["ShrinkAxisMask"] >> axis & 1 else slice(first, last, int(step)))
    return np.asarray(source[tuple(spans)])


def _sliced(_: Operator, values: list[Array]) -> Array:
    source, begins, sizes = values
    pairs = zip(begins, sizes, strict=True)
    spans = tuple(slice(int(begin), None if size < 0 else int(begin + size)) for begin, size in pairs)
    return np.asarray(source[spans])


def _reshaped(operator: Operator, values: list[Array]) -> Array:
    shape = values[1] if len(values) > 1 else operator.options.get("NewShape", ())
    return values[0].reshape([int(size) for size in shape])


def _squeezed(operator: Operator, values: list[Array]) -> Array:
    return values[0].squeeze(tuple(operator.options.get("SqueezeDims", ())) or None)


def _whole_quotient(left: Array, right: Array) -> Array:
    return left // right if left.dtype.kind in "iuO" else left / right


_FOLDS: dict[str, Fold] = {
    "ADD": _pair(lambda left, right: left + right),
    "SUB": _pair(lambda left, right: left - right),
    "MUL": _pair(lambda left, right: left * right),
    "DIV": _pair(_whole_quotient),
    "FLOOR_DIV": _pair(lambda left, right: left // right),
    "FLOOR_MOD": _pair(lambda left, right: left % right),
    "MAXIMUM": _pair(np.maximum),
    "MINIMUM": _pair(np.minimum),
    "CONCATENATION": _joined,
    "PACK": _packed,
    "GATHER": _gathered,
    "STRIDED_SLICE": _part,
    "SLICE": _sliced,
    "RESHAPE": _reshaped,
    "SQUEEZE": _squeezed,
    "EXPAND_DIMS": lambda _, values: np.expand_dims(values[0], tuple(int(axis) for axis in values[1].flat)),
    "TRANSPOSE": lambda _, values: values[0].transpose([int(axis) for axis in values[1]]),
}

FOLDED_ONLY = frozenset({"FLOOR_DIV", "FLOOR_MOD"})
"""Operators that are known where they compute shapes, and nowhere else."""
