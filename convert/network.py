"""A network between two formats: what importers return, passes rewrite and targets write out.

float32 throughout; activations NCHW, convolution weights OIHW, as ONNX has them. One input, one output. Operators keep their
ONNX names and meaning (https://onnx.ai/onnx/operators/), so that a node of the source can be found again by its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Node:
    """One operator. An input is the name of the network's input, of a constant, or of another node's output."""

    op: str
    name: str
    inputs: tuple[str, ...]
    output: str
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.op} {self.name or self.output!r}"


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """Nodes in an order in which they can run, and their constants.

    `mean` and `std` say what the input expects of a pixel 0..255: (pixel - mean) / std. They are 0 and 1 until a pass
    has taken such arithmetic out of the nodes.
    """

    input_name: str
    input_shape: tuple[int, int, int, int]
    """NCHW; N is 1."""
    output_name: str
    nodes: tuple[Node, ...]
    constants: Mapping[str, Array]
    mean: float = 0.0
    std: float = 1.0

    def readers(self, name: str) -> list[Node]:
        """Nodes that read the tensor `name`."""
        return [node for node in self.nodes if name in node.inputs]

    def is_output(self, name: str) -> bool:
        """Whether the tensor `name` is what the network returns."""
        return name == self.output_name

    def with_constants(self, added: Mapping[str, Array]) -> Network:
        """The same network with constants added or replaced."""
        return replace(self, constants={**self.constants, **added})
