"""SLICE, STRIDED_SLICE and REVERSE_V2."""

from __future__ import annotations

from convert.importers.nhwc import axes as nhwc_axes
from convert.importers.nhwc.axes import Cut
from convert.importers.nhwc.sizes import Size
from convert.importers.tflite.operators.call import Call, Emitter


def _slice(call: Call) -> None:
    begins, sizes, shape = call.wholes(1), call.wholes(2), call.builder.shape(call.input(0))
    if not len(begins) == len(sizes) == len(shape):
        raise call.refuse(f"begin {list(begins)}, size {list(sizes)}", f"{len(shape)} of each")
    cuts, made = [], []
    for axis, (begin, count, size) in enumerate(zip(begins, sizes, shape, strict=True)):
        if begin == 0 and count in {-1, size}:
            made.append(size)
            continue
        taken = count if count >= 0 or not isinstance(size, int) else size - begin
        if begin < 0 or taken < 0 or (isinstance(size, int) and begin + taken > size):
            raise call.refuse(f"{count} from {begin} on of {size}", "a part")
        cuts.append(Cut(axis, begin, begin + taken))
        made.append(taken)
    nhwc_axes.cut(call.builder, call.output, call.input(0), cuts, tuple(made))


def _strided_slice(call: Call) -> None:
    if call.option("EllipsisMask") or call.option("NewAxisMask"):
        raise call.refuse("an ellipsis or a new axis", "neither")
    cuts, made = _cuts(call)
    taken = [axis for axis in range(len(made)) if call.option("ShrinkAxisMask") >> axis & 1]
    if not taken:
        nhwc_axes.cut(call.builder, call.output, call.input(0), cuts, tuple(made))
        return
    inner = call.builder.fresh(f"{call.output}/part")
    nhwc_axes.cut(call.builder, inner, call.input(0), cuts, tuple(made))
    nhwc_axes.squeeze(call.builder, call.output, inner, taken)


def _cuts(call: Call) -> tuple[list[Cut], list[Size]]:
    begins, ends, steps = (call.wholes(place) for place in (1, 2, 3))
    shape = call.builder.shape(call.input(0))
    if not len(begins) == len(ends) == len(steps) or len(begins) > len(shape) or 0 in steps:
        raise call.refuse(f"begin {list(begins)}, end {list(ends)}, strides {list(steps)}", "as many of each, no 0")
    cuts, made = [], list(shape)
    for axis, (begin, end, step) in enumerate(zip(begins, ends, steps, strict=True)):
        size = shape[axis]
        span = _span(call, axis, (begin, end, step))
        if span == slice(None, None, 1):
            continue
        if not isinstance(size, int):
            raise call.refuse(f"a part of axis {axis}, whose size is open", "a fixed size")
        first, last, stride = span.indices(size)
        cuts.append(Cut(axis, first, last if last >= 0 else -size - 1, stride))
        made[axis] = len(range(first, last, stride))
    return cuts, made


def _span(call: Call, axis: int, numbers: tuple[int, int, int]) -> slice:
    """The slice of one axis; a bit in a mask means that the end there is open."""
    begin, end, step = numbers
    if call.option("ShrinkAxisMask") >> axis & 1:
        # One index: strided_slice.cc takes no notice of the end.
        return slice(begin, begin + 1 if begin != -1 else None, 1)
    is_begin_open, is_end_open = (call.option(name) >> axis & 1 for name in ("BeginMask", "EndMask"))
    return slice(None if is_begin_open or (begin == 0 and step > 0) else begin, None if is_end_open else end, step)


def _reverse(call: Call) -> None:
    shape = call.builder.shape(call.input(0))
    cuts = []
    for axis in call.axes(call.wholes(1), len(shape)):
        size = shape[axis]
        if not isinstance(size, int):
            raise call.refuse(f"axis {axis}, whose size is open", "a fixed size")
        cuts.append(Cut(axis, size - 1, -size - 1, -1))
    nhwc_axes.cut(call.builder, call.output, call.input(0), cuts, shape)


SLICES: dict[str, Emitter] = {"SLICE": _slice, "STRIDED_SLICE": _strided_slice, "REVERSE_V2": _reverse}
