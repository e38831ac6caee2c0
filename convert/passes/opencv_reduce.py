"""Reductions as pooling: the Reduce layer of OpenCV 4.8 mixes up its results, or reads foreign memory, where there are many.

Found with ReduceMean over the places of a (1, 512, 7, 7) tensor in cv2.dnn 4.8.1: a third of the channels were another
channel's mean. 4.11 and 5.0 are right; pooling is right, and as fast, in all three.
"""

from __future__ import annotations

import numpy as np

from convert.network import Node, Shape
from convert.passes.rewriting import Rewrite, Rewriting


def _reduce(made: Rewriting, node: Node) -> bool:
    """Axes to the end, all of them as one, pooled, and shaped back."""
    port = made.ports.get(node.inputs[0])
    if port is None or port.dtype != "float32" or len(port.shape) < 2 or None in port.shape[1:]:
        return False
    axes = _axes(made, node, len(port.shape))
    if not axes or 0 in axes:
        return False
    values = _laid_out(made, node, port.shape, axes)
    count = int(np.prod([port.shape[axis] or 1 for axis in axes]))
    pooled = _POOLED[node.op](made, node, values, count)
    return made.last(node, "Reshape", (pooled, _shape_after(made, node, port.shape, axes)))


def _axes(made: Rewriting, node: Node, rank: int) -> list[int]:
    given = made.value(node, 1) if node.op == "ReduceSum" else node.attributes.get("axes")
    return [] if given is None else sorted(int(axis) % rank for axis in np.ravel(given))


def _laid_out(made: Rewriting, node: Node, shape: Shape, axes: list[int]) -> str:
    """(N, what is kept, what is reduced, 1)."""
    kept = [axis for axis in range(len(shape)) if axis not in axes]
    if len(shape) == 4 and axes == [2, 3]:
        return node.inputs[0]
    order, values = (*kept, *axes), node.inputs[0]
    if order != tuple(range(len(shape))):
        values = made.step(node, "turned", "Transpose", (values,), perm=order)
    sizes = [int(np.prod([shape[axis] or 1 for axis in part], dtype=np.int64)) for part in (kept[1:], axes)]
    laid_out = made.constant(node, "laid_out", [0, *sizes, 1], np.int64)
    return made.step(node, "as_places", "Reshape", (values, laid_out))


def _shape_after(made: Rewriting, node: Node, shape: Shape, axes: list[int]) -> str:
    keeps = bool(node.attributes.get("keepdims", 1))
    sizes = [1 if axis in axes else size or 0 for axis, size in enumerate(shape) if keeps or axis not in axes]
    # 0 means: as in the source. That is the batch, which may be open.
    return made.constant(node, "after", [0, *sizes[1:]], np.int64)


def _mean(made: Rewriting, node: Node, values: str, _count: int) -> str:
    return made.step(node, "mean", "GlobalAveragePool", (values,))


def _sum(made: Rewriting, node: Node, values: str, count: int) -> str:
    return made.step(node, "sum", "Mul", (_mean(made, node, values, count), made.constant(node, "count", count)))


def _length(made: Rewriting, node: Node, values: str, count: int) -> str:
    squares = made.step(node, "squares", "Mul", (values, values))
    return made.step(node, "length", "Sqrt", (_sum(made, node, squares, count),))


def _max(made: Rewriting, node: Node, values: str, _count: int) -> str:
    return made.step(node, "max", "GlobalMaxPool", (values,))


def _min(made: Rewriting, node: Node, values: str, count: int) -> str:
    return made.step(node, "min", "Neg", (_max(made, node, made.step(node, "neg", "Neg", (values,)), count),))


_POOLED = {"ReduceMean": _mean, "ReduceSum": _sum, "ReduceL2": _length, "ReduceMax": _max, "ReduceMin": _min}
REDUCTIONS: dict[str, Rewrite] = dict.fromkeys(_POOLED, _reduce)
