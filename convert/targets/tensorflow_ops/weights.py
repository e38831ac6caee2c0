"""Operators with weights: convolutions, dense layers, normalisations."""

from __future__ import annotations

from typing import Any

import numpy as np

from convert.network import Array, Floats, Node
from convert.targets.tensorflow_ops.emission import Emission, Emitter, Held, Tensor, beside
from convert.targets.tensorflow_ops.layout import NHWC, source_order
from convert.targets.tensorflow_ops.transposed import conv_transpose
from convert.targets.tensorflow_ops.windows import Window, pair, window
from edge.errors import ModelError


def _conv(emission: Emission, node: Node) -> Held:
    image, weights = emission.image(node), conv_weights(emission, node)
    channels, groups = image.shape[3], int(node.attributes.get("group", 1))
    if groups < 1 or weights.shape[1] * groups != channels or weights.shape[0] % groups:
        raise ModelError(f"weights {weights.shape} in {groups} group(s)", expected=f"{channels} channels")
    how = window(node.attributes, pair(weights.shape[2:], "kernel"), (image.shape[1], image.shape[2]))
    image, padding = padded(emission.tf, image, how)
    made = _convolved(emission.tf, image, weights, (how, padding, groups))
    bias = emission.optional(node, 2)
    return Held(made if bias is None else emission.tf.nn.bias_add(made, bias.astype(np.float32)), NHWC)


def conv_weights(emission: Emission, node: Node) -> Floats:
    """The constant weights of a convolution of pictures."""
    weights = emission.constant(node, 1).astype(np.float32)
    if weights.ndim != 4:
        raise ModelError(f"weights of {weights.ndim} axes", expected="a convolution of pictures (4)")
    return weights


def _convolved(tf: Any, image: Tensor, weights: Floats, how: tuple[Window, str, int]) -> Tensor:
    over, padding, groups = how
    channels = int(image.shape[3])
    # TensorFlow's own depthwise convolution takes equal strides only, and dilations only without strides.
    is_even = over.strides[0] == over.strides[1] and (over.dilations == (1, 1) or over.strides == (1, 1))
    if groups == channels and groups > 1 and is_even:
        # (C * M)1HW -> HWCM: output c * M + m belongs to input c in both.
        multiplier = weights.shape[0] // channels
        kernel = weights.reshape(channels, multiplier, *weights.shape[2:]).transpose(2, 3, 0, 1)
        return tf.nn.depthwise_conv2d(
            image, np.ascontiguousarray(kernel), (1, *over.strides, 1), padding, dilations=over.dilations
        )
    # OIHW -> HWIO
    kernel = np.ascontiguousarray(weights.transpose(2, 3, 1, 0))
    return tf.nn.conv2d(image, kernel, over.strides, padding, dilations=over.dilations)


def padded(tf: Any, image: Tensor, how: Window) -> tuple[Tensor, str]:
    """The picture with zeros around it, or SAME where TensorFlow's own padding is the same: that saves an operator."""
    if not how.is_padded:
        return image, "VALID"
    if how.same:
        return image, "SAME"
    return tf.pad(image, [(0, 0), *how.around, (0, 0)]), "VALID"


def _gemm(emission: Emission, node: Node) -> Held:
    tf, alpha, beta = emission.tf, node.attributes.get("alpha", 1.0), node.attributes.get("beta", 1.0)
    values, weights = _rows(emission, node), _matrix(emission, node, float(alpha))
    made = tf.matmul(values, weights, transpose_a=bool(node.attributes.get("transA", 0)))
    if len(node.inputs) > 2 and node.inputs[2]:
        made = _with_bias(emission, node, made, np.float32(beta))
    return Held(made, source_order(2))


def _rows(emission: Emission, node: Node) -> Tensor:
    values = emission.plain(node)
    if len(values.shape) != 2:
        raise ModelError(f"{len(values.shape)} axes", expected="2")
    return values


def _matrix(emission: Emission, node: Node, alpha: float) -> Any:
    is_turned = bool(node.attributes.get("transB", 0))
    if emission.is_constant(node.inputs[1]):
        weights = emission.constant(node, 1).astype(np.float32) * np.float32(alpha)
        return _as_columns_lie(emission, node, weights.T if is_turned else weights)
    weights = emission.plain(node, 1)
    weights = emission.tf.transpose(weights) if is_turned else weights
    return weights if alpha == 1 else weights * np.float32(alpha)


def _as_columns_lie(emission: Emission, node: Node, weights: Floats) -> Floats:
    columns = emission.columns.get(node.inputs[0])
    return np.ascontiguousarray(weights if columns is None else weights[columns])


def _with_bias(emission: Emission, node: Node, made: Tensor, beta: Any) -> Tensor:
    if not emission.is_constant(node.inputs[2]):
        bias = emission.plain(node, 2)
        return made + (bias if beta == 1 else bias * beta)
    values = emission.constant(node, 2).astype(np.float32) * beta
    if values.size == made.shape[1] and values.shape[-1:] == (values.size,):
        return emission.tf.nn.bias_add(made, values.reshape(-1))
    return made + values


def _matmul(emission: Emission, node: Node) -> Held:
    first = emission.plain(node, 0)
    is_dense = node.inputs[0] in emission.columns
    second = (
        _as_columns_lie(emission, node, emission.constant(node, 1).astype(np.float32))
        if is_dense
        else emission.plain(node, 1)
    )
    if min(len(first.shape), len(second.shape)) < 2:
        raise ModelError(f"{len(first.shape)} and {len(second.shape)} axes", expected="two or more each")
    made = emission.tf.matmul(first, second)
    return Held(made, source_order(len(made.shape)))


def _batch_norm(emission: Emission, node: Node) -> Held:
    gamma, beta, mean, variance = (emission.constant(node, index).astype(np.float64) for index in range(1, 5))
    factor = gamma / np.sqrt(variance + node.attributes.get("epsilon", 1e-5))
    held = emission.input(node)
    scale, shift = (_by_channel(values, held) for values in (factor, beta - mean * factor))
    return Held(emission.tf.add(emission.tf.multiply(held.tensor, scale), shift), held.axes)


def _by_channel(values: Array, held: Held) -> Floats:
    if held.rank < 2 or held.shape[1] not in {None, values.size}:
        raise ModelError(f"{values.size} channels for a tensor of shape {list(held.shape)}")
    made: Floats = beside(values.reshape(-1, *(1,) * (held.rank - 2)), held.axes, (1,) * held.rank)
    # TensorFlow and its readers know a vector along the last axis best.
    return made.reshape(-1) if held.axes[-1] == 1 else made


def _instance_norm(emission: Emission, node: Node) -> Held:
    tf, held = emission.tf, emission.input(node)
    scale, bias = (_by_channel(emission.constant(node, index), held) for index in (1, 2))
    over = [held.place(axis) for axis in range(2, held.rank)]
    centred = held.tensor - tf.reduce_mean(held.tensor, over, keepdims=True)
    variance = tf.reduce_mean(tf.square(centred), over, keepdims=True)
    normal = centred * tf.math.rsqrt(variance + np.float32(node.attributes.get("epsilon", 1e-5)))
    return Held(normal * scale + bias, held.axes)


def _local_response(emission: Emission, node: Node) -> Held:
    size = int(node.attributes["size"])
    if size % 2 == 0:
        raise ModelError(f"size {size}", expected="an odd number of channels")
    made = emission.tf.nn.local_response_normalization(
        emission.image(node),
        depth_radius=size // 2,
        bias=float(node.attributes.get("bias", 1.0)),
        alpha=float(node.attributes.get("alpha", 1e-4)) / size,
        beta=float(node.attributes.get("beta", 0.75)),
    )
    return Held(made, NHWC)


WEIGHTS: dict[str, Emitter] = {
    "Conv": _conv,
    "ConvTranspose": conv_transpose,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "BatchNormalization": _batch_norm,
    "InstanceNormalization": _instance_norm,
    "LRN": _local_response,
}
