"""Operators that only move values about."""

from __future__ import annotations

import math

from convert.importers.mxnet.maker import Call
from convert.importers.mxnet.operators.kinds import Emitter
from convert.importers.mxnet.operators.reshape import reshape

_END = 2**31 - 1
"""As far as there is anything: what Slice takes for an open end."""


def _flatten(call: Call) -> None:
    call.finish("Flatten", (call.input(0),), axis=1)


def _transpose(call: Call) -> None:
    axes = call.attributes.integers("axes") or tuple(reversed(range(call.rank())))
    call.finish("Transpose", (call.input(0),), perm=tuple(call.axis(axis) for axis in axes))


def _swap_axes(call: Call) -> None:
    first, second = (call.axis(call.attributes.integer(name, 0)) for name in ("dim1", "dim2"))
    order = list(range(call.rank()))
    order[first], order[second] = order[second], order[first]
    call.finish("Transpose", (call.input(0),), perm=tuple(order))


def _concat(call: Call) -> None:
    call.finish("Concat", call.inputs, axis=call.attributes.integer("dim", 1))


def _slice_channel(call: Call) -> None:
    axis = call.attributes.integer("axis", 1)
    if not call.attributes.truth("squeeze_axis", default=False):
        call.maker.split((call.input(0),), call.outputs, axis)
        return
    parts = tuple(f"{call.node.name}/part{index}" for index in range(len(call.outputs)))
    call.maker.split((call.input(0),), parts, axis)
    axes = call.integers("axes", (axis,))
    for part, output in zip(parts, call.outputs, strict=True):
        call.maker.step("Squeeze", (part, axes), output)


def _sliced(call: Call, where: list[tuple[int, int, int, int]]) -> None:
    """(axis, begin, end, step) of each axis that is cut."""
    axes, begins, ends, steps = (tuple(column) for column in zip(*where, strict=True))
    named = (call.integers("begins", begins), call.integers("ends", ends), call.integers("axes", axes))
    call.finish("Slice", (call.input(0), *named, call.integers("steps", steps)))


def _slice(call: Call) -> None:
    begins, ends = call.attributes.optional_integers("begin"), call.attributes.optional_integers("end")
    steps = call.attributes.optional_integers("step") or (1,) * len(begins)
    if not begins or not len(begins) == len(ends) == len(steps):
        raise call.refuse(f"begin {begins}, end {ends}, step {steps}", "as many of each")
    where = []
    for axis, (begin, end, step) in enumerate(zip(begins, ends, steps, strict=True)):
        way = step or 1
        first = begin if begin is not None else (0 if way > 0 else _END)
        last = end if end is not None else (_END if way > 0 else -_END)
        where.append((axis, first, last, way))
    _sliced(call, where)


def _slice_axis(call: Call) -> None:
    end = call.attributes.optional_integers("end")
    last = end[0] if end and end[0] is not None else _END
    _sliced(call, [(call.attributes.integer("axis", 0), call.attributes.integer("begin", 0), last, 1)])


def _slice_like(call: Call) -> None:
    axes = call.attributes.integers("axes") or tuple(range(call.rank()))
    sizes = call.known_shape(1)
    where = []
    for axis in axes:
        size = sizes[call.axis(axis, 1)]
        if size is None:
            raise call.needs_sizes()
        where.append((call.axis(axis), 0, size, 1))
    _sliced(call, where)


def _crop(call: Call) -> None:
    """The first picture cut to the size of the second, or to `h_w`."""
    (height, width) = call.sizes(first=2)
    rows, columns = call.sizes(1, first=2) if len(call.inputs) > 1 else call.attributes.integers("h_w", (0, 0))
    top, left = call.attributes.integers("offset", (0, 0))
    if call.attributes.truth("center_crop", default=False):
        top, left = (height - rows) // 2, (width - columns) // 2
    if min(top, left) < 0 or top + rows > height or left + columns > width:
        raise call.refuse(f"{rows}x{columns} at ({top}, {left})", f"inside {height}x{width}")
    _sliced(call, [(2, top, top + rows, 1), (3, left, left + columns, 1)])


def _pad(call: Call) -> None:
    mode = call.attributes.text("mode", "constant")
    widths = call.attributes.integers("pad_width")
    if mode not in {"constant", "edge", "reflect"} or len(widths) % 2 or min(widths, default=-1) < 0:
        raise call.refuse(f"mode {mode}, pad_width {widths}", "constant, edge or reflect, and two numbers an axis")
    amounts = call.integers("pads", (*widths[::2], *widths[1::2]))
    if mode != "constant":
        call.finish("Pad", (call.input(0), amounts), mode=mode)
        return
    value = call.number("value", call.attributes.number("constant_value", 0.0))
    call.finish("Pad", (call.input(0), amounts, value), mode=mode)


def _expand_dims(call: Call) -> None:
    axes = call.integers("axes", (call.attributes.integer("axis", 0),))
    call.finish("Unsqueeze", (call.input(0), axes))


def _squeeze(call: Call) -> None:
    axes = call.attributes.integers("axis")
    call.finish("Squeeze", (call.input(0), call.integers("axes", axes)) if axes else (call.input(0),))


def _reshape_like(call: Call) -> None:
    sizes = call.sizes(1, first=1)
    shape = (0, *sizes) if math.prod(sizes) else sizes
    call.finish("Reshape", (call.input(0), call.integers("shape", shape)))


SHAPING: dict[str, Emitter] = {
    **dict.fromkeys(("Flatten", "flatten"), _flatten),
    **dict.fromkeys(("Reshape", "reshape"), reshape),
    "reshape_like": _reshape_like,
    "transpose": _transpose,
    **dict.fromkeys(("SwapAxis", "swapaxes"), _swap_axes),
    **dict.fromkeys(("Concat", "concat"), _concat),
    **dict.fromkeys(("SliceChannel", "split"), _slice_channel),
    "slice": _slice,
    "crop": _slice,
    "slice_axis": _slice_axis,
    "slice_like": _slice_like,
    "Crop": _crop,
    **dict.fromkeys(("Pad", "pad"), _pad),
    "expand_dims": _expand_dims,
    "squeeze": _squeeze,
}
