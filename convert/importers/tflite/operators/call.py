"""One operator of the file while it is written, and the activation that may be part of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from convert.importers.nhwc import ops as nhwc_ops
from convert.importers.nhwc.builder import NhwcBuilder
from convert.importers.tflite.graph import Graph, Operator
from convert.importers.tflite.schema import names_of
from convert.network import Array
from edge.errors import ModelError


@dataclass(frozen=True, slots=True)
class Call:
    """An operator and where it is written."""

    builder: NhwcBuilder
    graph: Graph
    operator: Operator

    @property
    def output(self) -> str:
        """Name of the first tensor it makes."""
        return self.graph.name(self.operator.outputs[0])

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of all it makes."""
        return tuple(self.graph.name(index) for index in self.operator.outputs)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of all it reads; none may be left out."""
        return tuple(self.input(place) for place in range(len(self.operator.inputs)))

    def has(self, place: int) -> bool:
        """Whether an input is there."""
        return place < len(self.operator.inputs) and self.operator.inputs[place] != -1

    def input(self, place: int) -> str:
        """Name of an input; ModelError where it is left out."""
        if not self.has(place):
            raise self.refuse(f"no input {place}", f"{place + 1} or more")
        return self.graph.name(self.operator.inputs[place])

    def known(self, place: int) -> Array:
        """Value of an input; ModelError where it is computed."""
        return self.builder.known(self.input(place), self.shown)

    def optional(self, place: int) -> Array | None:
        """The same, or None where it is left out."""
        return self.known(place) if self.has(place) else None

    def wholes(self, place: int) -> tuple[int, ...]:
        """A constant input as whole numbers."""
        value = self.known(place)
        if value.dtype.kind not in "iu":
            raise self.refuse(f"input {place} is {value.dtype}", "whole numbers")
        return tuple(int(each) for each in value.flat)

    def option(self, name: str, default: Any = 0) -> Any:
        """An option; the schema's default where the file has none."""
        return self.operator.options.get(name, default)

    @property
    def shown(self) -> str:
        """For messages."""
        return self.graph.shown(self.operator)

    def axes(self, values: Sequence[int], rank: int) -> tuple[int, ...]:
        """Axes counted from the front; ModelError where a tensor of `rank` axes has them not."""
        if any(not -rank <= value < rank for value in values):
            raise self.refuse(f"axes {list(values)} of a tensor of {rank}", f"{-rank} to {rank - 1}")
        return tuple(value % rank for value in values)

    def refuse(self, problem: str, expected: str) -> ModelError:
        """The error of an operator that cannot be converted as it is."""
        return ModelError(f"{self.shown}: {problem}", where=self.graph.where, expected=expected)


Emitter = Callable[[Call], None]
Activation = Callable[[NhwcBuilder, str, str], None]


def _clipped(low: float, high: float) -> Activation:
    def emit(builder: NhwcBuilder, name: str, x: str) -> None:
        nhwc_ops.clip(builder, name, x, low, high)

    return emit


def _plain(op: str) -> Activation:
    def emit(builder: NhwcBuilder, name: str, x: str) -> None:
        nhwc_ops.unary(builder, name, x, op)

    return emit


ACTIVATIONS: dict[str, Activation] = {
    "RELU": _plain("Relu"),
    "RELU6": _clipped(0, 6),
    "RELU_N1_TO_1": _clipped(-1, 1),
}
"""Those that an operator may have in itself; the runtime's kernels know no other."""


def fused(call: Call, write: Callable[[str], None]) -> None:
    """Write an operator, and behind it the activation that its options name."""
    number = call.option("FusedActivationFunction")
    name = names_of("ActivationFunctionType").get(number, f"number {number}")
    if name == "NONE":
        write(call.output)
        return
    if name not in ACTIVATIONS:
        raise call.refuse(f"activation {name}", ", ".join(ACTIVATIONS))
    inner = call.builder.fresh(f"{call.output}/linear")
    write(inner)
    ACTIVATIONS[name](call.builder, call.output, inner)


def scalar(value: float) -> Array:
    """A float32 constant."""
    return np.array(value, np.float32)
