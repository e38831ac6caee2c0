"""What the emitters of operators write into: nodes and constants of a Network that grows."""

from __future__ import annotations

from typing import Any

import numpy as np

from convert.importers.mxnet.symbol import SymbolNode
from convert.network import Array, Network, Node, Port, Shape
from convert.shapes import infer_shapes
from edge.errors import ModelError


class Maker:
    """Nodes and constants so far."""

    def __init__(self, inputs: tuple[Port, ...], parameters: dict[str, Array]) -> None:
        self.inputs = inputs
        self.nodes: list[Node] = []
        self.constants: dict[str, Array] = dict(parameters)
        self._shapes: dict[str, Shape] = {port.name: port.shape for port in inputs}
        self._inferred = 0

    def parameter(self, call: Call, index: int) -> Array:
        """A parameter that an operator reads; ModelError where it is computed or absent."""
        name = call.input(index)
        if name not in self.constants:
            raise ModelError(f"input {name!r} is computed", where=str(call.node), expected="a parameter")
        return self.constants[name]

    def constant(self, name: str, value: Any) -> str:
        """Keep a constant under a name of its own."""
        self.constants[name] = np.asarray(value)
        return name

    def step(self, op: str, inputs: tuple[str, ...], output: str, **attributes: Any) -> str:
        """Add a node with one output, named like it."""
        self.nodes.append(Node(op, output.removesuffix("_output"), inputs, (output,), attributes))
        return output

    def split(self, inputs: tuple[str, ...], outputs: tuple[str, ...], axis: int) -> None:
        """Add a Split."""
        self.nodes.append(Node("Split", outputs[0].removesuffix("_output0"), inputs, outputs, {"axis": axis}))

    def shape(self, name: str) -> Shape | None:
        """Sizes of a tensor; None where not even the number of its axes is known."""
        if name in self.constants:
            return self.constants[name].shape
        if name not in self._shapes and self._inferred < len(self.nodes):
            self._infer()
        return self._shapes.get(name)

    def _infer(self) -> None:
        """Only what was added since the last time, so that a graph with many questions costs no more than one pass."""
        pending = tuple(self.nodes[self._inferred :])
        made = {name for node in pending for name in node.outputs}
        read = dict.fromkeys(name for node in pending for name in node.inputs if name and name not in made)
        constants = {name: self.constants[name] for name in read if name in self.constants}
        ports = tuple(Port(name, self._shapes[name]) for name in read if name in self._shapes)
        self._inferred = len(self.nodes)
        self._shapes.update(infer_shapes(Network(ports, pending[-1].outputs, pending, constants)))


class Call:
    """One node of the symbol with the names of what it reads and makes."""

    __slots__ = ("attributes", "inputs", "maker", "node", "outputs")

    def __init__(self, maker: Maker, node: SymbolNode, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> None:
        self.maker = maker
        self.node = node
        self.attributes = node.attributes
        self.inputs = inputs
        self.outputs = outputs

    @property
    def output(self) -> str:
        """Name of the first output."""
        return self.outputs[0]

    def input(self, index: int) -> str:
        """Name of an input; ModelError where the symbol has fewer."""
        if index >= len(self.inputs):
            raise ModelError(f"{len(self.inputs)} input(s)", where=str(self.node), expected=f"at least {index + 1}")
        return self.inputs[index]

    def finish(self, op: str, inputs: tuple[str, ...], **attributes: Any) -> None:
        """The node that makes the output."""
        self.maker.step(op, inputs, self.output, **attributes)

    def step(self, op: str, suffix: str, inputs: tuple[str, ...], **attributes: Any) -> str:
        """A node before the last one."""
        return self.maker.step(op, inputs, f"{self.node.name}/{suffix}", **attributes)

    def constant(self, suffix: str, value: Any) -> str:
        """A constant of this node."""
        return self.maker.constant(f"{self.node.name}/{suffix}", value)

    def number(self, suffix: str, value: float) -> str:
        """A float32 scalar."""
        return self.constant(suffix, np.float32(value))

    def integers(self, suffix: str, values: tuple[int, ...]) -> str:
        """An int64 list."""
        return self.constant(suffix, np.array(values, np.int64))

    def rank(self, index: int = 0) -> int:
        """Axes of an input; ModelError where they are unknown."""
        return len(self.known_shape(index))

    def known_shape(self, index: int = 0) -> Shape:
        """Sizes of an input, None where one is open; ModelError where not even the number of axes is known."""
        shape = self.maker.shape(self.input(index))
        if shape is None:
            raise self.needs_sizes()
        return shape

    def sizes(self, index: int = 0, first: int = 0) -> tuple[int, ...]:
        """Sizes of an input from axis `first` on; ModelError where one is open."""
        shape = self.known_shape(index)[first:]
        if None in shape:
            raise self.needs_sizes()
        return tuple(size for size in shape if size is not None)

    def axis(self, value: int, index: int = 0) -> int:
        """An axis counted from the front, though it may be given from the back."""
        return value if value >= 0 else value + self.rank(index)

    def needs_sizes(self) -> ModelError:
        """The error of an operator that depends on sizes that the file leaves open."""
        names = ", ".join(port.name for port in self.maker.inputs)
        hint = f"Give the shape of the input {names}: the symbol does not record it."
        return ModelError("depends on sizes that are not known", where=str(self.node), hint=hint)

    def refuse(self, problem: str, expected: str) -> ModelError:
        """The error of an operator with attributes that cannot be converted."""
        return ModelError(problem, where=str(self.node), expected=expected)
