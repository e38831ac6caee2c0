"""TensorFlow's operators on shapes and axes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from convert.importers.nhwc import axes as nhwc_axes
from convert.importers.nhwc.axes import Cut
from convert.importers.nhwc.builder import Held, straight
from convert.importers.nhwc.sizes import Size, Sizes, Unknown, as_array, as_sizes, product
from convert.importers.tensorflow.folding import strided_index
from convert.importers.tensorflow.graph import LARGEST_VALUE, Op
from convert.importers.tensorflow.patterns import is_softmax
from convert.importers.tensorflow.reading import Reading, Writer, outputs_of, whole_numbers


def _shape(reading: Reading, op: Op) -> None:
    reading.builder.add_value(op.name, as_array(reading.builder.shape(op.inputs[0])))


def _shape_n(reading: Reading, op: Op) -> None:
    for name, tensor in zip(outputs_of(op, len(op.inputs)), op.inputs, strict=True):
        reading.builder.add_value(name, as_array(reading.builder.shape(tensor)))


def _size(reading: Reading, op: Op) -> None:
    reading.builder.add_value(op.name, as_array([product(reading.builder.shape(op.inputs[0]))]).reshape(()))


def _rank(reading: Reading, op: Op) -> None:
    reading.builder.add_value(op.name, np.asarray(len(reading.builder.shape(op.inputs[0]))))


def _reshape(reading: Reading, op: Op) -> None:
    wanted = reading.builder.value(op.inputs[1])
    if wanted is None:
        reading.give_up(op, "the shape depends on the input")
    elif not is_softmax(reading, op):
        nhwc_axes.reshape(reading.builder, op.name, op.inputs[0], as_sizes(wanted))


def _transpose(reading: Reading, op: Op) -> None:
    nhwc_axes.transpose(reading.builder, op.name, op.inputs[0], whole_numbers(reading, op, 1))


def _expand_dims(reading: Reading, op: Op) -> None:
    nhwc_axes.expand_dims(reading.builder, op.name, op.inputs[0], whole_numbers(reading, op, 1))


def _squeeze(reading: Reading, op: Op) -> None:
    axes = op.integers("squeeze_dims") or op.integers("axis")
    nhwc_axes.squeeze(reading.builder, op.name, op.inputs[0], axes)


def _concat(reading: Reading, op: Op) -> None:
    axis = whole_numbers(reading, op, len(op.inputs) - 1)[0]
    nhwc_axes.concat(reading.builder, op.name, op.inputs[:-1], axis)


def _old_concat(reading: Reading, op: Op) -> None:
    nhwc_axes.concat(reading.builder, op.name, op.inputs[1:], whole_numbers(reading, op, 0)[0])


def _pack(reading: Reading, op: Op) -> None:
    nhwc_axes.pack(reading.builder, op.name, op.inputs, int(op.attribute("axis", 0)))


def _unpack(reading: Reading, op: Op) -> None:
    axis = int(op.attribute("axis", 0))
    nhwc_axes.unpack(reading.builder, outputs_of(op, int(op.attribute("num"))), op.inputs[0], axis)


def _split(reading: Reading, op: Op) -> None:
    axis, count = whole_numbers(reading, op, 0)[0], int(op.attribute("num_split"))
    size = reading.builder.shape(op.inputs[1])[axis]
    if not isinstance(size, int) or count < 1 or size % count:
        raise ValueError(f"{size} values in {count} parts")
    nhwc_axes.split(reading.builder, outputs_of(op, count), op.inputs[1], axis, [size // count] * count)


def _split_v(reading: Reading, op: Op) -> None:
    sizes, axis = whole_numbers(reading, op, 1), whole_numbers(reading, op, 2)[0]
    whole = reading.builder.shape(op.inputs[0])[axis]
    if -1 in sizes and isinstance(whole, int):
        sizes[sizes.index(-1)] = whole - sum(sizes) - 1
    nhwc_axes.split(reading.builder, outputs_of(op, len(sizes)), op.inputs[0], axis, sizes)


def _pad(reading: Reading, op: Op) -> None:
    pads = [(int(before), int(after)) for before, after in reading.builder.known(op.inputs[1], str(op))]
    value = float(reading.builder.known(op.inputs[2], str(op)).reshape(())) if len(op.inputs) > 2 else 0.0
    nhwc_axes.pad(reading.builder, op.name, op.inputs[0], pads, value=value)


def _mirror_pad(reading: Reading, op: Op) -> None:
    pads = [(int(before), int(after)) for before, after in reading.builder.known(op.inputs[1], str(op))]
    mode = nhwc_axes.mirrored(pads, symmetric=op.attribute("mode") == "SYMMETRIC")
    if mode is None:
        reading.give_up(op, "mode SYMMETRIC by more than 1")
        return
    nhwc_axes.pad(reading.builder, op.name, op.inputs[0], pads, mode=mode)


def _tile(reading: Reading, op: Op) -> None:
    nhwc_axes.tile(reading.builder, op.name, op.inputs[0], whole_numbers(reading, op, 1))


def _gather(reading: Reading, op: Op) -> None:
    axis = whole_numbers(reading, op, 2)[0] if len(op.inputs) > 2 else 0
    indices = reading.builder.known(op.inputs[1], str(op))
    nhwc_axes.gather(reading.builder, op.name, op.inputs[0], indices, axis)


def _broadcast_to(reading: Reading, op: Op) -> None:
    builder = reading.builder
    shape = tuple(whole_numbers(reading, op, 1))
    tensor = builder.beside(op.inputs[0], len(shape), straight(len(shape)))
    target = builder.add_constant(f"{op.name}/shape", np.asarray(shape, np.int64))
    builder.emit("Expand", op.name, (tensor, target), Held("", shape, straight(len(shape))))


def _filled(value: float) -> Writer:
    def write(reading: Reading, op: Op) -> None:
        shape = reading.builder.shape(op.inputs[0])
        count = product(shape)
        if not isinstance(count, int) or count > LARGEST_VALUE:
            reading.give_up(op, "the shape depends on the input")
            return
        reading.builder.add_value(op.name, np.full(as_array(shape).tolist(), value, np.float32))

    return write


def _slice(reading: Reading, op: Op) -> None:
    builder = reading.builder
    begins, counts = whole_numbers(reading, op, 1), whole_numbers(reading, op, 2)
    source = builder.shape(op.inputs[0])
    cuts, shape = [], []
    for axis, (begin, count, size) in enumerate(zip(begins, counts, source, strict=True)):
        end = None if count == -1 else begin + count
        left = _length(size, begin, end, 1)
        shape.append(left)
        if left != size:
            cuts.append(Cut(axis, begin, end))
    nhwc_axes.cut(builder, op.name, op.inputs[0], cuts, tuple(shape))


def _strided_slice(reading: Reading, op: Op) -> None:
    """Cut what is a slice, then take single indices' axes away, then put the new ones in."""
    builder = reading.builder
    source = builder.shape(op.inputs[0])
    index = strided_index(op, *(builder.known(each, str(op)) for each in op.inputs[1:4]))
    cuts: list[Cut] = []
    gone: list[int] = []
    new: list[int] = []
    shape: list[Size] = list(source)
    place = 0
    for axis, part in _by_axis(index, len(source)):
        if axis is None:
            new.append(place)
            place += 1
            continue
        if isinstance(part, int):
            gone.append(axis)
            part = slice(part, None if part == -1 else part + 1, 1)  # noqa: PLW2901  one index is a slice of one
        else:
            place += 1
        left = _length(source[axis], part.start, part.stop, part.step)
        if left != source[axis] or part.step < 0:
            cuts.append(Cut(axis, _begin(part), part.stop, part.step))
        shape[axis] = left
    _cut_and_squeeze(reading, op, (cuts, tuple(shape)), gone, new)


def _begin(part: slice) -> int:
    return part.start if part.start is not None else 0 if part.step > 0 else -1


def _by_axis(index: tuple[Any, ...], rank: int) -> Iterator[tuple[int | None, Any]]:
    """The source's axis of each part of an index, None for a new one."""
    axes = rank - sum(part is not None and part is not Ellipsis for part in index)
    axis = 0
    for part in index:
        if part is None:
            yield None, part
        elif part is Ellipsis:
            for _ in range(axes):
                yield axis, slice(None, None, 1)
                axis += 1
        else:
            yield axis, part
            axis += 1
    while axis < rank:
        yield axis, slice(None, None, 1)
        axis += 1


def _cut_and_squeeze(reading: Reading, op: Op, cut: tuple[list[Cut], Sizes], gone: list[int], new: list[int]) -> None:
    builder = reading.builder
    names = [op.inputs[0]]
    steps = [bool(cut[0]), bool(gone), bool(new)]
    last = max((index for index, is_needed in enumerate(steps) if is_needed), default=-1)
    if last < 0:
        builder.alias(op.name, op.inputs[0])
        return

    def name(step: int) -> str:
        names.append(op.name if step == last else builder.fresh(f"{op.name}/step{step}"))
        return names[-1]

    if steps[0]:
        nhwc_axes.cut(builder, name(0), names[-2], *cut)
    if steps[1]:
        nhwc_axes.squeeze(builder, name(1), names[-2], gone)
    if steps[2]:
        nhwc_axes.expand_dims(builder, name(2), names[-2], new)


def _length(size: Size, begin: int | None, end: int | None, step: int) -> Size:
    if isinstance(size, int):
        return len(range(*slice(begin, end, step).indices(size)))
    if begin in {None, 0} and end is None and abs(step) == 1:
        return size
    if step == 1 and begin is not None and end is not None and (begin < 0) == (end < 0):
        return end - begin
    if step == 1 and begin is not None and begin < 0 and end is None:
        return -begin
    return Unknown(f"{size}[{begin}:{end}:{step}]")


WRITERS: dict[str, Writer] = {
    "Shape": _shape, "ShapeN": _shape_n, "Size": _size, "Rank": _rank, "Reshape": _reshape, "Transpose": _transpose,
    "ExpandDims": _expand_dims, "Squeeze": _squeeze, "ConcatV2": _concat, "Concat": _old_concat, "Pack": _pack,
    "Unpack": _unpack, "Split": _split, "SplitV": _split_v, "Pad": _pad, "PadV2": _pad, "MirrorPad": _mirror_pad,
    "Tile": _tile, "Gather": _gather, "GatherV2": _gather, "BroadcastTo": _broadcast_to, "Slice": _slice,
    "StridedSlice": _strided_slice, "ZerosLike": _filled(0.0), "OnesLike": _filled(1.0),
}  # fmt: skip
"""Operator -> what writes it."""
