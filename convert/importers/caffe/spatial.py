"""Layers over places: pooling, local normalisation, resizing, cropping, priors."""

from __future__ import annotations

from typing import Any

import numpy as np

from convert.importers.caffe.builder import Work, flag, given, shown
from convert.importers.caffe.weighted import Converter, pair
from convert.passes.priors import PriorBoxes, prior_boxes

_FLOOR = 1


def pooling(work: Work) -> None:
    """Maximum or mean of windows. Their number is rounded up, and the last ones reach over the edge."""
    message = work.message("pooling_param")
    batch, channels, *_ = work.picture()
    method = message.pool
    if method not in {0, 1}:
        raise work.fault("stochastic pooling", expected="MAX or AVE")
    if flag(message, "global_pooling", default=False):
        work.emit(("GlobalMaxPool", "GlobalAveragePool")[method], [work.inputs[0]], (batch, channels, 1, 1))
        return
    kernel = pair(work, message, "kernel_size", ("kernel_h", "kernel_w"), 0)
    stride = pair(work, message, "stride", ("stride_h", "stride_w"), 1)
    pad = pair(work, message, "pad", ("pad_h", "pad_w"), 0)
    if (
        min(*kernel, *stride) < 1
        or min(pad) < 0
        or pad[0] >= kernel[0]
        or pad[1] >= kernel[1]
        or max(*kernel, *stride) > 4096
    ):
        found = f"kernel {kernel}, stride {stride}, pad {pad}"
        raise work.fault(found, expected="kernel and stride from 1 to 4096, pad less than the kernel")
    rounds_up = _rounds_up(message)
    if pad == (0, 0) and kernel[0] >= stride[0] and kernel[1] >= stride[1]:
        _unpadded(work, (kernel, stride), is_mean=bool(method), rounds_up=rounds_up)
        return
    sizes = work.sized()[2:]
    axes = [_windows(*axis, rounds_up) for axis in zip(sizes, kernel, stride, pad, strict=True)]
    if any(count < 1 for count, _ in axes):
        raise work.fault(f"kernel {kernel} on an input of shape {shown(work.shape())}", expected="a smaller kernel")
    _padded(work, (kernel, stride, pad), axes, is_mean=bool(method))


def _rounds_up(message: Any) -> bool:
    if message.HasField("round_mode"):
        return bool(message.round_mode != _FLOOR)
    return bool(flag(message, "ceil_mode", default=True))


def _unpadded(work: Work, windows: tuple[tuple[int, int], tuple[int, int]], *, is_mean: bool, rounds_up: bool) -> None:
    """ONNX's ceil_mode means the same here, for any size: a mean counts only what lies in the picture."""
    batch, channels, *places = work.picture()
    kernel, stride = windows
    sizes = [
        None if size is None else _windows(size, kernel[i], stride[i], 0, rounds_up)[0] for i, size in enumerate(places)
    ]
    how: dict[str, Any] = {"kernel_shape": kernel, "strides": stride, "ceil_mode": int(rounds_up)}
    if is_mean:
        how["count_include_pad"] = 0
    op = "AveragePool" if is_mean else "MaxPool"
    work.emit(op, [work.inputs[0]], (batch, channels, *sizes), **how)


def _windows(size: int, kernel: int, stride: int, pad: int, rounds_up: bool) -> tuple[int, int]:  # noqa: FBT001 (one row of a table)
    """How many windows, and how far the last reaches beyond the padding.

    As caffe/layers/pooling_layer: none begins in the padding behind the picture.
    """
    room = size + 2 * pad - kernel
    count = (-(-room // stride) if rounds_up else room // stride) + 1
    if pad and (count - 1) * stride >= size + pad:
        count -= 1
    return count, (count - 1) * stride + kernel - (size + 2 * pad)


def _padded(work: Work, windows: tuple[Any, Any, Any], axes: list[tuple[int, int]], *, is_mean: bool) -> None:
    """With the padding at the end made as long as the last window needs: floor and ceiling are one then.

    A mean counts the zeros of the padding, but nothing beyond it. Where windows reach there, the padding becomes zeros of
    the picture, and what is beyond becomes a padding that does not count.
    """
    batch, channels, *_ = work.picture()
    kernel, stride, pad = windows
    over = [max(0, reach) for _, reach in axes]
    source, before, counted = work.inputs[0], pad, 0
    if is_mean and any(pad):
        if any(over):
            source, before = _with_zeros(work, pad), (0, 0)
        else:
            counted = 1
    end = [before[i] + over[i] for i in range(2)]
    how: dict[str, Any] = {"kernel_shape": kernel, "strides": stride, "pads": (*before, *end)}
    if is_mean:
        how["count_include_pad"] = counted
    op = "AveragePool" if is_mean else "MaxPool"
    work.emit(op, [source], (batch, channels, *(count for count, _ in axes)), **how)


def _with_zeros(work: Work, pad: tuple[int, int]) -> str:
    batch, channels, height, width = work.shape()
    assert height is not None  # noqa: S101 (sized() has checked)
    assert width is not None  # noqa: S101
    pads = work.constant("pads", [0, 0, *pad, 0, 0, *pad], np.int64)
    zero = work.constant("zero", 0.0)
    sizes = (batch, channels, height + 2 * pad[0], width + 2 * pad[1])
    return work.step("padded", "Pad", [work.inputs[0], pads, zero], sizes, mode="constant")


def local_response(work: Work) -> None:
    """Krizhevsky et al. 2012. Across channels as ONNX has it; within a channel it is a mean of squares over a window."""
    message, shape = work.message("lrn_param"), work.shape()
    size, alpha, beta = given(message, "local_size", 5), given(message, "alpha", 1.0), given(message, "beta", 0.75)
    if size < 1 or size % 2 == 0 or size > 4096:
        raise work.fault(f"local_size {size}", expected="an odd number")
    if message.norm_region == 0:
        how = {"alpha": alpha, "beta": beta, "bias": given(message, "k", 1.0), "size": size}
        work.emit("LRN", [work.inputs[0]], shape, **how)
        return
    work.picture()
    half = (size - 1) // 2
    squares = work.step("squares", "Mul", [work.inputs[0], work.inputs[0]], shape)
    how = {"kernel_shape": (size, size), "strides": (1, 1), "pads": (half,) * 4, "count_include_pad": 1}
    mean = work.step("mean", "AveragePool", [squares], shape, **how)
    scaled = work.step("scaled", "Mul", [mean, work.constant("alpha", alpha)], shape)
    shifted = work.step("shifted", "Add", [scaled, work.constant("one", 1.0)], shape)
    power = work.step("power", "Pow", [shifted, work.constant("beta", -beta)], shape)
    work.emit("Mul", [work.inputs[0], power], shape)


def crop(work: Work) -> None:
    """The part of the first input that has the size of the second, from `axis` on."""
    message = work.message("crop_param")
    have, want = work.sized(0), work.sized(1)
    axis = work.axis(given(message, "axis", 2))
    offsets = [int(value) for value in message.offset]
    count = len(have) - axis
    if len(have) != len(want) or axis < 1 or len(offsets) not in {0, 1, count}:
        raise work.fault(f"{shown(have)} cropped to {shown(want)} from axis {axis}", expected="the same number of axes")
    starts = offsets if len(offsets) == count else (offsets or [0]) * count
    ends = [start + size for start, size in zip(starts, want[axis:], strict=True)]
    if any(end > size for end, size in zip(ends, have[axis:], strict=True)) or min(starts) < 0:
        raise work.fault(f"{shown(have)} cropped to {shown(want)} at {starts}", expected="a part of it")
    shape = (*work.shape()[:axis], *want[axis:])
    if shape == work.shape():
        work.emit("Identity", [work.inputs[0]], shape)
        return
    bounds = (("starts", starts), ("ends", ends), ("axes", list(range(axis, len(have)))))
    names = [work.constant(label, values, np.int64) for label, values in bounds]
    work.emit("Slice", [work.inputs[0], *names], shape)


def upsample(work: Work) -> None:
    """Every pixel repeated."""
    message = work.message("upsample_param")
    factor = given(message, "scale", 0) or given(message, "stride", 2)
    if len(work.inputs) != 1 or not 1 <= factor <= 64:
        raise work.fault(f"{len(work.inputs)} input(s), scale {factor}", expected="one input, scale from 1 to 64")
    batch, channels, *places = work.picture()
    sizes = [None if size is None else size * factor for size in places]
    how = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    names = [work.inputs[0], "", work.constant("scales", [1, 1, factor, factor])]
    work.emit("Resize", names, (batch, channels, *sizes), **how)


def interp(work: Work) -> None:
    """Bilinear, corners on corners (the Interp layer of DeepLab and PSPNet)."""
    message = work.message("interp_param")
    batch, channels, height, width = work.sized()
    if given(message, "pad_beg", 0) or given(message, "pad_end", 0):
        raise work.fault("padding", expected="pad_beg 0 and pad_end 0")
    shrink, zoom = given(message, "shrink_factor", 1), given(message, "zoom_factor", 1)
    if not (1 <= shrink <= 64 and 1 <= zoom <= 64):
        raise work.fault(f"shrink_factor {shrink}, zoom_factor {zoom}", expected="1 to 64")
    sizes = [_interpolated(size, shrink, zoom) for size in (height, width)]
    if message.HasField("height") and message.HasField("width"):
        sizes = [message.height, message.width]
    shape = (work.shape()[0], channels, *sizes)
    how = {"mode": "linear", "coordinate_transformation_mode": "align_corners"}
    target = work.constant("sizes", [batch, channels, *sizes], np.int64)
    work.emit("Resize", [work.inputs[0], "", "", target], shape, **how)


def _interpolated(size: int, shrink: int, zoom: int) -> int:
    shrunk = (size - 1) // shrink + 1
    return shrunk + (shrunk - 1) * (zoom - 1)


def prior_box(work: Work) -> None:
    """Boxes of every cell of a map, and the variances beside them: (1, 2, N * 4), a constant."""
    message = work.message("prior_box_param")
    cells, picture = work.sized(0), work.sized(1)
    if len(cells) != 4 or len(picture) != 4:
        raise work.fault(f"inputs of shape {shown(cells)} and {shown(picture)}", expected="a map and the picture")
    size = given(message, "img_size", 0)
    image = (given(message, "img_w", size) or picture[3], given(message, "img_h", size) or picture[2])
    step = given(message, "step", 0.0)
    described = PriorBoxes(
        min_sizes=tuple(message.min_size),
        max_sizes=tuple(message.max_size),
        ratios=tuple(message.aspect_ratio),
        flip=flag(message, "flip", default=True),
        clip=flag(message, "clip", default=False),
        step=(given(message, "step_w", step), given(message, "step_h", step)),
        offset=given(message, "offset", 0.5),
    )
    corners = prior_boxes(described, (cells[3], cells[2]), image, where=str(work.layer))
    variances = tuple(message.variance) or (0.1,)
    if len(variances) not in {1, 4}:
        raise work.fault(f"{len(variances)} variances", expected="one or four")
    spread = np.broadcast_to(np.asarray(variances, np.float32), corners.shape)
    made = np.stack([corners.reshape(-1), spread.reshape(-1)])[None]
    work.builder.constants[work.outputs[0]] = made.astype(np.float32)
    work.builder.shaped(work.outputs[0], made.shape, work.layer)


SPATIAL: dict[str, Converter] = {
    "Pooling": pooling,
    "LRN": local_response,
    "Crop": crop,
    "Upsample": upsample,
    "Interp": interp,
    "PriorBox": prior_box,
}
