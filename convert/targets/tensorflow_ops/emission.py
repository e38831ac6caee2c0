"""One network on its way into a TensorFlow graph: what has been computed, and how it lies in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from convert.network import Array, Network, Node
from convert.targets.tensorflow_ops.layout import NHWC, Axes, is_same_memory, preferred, source_order
from edge.errors import ModelError

Tensor = Any


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """A tensor of the graph, and which axis of the source each of its axes is."""

    tensor: Tensor
    axes: Axes

    @property
    def shape(self) -> tuple[int | None, ...]:
        """In the source's order; None is open."""
        lying = self.tensor.shape.as_list()
        return tuple(lying[self.axes.index(axis)] for axis in range(len(self.axes)))

    @property
    def rank(self) -> int:
        """How many axes it has."""
        return len(self.axes)

    def place(self, axis: int) -> int:
        """Where a source axis, which may be negative, lies."""
        return self.axes.index(self.axis(axis))

    def axis(self, axis: int) -> int:
        """A source axis, counted from 0. ModelError where there is none."""
        if not -self.rank <= axis < self.rank:
            raise ModelError(f"axis {axis}", expected=f"one of {self.rank}")
        return axis % self.rank


Emitter = Callable[["Emission", Node], Held | tuple[Held, ...]]
"""Writes one node; several values where the node has several outputs."""


class Emission:
    """Writes one network into the TensorFlow graph that is being built; `tf` is the TensorFlow module."""

    def __init__(self, network: Network, tf: Any, emitters: Mapping[str, Emitter]) -> None:
        self.network = network
        self.tf = tf
        self.values: dict[str, Held] = {}
        self.columns: dict[str, Array] = {}
        """Of a matrix whose columns lie in another order than in the source: the source's column at each place."""
        self._emitters = emitters

    def run(self, inputs: Mapping[str, Tensor]) -> None:
        """Compute every node into `values`; pictures come in NHWC. ModelError names the node that cannot be written."""
        for port in self.network.inputs:
            self.values[port.name] = Held(inputs[port.name], preferred(len(port.shape)))
        for node in self.network.nodes:
            made = self._emitted(node)
            several = made if isinstance(made, tuple) else (made,)
            wanted = [name for name in node.outputs if name]
            if len(several) < len(wanted):
                raise ModelError(f"{len(wanted)} outputs", where=str(node), expected=f"{len(several)}")
            self.values |= {name: each for name, each in zip(node.outputs, several, strict=False) if name}

    def _emitted(self, node: Node) -> Held | tuple[Held, ...]:
        if node.op not in self._emitters:
            raise ModelError("an operator that this target does not have", where=str(node))
        try:
            return self._emitters[node.op](self, node)
        except ModelError as error:
            where = error.where or str(node)
            raise ModelError(error.problem, where=where, expected=error.expected, hint=error.hint) from error
        except (ValueError, TypeError, IndexError, KeyError, OverflowError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise ModelError(f"cannot be written for TensorFlow ({reason})", where=str(node)) from error

    def result(self, name: str) -> Held:
        """An output as callers expect it: NHWC where it has four axes."""
        held = self.value(name)
        return Held(self.turned(held, preferred(held.rank)), preferred(held.rank))

    def value(self, name: str) -> Held:
        """What was computed under this name, or the constant."""
        if name in self.values:
            return self.values[name]
        if name not in self.network.constants:
            raise ModelError(f"{name!r} is read before it is computed")
        constant = narrow(self.network.constants[name])
        return Held(self.tf.constant(constant), source_order(constant.ndim))

    def input(self, node: Node, index: int = 0) -> Held:
        """An input of `node` as it lies."""
        return self.value(node.inputs[index])

    def plain(self, node: Node, index: int = 0) -> Tensor:
        """An input of `node`, its axes as in the source."""
        held = self.input(node, index)
        return self.turned(held, source_order(held.rank))

    def image(self, node: Node, index: int = 0) -> Tensor:
        """An input of `node` that must be a picture, NHWC."""
        held = self.input(node, index)
        if held.rank != 4:
            raise ModelError(f"{held.rank} axes", expected="a picture: batch, channels, height, width")
        return self.turned(held, NHWC)

    def turned(self, held: Held, axes: Axes) -> Tensor:
        """The tensor with its axes in another order. Where only axes of size 1 move, a Reshape does."""
        if held.axes == axes:
            return held.tensor
        if is_same_memory(held.axes, axes, held.shape):
            return self.reshape(held.tensor, self.sizes(held, axes))
        return self.transpose(held.tensor, [held.axes.index(axis) for axis in axes])

    def reshape(self, tensor: Tensor, sizes: Any) -> Tensor:
        """tf.reshape; for targets that need another form."""
        return self.tf.reshape(tensor, sizes)

    def transpose(self, tensor: Tensor, order: list[int]) -> Tensor:
        """tf.transpose; for targets that need another form."""
        return self.tf.transpose(tensor, order)

    def pick(self, tensor: Tensor, chosen: Sequence[int], place: int) -> Tensor:
        """These places along one axis as it lies, in this order; for targets that need another form."""
        return self.tf.gather(tensor, np.asarray(chosen, np.int32), axis=place)

    def output(self, tensor: Tensor, *, is_named: bool) -> Tensor:
        """The tensor, or a copy where the operator that makes it has another name or cannot carry one."""
        carries = not is_named and len(tensor.op.outputs) == 1 and tensor.op.type != "Const"
        return tensor if carries else self.tf.identity(tensor)

    def sizes(self, held: Held, axes: Axes) -> Any:
        """Sizes in this order, for a reshape; what is open is taken from the tensor."""
        known = [held.shape[axis] for axis in axes]
        if known.count(None) <= 1:
            return [-1 if size is None else size for size in known]
        running = self.tf.shape(held.tensor)
        return self.tf.stack(
            [running[held.axes.index(axis)] if held.shape[axis] is None else held.shape[axis] for axis in axes]
        )

    def is_constant(self, name: str) -> bool:
        """Whether the network holds this value."""
        return name in self.network.constants and name not in self.values

    def constant(self, node: Node, index: int) -> Array:
        """A constant input of `node`; ModelError where it is computed."""
        name = node.inputs[index]
        if not self.is_constant(name):
            raise ModelError(f"input {name!r} is computed", where=str(node), expected="a constant")
        return self.network.constants[name]

    def feeds_dense_only(self, name: str) -> bool:
        """Whether all that reads this value multiplies it by constant weights, so that its columns may lie in any order."""
        readers = self.network.readers(name)
        return not self.network.is_output(name) and all(
            node.op in {"Gemm", "MatMul"}
            and name == node.inputs[0]
            and node.inputs.count(name) == 1
            and self.is_constant(node.inputs[1])
            and self.network.constants[node.inputs[1]].ndim == 2
            and not node.attributes.get("transA", 0)
            for node in readers
        )

    def optional(self, node: Node, index: int) -> Array | None:
        """A constant input of `node`, or None where it is left out."""
        return self.constant(node, index) if len(node.inputs) > index and node.inputs[index] else None

    def aligned(self, names: Sequence[str]) -> tuple[list[Tensor], Axes]:
        """Values that broadcast against each other, all lying alike; and how."""
        computed = [self.values[name] for name in names if name in self.values]
        rank = max(
            [each.rank for each in computed]
            + [self.network.constants[name].ndim for name in names if self.is_constant(name)]
        )
        widened = {name: self.widened(self.value(name), rank) for name in names if not self.is_constant(name)}
        axes = max(widened.values(), key=_volume).axes if widened else source_order(rank)
        single = () if widened else (1,) * rank
        return [
            self.turned(widened[name], axes) if name in widened else beside(self.network.constants[name], axes, single)
            for name in names
        ], axes

    def widened(self, held: Held, rank: int) -> Held:
        """The value with axes of size 1 in front, as broadcasting adds them."""
        added = rank - held.rank
        if not added:
            return held
        axes = (*range(added), *(axis + added for axis in held.axes))
        sizes = self.sizes(held, held.axes)
        ones = [1] * added
        shape = [*ones, *sizes] if isinstance(sizes, list) else self.tf.concat([ones, sizes], 0)
        return Held(self.reshape(held.tensor, shape), axes)


def narrow(values: Array) -> Array:
    """Floats as float32, which is all that is computed in here; other dtypes as they are."""
    return values.astype(np.float32) if values.dtype.kind == "f" else values


def lying(values: Array, axes: Axes) -> Array:
    """A constant of at most so many axes, as it lies beside a tensor."""
    wide = values.reshape((1,) * (len(axes) - values.ndim) + values.shape)
    return np.ascontiguousarray(wide.transpose(axes))


def beside(values: Array, axes: Axes, single: tuple[int, ...] = ()) -> Array:
    """The same; one number gets the shape `single`, since it broadcasts over everything as it is."""
    return narrow(values).reshape(single) if values.size == 1 else lying(narrow(values), axes)


def _volume(held: Held) -> int:
    volume = 1
    for size in held.shape:
        volume *= size or 1
    return volume
