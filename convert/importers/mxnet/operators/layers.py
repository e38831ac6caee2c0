"""Operators with a window or with weights."""

from __future__ import annotations

import math

import numpy as np

from convert.importers.mxnet.maker import Call
from convert.importers.mxnet.operators.kinds import Emitter

Pair = tuple[int, int]


def _pair(call: Call, name: str, default: Pair | None = None) -> Pair:
    values = call.attributes.integers(name, default or ())
    if len(values) != 2:
        raise call.refuse(f"{name} {values}", "two numbers: pictures only")
    return values[0], values[1]


def _check_layout(call: Call) -> None:
    layout = call.attributes.text("layout", "NCHW")
    if layout != "NCHW":
        raise call.refuse(f"layout {layout}", "NCHW")


def _window(call: Call) -> tuple[Pair, Pair, Pair]:
    """Kernel, strides and padding; a window has at least one pixel and moves on."""
    kernel, strides, pads = _pair(call, "kernel"), _pair(call, "stride", (1, 1)), _pair(call, "pad", (0, 0))
    if min(kernel) < 1 or min(strides) < 1 or min(pads) < 0:
        raise call.refuse(f"kernel {kernel}, stride {strides}, pad {pads}", "sizes above 0")
    return kernel, strides, pads


def _weights(call: Call, kernel: Pair, *, has_bias: bool) -> tuple[str, ...]:
    """Names of weights and bias, whose shapes are checked against the attributes."""
    weights = call.maker.parameter(call, 1)
    if weights.ndim != 4 or weights.shape[2:] != kernel or not weights.size:
        raise call.refuse(f"weights of shape {weights.shape}", f"four axes, kernel {kernel}")
    if not has_bias:
        return (call.input(1),)
    call.maker.parameter(call, 2)
    return call.input(1), call.input(2)


def _convolution(call: Call) -> None:
    _check_layout(call)
    kernel, strides, pads = _window(call)
    groups = call.attributes.integer("num_group", 1)
    has_bias = not call.attributes.truth("no_bias", default=False)
    weights = _weights(call, kernel, has_bias=has_bias)
    outputs = len(call.maker.parameter(call, 1))
    if groups < 1 or outputs % groups or outputs != call.attributes.integer("num_filter", outputs):
        raise call.refuse(f"{outputs} filters in {groups} group(s)", "num_filter, and a multiple of num_group")
    call.finish(
        "Conv",
        (call.input(0), *weights),
        kernel_shape=kernel,
        strides=strides,
        pads=(*pads, *pads),
        dilations=_pair(call, "dilate", (1, 1)),
        group=groups,
    )


def _deconvolution(call: Call) -> None:
    _check_layout(call)
    kernel, strides, pads = _window(call)
    dilations, adjust = _pair(call, "dilate", (1, 1)), _pair(call, "adj", (0, 0))
    weights = _weights(call, kernel, has_bias=not call.attributes.truth("no_bias", default=True))
    if any(call.attributes.integers("target_shape")):
        pads, adjust = _towards(call, _pair(call, "target_shape"))
    call.finish(
        "ConvTranspose",
        (call.input(0), *weights),
        kernel_shape=kernel,
        strides=strides,
        pads=(*pads, *pads),
        output_padding=adjust,
        dilations=dilations,
        group=call.attributes.integer("num_group", 1),
    )


def _towards(call: Call, target: Pair) -> tuple[Pair, Pair]:
    """Padding that makes the output as large as asked for (deconvolution-inl.h, InferPad)."""
    kernel, strides, _ = _window(call)
    dilations = _pair(call, "dilate", (1, 1))
    sizes = call.sizes(first=2)
    surplus = [
        (size - 1) * stride + (side - 1) * dilation + 1 - wanted
        for size, stride, side, dilation, wanted in zip(sizes, strides, kernel, dilations, target, strict=True)
    ]
    if min(surplus) < 0:
        raise call.refuse(f"target_shape {target}", f"no more than the input {sizes} can reach")
    return ((surplus[0] + 1) // 2, (surplus[1] + 1) // 2), (surplus[0] % 2, surplus[1] % 2)


def _fully_connected(call: Call) -> None:
    weights = call.maker.parameter(call, 1)
    if weights.ndim != 2:
        raise call.refuse(f"weights of shape {weights.shape}", "two axes")
    has_bias = not call.attributes.truth("no_bias", default=False)
    bias = (call.input(2),) if has_bias else ()
    if has_bias:
        call.maker.parameter(call, 2)
    if call.attributes.truth("flatten", default=True):
        shape = call.maker.shape(call.input(0))
        is_flat = shape is not None and len(shape) == 2
        values = call.input(0) if is_flat else call.step("Flatten", "flat", (call.input(0),), axis=1)
        call.finish("Gemm", (values, call.input(1), *bias), transB=1)
        return
    turned = call.constant("weights", np.ascontiguousarray(weights.T))
    if not has_bias:
        call.finish("MatMul", (call.input(0), turned))
        return
    call.finish("Add", (call.step("MatMul", "product", (call.input(0), turned)), *bias))


def _pooling(call: Call) -> None:
    _check_layout(call)
    kind = call.attributes.text("pool_type", "max")
    if kind not in {"max", "avg", "sum"}:
        raise call.refuse(f"pool_type {kind}", "max, avg or sum")
    if call.attributes.truth("global_pool", default=False):
        _global_pooling(call, kind)
        return
    kernel, strides, pads = _window(call)
    ends = _ends(call, kernel, strides, pads)
    if kind == "max":
        call.finish("MaxPool", (call.input(0),), kernel_shape=kernel, strides=strides, pads=(*pads, *ends))
        return
    _average_pooling(call, kind, ends)


def _global_pooling(call: Call, kind: str) -> None:
    if kind == "sum":
        call.finish("ReduceSum", (call.input(0), call.integers("axes", (2, 3))), keepdims=1)
        return
    call.finish({"max": "GlobalMaxPool", "avg": "GlobalAveragePool"}[kind], (call.input(0),))


def _ends(call: Call, kernel: Pair, strides: Pair, pads: Pair) -> Pair:
    """Padding below and to the right: that of the convention `full` lets the last window reach beyond the edge."""
    convention = call.attributes.text("pooling_convention", "valid")
    if convention == "valid" or strides == (1, 1):
        return pads
    if convention != "full":
        raise call.refuse(f"pooling_convention {convention}", "valid or full")
    ends = []
    for size, side, stride, pad in zip(call.sizes(first=2), kernel, strides, pads, strict=True):
        # pooling-inl.h: 1 + ceil((size + 2 pad - kernel) / stride) windows.
        steps = math.ceil((size + 2 * pad - side) / stride)
        ends.append(pad + max(0, steps * stride + side - size - 2 * pad))
    return ends[0], ends[1]


def _average_pooling(call: Call, kind: str, ends: Pair) -> None:
    """Averages and sums.

    An average counts the padding that was asked for, but not how far the last window of `full` reaches beyond it: so the
    former is a node of its own where both are there.
    """
    kernel, strides, pads = _window(call)
    counted = int(kind == "sum" or call.attributes.truth("count_include_pad", default=True))
    values, begins = call.input(0), pads
    if counted and kind == "avg" and ends != pads:
        if any(pads):
            amounts = call.integers("pads", (0, 0, *pads, 0, 0, *pads))
            values = call.step("Pad", "padded", (values, amounts, call.number("zero", 0)), mode="constant")
        begins, ends, counted = (0, 0), (ends[0] - pads[0], ends[1] - pads[1]), 0
    where = {"kernel_shape": kernel, "strides": strides, "pads": (*begins, *ends), "count_include_pad": counted}
    if kind == "avg":
        call.finish("AveragePool", (values,), **where)
        return
    mean = call.step("AveragePool", "mean", (values,), **where)
    call.finish("Mul", (mean, call.number("area", kernel[0] * kernel[1])))


def _up_sampling(call: Call) -> None:
    scale = call.attributes.integer("scale", 1)
    if not 1 <= scale <= 64:
        raise call.refuse(f"scale {scale}", "1 to 64")
    if call.attributes.text("sample_type", "nearest") == "nearest":
        if len(call.inputs) != 1:
            raise call.refuse(f"{len(call.inputs)} inputs", "one")
        scales = call.constant("scales", np.array([1, 1, scale, scale], np.float32))
        how = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        call.finish("Resize", (call.input(0), "", scales), **how)
        return
    _bilinear(call, scale)


def _bilinear(call: Call, scale: int) -> None:
    """A transposed convolution whose weights are a parameter (upsampling-inl.h)."""
    side, pad = 2 * scale - scale % 2, math.ceil((scale - 1) / 2)
    weights = _weights(call, (side, side), has_bias=False)
    call.finish(
        "ConvTranspose",
        (call.input(0), *weights),
        kernel_shape=(side, side),
        strides=(scale, scale),
        pads=(pad,) * 4,
        group=len(call.maker.parameter(call, 1)),
    )


LAYERS: dict[str, Emitter] = {
    "Convolution": _convolution,
    "Convolution_v1": _convolution,
    "Deconvolution": _deconvolution,
    "FullyConnected": _fully_connected,
    "Pooling": _pooling,
    "UpSampling": _up_sampling,
}
