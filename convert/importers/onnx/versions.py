"""Operators over axes and shapes whose form changed between opset 7 and today.

https://onnx.ai/onnx/operators/ has every version of each.
"""

from __future__ import annotations

import numpy as np

from convert.importers.onnx.translate import Adapter, CannotTranslateError, Translation
from convert.network import Node


def integers(made: Translation, node: Node, place: int, name: str) -> list[int] | None:
    """Axes, sizes and the like: an attribute in old opsets, an input in new ones."""
    if name in node.attributes:
        return [int(value) for value in node.attributes[name]]
    value = made.value(node, place)
    return None if value is None else [int(each) for each in np.ravel(value)]


def axes_of(made: Translation, node: Node, place: int = 1) -> list[int] | None:
    """Axes counted from the front; None where the node names none."""
    axes = integers(made, node, place, "axes")
    if axes is None:
        return None
    rank = made.rank(node.inputs[0])
    if any(not -rank <= axis < rank for axis in axes):
        raise CannotTranslateError(f"axes {axes} of {rank}")
    return [axis % rank for axis in axes]


def _slice(made: Translation, node: Node) -> None:
    names = ("starts", "ends", "axes", "steps")
    given = [integers(made, node, place + 1, name) for place, name in enumerate(names)]
    starts, ends, axes, steps = given
    if starts is None or ends is None:
        raise CannotTranslateError("no starts or ends")
    rank = made.rank(node.inputs[0])
    axes = [axis % rank for axis in axes] if axes is not None else list(range(len(starts)))
    parts = (starts, ends, axes, steps or [1] * len(starts))
    if len({len(part) for part in parts}) != 1:
        raise CannotTranslateError("starts, ends, axes and steps of different lengths")
    inputs = [made.constant(node, name, part, np.int64) for name, part in zip(names, parts, strict=True)]
    made.last(node, "Slice", (node.inputs[0], *inputs))


def _squeeze(made: Translation, node: Node) -> None:
    axes = axes_of(made, node)
    if axes is None:
        axes = [axis for axis, size in enumerate(made.fixed_shape(node.inputs[0])) if size == 1]
    made.last(node, "Squeeze", (node.inputs[0], made.constant(node, "axes", axes, np.int64)))


def _unsqueeze(made: Translation, node: Node) -> None:
    axes = integers(made, node, 1, "axes")
    if axes is None:
        raise CannotTranslateError("no axes")
    rank = made.rank(node.inputs[0]) + len(axes)
    # Others than the axes of the input count: those of the output.
    axes = sorted(axis % rank for axis in axes)
    made.last(node, "Unsqueeze", (node.inputs[0], made.constant(node, "axes", axes, np.int64)))


def _split(made: Translation, node: Node) -> None:
    axis = int(node.attributes.get("axis", 0))
    sizes = integers(made, node, 1, "split")
    shape = made.shape(node.inputs[0])
    size = shape[axis] if shape is not None and -len(shape) <= axis < len(shape) else None
    if sizes is None and size is not None:
        # Opset 18: equal parts, the last one smaller.
        part = -(-size // len(node.outputs))
        sizes = [min(part, size - index * part) for index in range(len(node.outputs))]
    inputs = node.inputs[:1] if sizes is None else (node.inputs[0], made.constant(node, "split", sizes, np.int64))
    made.emit(node, "Split", inputs, node.outputs, axis=axis)


def _reduce(made: Translation, node: Node) -> None:
    """ReduceSum has its axes as an input in opset 13, the others as an attribute."""
    reduce(made, node, node.op, node.inputs[0])


def reduce(
    made: Translation, node: Node, op: str, source: str, *, inner: str = "", keepdims: bool | None = None
) -> str:
    """Reduce `source` over the axes of `node`; into an inner tensor where `inner` names one."""
    axes, keep = _reduced_axes(made, node), bool(node.attributes.get("keepdims", 1)) if keepdims is None else keepdims
    outputs = (made.new(node, inner),) if inner else node.outputs
    if not axes and node.attributes.get("noop_with_empty_axes", 0):
        if op not in {"ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin"}:
            raise CannotTranslateError("noop_with_empty_axes")
        return made.emit(node, "Identity", (source,), outputs)
    axes = axes or list(range(made.rank(node.inputs[0])))
    if op == "ReduceSum":
        inputs = (source, made.constant(node, "axes", axes, np.int64))
        return made.emit(node, op, inputs, outputs, keepdims=int(keep))
    return made.emit(node, op, (source,), outputs, axes=tuple(axes), keepdims=int(keep))


def _reduced_axes(made: Translation, node: Node) -> list[int]:
    return axes_of(made, node) or []


def _reshape(made: Translation, node: Node) -> None:
    name = node.inputs[1] if len(node.inputs) > 1 else ""
    sizes = made.static.values.get(name)
    shape = made.shape(node.output)
    if sizes is None:
        # Computed, but ONNX knows what comes out.
        if shape is None or shape.count(None) > 1:
            raise CannotTranslateError(f"input {name!r} is computed")
        sizes = np.array([-1 if size is None else size for size in shape], np.int64)
    if node.attributes.get("allowzero", 0) and np.any(sizes == 0):
        raise CannotTranslateError("allowzero")
    made.last(node, "Reshape", (node.inputs[0], made.constant(node, "shape", sizes, np.int64)))


def _expand(made: Translation, node: Node) -> None:
    sizes = made.static.values.get(node.inputs[1])
    sizes = np.array(made.fixed_shape(node.output)) if sizes is None else sizes
    made.last(node, "Expand", (node.inputs[0], made.constant(node, "shape", sizes, np.int64)))


def _tile(made: Translation, node: Node) -> None:
    made.last(node, "Tile", (node.inputs[0], made.constant(node, "repeats", made.value(node, 1), np.int64)))


def _cast(made: Translation, node: Node) -> None:
    onnx = made.static.onnx
    kind = node.attributes["to"]
    floats = {onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE, onnx.TensorProto.BFLOAT16}
    made.last(node, "Cast", node.inputs[:1], to=int(onnx.TensorProto.FLOAT if kind in floats else kind))


def _cast_like(made: Translation, node: Node) -> None:
    port = made.static.ports.get(node.inputs[1])
    if port is None:
        raise CannotTranslateError(f"dtype of {node.inputs[1]!r} is not known")
    kind = made.static.onnx.helper.np_dtype_to_tensor_dtype(
        np.dtype("float32" if "float" in port.dtype else port.dtype)
    )
    made.last(node, "Cast", node.inputs[:1], to=int(kind))


def _chain(op: str) -> Adapter:
    def adapt(made: Translation, node: Node) -> None:
        first, *rest = node.inputs
        for name in rest[:-1]:
            first = made.step(node, op, (first, name))
        made.last(node, op if rest else "Identity", (first, *rest[-1:]))

    return adapt


def _flatten(made: Translation, node: Node) -> None:
    rank = made.rank(node.inputs[0])
    axis = int(node.attributes.get("axis", 1))
    made.last(node, "Flatten", node.inputs[:1], axis=axis + rank if axis < 0 else axis)


def _identity(made: Translation, node: Node) -> None:
    made.last(node, "Identity", node.inputs[:1])


SHAPES: dict[str, Adapter] = {
    "Cast": _cast,
    "CastLike": _cast_like,
    "Expand": _expand,
    "Flatten": _flatten,
    "Identity": _identity,
    "Max": _chain("Max"),
    "Min": _chain("Min"),
    "ReduceL2": _reduce,
    "ReduceMax": _reduce,
    "ReduceMean": _reduce,
    "ReduceMin": _reduce,
    "ReduceSum": _reduce,
    "Reshape": _reshape,
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _squeeze,
    "Sum": _chain("Add"),
    "Tile": _tile,
    "Unsqueeze": _unsqueeze,
}
"""Operator of the source -> what writes it in opset 13."""
