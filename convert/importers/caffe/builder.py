"""Nodes, constants and sizes of the network that is being made of Caffe's layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from convert.importers.caffe.files import Layer
from convert.network import Array, Floats, Node, Shape
from edge.errors import ModelError

MAX_VALUES = 1 << 28
"""Of one tensor of one picture: 1 GiB. No network for a picture has a tensor of this size; a hostile file says so."""


class Builder:
    """Collects what the converters make. Shapes are NCHW; None is a size that is left open."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.constants: dict[str, Array] = {}
        self.shapes: dict[str, Shape] = {}
        self._taken: set[str] = set()

    def reserve(self, names: Sequence[str]) -> None:
        """Keep these names for tensors that come later."""
        self._taken.update(names)

    def constant(self, name: str, value: Any, dtype: type = np.float32) -> str:
        """Keep a constant; its own name, which may get a number behind it."""
        name = self._fresh(name)
        self.constants[name] = np.ascontiguousarray(value, dtype)
        return name

    def add(self, op: str, name: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Append a node; its output's name. The caller says the shape by `shaped`."""
        self.nodes.append(Node(op, name, tuple(inputs), (output,), attributes))
        return output

    def add_many(self, op: str, name: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> None:
        """Append a node with several outputs."""
        self.nodes.append(Node(op, name, tuple(inputs), tuple(outputs), attributes))

    def shaped(self, name: str, shape: Sequence[int | None], layer: Layer) -> None:
        """Note the shape of a tensor. ModelError when a size is none, or it could not be held."""
        values = 1
        for size in shape:
            values *= 1 if size is None else size
        if values < 1 or values > MAX_VALUES or any(size is not None and size < 1 for size in shape):
            expected = f"sizes from 1, and at most {MAX_VALUES} values"
            raise ModelError(f"an output of shape {shown(shape)}", where=str(layer), expected=expected)
        self.shapes[name] = tuple(shape)

    def between(self, layer: Layer, part: str) -> str:
        """A name for a tensor inside a layer that becomes several nodes."""
        return self._fresh(f"{layer.name}/{part}")

    def _fresh(self, name: str) -> str:
        number, fresh = 1, name
        while fresh in self._taken:
            number, fresh = number + 1, f"{name}_{number}"
        self._taken.add(fresh)
        return fresh


class Work:
    """One layer, its tensors by their names in the network, and what a converter asks of them."""

    def __init__(self, builder: Builder, layer: Layer, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> None:
        self.builder, self.layer, self.inputs, self.outputs = builder, layer, inputs, outputs

    def message(self, field: str) -> Any:
        """A part of the layer's prototxt: `convolution_param`."""
        return getattr(self.layer.message, field)

    def shape(self, index: int = 0) -> Shape:
        """Shape of an input. ModelError when the layer has too few."""
        if index >= len(self.inputs):
            raise self.fault(f"{len(self.inputs)} input(s)", expected=f"{index + 1}")
        return self.builder.shapes[self.inputs[index]]

    def sized(self, index: int = 0) -> tuple[int, ...]:
        """Shape of an input, of which only the batch may be open (then counted as 1). ModelError otherwise."""
        first, *rest = self.shape(index)
        sizes = [size for size in rest if size is not None]
        if len(sizes) != len(rest):
            hint = "Give the input's shape with all sizes but the first fixed."
            raise self.fault(f"an input of shape {shown(self.shape(index))}", expected="fixed sizes", hint=hint)
        return (first or 1, *sizes)

    def picture(self, index: int = 0) -> tuple[int | None, int, int | None, int | None]:
        """Shape of an input with four axes and fixed channels."""
        shape = self.shape(index)
        if len(shape) != 4 or shape[1] is None:
            raise self.fault(f"an input of shape {shown(shape)}", expected="N, C, H, W")
        return shape[0], shape[1], shape[2], shape[3]

    def axis(self, value: int, index: int = 0, *, last: bool = False) -> int:
        """An axis counted from the front; `last` allows one behind the last."""
        axes = len(self.shape(index))
        found = value + axes if value < 0 else value
        if not 0 <= found < axes + last:
            raise self.fault(f"axis {value} of an input of shape {shown(self.shape(index))}", expected=f"below {axes}")
        return found

    def blob(self, index: int, shape: tuple[int, ...]) -> Floats:
        """Weights number `index` as `shape`; leading axes of size 1 do not matter. ModelError otherwise."""
        blobs = self.layer.blobs
        if index >= len(blobs):
            hint = "Is the caffemodel that of this prototxt? Weights are found by the layer's name."
            raise self.fault(f"{len(blobs)} set(s) of weights", expected=f"{index + 1}", hint=hint)
        found = blobs[index].shape
        if _significant(found) != _significant(shape):
            raise self.fault(f"weights of shape {list(found)}", expected=f"{list(shape)}")
        return blobs[index].reshape(shape)

    def emit(self, op: str, inputs: Sequence[str], shape: Sequence[int | None], **attributes: Any) -> None:
        """The node that gives the layer's first output."""
        self.builder.add(op, self.layer.name, inputs, self.outputs[0], **attributes)
        self.builder.shaped(self.outputs[0], shape, self.layer)

    def step(self, part: str, op: str, inputs: Sequence[str], shape: Sequence[int | None], **attributes: Any) -> str:
        """A node before the last one of the layer; its output."""
        name = self.builder.between(self.layer, part)
        self.builder.add(op, name, inputs, name, **attributes)
        self.builder.shaped(name, shape, self.layer)
        return name

    def constant(self, part: str, value: Any, dtype: type = np.float32) -> str:
        """A constant of this layer."""
        return self.builder.constant(f"{self.layer.name}/{part}", value, dtype)

    def fault(self, problem: str, *, expected: str = "", hint: str = "") -> ModelError:
        """A ModelError about this layer."""
        return ModelError(problem, where=str(self.layer), expected=expected, hint=hint)


def given(message: Any, field: str, default: Any) -> Any:
    """A field of a message, or Caffe's default where the prototxt does not say it."""
    return getattr(message, field) if message.HasField(field) else default


def flag(message: Any, field: str, *, default: bool) -> bool:
    """As given(), of a truth value."""
    return bool(given(message, field, default))


def shown(shape: Sequence[int | None]) -> str:
    """[?, 3, 48, 48]."""
    return f"[{', '.join('?' if size is None else str(size) for size in shape)}]"


def _significant(shape: Sequence[int]) -> list[int]:
    """Without leading ones: old files store a vector as 1, 1, 1, C."""
    sizes = list(shape)
    while sizes and sizes[0] == 1:
        sizes.pop(0)
    return sizes
