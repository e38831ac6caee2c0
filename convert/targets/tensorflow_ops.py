"""ONNX operators as TensorFlow operators: NCHW becomes NHWC, which is what TFLite computes in.

Each emitter takes the network's node and what it reads, and returns the tensor it makes. 4-D tensors here are NHWC,
others have the axes of the source.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from convert.network import Array, Floats, Network, Node
from edge.errors import ModelError

Tensor = Any
Emitter = Callable[["Emission", Node], Tensor]


class Emission:
    """Writes one network into the TensorFlow graph that is being traced; `tf` is the TensorFlow module."""

    def __init__(self, network: Network, tf: Any) -> None:
        self.network = network
        self.tf = tf
        self._tensors: dict[str, Tensor] = {}

    def run(self, image: Tensor) -> Tensor:
        """NHWC input -> the network's output."""
        self._tensors = {self.network.input_name: image}
        for node in self.network.nodes:
            try:
                self._tensors[node.output] = EMITTERS[node.op](self, node)
            except (ValueError, TypeError, IndexError) as error:
                raise ModelError(
                    f"cannot be written as TFLite ({str(error).splitlines()[0]})", where=str(node)
                ) from error
        return self._tensors[self.network.output_name]

    def tensor(self, name: str) -> Tensor:
        """A computed tensor; ModelError where the operator needs one and gets a constant."""
        if name not in self._tensors:
            raise ModelError(f"{name!r} is not computed by the network", expected="a tensor that depends on the input")
        return self._tensors[name]

    def constant(self, node: Node, index: int) -> Array:
        """A constant input of `node`; ModelError where it is computed."""
        name = node.inputs[index]
        if name not in self.network.constants:
            raise ModelError(f"input {name!r} is computed", where=str(node), expected="a constant")
        return self.network.constants[name]

    def optional(self, node: Node, index: int) -> Array | None:
        """A constant input of `node`, or None where it is left out."""
        return self.constant(node, index) if len(node.inputs) > index and node.inputs[index] else None


def _conv(emission: Emission, node: Node) -> Tensor:
    tf, image = emission.tf, emission.tensor(node.inputs[0])
    weights = emission.constant(node, 1).astype(np.float32)
    if weights.ndim != 4 or len(image.shape) != 4:
        raise ModelError(f"weights of {weights.ndim} axes", where=str(node), expected="a convolution of pictures (4)")
    groups, channels = int(node.attributes.get("group", 1)), int(image.shape[3])
    if weights.shape[1] * groups != channels:
        raise ModelError(
            f"weights {weights.shape} in {groups} group(s)", where=str(node), expected=f"{channels} channels"
        )
    strides = tuple(node.attributes.get("strides", (1, 1)))
    dilations = tuple(node.attributes.get("dilations", (1, 1)))
    image, padding = _padded(tf, image, node, (weights.shape[2:], strides, dilations))
    if groups == channels and groups > 1:
        made = _depthwise(tf, image, weights, (strides, dilations, padding))
    else:
        # OIHW -> HWIO
        kernel = np.ascontiguousarray(weights.transpose(2, 3, 1, 0))
        made = tf.nn.conv2d(image, kernel, strides=strides, padding=padding, dilations=dilations)
    bias = emission.optional(node, 2)
    return made if bias is None else tf.nn.bias_add(made, bias.astype(np.float32))


def _depthwise(tf: Any, image: Tensor, weights: Floats, how: tuple[Any, Any, str]) -> Tensor:
    strides, dilations, padding = how
    channels = int(image.shape[3])
    # (C * M)1HW -> HWCM: output c * M + m belongs to input c in both.
    multiplier = weights.shape[0] // channels
    kernel = weights.reshape(channels, multiplier, *weights.shape[2:]).transpose(2, 3, 0, 1)
    steps = (1, *strides, 1)
    return tf.nn.depthwise_conv2d(
        image, np.ascontiguousarray(kernel), strides=steps, padding=padding, dilations=dilations
    )


def _padded(tf: Any, image: Tensor, node: Node, how: tuple[Any, Any, Any]) -> tuple[Tensor, str]:
    """The padded image and SAME where TensorFlow's own padding is the same: that saves an operator."""
    kernel, strides, dilations = how
    sizes = (int(image.shape[1]), int(image.shape[2]))
    same = [_same(*axis) for axis in zip(sizes, kernel, strides, dilations, strict=True)]
    auto = node.attributes.get("auto_pad", "NOTSET")
    if auto == "SAME_LOWER":
        pads = [(after, before) for before, after in same]
    elif auto == "SAME_UPPER":
        pads = same
    else:
        top, left, bottom, right = node.attributes.get("pads", (0, 0, 0, 0)) if auto == "NOTSET" else (0, 0, 0, 0)
        pads = [(top, bottom), (left, right)]
    if pads == [(0, 0), (0, 0)]:
        return image, "VALID"
    if pads == same:
        return image, "SAME"
    return tf.pad(image, [(0, 0), *pads, (0, 0)]), "VALID"


def _same(size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """(before, after) that TensorFlow's SAME adds: https://www.tensorflow.org/api_docs/python/tf/nn#notes_on_padding_2."""
    reach = (kernel - 1) * dilation + 1
    total = max(0, (-(-size // stride) - 1) * stride + reach - size)
    return total // 2, total - total // 2


def _batch_norm(emission: Emission, node: Node) -> Tensor:
    gamma, beta, mean, variance = (emission.constant(node, index).astype(np.float64) for index in range(1, 5))
    factor = gamma / np.sqrt(variance + node.attributes.get("epsilon", 1e-5))
    image = emission.tensor(node.inputs[0])
    return image * factor.astype(np.float32) + (beta - mean * factor).astype(np.float32)


def _prelu(emission: Emission, node: Node) -> Tensor:
    tf, values = emission.tf, emission.tensor(node.inputs[0])
    slope = _beside(emission.constant(node, 1), len(values.shape))
    # The form that the TFLite converter knows as PRELU.
    return tf.nn.relu(values) + (-slope * tf.nn.relu(-values))


def _relu(emission: Emission, node: Node) -> Tensor:
    return emission.tf.nn.relu(emission.tensor(node.inputs[0]))


def _arithmetic(name: str) -> Emitter:
    def emit(emission: Emission, node: Node) -> Tensor:
        constants = emission.network.constants
        computed = [emission.tensor(each) for each in node.inputs if each not in constants]
        if not computed:
            raise ModelError("both inputs are constants", where=str(node), expected="at least one that is computed")
        if len({len(each.shape) for each in computed}) != 1:
            raise ModelError("inputs with different numbers of axes", where=str(node), expected="the same number")
        axes = len(computed[0].shape)
        pair = [_beside(constants[each], axes) if each in constants else emission.tensor(each) for each in node.inputs]
        return getattr(emission.tf, name)(*pair)

    return emit


def _beside(constant: Array, axes: int) -> Floats:
    """A constant that broadcasts over NCHW, as one that broadcasts over NHWC."""
    values = constant.astype(np.float32)
    if axes != 4 or values.size == 1:
        return values.reshape(()) if values.size == 1 else values
    return values.reshape((1,) * (4 - values.ndim) + values.shape).transpose(0, 2, 3, 1)


def _source_order(tf: Any, values: Tensor) -> Tensor:
    """NHWC -> NCHW, in which the source counts; nothing to do where there is one pixel."""
    if len(values.shape) != 4:
        return values
    pixels = int(values.shape[1]) * int(values.shape[2])
    shape = (int(values.shape[0]), int(values.shape[3]), int(values.shape[1]), int(values.shape[2]))
    return tf.reshape(values, shape) if pixels == 1 else tf.transpose(values, (0, 3, 1, 2))


def _reshaped(tf: Any, values: Tensor, shape: tuple[int, ...]) -> Tensor:
    made = tf.reshape(_source_order(tf, values), shape)
    return tf.transpose(made, (0, 2, 3, 1)) if len(shape) == 4 else made


def _flatten(emission: Emission, node: Node) -> Tensor:
    values = emission.tensor(node.inputs[0])
    axis = int(node.attributes.get("axis", 1))
    if axis % len(values.shape) != 1:
        raise ModelError(f"axis {axis}", where=str(node), expected="1")
    return _reshaped(emission.tf, values, (int(values.shape[0]), -1))


def _reshape(emission: Emission, node: Node) -> Tensor:
    values = emission.tensor(node.inputs[0])
    source = [int(size) for size in values.shape]
    if len(source) == 4:
        source = [source[0], source[3], source[1], source[2]]
    wanted = [int(size) for size in emission.constant(node, 1)]
    # 0 means: as in the source.
    return _reshaped(emission.tf, values, tuple(size or source[index] for index, size in enumerate(wanted)))


def _gemm(emission: Emission, node: Node) -> Tensor:
    if node.attributes.get("transA", 0):
        raise ModelError("transA 1", where=str(node), expected="0")
    weights = emission.constant(node, 1).astype(np.float32) * np.float32(node.attributes.get("alpha", 1.0))
    weights = weights.T if node.attributes.get("transB", 0) else weights
    made = emission.tf.matmul(emission.tensor(node.inputs[0]), np.ascontiguousarray(weights))
    bias = emission.optional(node, 2)
    return made if bias is None else made + bias.astype(np.float32) * np.float32(node.attributes.get("beta", 1.0))


def _matmul(emission: Emission, node: Node) -> Tensor:
    values = emission.tensor(node.inputs[0])
    if len(values.shape) != 2:
        raise ModelError(f"{len(values.shape)} axes", where=str(node), expected="2")
    return emission.tf.matmul(values, emission.constant(node, 1).astype(np.float32))


def _identity(emission: Emission, node: Node) -> Tensor:
    return emission.tf.identity(emission.tensor(node.inputs[0]))


def _average_pool(emission: Emission, node: Node) -> Tensor:
    return emission.tf.reduce_mean(emission.tensor(node.inputs[0]), axis=(1, 2), keepdims=True)


EMITTERS: dict[str, Emitter] = {
    "Conv": _conv,
    "BatchNormalization": _batch_norm,
    "Relu": _relu,
    "PRelu": _prelu,
    "Add": _arithmetic("add"),
    "Sub": _arithmetic("subtract"),
    "Mul": _arithmetic("multiply"),
    "Div": _arithmetic("divide"),
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Identity": _identity,
    "GlobalAveragePool": _average_pool,
}
