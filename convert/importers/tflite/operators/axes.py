"""Operators over axes: reductions, and what moves values about."""

from __future__ import annotations

import numpy as np

from convert.importers.nhwc import axes as nhwc_axes
from convert.importers.nhwc.sizes import Sizes, as_array, as_sizes
from convert.importers.tflite.operators.call import Call, Emitter, fused
from convert.network import Array

_MOST_REPEATS = 4096


def _rank(call: Call, place: int = 0) -> int:
    return len(call.builder.shape(call.input(place)))


def _reduction(op: str) -> Emitter:
    def emit(call: Call) -> None:
        rank = _rank(call)
        axes = call.axes(call.wholes(1), rank) or tuple(range(rank))
        nhwc_axes.reduce(call.builder, call.output, call.input(0), op, axes, keep=bool(call.option("KeepDims")))

    return emit


def _reshape(call: Call) -> None:
    value = call.builder.value(call.input(1)) if call.has(1) else None
    if call.has(1) and value is None:
        raise call.refuse("a shape that depends on the input", "a constant")
    wanted: Sizes = as_sizes(value) if value is not None else call.option("NewShape", ())
    # Old files say [0] for a scalar (reshape.cc).
    if value is None and tuple(wanted) == (0,):
        wanted = ()
    nhwc_axes.reshape(call.builder, call.output, call.input(0), wanted)


def _squeeze(call: Call) -> None:
    nhwc_axes.squeeze(call.builder, call.output, call.input(0), call.axes(call.option("SqueezeDims", ()), _rank(call)))


def _expand_dims(call: Call) -> None:
    (axis,) = call.axes(call.wholes(1), _rank(call) + 1)
    nhwc_axes.expand_dims(call.builder, call.output, call.input(0), (axis,))


def _transpose(call: Call) -> None:
    nhwc_axes.transpose(call.builder, call.output, call.input(0), call.wholes(1))


def _concatenation(call: Call) -> None:
    (axis,) = call.axes((call.option("Axis"),), _rank(call))
    shapes = [call.builder.shape(name) for name in call.inputs]
    if len({(*shape[:axis], *shape[axis + 1 :]) for shape in shapes}) != 1:
        raise call.refuse("parts that do not fit each other", "one shape, but for the axis")
    fused(call, lambda name: nhwc_axes.concat(call.builder, name, call.inputs, axis))


def _pack(call: Call) -> None:
    (axis,) = call.axes((call.option("Axis"),), _rank(call) + 1)
    if len({call.builder.shape(name) for name in call.inputs}) != 1:
        raise call.refuse("parts of several shapes", "one shape")
    nhwc_axes.pack(call.builder, call.output, call.inputs, axis)


def _unpack(call: Call) -> None:
    (axis,) = call.axes((call.option("Axis"),), _rank(call))
    _check_parts(call, [1] * len(call.outputs), axis, 0)
    nhwc_axes.unpack(call.builder, call.outputs, call.input(0), axis)


def _split(call: Call) -> None:
    (axis,) = call.axes(call.wholes(0), _rank(call, 1))
    size = call.builder.shape(call.input(1))[axis]
    if not isinstance(size, int) or size % len(call.outputs):
        raise call.refuse(f"{len(call.outputs)} parts of {size}", "parts of one size")
    parts = [size // len(call.outputs)] * len(call.outputs)
    nhwc_axes.split(call.builder, call.outputs, call.input(1), axis, parts)


def _split_v(call: Call) -> None:
    parts, (axis,) = list(call.wholes(1)), call.axes(call.wholes(2), _rank(call))
    size = call.builder.shape(call.input(0))[axis]
    if parts.count(-1) == 1 and isinstance(size, int):
        parts[parts.index(-1)] = size - sum(parts) - 1
    _check_parts(call, parts, axis, 0)
    nhwc_axes.split(call.builder, call.outputs, call.input(0), axis, parts)


def _check_parts(call: Call, parts: list[int], axis: int, place: int) -> None:
    size = call.builder.shape(call.input(place))[axis]
    if min(parts, default=-1) < 1 or len(parts) != len(call.outputs) or (isinstance(size, int) and sum(parts) != size):
        raise call.refuse(f"parts {parts[:20]} of {size}", f"{len(call.outputs)} that make the whole")


def _gather(call: Call) -> None:
    if call.option("BatchDims"):
        raise call.refuse(f"batch_dims {call.option('BatchDims')}", "0")
    indices, (axis,) = call.known(1), call.axes((call.option("Axis"),), _rank(call))
    size = call.builder.shape(call.input(0))[axis]
    if indices.size and isinstance(size, int) and not 0 <= int(indices.min()) <= int(indices.max()) < size:
        raise call.refuse("indices outside", f"0 to {size - 1}")
    nhwc_axes.gather(call.builder, call.output, call.input(0), indices, axis)


def _tile(call: Call) -> None:
    repeats = call.wholes(1)
    if not 1 <= min(repeats, default=0) <= max(repeats, default=0) <= _MOST_REPEATS:
        raise call.refuse(f"multiples {list(repeats)}", f"1 to {_MOST_REPEATS}")
    nhwc_axes.tile(call.builder, call.output, call.input(0), repeats)


def _pads(call: Call) -> list[tuple[int, int]]:
    pads = call.known(1)
    if pads.shape != (len(call.builder.shape(call.input(0))), 2) or pads.min(initial=0) < 0:
        raise call.refuse(f"paddings of shape {pads.shape}", "(axes, 2), 0 or more")
    return [(int(before), int(after)) for before, after in pads]


def _pad(call: Call) -> None:
    value = call.optional(2)
    number = float(value.reshape(())) if value is not None else 0.0
    nhwc_axes.pad(call.builder, call.output, call.input(0), _pads(call), value=number)


def _mirror_pad(call: Call) -> None:
    pads = _pads(call)
    mode = nhwc_axes.mirrored(pads, symmetric=call.option("Mode") != 0)
    if mode is None:
        raise call.refuse("mode SYMMETRIC by more than 1", "REFLECT")
    nhwc_axes.pad(call.builder, call.output, call.input(0), pads, mode=mode)


def _shape(call: Call) -> None:
    call.builder.add_value(call.output, as_array(call.builder.shape(call.input(0))))


def _arg_max(call: Call) -> None:
    (axis,) = call.axes(call.wholes(1), _rank(call))
    nhwc_axes.arg_max(call.builder, call.output, call.input(0), axis)


def _fill(call: Call) -> None:
    shape, value = call.wholes(0), call.known(1)
    if min(shape, default=1) < 0 or np.prod(shape, dtype=float) > 1_000_000 or value.size != 1:
        raise call.refuse(f"a constant of shape {list(shape)}", "a million values at most")
    filled: Array = np.full(shape, value.reshape(()))
    call.builder.add_value(call.output, filled)


AXES: dict[str, Emitter] = {
    "MEAN": _reduction("ReduceMean"),
    "SUM": _reduction("ReduceSum"),
    "REDUCE_MAX": _reduction("ReduceMax"),
    "REDUCE_MIN": _reduction("ReduceMin"),
    "ARG_MAX": _arg_max,
    "RESHAPE": _reshape,
    "SQUEEZE": _squeeze,
    "EXPAND_DIMS": _expand_dims,
    "TRANSPOSE": _transpose,
    "CONCATENATION": _concatenation,
    "PACK": _pack,
    "UNPACK": _unpack,
    "SPLIT": _split,
    "SPLIT_V": _split_v,
    "GATHER": _gather,
    "TILE": _tile,
    "PAD": _pad,
    "PADV2": _pad,
    "MIRROR_PAD": _mirror_pad,
    "SHAPE": _shape,
    "FILL": _fill,
}
