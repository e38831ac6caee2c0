"""A network between two formats: what importers return, passes rewrite and targets write out.

Operators have the names and the meaning of ONNX, opset 13 (https://onnx.ai/onnx/operators/), so that a node of the source can
be found again by its name. Pictures are NCHW, convolution weights OIHW, whatever the source has; importers of NHWC formats
turn the axes, and leave no Transpose behind where none is needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import ModelError

Array = NDArray[Any]
Floats = NDArray[np.float32]
Shape = tuple[int | None, ...]


def shown_shape(shape: Sequence[int | None]) -> str:
    """1x3x112x112, `?` for what is open; empty for a scalar."""
    return "x".join("?" if size is None else str(size) for size in shape)


OPSET = 13
"""The dialect. OpenCV 4.8, the oldest promised, reads all of it that is listed here."""

OPERATORS = frozenset({
    # with weights
    "Conv", "ConvTranspose", "Gemm", "MatMul", "BatchNormalization", "InstanceNormalization", "LRN",
    # one value in, one out
    "Relu", "PRelu", "LeakyRelu", "Elu", "Selu", "Sigmoid", "HardSigmoid", "Tanh", "Softplus", "Softmax", "Clip", "Erf",
    "Abs", "Neg", "Sqrt", "Exp", "Log", "Reciprocal", "Floor", "Ceil", "Round", "Cast", "Not", "Identity",
    # two values in, one out
    "Add", "Sub", "Mul", "Div", "Pow", "Min", "Max", "Equal", "Greater", "Less", "And", "Or", "Where",
    # over places
    "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "Resize", "Pad", "DepthToSpace", "SpaceToDepth",
    # over axes
    "ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL2", "LpNormalization", "ArgMax",
    # other shapes
    "Flatten", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Concat", "Split", "Slice", "Gather", "Expand", "Tile",
})  # fmt: skip
"""What a Network may hold. Importers write other operators of a source in these, or name all that they cannot at once."""


@dataclass(frozen=True, slots=True)
class Port:
    """An input: its name and shape. None is a size that may differ from run to run: of a batch, or of a picture."""

    name: str
    shape: Shape
    dtype: str = "float32"


@dataclass(frozen=True, slots=True)
class Node:
    """One operator. An input is the name of a network's input, of a constant, or of another node's output; "" is left out."""

    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def output(self) -> str:
        """The first output; of most operators the only one."""
        return self.outputs[0]

    def __str__(self) -> str:
        return f"{self.op} {self.name or self.output!r}"


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """Nodes in an order in which they can run, and their constants.

    `mean` and `std` say what the input expects of a pixel 0..255: (pixel - mean) / std. They are 0 and 1 until a pass
    has taken such arithmetic out of the nodes.
    """

    inputs: tuple[Port, ...]
    outputs: tuple[str, ...]
    nodes: tuple[Node, ...]
    constants: Mapping[str, Array]
    mean: float = 0.0
    std: float = 1.0

    @property
    def input_name(self) -> str:
        """Name of the only input; ModelError where there are several."""
        return self._only_input().name

    @property
    def input_shape(self) -> tuple[int, int, int, int]:
        """NCHW of the only input, one picture for a batch of any size; ModelError for any other form."""
        port = self._only_input()
        batch, *rest = port.shape or (None,)
        sizes = [size for size in rest if size is not None]
        if len(sizes) != 3 or len(rest) != 3:
            raise ModelError(
                f"input {port.name!r} of shape {list(port.shape)}", expected="[N, C, H, W], all fixed but N"
            )
        return batch or 1, sizes[0], sizes[1], sizes[2]

    @property
    def output_name(self) -> str:
        """Name of the only output; ModelError where there are several."""
        if len(self.outputs) != 1:
            raise ModelError(f"{len(self.outputs)} outputs: {', '.join(self.outputs)}", expected="one; choose it")
        return self.outputs[0]

    def _only_input(self) -> Port:
        if len(self.inputs) != 1:
            names = ", ".join(port.name for port in self.inputs)
            raise ModelError(f"{len(self.inputs)} inputs: {names}", expected="one; choose it")
        return self.inputs[0]

    def readers(self, name: str) -> list[Node]:
        """Nodes that read the tensor `name`."""
        return [node for node in self.nodes if name in node.inputs]

    def maker(self, name: str) -> Node | None:
        """The node that makes the tensor `name`; None for inputs and constants."""
        return next((node for node in self.nodes if name in node.outputs), None)

    def is_output(self, name: str) -> bool:
        """Whether the tensor `name` is what the network returns."""
        return name in self.outputs

    def tensors(self) -> Iterator[str]:
        """Names of all that is computed, in order."""
        return (name for node in self.nodes for name in node.outputs if name)

    def with_constants(self, added: Mapping[str, Array]) -> Network:
        """The same network with constants added or replaced."""
        return replace(self, constants={**self.constants, **added})

    def with_outputs(self, names: tuple[str, ...]) -> Network:
        """The same network, returning these tensors."""
        return replace(self, outputs=names)

    def parameters(self) -> int:
        """How many floating-point numbers the nodes read as constants: weights, biases, slopes, statistics."""
        read = {name for node in self.nodes for name in node.inputs}
        return sum(value.size for name, value in self.constants.items() if name in read and value.dtype.kind == "f")


def single(
    input_name: str, shape: Shape, output_name: str, nodes: tuple[Node, ...], constants: Mapping[str, Array]
) -> Network:
    """A network with one input and one output."""
    return Network((Port(input_name, shape),), (output_name,), nodes, constants)
