"""Axes and parts of tensors on an NhwcBuilder: what moves values about without computing with them.

`name` is the source tensor that is made and `x` the one that is read; axes and sizes are the source's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from convert.importers.nhwc.builder import TURNED, Axes, Held, NhwcBuilder, straight
from convert.importers.nhwc.sizes import Size, Sizes, product, quotient, reshape_target, shown
from convert.network import Array
from edge.errors import ModelError


def concat(builder: NhwcBuilder, name: str, names: Sequence[str], axis: int) -> None:
    """Several tensors in a row along an axis."""
    if len(names) == 1:
        builder.alias(name, names[0])
        return
    computed = [builder.held(each) for each in names if builder.value(each) is None]
    if not computed:
        raise ModelError(f"{name!r} joins constants alone", where=builder.where, expected="a computed tensor")
    rank = len(computed[0].shape)
    axes = next((held.axes for held in computed if held.axes == TURNED), computed[0].axes)
    shapes = [builder.shape(each) for each in names]
    place = axis % rank
    size: Size = 0
    for each in shapes:
        size = each[place] + size
    shape = (*computed[0].shape[:place], size, *computed[0].shape[place + 1 :])
    inputs = [builder.arranged(each, axes) for each in names]
    builder.emit("Concat", name, inputs, Held("", shape, axes, computed[0].dtype), axis=axes.index(place))


def pack(builder: NhwcBuilder, name: str, names: Sequence[str], axis: int) -> None:
    """Several tensors of one shape, joined along a new axis."""
    parts = [builder.fresh(f"{name}/part{index}") for index in range(len(names))]
    for part, each in zip(parts, names, strict=True):
        expand_dims(builder, part, each, (axis,))
    if len(parts) == 1:
        builder.alias(name, parts[0])
    else:
        rank = len(builder.shape(parts[0]))
        concat(builder, name, parts, axis % rank)


def transpose(builder: NhwcBuilder, name: str, x: str, order: Sequence[int]) -> None:
    """Axes in another order. Nothing is written: the same tensor is read in another way."""
    held = builder.held(x)
    wanted = [axis % len(held.shape) for axis in order]
    if sorted(wanted) != list(range(len(held.shape))):
        raise ModelError(
            f"{name!r} orders axes as {list(order)}", where=builder.where, expected=f"{len(held.shape)} axes"
        )
    shape = tuple(held.shape[axis] for axis in wanted)
    axes = tuple(wanted.index(axis) for axis in held.axes)
    builder.view(name, Held(held.name, shape, axes, held.dtype))


def squeeze(builder: NhwcBuilder, name: str, x: str, axes: Sequence[int] = ()) -> None:
    """Axes of one element taken away: these, or all when none is given."""
    held = builder.held(x)
    rank = len(held.shape)
    gone = {axis % rank for axis in axes} or {axis for axis, size in enumerate(held.shape) if size == 1}
    if any(held.shape[axis] != 1 for axis in gone):
        raise ModelError(
            f"{name!r} takes axes {sorted(gone)} off {shown(held.shape)}", where=builder.where, expected="1"
        )
    if not gone:
        builder.alias(name, x)
        return
    kept = [axis for axis in range(rank) if axis not in gone]
    made = Held("", tuple(held.shape[axis] for axis in kept), _renumbered(held.axes, kept), held.dtype)
    builder.emit("Squeeze", name, (held.name, _whole(builder, f"{name}/axes", held.places(gone))), made)


def _renumbered(axes: Axes, kept: Sequence[int]) -> Axes:
    return tuple(kept.index(axis) for axis in axes if axis in kept)


def _whole(builder: NhwcBuilder, hint: str, numbers: Sequence[int] | Array) -> str:
    return builder.add_constant(hint, np.asarray(numbers, np.int64))


def expand_dims(builder: NhwcBuilder, name: str, x: str, axes: Sequence[int]) -> None:
    """New axes of one element. They are put where a picture has them, if the others are in a picture's order."""
    held = builder.held(x)
    rank = len(held.shape) + len(axes)
    added_axes = sorted(axis % rank for axis in axes)
    kept = [axis for axis in range(rank) if axis not in added_axes]
    shape: list[Size] = [1] * rank
    for place, axis in enumerate(kept):
        shape[axis] = held.shape[place]
    old = [kept[axis] for axis in held.axes]
    order = _with_new(old, added_axes, rank)
    places = [order.index(axis) for axis in added_axes]
    made = Held("", tuple(shape), tuple(order), held.dtype)
    builder.emit("Unsqueeze", name, (held.name, _whole(builder, f"{name}/axes", sorted(places))), made)


def _with_new(old: list[int], new: list[int], rank: int) -> list[int]:
    """The network's axes after new ones came in, as axes of the source."""
    if rank == 4 and [axis for axis in TURNED if axis not in new] == old:
        return list(TURNED)
    order = list(old)
    for axis in new:
        order.insert(axis, axis)
    return order


def reshape(builder: NhwcBuilder, name: str, x: str, wanted: Sequence[Size]) -> None:
    """The same values under other sizes; -1 is what is left."""
    source = builder.shape(x)
    shape = resolved(source, wanted)
    if shape is None:
        raise ModelError(
            f"{name!r} makes {shown(wanted)} of {shown(source)}", where=builder.where, expected="as many values"
        )
    if shape == source:
        builder.alias(name, x)
        return
    # Behind one pixel the channels can become the second axis at once.
    axes = TURNED if len(shape) == 4 and shape[1:3] == (1, 1) else straight(len(shape))
    tensor = builder.in_order(x)
    before = _sizes_of(builder, x, tensor)
    target = reshape_target(before, tuple(shape[axis] for axis in axes))
    if target is None:
        raise ModelError(
            f"{name!r} makes {shown(shape)}, of which several sizes are open",
            where=builder.where,
            hint="Give the input a fixed size.",
        )
    dtype = builder.held(x).dtype
    builder.emit("Reshape", name, (tensor, _whole(builder, f"{name}/shape", target)), Held("", shape, axes, dtype))


def _sizes_of(builder: NhwcBuilder, x: str, tensor: str) -> Sizes:
    held = builder.held(x)
    return held.sizes if tensor == held.name else held.shape


def resolved(source: Sequence[Size], wanted: Sequence[Size]) -> Sizes | None:
    """The sizes after a reshape, without -1; None where they cannot hold as many values."""
    rest = [index for index, size in enumerate(wanted) if isinstance(size, int) and size == -1]
    if len(rest) > 1:
        return None
    made = list(wanted)
    if rest:
        others = [size for index, size in enumerate(wanted) if index not in rest]
        made[rest[0]] = quotient(source, others)
    whole = product(source), product(made)
    if all(isinstance(each, int) for each in whole) and whole[0] != whole[1]:
        return None
    return tuple(made)


def reduce(builder: NhwcBuilder, name: str, x: str, op: str, axes: Sequence[int], *, keep: bool) -> None:
    """Mean, sum, largest, smallest or length over axes; over all when none is given."""
    held = builder.held(x)
    rank = len(held.shape)
    gone = sorted({axis % rank for axis in axes})
    kept = list(range(rank)) if keep else [axis for axis in range(rank) if axis not in gone]
    shape = tuple(1 if axis in gone else held.shape[axis] for axis in kept)
    places = held.places(gone)
    made = Held("", shape, _renumbered(held.axes, kept), held.dtype)
    # ReduceSum alone has its axes as an input in opset 13.
    if op == "ReduceSum":
        inputs: tuple[str, ...] = (held.name, _whole(builder, f"{name}/axes", places))
        builder.emit(op, name, inputs, made, keepdims=int(keep))
    else:
        builder.emit(op, name, (held.name,), made, axes=places, keepdims=int(keep))


def along(builder: NhwcBuilder, name: str, x: str, op: str, axis: int, **attributes: Any) -> None:
    """An operator with one axis that keeps the shape: Softmax, LpNormalization."""
    held = builder.held(x)
    builder.emit(op, name, (held.name,), held, axis=held.places((axis,))[0], **attributes)


def arg_max(builder: NhwcBuilder, name: str, x: str, axis: int) -> None:
    """Index of the largest along an axis, which goes."""
    held = builder.held(x)
    gone = axis % len(held.shape)
    kept = [each for each in range(len(held.shape)) if each != gone]
    made = Held("", tuple(held.shape[each] for each in kept), _renumbered(held.axes, kept), "int64")
    builder.emit("ArgMax", name, (held.name,), made, axis=held.places((gone,))[0], keepdims=0)


@dataclass(frozen=True, slots=True)
class Cut:
    """A slice along one axis, as Python's begin:end:step with begin and end resolved; end may be open (None)."""

    axis: int
    begin: int
    end: int | None
    step: int = 1


_FAR = np.iinfo(np.int64).max


def cut(builder: NhwcBuilder, name: str, x: str, cuts: Sequence[Cut], shape: Sizes) -> None:
    """Parts along some axes; `shape` is the result's, in the source's order."""
    held = builder.held(x)
    if not cuts:
        builder.alias(name, x)
        return
    columns: dict[str, list[int]] = {
        "starts": [each.begin for each in cuts],
        "ends": [(_FAR if each.step > 0 else -_FAR) if each.end is None else each.end for each in cuts],
        "axes": [held.axes.index(each.axis) for each in cuts],
        "steps": [each.step for each in cuts],
    }
    inputs = [_whole(builder, f"{name}/{which}", numbers) for which, numbers in columns.items()]
    builder.emit("Slice", name, (held.name, *inputs), Held("", shape, held.axes, held.dtype))


def split(builder: NhwcBuilder, names: Sequence[str], x: str, axis: int, sizes: Sequence[int]) -> None:
    """Parts of these sizes along an axis."""
    if len(names) == 1:
        builder.alias(names[0], x)
        return
    held = builder.held(x)
    gone = axis % len(held.shape)
    made = [Held("", (*held.shape[:gone], size, *held.shape[gone + 1 :]), held.axes, held.dtype) for size in sizes]
    inputs = (held.name, _whole(builder, f"{names[0]}/sizes", sizes))
    builder.emit_several("Split", names, inputs, made, axis=held.axes.index(gone))


def unpack(builder: NhwcBuilder, names: Sequence[str], x: str, axis: int) -> None:
    """One tensor for each index along an axis, which goes."""
    if len(names) == 1:
        squeeze(builder, names[0], x, (axis,))
        return
    parts = [builder.fresh(f"{name}/part") for name in names]
    split(builder, parts, x, axis, [1] * len(names))
    for name, part in zip(names, parts, strict=True):
        squeeze(builder, name, part, (axis,))


def gather(builder: NhwcBuilder, name: str, x: str, indices: Array, axis: int) -> None:
    """Values at constant indices along an axis."""
    held = builder.held(x)
    gone = axis % len(held.shape)
    if indices.ndim > 1:
        raise ModelError(f"{name!r} gathers by indices of {indices.ndim} axes", where=builder.where, expected="0 or 1")
    made = builder.add_constant(f"{name}/indices", indices.astype(np.int64))
    if indices.ndim:
        new = Held("", (*held.shape[:gone], len(indices), *held.shape[gone + 1 :]), held.axes, held.dtype)
    else:
        kept = [axis for axis in range(len(held.shape)) if axis != gone]
        new = Held("", tuple(held.shape[axis] for axis in kept), _renumbered(held.axes, kept), held.dtype)
    builder.emit("Gather", name, (held.name, made), new, axis=held.axes.index(gone))


def tile(builder: NhwcBuilder, name: str, x: str, repeats: Sequence[int]) -> None:
    """The tensor repeated along its axes."""
    held = builder.held(x)
    shape = tuple(size * repeat for size, repeat in zip(held.shape, repeats, strict=True))
    made = _whole(builder, f"{name}/repeats", [repeats[axis] for axis in held.axes])
    builder.emit("Tile", name, (held.name, made), Held("", shape, held.axes, held.dtype))


def mirrored(pads: Sequence[tuple[int, int]], *, symmetric: bool) -> str | None:
    """The dialect's mode for a mirror with or without the rim itself; None where it has none.

    A mirror that repeats the rim, by one place, is the rim repeated: mode `edge`.
    """
    if not symmetric:
        return "reflect"
    return "edge" if max((max(pair) for pair in pads), default=0) <= 1 else None


def pad(
    builder: NhwcBuilder,
    name: str,
    x: str,
    pads: Sequence[tuple[int, int]],
    *,
    mode: str = "constant",
    value: float = 0.0,
) -> None:
    """Values put around: (before, after) for each axis. `mode` is constant or reflect."""
    held = builder.held(x)
    shape = tuple(size + before + after for size, (before, after) in zip(held.shape, pads, strict=True))
    turned = [pads[axis] for axis in held.axes]
    inputs = [held.name, _whole(builder, f"{name}/pads", [each[0] for each in turned] + [each[1] for each in turned])]
    if mode == "constant":
        inputs.append(builder.add_constant(f"{name}/value", np.array(value, np.float32)))
    builder.emit("Pad", name, inputs, Held("", shape, held.axes, held.dtype), mode=mode)
