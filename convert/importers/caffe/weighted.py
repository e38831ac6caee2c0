"""Layers with weights: convolutions, inner products, normalisations, slopes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from convert.importers.caffe.builder import Work, flag, given, shown
from convert.network import Floats, Shape

Converter = Callable[[Work], None]


def pair(work: Work, message: Any, field: str, sides: tuple[str, str], default: int) -> tuple[int, int]:
    """(y, x) of a setting that is given once, once an axis, or as `_h` and `_w`."""
    if any(message.HasField(side) for side in sides if side):
        return given(message, sides[0], default), given(message, sides[1], default)
    values = getattr(message, field)
    values = [int(value) for value in values] if not isinstance(values, int) else _single(message, field)
    if len(values) > 2:
        raise work.fault(f"{field} given {len(values)} times", expected="one or two, for pictures")
    return (values[0], values[-1]) if values else (default, default)


def _single(message: Any, field: str) -> list[int]:
    return [getattr(message, field)] if message.HasField(field) else []


def _geometry(work: Work, message: Any) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int], tuple[int, int]]:
    """Kernel, stride, padding and dilation, each (y, x), checked."""
    kernel = pair(work, message, "kernel_size", ("kernel_h", "kernel_w"), 0)
    stride = pair(work, message, "stride", ("stride_h", "stride_w"), 1)
    pad = pair(work, message, "pad", ("pad_h", "pad_w"), 0)
    dilations = [int(value) for value in message.dilation] or [1]
    if min(*kernel, *stride, *dilations) < 1 or min(pad) < 0 or max(*kernel, *stride, *dilations, *pad) > 4096:
        found = f"kernel {kernel}, stride {stride}, pad {pad}, dilation {dilations}"
        raise work.fault(found, expected="kernel, stride and dilation from 1, pad from 0, all at most 4096")
    return kernel, stride, pad, (dilations[0], dilations[-1])


def convolution(work: Work) -> None:
    """Cross-correlation, floor of the division, as Caffe's Convolution and ONNX's Conv both do it."""
    message = work.message("convolution_param")
    batch, channels, *places = work.picture()
    kernel, stride, pad, dilation = _geometry(work, message)
    outputs, group = _outputs_and_group(work, channels)
    weights = work.constant("weights", work.blob(0, (outputs, channels // group, *kernel)))
    sizes = [
        None if size is None else (size + 2 * pad[i] - dilation[i] * (kernel[i] - 1) - 1) // stride[i] + 1
        for i, size in enumerate(places)
    ]
    inputs = [work.inputs[0], weights, *_bias(work, message, outputs)]
    how = {"kernel_shape": kernel, "strides": stride, "pads": pad + pad, "dilations": dilation, "group": group}
    work.emit("Conv", inputs, (batch, outputs, *sizes), **how)


def _outputs_and_group(work: Work, channels: int) -> tuple[int, int]:
    message = work.message("convolution_param")
    outputs = given(message, "num_output", 0)
    # Forks made these for one group a channel; some say it in `group` as well, some do not.
    is_depthwise = work.layer.type in {"DepthwiseConvolution", "ConvolutionDepthwise"}
    group = channels if is_depthwise else given(message, "group", 1)
    if outputs < 1 or group < 1 or channels % group or outputs % group:
        raise work.fault(f"{outputs} outputs of {channels} channels in {group} group(s)", expected="both divisible")
    return outputs, group


def _bias(work: Work, message: Any, outputs: int) -> list[str]:
    return [work.constant("bias", work.blob(1, (outputs,)))] if flag(message, "bias_term", default=True) else []


def deconvolution(work: Work) -> None:
    """Transposed convolution: stride * (size - 1) + reach - 2 * pad."""
    message = work.message("convolution_param")
    batch, channels, *places = work.picture()
    kernel, stride, pad, dilation = _geometry(work, message)
    outputs, group = _outputs_and_group(work, channels)
    weights = work.constant("weights", work.blob(0, (channels, outputs // group, *kernel)))
    sizes = [
        None if size is None else stride[i] * (size - 1) + dilation[i] * (kernel[i] - 1) + 1 - 2 * pad[i]
        for i, size in enumerate(places)
    ]
    inputs = [work.inputs[0], weights, *_bias(work, message, outputs)]
    how = {"kernel_shape": kernel, "strides": stride, "pads": pad + pad, "dilations": dilation, "group": group}
    work.emit("ConvTranspose", inputs, (batch, outputs, *sizes), **how)


def inner_product(work: Work) -> None:
    """All values from `axis` on, times a matrix (outputs, inputs)."""
    message = work.message("inner_product_param")
    shape, outputs = work.sized(), given(message, "num_output", 0)
    axis = work.axis(given(message, "axis", 1))
    inside = int(np.prod(shape[axis:], dtype=np.int64))
    if outputs < 1 or (axis != 1 and axis != len(shape) - 1):
        raise work.fault(f"{outputs} outputs, axis {axis} of {shown(shape)}", expected="axis 1, or the last axis")
    transposed = flag(message, "transpose", default=False)
    weights = work.blob(0, (inside, outputs) if transposed else (outputs, inside))
    bias = _bias(work, message, outputs)
    batch = work.shape()[0]
    if axis != 1:
        _matrix_product(work, weights if transposed else weights.T, bias)
        return
    flat = work.inputs[0]
    if len(shape) != 2:
        flat = work.step("flat", "Flatten", [flat], (batch, inside), axis=1)
    names = [flat, work.constant("weights", weights), *bias]
    work.emit("Gemm", names, (batch, outputs), transB=0 if transposed else 1)


def _matrix_product(work: Work, weights: Floats, bias: list[str]) -> None:
    shape = (*work.shape()[:-1], weights.shape[1])
    names = [work.inputs[0], work.constant("weights", weights)]
    if not bias:
        work.emit("MatMul", names, shape)
        return
    work.emit("Add", [work.step("product", "MatMul", names, shape), *bias], shape)


def batch_norm(work: Work) -> None:
    """Mean and variance are stored as sums, with the factor to divide by; scale and shift are a layer of their own."""
    message, channels = work.message("batch_norm_param"), _channels(work)
    if not flag(message, "use_global_stats", default=True):
        hint = "Set use_global_stats: true in the prototxt; a deployed network has no batch to measure."
        raise work.fault("use_global_stats: false", expected="statistics that are stored", hint=hint)
    if len(work.layer.blobs) != 3:
        raise work.fault(f"{len(work.layer.blobs)} sets of weights", expected="mean, variance and their factor")
    total = float(work.blob(2, (1,))[0])
    factor = 0.0 if total == 0 else 1.0 / total
    mean, variance = work.blob(0, (channels,)) * factor, work.blob(1, (channels,)) * factor
    parts = (np.ones(channels), np.zeros(channels), mean, variance)
    _as_batch_norm(work, parts, given(message, "eps", 1e-5))


def _channels(work: Work) -> int:
    shape = work.shape()
    if len(shape) < 2 or shape[1] is None:
        raise work.fault(f"an input of shape {shown(shape)}", expected="N, C, ...")
    return shape[1]


def _as_batch_norm(work: Work, parts: tuple[Any, ...], epsilon: float) -> None:
    labels = ("gamma", "beta", "mean", "variance")
    names = [work.constant(label, part) for label, part in zip(labels, parts, strict=True)]
    work.emit("BatchNormalization", [work.inputs[0], *names], work.shape(), epsilon=float(epsilon))


def scale(work: Work) -> None:
    """Times a vector, and perhaps plus one, along `axis`; the vector is learned, or a second input."""
    message = work.message("scale_param")
    if len(work.inputs) > 1:
        _by_input(work, message, "Mul")
        return
    sizes, axis = _covered(work, message)
    gamma = work.blob(0, sizes)
    has_bias = flag(message, "bias_term", default=False)
    beta = work.blob(1, sizes) if has_bias else np.zeros(sizes, np.float32)
    if axis == 1 and len(sizes) == 1 and len(work.shape()) == 4:
        # The other half of Caffe's batch normalisation. With mean 0 and variance 1 it can be folded as the first half is.
        _as_batch_norm(work, (gamma, beta, np.zeros(sizes), np.ones(sizes)), 0.0)
        return
    form = _beside(work.shape(), axis, sizes)
    values = work.constant("gamma", gamma.reshape(form))
    if not has_bias:
        work.emit("Mul", [work.inputs[0], values], work.shape())
        return
    product = work.step("scaled", "Mul", [work.inputs[0], values], work.shape())
    work.emit("Add", [product, work.constant("beta", beta.reshape(form))], work.shape())


def bias(work: Work) -> None:
    """Plus a vector along `axis`, learned or a second input."""
    message = work.message("bias_param")
    if len(work.inputs) > 1:
        _by_input(work, message, "Add")
        return
    sizes, axis = _covered(work, message)
    values = work.constant("beta", work.blob(0, sizes).reshape(_beside(work.shape(), axis, sizes)))
    work.emit("Add", [work.inputs[0], values], work.shape())


def _covered(work: Work, message: Any) -> tuple[tuple[int, ...], int]:
    """Sizes of the axes that a learned vector covers, and the first of them."""
    shape, axis, count = work.shape(), work.axis(given(message, "axis", 1)), given(message, "num_axes", 1)
    sizes = shape[axis:] if count == -1 else shape[axis : axis + count]
    fixed = tuple(size for size in sizes if size is not None)
    if axis < 1 or len(fixed) != len(sizes) or count < -1:
        raise work.fault(f"axis {axis}, {count} axes of {shown(shape)}", expected="fixed axes behind the first")
    return fixed, axis


def _beside(shape: Shape, axis: int, sizes: tuple[int, ...]) -> tuple[int, ...]:
    """`sizes` with ones behind, so that they broadcast along `axis`."""
    return sizes + (1,) * (len(shape) - axis - len(sizes))


def _by_input(work: Work, message: Any, op: str) -> None:
    values = beside_input(work, work.inputs[1], 1, work.axis(given(message, "axis", 1)))
    work.emit(op, [work.inputs[0], values], work.shape())


def beside_input(work: Work, name: str, index: int, axis: int) -> str:
    """The input `name` (number `index`), whose first axis is `axis` of input 0, with axes added so that it broadcasts."""
    shape = work.shape(index)
    missing = len(work.shape()) - axis - len(shape)
    if missing < 0:
        raise work.fault(f"a second input of shape {shown(shape)} along axis {axis}", expected="fewer axes")
    if not missing:
        return name
    axes = range(len(shape), len(shape) + missing)
    names = [name, work.constant("axes", list(axes), np.int64)]
    return work.step("beside", "Unsqueeze", names, (*shape, *([1] * missing)))


def prelu(work: Work) -> None:
    """One slope a channel, or one for all."""
    shape = work.shape()
    if flag(work.message("prelu_param"), "channel_shared", default=False):
        work.emit("LeakyRelu", [work.inputs[0]], shape, alpha=float(work.blob(0, (1,))[0]))
        return
    channels = _channels(work)
    slopes = work.blob(0, (channels,)).reshape(channels, *([1] * (len(shape) - 2)))
    work.emit("PRelu", [work.inputs[0], work.constant("slopes", slopes)], shape)


def normalize(work: Work) -> None:
    """Divided by the length over the channels, or over all of a picture, times a learned factor (Liu et al. 2015, ParseNet)."""
    message, channels, shape = work.message("norm_param"), _channels(work), work.shape()
    across = flag(message, "across_spatial", default=True)
    axes = list(range(1, len(shape))) if across else [1]
    squares = work.step("squares", "Mul", [work.inputs[0], work.inputs[0]], shape)
    reduced = [1 if axis in axes else size for axis, size in enumerate(shape)]
    total = work.step("sum", "ReduceSum", [squares, work.constant("axes", axes, np.int64)], reduced, keepdims=1)
    kept = work.step("kept", "Add", [total, work.constant("epsilon", given(message, "eps", 1e-10))], reduced)
    length = work.step("length", "Sqrt", [kept], reduced)
    normal = work.step("normal", "Div", [work.inputs[0], length], shape)
    count = 1 if flag(message, "channel_shared", default=True) else channels
    factor = work.blob(0, (count,)).reshape(1, count, *([1] * (len(shape) - 2)))
    work.emit("Mul", [normal, work.constant("factor", factor)], shape)


WEIGHTED: dict[str, Converter] = {
    "Convolution": convolution,
    "DepthwiseConvolution": convolution,
    "ConvolutionDepthwise": convolution,
    "Deconvolution": deconvolution,
    "InnerProduct": inner_product,
    "BatchNorm": batch_norm,
    "Scale": scale,
    "Bias": bias,
    "PReLU": prelu,
    "Normalize": normalize,
}
