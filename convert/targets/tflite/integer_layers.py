"""Convolutions and dense layers in a TFLite file: int8 with one scale for each output channel, or float32."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from convert.network import Array, Floats, Node
from convert.quantise.form import IntegerNetwork
from convert.targets.tensorflow_ops.windows import Pair, Window, pair, window
from convert.targets.tflite.integer_file import ACTIVATIONS, IntegerFile

_WHOLE = Window((1, 1), (1, 1), (1, 1), ((0, 0), (0, 0)))


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """Of a layer as its dtype has them: OIHW and (out,); `scales` are those of int8 weights, `bias_scales` of the int32 bias."""

    weights: Array
    bias: Array
    scales: Floats | None = None
    bias_scales: Floats | None = None


def weights_of(integer: IntegerNetwork, node: Node) -> Weights:
    """Of a Conv or Gemm; of a Gemm (out, in)."""
    layer = integer.layers.get(node.output)
    if layer is None:
        constants = integer.network.constants
        weights = constants[node.inputs[1]].astype(np.float32)
        return Weights(weights, constants[node.inputs[2]].astype(np.float32))
    step = np.float32(integer.grids[node.inputs[0]].scale)
    return Weights(layer.weights, layer.bias, layer.scales, layer.scales * step)


def write_conv(file: IntegerFile, integer: IntegerNetwork, node: Node, activation: Node | None, tensors: Pair) -> None:
    """CONV_2D or DEPTHWISE_CONV_2D; `tensors` are what it reads and makes."""
    held = weights_of(integer, node)
    source, result = tensors
    _, height, width, channels = file.shape(source)
    how = window(node.attributes, pair(held.weights.shape[2:], "kernel"), (height, width))
    if how.is_padded and not how.same:
        source = file.padded(source, how.around)
    is_depthwise = int(node.attributes.get("group", 1)) == channels and channels > 1
    _convolution(file, held, (source, result), how, activation, is_depthwise=is_depthwise, name=node.output)


def write_gemm(file: IntegerFile, integer: IntegerNetwork, node: Node, activation: Node | None, tensors: Pair) -> None:
    """A dense layer as the convolution that covers the whole picture: it has one scale a channel in every runtime promised.

    FULLY_CONNECTED has so only from version 12 on. The kernel also spares the turn from NHWC to the order of the columns.
    """
    held = weights_of(integer, node)
    source, result = tensors
    shape = file.shape(source)
    if len(shape) != 4:
        shape = (1, 1, 1, held.weights.shape[1])
        source = file.reshaped(source, shape, f"{node.output}/row")
    _, height, width, channels = shape
    kernel = held.weights.reshape(-1, channels, height, width)
    wide = Weights(kernel, held.bias, held.scales, held.bias_scales)
    made = file.like(result, f"{node.output}/picture", (1, 1, 1, len(kernel)))
    _convolution(file, wide, (source, made), _WHOLE, activation, is_depthwise=False, name=node.output)
    file.reshaped(made, file.shape(result), into=result)


def _convolution(
    file: IntegerFile,
    held: Weights,
    tensors: Pair,
    how: Window,
    activation: Node | None,
    *,
    is_depthwise: bool,
    name: str,
) -> None:
    axes, axis = ((1, 2, 3, 0), 3) if is_depthwise else ((0, 2, 3, 1), 0)
    kernel = np.ascontiguousarray(held.weights.transpose(axes))
    inputs = [
        tensors[0],
        file.constant(f"{name}/weights", kernel, held.scales, axis),
        file.constant(f"{name}/bias", held.bias, held.bias_scales),
    ]
    options = {
        "padding": file.padding(same=how.is_padded and how.same),
        "strideH": how.strides[0], "strideW": how.strides[1],
        "dilationHFactor": how.dilations[0], "dilationWFactor": how.dilations[1],
        "fusedActivationFunction": file.activation(ACTIVATIONS[activation.op if activation else None]),
    }  # fmt: skip
    if is_depthwise:
        options["depthMultiplier"] = len(held.weights) // file.shape(tensors[0])[3]
    kind = ("DEPTHWISE_CONV_2D", "DepthwiseConv2DOptions") if is_depthwise else ("CONV_2D", "Conv2DOptions")
    file.operator(kind[0], inputs, tensors[1], kind[1], **options)
