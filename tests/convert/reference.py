"""What an ONNX operator means, written for clarity with NumPy alone: NCHW, float64."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.network import Network, Node

Array = NDArray[Any]


def run(network: Network, image: Array) -> Array:
    """float64 output for one NCHW input."""
    values: dict[str, Array] = {name: np.asarray(value, np.float64) for name, value in network.constants.items()}
    values[network.input_name] = np.asarray(image, np.float64)
    for node in network.nodes:
        inputs = [values[name] for name in node.inputs if name]
        plain = PLAIN.get(node.op)
        values[node.output] = plain(*inputs) if plain else WITH_ATTRIBUTES[node.op](node, *inputs)
    return values[network.output_name]


def _conv(node: Node, image: Array, weights: Array, bias: Array | None = None) -> Array:
    stride_y, stride_x = node.attributes.get("strides", (1, 1))
    step_y, step_x = node.attributes.get("dilations", (1, 1))
    top, left, bottom, right = node.attributes.get("pads", (0, 0, 0, 0))
    groups = node.attributes.get("group", 1)
    padded = np.pad(image, ((0, 0), (0, 0), (top, bottom), (left, right)))
    outputs, per_group, kernel_y, kernel_x = weights.shape
    rows = (padded.shape[2] - (kernel_y - 1) * step_y - 1) // stride_y + 1
    columns = (padded.shape[3] - (kernel_x - 1) * step_x - 1) // stride_x + 1
    made = np.zeros((1, outputs, rows, columns))
    for out in range(outputs):
        first = out // (outputs // groups) * per_group
        for y in range(rows):
            for x in range(columns):
                y0, x0 = y * stride_y, x * stride_x
                seen = padded[0, first : first + per_group, y0 : y0 + kernel_y * step_y : step_y]
                made[0, out, y, x] = np.sum(seen[:, :, x0 : x0 + kernel_x * step_x : step_x] * weights[out])
    return made if bias is None else made + bias.reshape(1, -1, 1, 1)


def _batch_norm(node: Node, values: Array, *parts: Array) -> Array:
    shape = (1, -1, 1, 1)
    gamma, beta, mean, variance = parts
    normal = (values - mean.reshape(shape)) / np.sqrt(variance.reshape(shape) + node.attributes.get("epsilon", 1e-5))
    return normal * gamma.reshape(shape) + beta.reshape(shape)


def _gemm(node: Node, values: Array, weights: Array, bias: Array | None = None) -> Array:
    weights = weights.T if node.attributes.get("transB", 0) else weights
    made = node.attributes.get("alpha", 1.0) * (values @ weights)
    return made if bias is None else made + node.attributes.get("beta", 1.0) * bias


def _reshape(node: Node, values: Array, shape: Array) -> Array:
    return values.reshape([int(size) or values.shape[index] for index, size in enumerate(shape)])


PLAIN: dict[str, Any] = {
    "Relu": lambda values: np.maximum(values, 0),
    "PRelu": lambda values, slope: np.where(values < 0, values * slope, values),
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": np.divide,
    "Flatten": lambda values: values.reshape(len(values), -1),
    "MatMul": np.matmul,
    "Identity": np.copy,
    "GlobalAveragePool": lambda values: values.mean((2, 3), keepdims=True),
}
"""Those without attributes that matter here."""
WITH_ATTRIBUTES: dict[str, Any] = {
    "Conv": _conv,
    "BatchNormalization": _batch_norm,
    "Reshape": _reshape,
    "Gemm": _gemm,
}
