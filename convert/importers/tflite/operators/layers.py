"""Operators with a window or with weights."""

from __future__ import annotations

from convert.importers.nhwc import axes as nhwc_axes
from convert.importers.nhwc import layers as nhwc_layers
from convert.importers.nhwc import ops as nhwc_ops
from convert.importers.nhwc.builder import TURNED, Held
from convert.importers.nhwc.layers import Pads, Sampling, Windows
from convert.importers.tflite.operators.call import Call, Emitter, fused
from convert.importers.tflite.schema import names_of
from convert.network import Array

_LARGEST_STEP = 65_536


def _padding(call: Call) -> Pads:
    explicit: Pads | None = call.option("Pads", None)
    number = call.option("Padding")
    return explicit or names_of("Padding").get(number, "SAME")


def _step(call: Call, names: tuple[str, str], default: int) -> tuple[int, int]:
    rows, columns = (int(call.option(name, default)) for name in names)
    if not 1 <= min(rows, columns) <= max(rows, columns) <= _LARGEST_STEP:
        raise call.refuse(f"{names[0]} {rows}, {names[1]} {columns}", "1 or more")
    return rows, columns


def _windows(call: Call) -> Windows:
    strides = _step(call, ("StrideH", "StrideW"), 0)
    return Windows(strides, _padding(call), _step(call, ("DilationHFactor", "DilationWFactor"), 1))


def _weights(call: Call, place: int = 1) -> Array:
    weights = call.known(place)
    if weights.ndim != 4 or not weights.size:
        raise call.refuse(f"weights of shape {weights.shape}", "four axes")
    return weights


def _conv(call: Call) -> None:
    weights, how, bias = _weights(call), _windows(call), call.optional(2)
    # OHWI -> HWIO
    turned = weights.transpose(1, 2, 3, 0)
    fused(call, lambda name: nhwc_layers.conv(call.builder, name, call.input(0), turned, how, bias=bias))


def _depthwise(call: Call) -> None:
    weights, how, bias = _weights(call), _windows(call), call.optional(2)
    channels = call.builder.shape(call.input(0))[-1]
    _, height, width, outputs = weights.shape
    if not isinstance(channels, int) or not channels or outputs % channels:
        raise call.refuse(f"weights of shape {weights.shape} for {channels} channels", "a multiple of the channels")
    # 1HW(CM) -> HWCM
    turned = weights.reshape(height, width, channels, outputs // channels)
    fused(call, lambda name: nhwc_layers.depthwise(call.builder, name, call.input(0), turned, how, bias=bias))


def _transpose_conv(call: Call) -> None:
    """Inputs: the shape to make, weights OHWI, what is spread, and a bias in newer versions."""
    shape, weights, bias = call.wholes(0), _weights(call), call.optional(3)
    if len(shape) != 4:
        raise call.refuse(f"a result of shape {list(shape)}", "four axes")
    how = Windows(_step(call, ("StrideH", "StrideW"), 0), _padding(call))
    turned, size = weights.transpose(1, 2, 0, 3), (shape[1], shape[2])

    def write(name: str) -> None:
        inner = name if bias is None else call.builder.fresh(f"{name}/unbiased")
        nhwc_layers.conv_transpose(call.builder, inner, call.input(2), turned, how, size=size)
        if bias is not None:
            shift = call.builder.fresh(f"{name}/bias")
            call.builder.add_value(shift, bias)
            nhwc_ops.binary(call.builder, name, "Add", inner, shift)

    fused(call, write)


def _fully_connected(call: Call) -> None:
    """Weights are (outputs, inputs). Without `keep_num_dims` all axes but the last are one (fully_connected.cc)."""
    weights, bias = call.known(1), call.optional(2)
    if weights.ndim != 2 or call.option("WeightsFormat"):
        raise call.refuse(f"weights of shape {weights.shape}", "two axes, not shuffled")
    builder, x, shape = call.builder, call.input(0), call.builder.shape(call.input(0))
    if len(shape) != 2 or shape[1] != weights.shape[1]:
        flat = builder.fresh(f"{call.output}/flat")
        nhwc_axes.reshape(builder, flat, x, (-1, weights.shape[1]))
        x = flat
    keeps = bool(call.option("KeepNumDims")) and len(shape) != 2

    def write(name: str) -> None:
        made = builder.fresh(f"{name}/rows") if keeps else name
        nhwc_ops.dense(builder, made, x, weights.T, bias)
        if keeps:
            nhwc_axes.reshape(builder, name, made, (*shape[:-1], weights.shape[0]))

    fused(call, write)


def _batch_matmul(call: Call) -> None:
    turn = bool(call.option("AdjX")), bool(call.option("AdjY"))
    nhwc_ops.matmul(call.builder, call.output, call.input(0), call.input(1), turn=turn)


def _pool(op: str) -> Emitter:
    def emit(call: Call) -> None:
        how = Windows(_step(call, ("StrideH", "StrideW"), 0), _padding(call))
        kernel = _step(call, ("FilterHeight", "FilterWidth"), 0)
        fused(call, lambda name: nhwc_layers.pool(call.builder, name, call.input(0), op, how, kernel=kernel))

    return emit


def _resize(*, linear: bool) -> Emitter:
    def emit(call: Call) -> None:
        size = call.wholes(1)
        if len(size) != 2 or not 1 <= min(size) <= max(size) <= _LARGEST_STEP:
            raise call.refuse(f"a size of {list(size)}", "rows and columns")
        sampling = Sampling(linear, bool(call.option("AlignCorners")), bool(call.option("HalfPixelCenters")))
        nhwc_layers.resize(call.builder, call.output, call.input(0), (size[0], size[1]), sampling)

    return emit


def _blocks(call: Call, *, is_spread: bool) -> None:
    block = int(call.option("BlockSize"))
    shape = call.builder.shape(call.input(0))
    parts = (shape[-1:], block * block) if is_spread else (shape[1:3], block)
    if block < 1 or any(isinstance(size, int) and size % parts[1] for size in parts[0]):
        raise call.refuse(f"block_size {block} for {[str(size) for size in shape]}", "a divisor")
    (nhwc_layers.depth_to_space if is_spread else nhwc_layers.space_to_depth)(
        call.builder, call.output, call.input(0), block
    )


def _depth_to_space(call: Call) -> None:
    _blocks(call, is_spread=True)


def _space_to_depth(call: Call) -> None:
    _blocks(call, is_spread=False)


def _l2_normalisation(call: Call) -> None:
    fused(call, lambda name: nhwc_axes.along(call.builder, name, call.input(0), "LpNormalization", -1, p=2))


def _local_response(call: Call) -> None:
    """Gives x / (bias + alpha * sum(squares within radius)) ^ beta; ONNX divides alpha by the number of channels summed."""
    size = 2 * int(call.option("Radius")) + 1
    if not 1 <= size <= _LARGEST_STEP:
        raise call.refuse(f"radius {size // 2}", "0 or more")
    builder, x = call.builder, call.input(0)
    tensor, held = builder.picture(x), builder.held(x)
    settings = {"alpha": call.option("Alpha") * size, "beta": call.option("Beta"), "bias": call.option("Bias")}
    builder.emit("LRN", call.output, (tensor,), Held("", held.shape, TURNED), size=size, **settings)


LAYERS: dict[str, Emitter] = {
    "CONV_2D": _conv,
    "DEPTHWISE_CONV_2D": _depthwise,
    "TRANSPOSE_CONV": _transpose_conv,
    "FULLY_CONNECTED": _fully_connected,
    "BATCH_MATMUL": _batch_matmul,
    "AVERAGE_POOL_2D": _pool("AveragePool"),
    "MAX_POOL_2D": _pool("MaxPool"),
    "RESIZE_BILINEAR": _resize(linear=True),
    "RESIZE_NEAREST_NEIGHBOR": _resize(linear=False),
    "DEPTH_TO_SPACE": _depth_to_space,
    "SPACE_TO_DEPTH": _space_to_depth,
    "L2_NORMALIZATION": _l2_normalisation,
    "LOCAL_RESPONSE_NORMALIZATION": _local_response,
}
