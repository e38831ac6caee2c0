"""Layers without weights: functions of one value, sums and products, and other shapes for the same values."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from convert.importers.caffe.builder import Work, flag, given, shown
from convert.importers.caffe.weighted import Converter

_PRODUCT, _SUM, _MAXIMUM = range(3)


def _function(op: str) -> Converter:
    def convert(work: Work) -> None:
        work.emit(op, [work.inputs[0]], work.shape())

    return convert


def relu(work: Work) -> None:
    """With a slope below zero it is a leaky one."""
    slope = given(work.message("relu_param"), "negative_slope", 0.0)
    if slope:
        work.emit("LeakyRelu", [work.inputs[0]], work.shape(), alpha=slope)
    else:
        work.emit("Relu", [work.inputs[0]], work.shape())


def relu6(work: Work) -> None:
    """0 to 6."""
    bounds = [work.constant("low", 0.0), work.constant("high", 6.0)]
    work.emit("Clip", [work.inputs[0], *bounds], work.shape())


def elu(work: Work) -> None:
    """Clevert et al. 2016."""
    work.emit("Elu", [work.inputs[0]], work.shape(), alpha=given(work.message("elu_param"), "alpha", 1.0))


def softmax(work: Work) -> None:
    """Along one axis."""
    axis = work.axis(given(work.message("softmax_param"), "axis", 1))
    work.emit("Softmax", [work.inputs[0]], work.shape(), axis=axis)


def dropout(work: Work) -> None:
    """Nothing when a network is used; with scale_train false, training did not scale, and using it does."""
    message = work.message("dropout_param")
    if flag(message, "scale_train", default=True):
        work.emit("Identity", [work.inputs[0]], work.shape())
        return
    kept = work.constant("kept", 1.0 - given(message, "dropout_ratio", 0.5))
    work.emit("Mul", [work.inputs[0], kept], work.shape())


def power(work: Work) -> None:
    """(shift + scale * x) ^ power."""
    message = work.message("power_param")
    scale, shift = given(message, "scale", 1.0), given(message, "shift", 0.0)
    _chain(work, [("Mul", scale, 1.0), ("Add", shift, 0.0), ("Pow", given(message, "power", 1.0), 1.0)])


def exp(work: Work) -> None:
    """To the power of shift + scale * x; the base is e when it is -1."""
    message = work.message("exp_param")
    base = given(message, "base", -1.0)
    if base != -1.0 and base <= 0:
        raise work.fault(f"base {base:g}", expected="more than 0, or -1 for e")
    factor = 1.0 if base == -1.0 else math.log(base)
    scale, shift = given(message, "scale", 1.0), given(message, "shift", 0.0)
    _chain(work, [("Mul", factor * scale, 1.0), ("Add", factor * shift, 0.0), ("Exp", None, None)])


def log(work: Work) -> None:
    """Logarithm to the base of shift + scale * x; the base is e when it is -1."""
    message = work.message("log_param")
    base = given(message, "base", -1.0)
    if base != -1.0 and (base <= 0 or base == 1):
        raise work.fault(f"base {base:g}", expected="more than 0 and not 1, or -1 for e")
    factor = 1.0 if base == -1.0 else 1.0 / math.log(base)
    scale, shift = given(message, "scale", 1.0), given(message, "shift", 0.0)
    _chain(work, [("Mul", scale, 1.0), ("Add", shift, 0.0), ("Log", None, None), ("Mul", factor, 1.0)])


def _chain(work: Work, steps: Sequence[tuple[str, float | None, float | None]]) -> None:
    """Operators one after the other: (operator, its number, the number with which it does nothing)."""
    steps = [step for step in steps if step[1] is None or step[1] != step[2]] or [("Identity", None, None)]
    name = work.inputs[0]
    for index, (op, number, _) in enumerate(steps):
        inputs = [name] if number is None else [name, work.constant(op.lower(), number)]
        if index == len(steps) - 1:
            work.emit(op, inputs, work.shape())
        else:
            name = work.step(f"{op.lower()}{index}", op, inputs, work.shape())


def eltwise(work: Work) -> None:
    """Sum (of inputs with a factor each), product or maximum of inputs of one shape."""
    message, count = work.message("eltwise_param"), len(work.inputs)
    operation = given(message, "operation", _SUM)
    factors = list(message.coeff)
    if count < 2 or (factors and (len(factors) != count or operation != _SUM)):
        raise work.fault(f"{count} inputs, {len(factors)} factors", expected="two inputs or more, a factor for each")
    different = [shown(work.shape(index)) for index in range(count) if work.shape(index) != work.shape()]
    if different:
        raise work.fault(f"inputs of shape {shown(work.shape())} and {different[0]}", expected="one shape")
    names = list(work.inputs)
    for index, factor in enumerate(factors):
        if factor != 1:
            constant = work.constant("factor", factor)
            names[index] = work.step(f"times{index}", "Mul", [names[index], constant], work.shape())
    op = {_PRODUCT: "Mul", _SUM: "Add", _MAXIMUM: "Max"}[operation]
    last = names[0]
    for index, name in enumerate(names[1:-1]):
        last = work.step(f"part{index}", op, [last, name], work.shape())
    work.emit(op, [last, names[-1]], work.shape())


def axpy(work: Work) -> None:
    """Sum of the third input and the second times the first, a factor for each channel of each picture (Hu et al. 2018, SENet)."""
    shape = work.shape(1)
    factor = work.inputs[0]
    if len(work.shape(0)) < len(shape):
        axes = list(range(len(work.shape(0)), len(shape)))
        names = [factor, work.constant("axes", axes, np.int64)]
        factor = work.step("beside", "Unsqueeze", names, (*work.shape(0), *([1] * len(axes))))
    if len(work.inputs) != 3 or work.shape(2) != shape:
        raise work.fault(f"{len(work.inputs)} inputs", expected="factors, and two of one shape")
    work.emit("Add", [work.step("product", "Mul", [factor, work.inputs[1]], shape), work.inputs[2]], shape)


def concat(work: Work) -> None:
    """Along one axis. Of constants (priors), a constant."""
    message = work.message("concat_param")
    axis = work.axis(message.concat_dim if message.HasField("concat_dim") else given(message, "axis", 1))
    shapes = [work.shape(index) for index in range(len(work.inputs))]
    rest = {shape[:axis] + shape[axis + 1 :] for shape in shapes}
    if len(rest) != 1 or len({len(shape) for shape in shapes}) != 1:
        raise work.fault(f"inputs of shape {', '.join(map(shown, shapes))}", expected=f"equal but for axis {axis}")
    sizes = [shape[axis] for shape in shapes]
    total = None if None in sizes else sum(size for size in sizes if size is not None)
    shape = (*shapes[0][:axis], total, *shapes[0][axis + 1 :])
    constants = work.builder.constants
    if all(name in constants for name in work.inputs):
        constants[work.outputs[0]] = np.concatenate([constants[name] for name in work.inputs], axis)
        work.builder.shaped(work.outputs[0], shape, work.layer)
        return
    work.emit("Concat", work.inputs, shape, axis=axis)


def slice_(work: Work) -> None:
    """Parts along one axis, cut at the points given, or equal."""
    message, count = work.message("slice_param"), len(work.outputs)
    axis = work.axis(message.slice_dim if message.HasField("slice_dim") else given(message, "axis", 1))
    shape, points = work.shape(), [int(point) for point in message.slice_point]
    size = shape[axis]
    if size is None:
        raise work.fault(f"axis {axis} of {shown(shape)}", expected="a fixed size")
    if not points and count and size % count == 0:
        points = [size // count * part for part in range(1, count)]
    bounds = [0, *points, size]
    sizes = [end - start for start, end in itertools.pairwise(bounds)]
    if len(sizes) != count or min(sizes) < 1:
        raise work.fault(f"{size} cut at {points} for {count} outputs", expected="a part for each output")
    names = (work.inputs[0], work.constant("sizes", sizes, np.int64))
    work.builder.add_many("Split", work.layer.name, names, work.outputs, axis=axis)
    for name, part in zip(work.outputs, sizes, strict=True):
        work.builder.shaped(name, (*shape[:axis], part, *shape[axis + 1 :]), work.layer)


def split(work: Work) -> None:
    """The same tensor under several names."""
    for index, name in enumerate(work.outputs):
        label = work.layer.name if not index else f"{work.layer.name}/{index}"
        work.builder.add("Identity", label, [work.inputs[0]], name)
        work.builder.shaped(name, work.shape(), work.layer)


def flatten(work: Work) -> None:
    """Axes from `axis` to `end_axis` as one."""
    message, shape = work.message("flatten_param"), work.shape()
    first, last = work.axis(given(message, "axis", 1)), work.axis(given(message, "end_axis", -1))
    if first > last:
        raise work.fault(f"axes {first} to {last}", expected="the first before the last")
    sizes = [size for size in shape[first : last + 1] if size is not None]
    total = int(np.prod(sizes, dtype=object)) if len(sizes) == last + 1 - first else None
    made = (*shape[:first], total, *shape[last + 1 :])
    if first == 1 and last == len(shape) - 1:
        work.emit("Flatten", [work.inputs[0]], made, axis=1)
    else:
        _reshaped(work, made, kept=first)


def reshape(work: Work) -> None:
    """0 is a size kept, -1 is what is left; `axis` and `num_axes` say which part of the shape is replaced."""
    message, shape = work.message("reshape_param"), work.shape()
    axis = work.axis(given(message, "axis", 0), last=True)
    count = given(message, "num_axes", -1)
    end = len(shape) if count == -1 else axis + count
    wanted = [int(size) for size in message.shape.dim]
    if count < -1 or end > len(shape) or wanted.count(-1) > 1 or min(wanted, default=1) < -1 or len(wanted) > 8:
        raise work.fault(f"{wanted} for axes {axis} to {end} of {shown(shape)}", expected="sizes from 1, 0, and one -1")
    part: list[int | None] = []
    for index, size in enumerate(wanted):
        if size == 0 and axis + index >= end:
            raise work.fault(f"{wanted} for {shown(shape)}", expected="0 only where there is a size to keep")
        part.append(shape[axis + index] if size == 0 else size)
    made = [*shape[:axis], *part, *shape[end:]]
    kept = axis
    while kept - axis < len(wanted) and wanted[kept - axis] == 0:
        kept += 1
    if -1 in wanted:
        made[axis + wanted.index(-1)] = _left(work, shape, made, axis + wanted.index(-1))
    _reshaped(work, tuple(made), kept)


def _left(work: Work, shape: Sequence[int | None], made: Sequence[int | None], place: int) -> int | None:
    """The size that -1 stands for; None where it depends on an open one."""
    have, rest = list(shape), [size for index, size in enumerate(made) if index != place]
    if have.count(None) != rest.count(None):
        return None
    total = math.prod(size for size in have if size is not None)
    known = math.prod(size for size in rest if size is not None)
    if known < 1 or total % known:
        raise work.fault(f"{shown(shape)} as {shown(made)}", expected="the same number of values")
    return total // known


def _reshaped(work: Work, made: tuple[int | None, ...], kept: int) -> None:
    """`kept` leading sizes are those of the input, open ones too; one other may be open."""
    shape = work.shape()
    target = [0 if index < kept else -1 if size is None else size for index, size in enumerate(made)]
    # An open batch counts as the 1 that it was in the file.
    if -1 not in target and math.prod(size or 1 for size in shape) != math.prod(size or 1 for size in made):
        raise work.fault(f"{shown(shape)} as {shown(made)}", expected="the same number of values")
    if target.count(-1) > 1:
        raise work.fault(f"{shown(shape)} as {shown(made)}", expected="at most one open size")
    work.emit("Reshape", [work.inputs[0], work.constant("shape", target, np.int64)], made)


def permute(work: Work) -> None:
    """Axes in another order; those that are not named follow."""
    shape = work.shape()
    order = [int(axis) for axis in work.message("permute_param").order]
    order += [axis for axis in range(len(shape)) if axis not in order]
    if sorted(order) != list(range(len(shape))):
        raise work.fault(f"order {order} of {shown(shape)}", expected="every axis once")
    work.emit("Transpose", [work.inputs[0]], [shape[axis] for axis in order], perm=tuple(order))


PLAIN: dict[str, Converter] = {
    "ReLU": relu,
    "ReLU6": relu6,
    "ELU": elu,
    "Sigmoid": _function("Sigmoid"),
    "TanH": _function("Tanh"),
    "AbsVal": _function("Abs"),
    "BNLL": _function("Softplus"),
    "Softmax": softmax,
    "Dropout": dropout,
    "Power": power,
    "Exp": exp,
    "Log": log,
    "Eltwise": eltwise,
    "Axpy": axpy,
    "Concat": concat,
    "Slice": slice_,
    "Split": split,
    "Flatten": flatten,
    "Reshape": reshape,
    "Permute": permute,
}
