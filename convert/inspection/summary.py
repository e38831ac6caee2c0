"""What a network is, in numbers: operators, parameters, multiply-accumulates."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from convert.network import Network, Node, Shape
from convert.shapes import infer_shapes

Shapes = Mapping[str, Shape]


@dataclass(frozen=True, slots=True)
class Summary:
    """Counts of one network."""

    inputs: tuple[tuple[str, Shape], ...]
    outputs: tuple[tuple[str, Shape | None], ...]
    operators: dict[str, int]
    parameters: int
    macs: int | None
    """Multiply-accumulates of convolutions and dense layers for one run at the input's size; None where a size is open."""

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready; None is an open size."""
        return {
            "inputs": {name: list(shape) for name, shape in self.inputs},
            "outputs": {name: list(shape) if shape is not None else None for name, shape in self.outputs},
            "operators": self.operators,
            "parameters": self.parameters,
            "macs": self.macs,
        }


def summarise(network: Network) -> Summary:
    """Count; shapes are inferred from the inputs'."""
    shapes = infer_shapes(network)
    operators = dict(Counter(node.op for node in network.nodes).most_common())
    inputs = tuple((port.name, port.shape) for port in network.inputs)
    outputs = tuple((name, shapes.get(name)) for name in network.outputs)
    return Summary(inputs, outputs, operators, network.parameters(), count_macs(network, shapes))


def count_macs(network: Network, shapes: Shapes) -> int | None:
    """Multiply-accumulates of all nodes with weights, a batch of open size counted as one picture."""
    total = 0
    for node in network.nodes:
        count = _COUNTERS.get(node.op)
        if count is None:
            continue
        macs = count(network, node, shapes)
        if macs is None:
            return None
        total += macs
    return total


def _conv(network: Network, node: Node, shapes: Shapes) -> int | None:
    weights = _shape(network, shapes, node.inputs[1])
    made = _size(shapes.get(node.output))
    # OIHW: each value of the output takes one kernel of I * H * W.
    return None if made is None or weights is None else made * math.prod(weights[1:])


def _conv_transpose(network: Network, node: Node, shapes: Shapes) -> int | None:
    weights = _shape(network, shapes, node.inputs[1])
    read = _size(shapes.get(node.inputs[0]))
    return None if read is None or weights is None else read * math.prod(weights[1:])


def _dense(network: Network, node: Node, shapes: Shapes) -> int | None:
    weights = _shape(network, shapes, node.inputs[1])
    made = _size(shapes.get(node.output))
    if weights is None or made is None:
        return None
    return made * weights[-1 if node.attributes.get("transB", 0) else -2]


def _shape(network: Network, shapes: Shapes, name: str) -> tuple[int, ...] | None:
    if name in network.constants:
        return network.constants[name].shape
    shape = shapes.get(name)
    return None if shape is None else tuple(size or 1 for size in shape)


def _size(shape: Shape | None) -> int | None:
    """Values in a tensor; an open first axis counts as one."""
    if shape is None or any(size is None for size in shape[1:]):
        return None
    return math.prod(size or 1 for size in shape)


_COUNTERS: dict[str, Callable[[Network, Node, Shapes], int | None]] = {
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Gemm": _dense,
    "MatMul": _dense,
}
