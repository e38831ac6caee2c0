"""Arithmetic that TensorFlow and TFLite have in common, one small function an operator, written on an NhwcBuilder.

`name` is the source tensor that is made and `x` the one that is read; axes and weights are the source's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from convert.importers.nhwc.builder import TURNED, Held, NhwcBuilder, straight
from convert.importers.nhwc.sizes import Sizes, broadcast, shown
from convert.network import Array
from edge.errors import ModelError

NUMBERS = {"float32": 1, "uint8": 2, "int8": 3, "int32": 6, "int64": 7, "bool": 9, "float16": 10, "float64": 11}
"""dtype -> onnx.TensorProto.DataType."""


# One value in, one out


def unary(builder: NhwcBuilder, name: str, x: str, op: str, **attributes: Any) -> None:
    """An operator on every value."""
    held = builder.held(x)
    builder.emit(op, name, (held.name,), held, **attributes)


def clip(builder: NhwcBuilder, name: str, x: str, low: float | None, high: float | None) -> None:
    """Values kept between two numbers."""
    held = builder.held(x)
    ends = [
        "" if end is None else builder.add_constant(f"{name}/{which}", np.array(end, np.float32))
        for which, end in (("low", low), ("high", high))
    ]
    builder.emit("Clip", name, (held.name, *ends), held)


def cast(builder: NhwcBuilder, name: str, x: str, dtype: str) -> None:
    """Another type of number; every floating-point type is float32 here."""
    held = builder.held(x)
    dtype = "float32" if dtype in {"float16", "float64", "bfloat16"} else dtype
    if held.dtype == dtype:
        builder.alias(name, x)
        return
    made = Held(name, held.shape, held.axes, dtype)
    builder.emit("Cast", name, (held.name,), made, to=NUMBERS[dtype])


def chain(builder: NhwcBuilder, name: str, x: str, *ops: str) -> None:
    """Several operators on every value, one after the other: Sqrt and Reciprocal for a reciprocal square root."""
    held = builder.held(x)
    tensor = held.name
    for op in ops[:-1]:
        tensor = builder.helper(op, f"{name}/{op}", (tensor,))
    builder.emit(ops[-1], name, (tensor,), held)


def prelu(builder: NhwcBuilder, name: str, x: str, slope: Array) -> None:
    """Positive values as they are, others times the slope elsewhere; the slope broadcasts over the source's axes."""
    held = builder.held(x)
    values = np.asarray(slope, np.float32)
    if values.size == 1:
        number = float(values.reshape(()))
        builder.emit("LeakyRelu", name, (held.name,), held, alpha=number)
        return
    full = values.reshape((1,) * (len(held.shape) - values.ndim) + values.shape).transpose(held.axes)
    # ONNX broadcasts a slope to the whole tensor: the batch's axis is left out.
    made = builder.add_constant(f"{name}/slope", full[0] if full.ndim > 1 and full.shape[0] == 1 else full)
    builder.emit("PRelu", name, (held.name, made), held)


# Several in, one out

COMPARISONS = frozenset({"Equal", "Greater", "Less"})


def together(builder: NhwcBuilder, names: Sequence[str]) -> tuple[list[str], Held]:
    """The network's tensors of source tensors that broadcast over each other, and what an element-by-element result is."""
    shape: Sizes = ()
    for name in names:
        shape = broadcast(shape, builder.shape(name))
    rank = len(shape)
    computed = [builder.held(name) for name in names if builder.value(name) is None]
    full = [held for held in computed if len(held.shape) == rank]
    # The order of most values wins; between equals that of a picture.
    full.sort(key=lambda held: (sum(size == 1 for size in held.shape), held.axes != TURNED))
    axes = full[0].axes if full else straight(rank)
    dtype = computed[0].dtype if computed else "float32"
    return [builder.beside(name, rank, axes) for name in names], Held("", shape, axes, dtype)


def binary(builder: NhwcBuilder, name: str, op: str, left: str, right: str) -> None:
    """An operator on pairs of values, with numpy's broadcasting."""
    inputs, held = together(builder, (left, right))
    dtype = "bool" if op in COMPARISONS else held.dtype
    builder.emit(op, name, inputs, Held("", held.shape, held.axes, dtype))


def negated(builder: NhwcBuilder, name: str, op: str, left: str, right: str) -> None:
    """Not of a comparison: `GreaterEqual` is not `Less`."""
    inputs, held = together(builder, (left, right))
    inner = builder.helper(op, f"{name}/{op}", inputs)
    builder.emit("Not", name, (inner,), Held("", held.shape, held.axes, "bool"))


def squared(builder: NhwcBuilder, name: str, x: str) -> None:
    """The square of every value."""
    held = builder.held(x)
    builder.emit("Mul", name, (held.name, held.name), held)


def squared_difference(builder: NhwcBuilder, name: str, left: str, right: str) -> None:
    """The square of the difference."""
    inputs, held = together(builder, (left, right))
    inner = builder.helper("Sub", f"{name}/Sub", inputs)
    builder.emit("Mul", name, (inner, inner), held)


def added(builder: NhwcBuilder, name: str, names: Sequence[str]) -> None:
    """The sum of several tensors of one shape."""
    inputs, held = together(builder, names)
    if len(inputs) == 1:
        builder.alias(name, names[0])
        return
    total = inputs[0]
    for each in inputs[1:-1]:
        total = builder.helper("Add", f"{name}/Add", (total, each))
    builder.emit("Add", name, (total, inputs[-1]), held)


def where(builder: NhwcBuilder, name: str, condition: str, yes: str, no: str) -> None:
    """Values of `yes` where the condition holds, of `no` elsewhere."""
    inputs, held = together(builder, (condition, yes, no))
    dtype = next((builder.held(each).dtype for each in (yes, no) if builder.value(each) is None), "float32")
    builder.emit("Where", name, inputs, Held("", held.shape, held.axes, dtype))


def matmul(builder: NhwcBuilder, name: str, left: str, right: str, *, turn: tuple[bool, bool] = (False, False)) -> None:
    """Product of matrices; `turn` says which of them is transposed first. By constant weights of two axes it is a dense layer."""
    shapes = [builder.shape(each) for each in (left, right)]
    tensors = []
    for each, shape, turned in zip((left, right), shapes, turn, strict=True):
        rank = len(shape)
        if rank < 2:
            raise ModelError(f"{name!r} multiplies {shown(shape)}", where=builder.where, expected="at least two axes")
        order = (*range(rank - 2), rank - 1, rank - 2) if turned else straight(rank)
        tensors.append(builder.arranged(each, order))
    rows = shapes[0][-1 if turn[0] else -2]
    columns = shapes[1][-2 if turn[1] else -1]
    shape = (*broadcast(shapes[0][:-2], shapes[1][:-2]), rows, columns)
    builder.emit("MatMul", name, tensors, Held("", shape, straight(len(shape))))


def dense(builder: NhwcBuilder, name: str, x: str, weights: Array, bias: Array | None = None) -> None:
    """A dense layer as a Gemm: x of two axes times weights (inputs, outputs), plus a bias."""
    shape = builder.shape(x)
    if len(shape) != 2 or weights.ndim != 2:
        raise ModelError(f"{name!r} is a dense layer of {shown(shape)}", where=builder.where, expected="two axes")
    inputs = [builder.plain(x), builder.add_constant(f"{name}/weights", weights)]
    if bias is not None:
        inputs.append(builder.add_constant(f"{name}/bias", bias))
    builder.emit("Gemm", name, inputs, Held("", (shape[0], weights.shape[1]), (0, 1)))
