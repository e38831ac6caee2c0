"""IntegerNetwork -> bytes of a TFLite file, without TensorFlow's converter: what was quantised is what is written.

uint8 pixels in and uint8 out, int8 within. The operators and their versions are those that the oldest runtime promised takes,
and XNNPACK takes every one of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from convert.network import Network, Node
from convert.quantise.form import LAYERS, IntegerNetwork
from convert.targets.tensorflow_ops.windows import pair, window
from convert.targets.tflite.flatbuffer import packed
from convert.targets.tflite.integer_file import ACTIVATIONS, IntegerFile, nhwc_shape
from convert.targets.tflite.integer_layers import write_conv, write_gemm
from convert.targets.tflite.ports import name_ports
from edge.errors import ModelError


def integer_bytes(integer: IntegerNetwork, *, description: str, outputs: str = "uint8") -> bytes:
    """A TFLite file: uint8 NHWC pixels in, and `outputs` (uint8 or float32) out. The same network gives the same bytes.

    ModelError for other `outputs`.
    """
    if outputs not in {"uint8", "float32"}:
        raise ModelError(f"outputs of {outputs}", expected="uint8 or float32")
    return _Writing(integer).written(description, outputs)


class _Writing:
    """One file on its way; knows which tensors are there, and in which dtypes."""

    def __init__(self, integer: IntegerNetwork) -> None:
        self.integer = integer
        self.network = integer.network
        self.file = IntegerFile()
        self._integers: dict[str, int] = {}
        self._reals: dict[str, int] = {}

    def written(self, description: str, outputs: str) -> bytes:
        name = self.network.input_name
        pixels = self.file.tensor(name, self.shape(name), self.integer.grids[name], "uint8")
        self.file.graph.inputs = [pixels]
        # XNNPACK takes no QUANTIZE from uint8 to int8, but both halves of one; every byte comes through exactly.
        self.file.operator("DEQUANTIZE", [pixels], self.made(name, real=True))
        rows = rows_of_gemms(self.integer)
        for node, activation in self.integer.steps():
            # A Flatten that only dense layers read is part of them.
            if node.output not in rows or not _only_rows(self.network, node.output):
                self._write(node, activation, rows)
        self.file.graph.outputs = [self._returned(each, outputs) for each in self.network.outputs]
        name_ports(self.file.model, (name,), self.network.outputs)
        self.file.model.description = description.encode()
        return packed(self.file.model)

    def shape(self, name: str) -> tuple[int, ...]:
        """NHWC, of one picture."""
        return nhwc_shape(self.integer.shapes[name])

    def given(self, name: str, *, real: bool) -> int:
        """The tensor of this name in float32, or in int8; converted where it is only there as the other."""
        have, other = (self._reals, self._integers) if real else (self._integers, self._reals)
        if name not in have:
            self.file.operator("DEQUANTIZE" if real else "QUANTIZE", [other[name]], self.made(name, real=real))
        return have[name]

    def made(self, name: str, *, real: bool) -> int:
        """A new tensor for what a node makes, or for its copy in the other dtype."""
        have, other = (self._reals, self._integers) if real else (self._integers, self._reals)
        suffix = ("/real" if real else "/int8") if name in other or name == self.network.input_name else ""
        have[name] = self.file.tensor(f"{name}{suffix}", self.shape(name), None if real else self.integer.grids[name])
        return have[name]

    def _write(self, node: Node, activation: Node | None, rows: Mapping[str, str]) -> None:
        real = self.integer.is_float(node)
        if node.op in LAYERS:
            source = self.given(
                rows.get(node.inputs[0], node.inputs[0]) if node.op == "Gemm" else node.inputs[0], real=real
            )
            write = write_conv if node.op == "Conv" else write_gemm
            write(self.file, self.integer, node, activation, (source, self.made(self.integer.result(node), real=real)))
            return
        inputs = [self.given(name, real=real) for name in node.inputs if name not in self.network.constants]
        WRITERS[node.op](self.file, node, activation, (*inputs, self.made(self.integer.result(node), real=real)))

    def _returned(self, name: str, dtype: str) -> int:
        real = self.given(name, real=True)
        if dtype == "float32":
            return real
        made = self.file.tensor(f"{name}/{dtype}", self.shape(name), self.integer.grids[name], dtype)
        return self.file.operator("QUANTIZE", [real], made)


def rows_of_gemms(integer: IntegerNetwork) -> dict[str, str]:
    """Row that a Flatten or Reshape makes of a picture, on its grid, and a Gemm reads -> the picture."""
    nodes = integer.network.nodes
    makers = {node.output: node for node in nodes if node.op in {"Flatten", "Reshape"} and not integer.is_float(node)}
    read = {node.inputs[0] for node in nodes if node.op == "Gemm"}
    return {name: makers[name].inputs[0] for name in read if name in makers}


def _only_rows(network: Network, name: str) -> bool:
    return not network.is_output(name) and all(node.op == "Gemm" for node in network.readers(name))


Tensors = tuple[int, ...]
"""What an operator reads, and last what it makes."""
Writer = Callable[[IntegerFile, Node, Node | None, Tensors], None]


def _two(name: str, options: str) -> Writer:
    def write(file: IntegerFile, _: Node, activation: Node | None, tensors: Tensors) -> None:
        fused = file.activation(ACTIVATIONS[activation.op if activation else None])
        file.operator(name, list(tensors[:-1]), tensors[-1], options, fusedActivationFunction=fused)

    return write


def _clamp(file: IntegerFile, node: Node, _: Node | None, tensors: Tensors) -> None:
    """XNNPACK takes no integer RELU that stands alone, but a pool over single places with a fused one."""
    if file.is_float(tensors[1]):
        file.operator(ACTIVATIONS[node.op], [tensors[0]], tensors[1])
        return
    one = {"strideH": 1, "strideW": 1, "filterHeight": 1, "filterWidth": 1, "padding": file.padding(same=False)}
    fused = file.activation(ACTIVATIONS[node.op])
    if len(file.shape(tensors[0])) == 4:
        file.operator("MAX_POOL_2D", [tensors[0]], tensors[1], "Pool2DOptions", fusedActivationFunction=fused, **one)
        return
    shape = (1, 1, 1, math.prod(file.shape(tensors[0])))
    picture = file.reshaped(tensors[0], shape, f"{node.output}/picture")
    made = file.like(tensors[1], f"{node.output}/clamped", shape)
    file.operator("MAX_POOL_2D", [picture], made, "Pool2DOptions", fusedActivationFunction=fused, **one)
    file.reshaped(made, file.shape(tensors[1]), into=tensors[1])


def _leaky_relu(file: IntegerFile, node: Node, _: Node | None, tensors: Tensors) -> None:
    alpha = float(node.attributes.get("alpha", 0.01))
    file.operator("LEAKY_RELU", [tensors[0]], tensors[1], "LeakyReluOptions", alpha=alpha)


def _concat(file: IntegerFile, node: Node, _: Node | None, tensors: Tensors) -> None:
    rank = len(file.shape(tensors[-1]))
    axis = int(node.attributes["axis"]) % rank
    # Where an axis of NCHW lies in NHWC.
    place = {0: 0, 1: 3, 2: 1, 3: 2}[axis] if rank == 4 else axis
    file.operator("CONCATENATION", list(tensors[:-1]), tensors[-1], "ConcatenationOptions", axis=place)


def _max_pool(file: IntegerFile, node: Node, _: Node | None, tensors: Tensors) -> None:
    height, width = file.shape(tensors[0])[1:3]
    how = window(node.attributes, pair(node.attributes["kernel_shape"], "kernel"), (height, width))
    values = {
        "padding": file.padding(same=how.is_padded), "strideH": how.strides[0], "strideW": how.strides[1],
        "filterHeight": how.kernel[0], "filterWidth": how.kernel[1],
    }  # fmt: skip
    file.operator("MAX_POOL_2D", [tensors[0]], tensors[1], "Pool2DOptions", **values)


def _reshape(file: IntegerFile, node: Node, _: Node | None, tensors: Tensors) -> None:
    source, result = tensors
    shape = file.shape(source)
    if len(shape) == 4 and shape[1] * shape[2] > 1 and shape[3] > 1:
        source = file.turned(source, (0, 3, 1, 2), f"{node.output}/nchw")
    file.reshaped(source, file.shape(result), into=result)


WRITERS: dict[str, Writer] = {
    "Add": _two("ADD", "AddOptions"),
    "Sub": _two("SUB", "SubOptions"),
    "Mul": _two("MUL", "MulOptions"),
    "Relu": _clamp,
    "Clip": _clamp,
    "LeakyRelu": _leaky_relu,
    "Concat": _concat,
    "MaxPool": _max_pool,
    "Flatten": _reshape,
    "Reshape": _reshape,
}
"""Operators without weights."""
