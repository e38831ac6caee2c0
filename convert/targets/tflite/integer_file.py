"""A TFLite file of int8, uint8 and float32 tensors, built operator by operator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from convert.network import Array, Shape
from convert.quantise.form import Grid
from convert.targets.tflite.flatbuffer import Model, added_constant, added_operator, added_tensor, schema

VERSIONS = {
    # operator: (of float32, of int8); the lowest that has the dtype, see tools/versioning/op_version.cc of TFLite
    "ADD": (1, 2), "CONCATENATION": (1, 2), "CONV_2D": (1, 3), "DEPTHWISE_CONV_2D": (2, 3), "DEQUANTIZE": (1, 2),
    "LEAKY_RELU": (1, 2), "MAX_POOL_2D": (1, 2), "MUL": (1, 2), "PAD": (1, 2), "QUANTIZE": (1, 1),
    "RELU": (1, 2), "RELU6": (1, 2), "RESHAPE": (1, 1), "SUB": (1, 2), "TRANSPOSE": (1, 2),
}  # fmt: skip
ACTIVATIONS = {None: "NONE", "Relu": "RELU", "Clip": "RELU6"}
"""Operator of a fused node -> TFLite's name."""


class IntegerFile:
    """One graph that grows; tensors are indices, pictures NHWC."""

    def __init__(self) -> None:
        self.schema = schema()
        model, graph = self.schema.ModelT(), self.schema.SubGraphT()
        # Buffer 0 is the empty one.
        model.version, model.buffers = 3, [self.schema.BufferT()]
        model.operatorCodes, model.subgraphs = [], [graph]
        graph.tensors, graph.operators, graph.inputs, graph.outputs = [], [], [], []
        self.model: Model = model
        self.graph: Any = graph

    def tensor(self, name: str, shape: Sequence[int], grid: Grid | None, dtype: str = "") -> int:
        """A tensor that an operator makes: float32 without a grid, else int8, or uint8 on the same grid 128 steps up."""
        made = added_tensor(self.model, name, tuple(shape), dtype or ("float32" if grid is None else "int8"))
        if grid is not None:
            zero_point = grid.zero_point + (128 if dtype == "uint8" else 0)
            self.graph.tensors[made].quantization = self._parameters([grid.scale], [zero_point])
        return made

    def constant(self, name: str, values: Array, scales: Array | None = None, axis: int = 0) -> int:
        """A constant tensor, with one scale for each place along `axis` where scales are given."""
        made = added_constant(self.model, name, values)
        if scales is not None:
            parameters = self._parameters([float(scale) for scale in scales], [0] * len(scales))
            parameters.quantizedDimension = axis
            self.graph.tensors[made].quantization = parameters
        return made

    def operator(self, name: str, inputs: list[int], output: int, options: str = "", **values: Any) -> int:
        """An operator with the options class of that name; its version follows from the output's dtype. Gives the output back."""
        is_float = self.is_float(output) and name != "DEQUANTIZE"
        version = VERSIONS[name][0 if is_float else 1]
        code = getattr(self.schema.BuiltinOperator, name)
        made = added_operator(self.model, code, inputs, [output], version=version)
        if options:
            made.builtinOptionsType = getattr(self.schema.BuiltinOptions, options)
            made.builtinOptions = getattr(self.schema, f"{options}T")()
            for key, value in values.items():
                setattr(made.builtinOptions, key, value)
        return output

    def activation(self, name: str) -> int:
        """Number of a fused activation."""
        return int(getattr(self.schema.ActivationFunctionType, name))

    def padding(self, *, same: bool) -> int:
        """Number of TFLite's two ways to pad."""
        return int(self.schema.Padding.SAME if same else self.schema.Padding.VALID)

    def shape(self, index: int) -> tuple[int, ...]:
        """Of a tensor."""
        return tuple(int(size) for size in self.graph.tensors[index].shape)

    def like(self, index: int, name: str, shape: Sequence[int]) -> int:
        """A new tensor of another shape, in the dtype and on the grid of one that is there."""
        tensors = self.graph.tensors
        made = added_tensor(self.model, name, tuple(shape), "float32")
        tensors[made].type, tensors[made].quantization = tensors[index].type, tensors[index].quantization
        return made

    def padded(self, index: int, around: Sequence[tuple[int, int]]) -> int:
        """NHWC with zeros around it: real ones, that is the zero point of integers."""
        batch, height, width, channels = self.shape(index)
        rows, columns = around
        shape = (batch, height + sum(rows), width + sum(columns), channels)
        made = self.like(index, f"{self.name(index)}/padded", shape)
        pads = self.constant(f"{self.name(made)}/pads", np.array([(0, 0), rows, columns, (0, 0)], np.int32))
        return self.operator("PAD", [index, pads], made, "PadOptions")

    def reshaped(self, index: int, shape: Sequence[int], name: str = "", into: int | None = None) -> int:
        """The same values in another shape, in a new tensor or `into` one that is there."""
        made = self.like(index, name, shape) if into is None else into
        sizes = self.constant(f"{self.name(made)}/shape", np.array(shape, np.int32))
        return self.operator("RESHAPE", [index, sizes], made, "ReshapeOptions", newShape=list(shape))

    def turned(self, index: int, axes: Sequence[int], name: str) -> int:
        """With its axes in another order."""
        before = self.shape(index)
        made = self.like(index, name, [before[axis] for axis in axes])
        order = self.constant(f"{name}/axes", np.array(axes, np.int32))
        return self.operator("TRANSPOSE", [index, order], made, "TransposeOptions")

    def is_float(self, index: int) -> bool:
        """Whether a tensor is float32."""
        return bool(self.graph.tensors[index].type == self.schema.TensorType.FLOAT32)

    def name(self, index: int) -> str:
        """Of a tensor."""
        return str(self.graph.tensors[index].name.decode())

    def _parameters(self, scales: list[float], zero_points: list[int]) -> Any:
        made = self.schema.QuantizationParametersT()
        made.scale, made.zeroPoint = scales, zero_points
        return made


def nhwc_shape(shape: Shape) -> tuple[int, ...]:
    """NCHW, one picture -> NHWC; other shapes as they are. An open first size is 1."""
    first, *rest = (1 if size is None else int(size) for size in shape)
    return (first, *rest[1:], rest[0]) if len(rest) == 3 else (first, *rest)
