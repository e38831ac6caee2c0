"""Layers of pictures on an NhwcBuilder: convolutions, pooling, normalisation, resizing.

`channels_last` says whether the source's tensor is NHWC (True) or NCHW. Weights are given in TensorFlow's layout, HWIO.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from convert.importers.nhwc.builder import TURNED, Axes, Held, NhwcBuilder, straight
from convert.importers.nhwc.sizes import Size, Sizes, same_pads, windows
from convert.network import Array
from edge.errors import ModelError

Pads = str | tuple[tuple[int, int], tuple[int, int]]
"""SAME, VALID, or (top, bottom), (left, right)."""


@dataclass(frozen=True, slots=True)
class Windows:
    """How a kernel moves over a picture; rows first."""

    strides: tuple[int, int] = (1, 1)
    padding: Pads = "VALID"
    dilations: tuple[int, int] = (1, 1)
    channels_last: bool = True

    @property
    def axes(self) -> Axes:
        """The source's axes in the order N, C, H, W."""
        return TURNED if self.channels_last else straight(4)


def _picture(builder: NhwcBuilder, x: str, how: Windows) -> tuple[str, Sizes]:
    """The network's tensor and its sizes, N, C, H, W."""
    tensor = builder.picture(x, channels_last=how.channels_last)
    shape = builder.shape(x)
    return tensor, tuple(shape[axis] for axis in how.axes)


def _held(sizes: Sequence[Size], how: Windows) -> Held:
    shape = tuple(sizes[how.axes.index(axis)] for axis in range(4))
    return Held("", shape, how.axes)


def _moved(sizes: Sizes, kernel: tuple[int, int], how: Windows) -> tuple[tuple[Size, Size], dict[str, object]]:
    """Sizes after the windows, and the attributes that say how they move."""
    reach = [(size - 1) * step + 1 for size, step in zip(kernel, how.dilations, strict=True)]
    given = (how.padding, how.padding) if isinstance(how.padding, str) else how.padding
    rows, columns = (windows(sizes[2 + i], reach[i], how.strides[i], given[i]) for i in (0, 1))
    attributes: dict[str, object] = {"kernel_shape": kernel, "strides": how.strides}
    pads = [_pads(sizes[2 + i], reach[i], how.strides[i], given[i]) for i in (0, 1)]
    if None in pads:
        attributes["auto_pad"] = "SAME_UPPER"
    else:
        (top, bottom), (left, right) = (pair for pair in pads if pair is not None)
        attributes["pads"] = (top, left, bottom, right)
    return (rows, columns), attributes


def _pads(size: Size, reach: int, stride: int, given: str | tuple[int, int]) -> tuple[int, int] | None:
    """None where SAME depends on a size that is open."""
    if not isinstance(given, str):
        return given
    if given == "VALID":
        return 0, 0
    if isinstance(size, int):
        return same_pads(size, reach, stride)
    # Of stride 1 the padding does not depend on the size.
    return same_pads(reach, reach, 1) if stride == 1 else None


def conv(builder: NhwcBuilder, name: str, x: str, weights: Array, how: Windows, *, bias: Array | None = None) -> None:
    """A convolution with weights (H, W, inputs a group, outputs)."""
    tensor, sizes = _picture(builder, x, how)
    if weights.ndim != 4 or not isinstance(sizes[1], int) or not weights.size or sizes[1] % weights.shape[2]:
        raise ModelError(
            f"{name!r} has weights {weights.shape} for {sizes[1]} channels",
            where=builder.where,
            expected="(H, W, I, O)",
        )
    groups = sizes[1] // weights.shape[2]
    _convolve(builder, name, (tensor, sizes), weights.transpose(3, 2, 0, 1), (how, groups, bias))


def depthwise(
    builder: NhwcBuilder, name: str, x: str, weights: Array, how: Windows, *, bias: Array | None = None
) -> None:
    """A convolution of each channel by itself, weights (H, W, C, M): output c * M + m comes from channel c."""
    tensor, sizes = _picture(builder, x, how)
    if weights.ndim != 4 or weights.shape[2] != sizes[1]:
        raise ModelError(
            f"{name!r} has weights {weights.shape} for {sizes[1]} channels",
            where=builder.where,
            expected="(H, W, C, M)",
        )
    height, width, channels, multiplier = weights.shape
    turned = weights.transpose(2, 3, 0, 1).reshape(channels * multiplier, 1, height, width)
    _convolve(builder, name, (tensor, sizes), turned, (how, channels, bias))


def _convolve(
    builder: NhwcBuilder, name: str, read: tuple[str, Sizes], weights: Array, rest: tuple[Windows, int, Array | None]
) -> None:
    (tensor, sizes), (how, groups, bias) = read, rest
    (rows, columns), attributes = _moved(sizes, (weights.shape[2], weights.shape[3]), how)
    inputs = [tensor, builder.add_constant(f"{name}/weights", weights)]
    if bias is not None:
        inputs.append(builder.add_constant(f"{name}/bias", bias.reshape(-1)))
    held = _held((sizes[0], weights.shape[0], rows, columns), how)
    builder.emit("Conv", name, inputs, held, dilations=how.dilations, group=groups, **attributes)


def conv_transpose(
    builder: NhwcBuilder, name: str, x: str, weights: Array, how: Windows, *, size: tuple[Size, Size] | None = None
) -> None:
    """The gradient of a convolution: weights (H, W, outputs, inputs); `size` is the result's, rows and columns."""
    tensor, sizes = _picture(builder, x, how)
    if weights.ndim != 4 or weights.shape[3] != sizes[1]:
        raise ModelError(
            f"{name!r} has weights {weights.shape} for {sizes[1]} channels",
            where=builder.where,
            expected="(H, W, O, I)",
        )
    asked = size or (None, None)
    ends = [_spread(builder, name, (sizes[2 + i], weights.shape[i], asked[i]), how, i) for i in (0, 1)]
    (top, bottom, more_rows), (left, right, more_columns) = (end[1] for end in ends)
    inputs = (tensor, builder.add_constant(f"{name}/weights", weights.transpose(3, 2, 0, 1)))
    held = _held((sizes[0], weights.shape[2], ends[0][0], ends[1][0]), how)
    builder.emit(
        "ConvTranspose",
        name,
        inputs,
        held,
        kernel_shape=(weights.shape[0], weights.shape[1]),
        strides=how.strides,
        dilations=how.dilations,
        group=1,
        pads=(top, left, bottom, right),
        output_padding=(more_rows, more_columns),
    )


def _spread(
    builder: NhwcBuilder, name: str, axis: tuple[Size, int, Size | None], how: Windows, index: int
) -> tuple[Size, tuple[int, int, int]]:
    """(size after, (pad before, pad after, padding of the output)) along one axis.

    The forward convolution goes from the result to x: SAME pads it by max(0, (n - 1) s + k - result).
    """
    size, kernel, asked = axis
    stride, reach = how.strides[index], (kernel - 1) * how.dilations[index] + 1
    if how.padding == "SAME":
        usual = size * stride
        # With the usual size the sum does not depend on n.
        excess = reach - stride
        if isinstance(size, int) and isinstance(asked, int):
            usual, excess = asked, (size - 1) * stride + reach - asked
        total = max(0, excess)
        return usual, (total // 2, total - total // 2, max(0, -excess))
    before, after = (0, 0) if isinstance(how.padding, str) else how.padding[index]
    least = (size - 1) * stride + (reach - before - after)
    more = asked - least if isinstance(asked, int) and isinstance(least, int) else max(0, stride - reach)
    if not isinstance(more, int) or not 0 <= more < max(stride, how.dilations[index]):
        raise ModelError(f"{name!r} makes {asked} rows or columns of {size}", where=builder.where, expected=f"{least}")
    return asked if isinstance(asked, int) else least + more, (before, after, more)


def pool(builder: NhwcBuilder, name: str, x: str, op: str, how: Windows, *, kernel: tuple[int, int]) -> None:
    """MaxPool or AveragePool; what is padded does not count in an average."""
    tensor, sizes = _picture(builder, x, how)
    (rows, columns), attributes = _moved(sizes, kernel, how)
    if op == "AveragePool":
        attributes["count_include_pad"] = 0
    builder.emit(op, name, (tensor,), _held((sizes[0], sizes[1], rows, columns), how), **attributes)


def batch_norm(
    builder: NhwcBuilder, name: str, x: str, parts: Sequence[Array], epsilon: float, *, channels_last: bool = True
) -> None:
    """(x - mean) / sqrt(variance + epsilon) * scale + offset; `parts` are scale, offset, mean and variance, (C,) each."""
    how = Windows(channels_last=channels_last)
    tensor, sizes = _picture(builder, x, how)
    names = ("scale", "offset", "mean", "variance")
    inputs = [builder.add_constant(f"{name}/{each}", part) for each, part in zip(names, parts, strict=True)]
    builder.emit("BatchNormalization", name, (tensor, *inputs), _held(sizes, how), epsilon=epsilon)


@dataclass(frozen=True, slots=True)
class Sampling:
    """Where a resized picture reads: TensorFlow's two switches."""

    linear: bool
    align_corners: bool = False
    half_pixel_centers: bool = False


def resize(builder: NhwcBuilder, name: str, x: str, size: tuple[Size, Size], sampling: Sampling) -> None:
    """Nearest or bilinear, NHWC, to `size`, rows and columns: numbers, or multiples of the source's."""
    how = Windows()
    tensor, sizes = _picture(builder, x, how)
    target = _resize_target(builder, name, sizes, size)
    held = _held((sizes[0], sizes[1], size[0], size[1]), how)
    mode = "linear" if sampling.linear else "nearest"
    is_enlarged = all(_is_multiple(*each) for each in zip(sizes[2:], size, strict=True))
    coordinates = _coordinates(sampling, is_enlarged=is_enlarged)
    attributes: dict[str, object] = {"mode": mode, "coordinate_transformation_mode": coordinates}
    if not sampling.linear:
        # https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/kernels/image/resize_nearest_neighbor_op.cc
        attributes["nearest_mode"] = "round_prefer_ceil" if sampling.align_corners else "floor"
    builder.emit("Resize", name, (tensor, "", *target), held, **attributes)


def _is_multiple(before: Size, after: Size) -> bool:
    scale = _scale(before, after)
    return scale is not None and scale >= 1 and scale.is_integer()


def _coordinates(sampling: Sampling, *, is_enlarged: bool) -> str:
    if sampling.align_corners:
        return "align_corners"
    # Enlarged by a whole number, floor((i + 0.5) / s) is floor(i / s), which more runtimes know.
    if not sampling.half_pixel_centers or (is_enlarged and not sampling.linear):
        return "asymmetric"
    # Nearest with half-pixel centres reads at floor((i + 0.5) * scale), half a pixel on from where ONNX's half_pixel is.
    return "half_pixel" if sampling.linear else "tf_half_pixel_for_nn"


def _resize_target(builder: NhwcBuilder, name: str, sizes: Sizes, size: tuple[Size, Size]) -> tuple[str, ...]:
    if all(isinstance(each, int) for each in (*sizes, *size)):
        whole = np.asarray([*sizes[:2], *size], np.int64)
        return "", builder.add_constant(f"{name}/sizes", whole)
    scales = [_scale(before, after) for before, after in zip(sizes[2:], size, strict=True)]
    if None in scales:
        raise ModelError(
            f"{name!r} makes a picture of {size[0]} by {size[1]} from {sizes[2]} by {sizes[3]}",
            where=builder.where,
            hint="Give the input a fixed size.",
        )
    return (builder.add_constant(f"{name}/scales", np.asarray([1, 1, *scales], np.float32)),)


def _scale(before: Size, after: Size) -> float | None:
    if isinstance(before, int) and isinstance(after, int):
        return after / before
    return next((float(factor) for factor in (1, 2, 3, 4, 8, 16, 32) if before * factor == after), None)


def depth_to_space(builder: NhwcBuilder, name: str, x: str, block: int, *, channels_last: bool = True) -> None:
    """Channels become pixels: block x block of them for each pixel, row by row (ONNX's mode DCR)."""
    how = Windows(channels_last=channels_last)
    tensor, sizes = _picture(builder, x, how)
    channels = sizes[1] // (block * block)
    held = _held((sizes[0], channels, sizes[2] * block, sizes[3] * block), how)
    builder.emit("DepthToSpace", name, (tensor,), held, blocksize=block, mode="DCR")


def space_to_depth(builder: NhwcBuilder, name: str, x: str, block: int, *, channels_last: bool = True) -> None:
    """Pixels become channels: block x block of them, row by row."""
    how = Windows(channels_last=channels_last)
    tensor, sizes = _picture(builder, x, how)
    held = _held((sizes[0], sizes[1] * (block * block), sizes[2] // block, sizes[3] // block), how)
    builder.emit("SpaceToDepth", name, (tensor,), held, blocksize=block)
