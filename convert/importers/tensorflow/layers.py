"""TensorFlow's layers of pictures."""

from __future__ import annotations

import numpy as np

from convert.importers.nhwc.layers import (
    Pads,
    Sampling,
    Windows,
    batch_norm,
    conv,
    conv_transpose,
    depth_to_space,
    depthwise,
    pool,
    resize,
    space_to_depth,
)
from convert.importers.nhwc.sizes import as_sizes
from convert.importers.tensorflow.graph import Op
from convert.importers.tensorflow.patterns import is_dilated
from convert.importers.tensorflow.reading import Reading, Writer, is_channels_last, picked


def _windows(op: Op) -> Windows:
    return Windows(
        strides=picked(op.integers("strides"), op),
        padding=_padding(op),
        dilations=picked(op.integers("dilations", (1, 1, 1, 1)), op),
        channels_last=is_channels_last(op),
    )


def _padding(op: Op) -> Pads:
    padding = op.attribute("padding")
    if padding != "EXPLICIT":
        return str(padding)
    pads = op.integers("explicit_paddings")
    pairs = [(pads[index], pads[index + 1]) for index in range(0, 8, 2)]
    rows, columns = (1, 2) if is_channels_last(op) else (2, 3)
    return pairs[rows], pairs[columns]


def _conv(reading: Reading, op: Op) -> None:
    conv(reading.builder, op.name, op.inputs[0], reading.builder.known(op.inputs[1], str(op)), _windows(op))


def _depthwise(reading: Reading, op: Op) -> None:
    depthwise(reading.builder, op.name, op.inputs[0], reading.builder.known(op.inputs[1], str(op)), _windows(op))


def _conv_transpose(reading: Reading, op: Op) -> None:
    builder, how = reading.builder, _windows(op)
    sizes = builder.value(op.inputs[0])
    wanted = as_sizes(sizes) if sizes is not None else ()
    # What is given may be rows and columns alone.
    places = (0, 1) if len(wanted) == 2 else how.axes[2:]
    size = (wanted[places[0]], wanted[places[1]]) if wanted else None
    conv_transpose(builder, op.name, op.inputs[2], builder.known(op.inputs[1], str(op)), how, size=size)


def _pool(kind: str) -> Writer:
    def write(reading: Reading, op: Op) -> None:
        kernel = picked(op.integers("ksize"), op)
        pool(reading.builder, op.name, op.inputs[0], kind, _windows(op), kernel=kernel)

    return write


def _fused_batch_norm(reading: Reading, op: Op) -> None:
    if op.attribute("is_training", default=True):
        reading.give_up(op, "it normalises by the mean of its own batch; freeze the graph with training off")
        return
    parts = [reading.builder.known(each, str(op)) for each in op.inputs[1:5]]
    epsilon = float(op.attribute("epsilon", 1e-4))
    batch_norm(reading.builder, op.name, op.inputs[0], parts, epsilon, channels_last=is_channels_last(op))


def _old_batch_norm(reading: Reading, op: Op) -> None:
    """BatchNormWithGlobalNormalization: inputs x, mean, variance, offset, scale."""
    mean, variance, offset, scale = (reading.builder.known(each, str(op)) for each in op.inputs[1:5])
    if not op.attribute("scale_after_normalization", default=True):
        scale = np.ones_like(scale)
    parts = (scale, offset, mean, variance)
    batch_norm(reading.builder, op.name, op.inputs[0], parts, float(op.attribute("variance_epsilon", 1e-3)))


def _lrn(reading: Reading, op: Op) -> None:
    builder = reading.builder
    tensor = builder.picture(op.inputs[0])
    size = 2 * int(op.attribute("depth_radius", 5)) + 1
    attributes = {
        "size": size,
        "bias": float(op.attribute("bias", 1.0)),
        # ONNX divides by the number of channels that it adds up.
        "alpha": float(op.attribute("alpha", 1.0)) * size,
        "beta": float(op.attribute("beta", 0.5)),
    }
    held = builder.held(op.inputs[0])
    shape = builder.shape(op.inputs[0])
    builder.emit("LRN", op.name, (tensor,), type(held)("", shape, Windows().axes), **attributes)


def _resize(*, linear: bool) -> Writer:
    def write(reading: Reading, op: Op) -> None:
        value = reading.builder.value(op.inputs[1])
        if value is None or value.size != 2:
            reading.give_up(op, "the size depends on the input")
            return
        rows, columns = as_sizes(value)
        sampling = Sampling(
            linear=linear,
            align_corners=bool(op.attribute("align_corners", default=False)),
            half_pixel_centers=bool(op.attribute("half_pixel_centers", default=False)),
        )
        resize(reading.builder, op.name, op.inputs[0], (rows, columns), sampling)

    return write


def _depth_to_space(reading: Reading, op: Op) -> None:
    block = int(op.attribute("block_size"))
    depth_to_space(reading.builder, op.name, op.inputs[0], block, channels_last=is_channels_last(op))


def _space_to_depth(reading: Reading, op: Op) -> None:
    block = int(op.attribute("block_size"))
    space_to_depth(reading.builder, op.name, op.inputs[0], block, channels_last=is_channels_last(op))


def _batch_to_space(reading: Reading, op: Op) -> None:
    if not is_dilated(reading, op):
        reading.give_up(op, "not around a convolution")


WRITERS: dict[str, Writer] = {
    "Conv2D": _conv, "DepthwiseConv2dNative": _depthwise, "Conv2DBackpropInput": _conv_transpose,
    "MaxPool": _pool("MaxPool"), "AvgPool": _pool("AveragePool"),
    "FusedBatchNorm": _fused_batch_norm, "FusedBatchNormV2": _fused_batch_norm, "FusedBatchNormV3": _fused_batch_norm,
    "BatchNormWithGlobalNormalization": _old_batch_norm, "LRN": _lrn,
    "ResizeBilinear": _resize(linear=True), "ResizeNearestNeighbor": _resize(linear=False),
    "DepthToSpace": _depth_to_space, "SpaceToDepth": _space_to_depth, "BatchToSpaceND": _batch_to_space,
}  # fmt: skip
"""Operator -> what writes it."""
