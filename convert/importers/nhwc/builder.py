"""Builds a Network, whose pictures are NCHW, from a source that thinks in NHWC.

The source's operators are read one after the other and keep their own axes: for each source tensor the builder knows which
tensor of the network holds it, and which source axis each of the network's axes is (`Held.axes`). A Transpose of the source
is therefore mere bookkeeping, and one is written only where an operator needs an order that the network does not have:
`picture` (NCHW) in front of a convolution, `plain` (the source's own order) in front of a Reshape. Where only axes of one
element move, a Reshape does, and where the order of the others is right already, nothing is written at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from convert.importers.nhwc.sizes import Sizes, as_shape, is_open, named, reshape_target, shown
from convert.network import Array, Network, Node, Port, Shape
from convert.passes.tidy import without_unread
from edge.errors import ModelError

Axes = tuple[int, ...]
TURNED: Axes = (0, 3, 1, 2)
"""NHWC held as NCHW: the network's second axis is the source's last."""


@dataclass(frozen=True, slots=True)
class Held:
    """Where a source tensor is found in the network."""

    name: str
    """Of the network's tensor: an input, a constant or a node's output."""
    shape: Sizes
    """In the source's order of axes."""
    axes: Axes
    """The network's axis i is the source's axis axes[i]."""
    dtype: str = "float32"

    @property
    def sizes(self) -> Sizes:
        """In the network's order of axes."""
        return tuple(self.shape[axis] for axis in self.axes)

    def places(self, axes: Iterable[int]) -> tuple[int, ...]:
        """The network's axes that are these axes of the source, ascending; ValueError where there is none such."""
        rank = len(self.shape)
        if any(not -rank <= axis < rank for axis in axes):
            raise ValueError(f"axes {list(axes)} of a tensor of {rank} axes")
        return tuple(sorted(self.axes.index(axis % rank) for axis in axes))


def straight(rank: int) -> Axes:
    """The source's own order."""
    return tuple(range(rank))


class NhwcBuilder:
    """Takes the source's tensors by name, in an order in which they can be computed, and ends in a Network."""

    def __init__(self, where: str, reserved: Iterable[str] = ()) -> None:
        """`where` is the file, for errors; `reserved` are the names of all source tensors, which helpers must not take."""
        self.where = where
        self._reserved = frozenset(reserved)
        self._held: dict[str, Held] = {}
        self._values: dict[str, Array] = {}
        self._ports: list[Port] = []
        self._nodes: list[Node] = []
        self._constants: dict[str, Array] = {}
        self._taken: set[str] = set()
        self._arranged: dict[tuple[str, Axes], str] = {}

    # What the source holds

    def add_input(self, name: str, shape: Shape, *, is_picture: bool | None = None, dtype: str = "float32") -> Held:
        """An input in the source's layout. One of four axes is NHWC and becomes NCHW, unless `is_picture` says no."""
        turned = len(shape) == 4 if is_picture is None else is_picture
        axes = TURNED if turned else straight(len(shape))
        held = Held(name, named(name, shape), axes, dtype)
        self._taken.add(name)
        self._ports.append(Port(name, as_shape(held.sizes), dtype))
        self._held[name] = held
        return held

    def add_value(self, name: str, value: Array) -> None:
        """A source tensor whose value is known, in the source's layout; sizes that are open make an array of objects."""
        self._values[name] = value

    def alias(self, name: str, of: str) -> None:
        """`name` has the same values in the same order as `of`."""
        if of in self._values:
            self._values[name] = self._values[of]
        else:
            self._held[name] = self.held(of)

    def view(self, name: str, held: Held) -> None:
        """`name` is found in a tensor that the network has already, with other axes."""
        self._held[name] = held

    def has(self, name: str) -> bool:
        """Whether the source tensor is known or computed."""
        return name in self._values or name in self._held

    def value(self, name: str) -> Array | None:
        """A source tensor's value where it does not depend on the input, in the source's layout."""
        return self._values.get(name)

    def known(self, name: str, reader: str) -> Array:
        """The value of a source tensor; ModelError, naming the operator that reads it, where it is computed."""
        value = self._values.get(name)
        if value is not None and is_open(value):
            raise ModelError(
                f"{reader} reads {name!r}, a size that is open", where=self.where, hint="Give the input a fixed size."
            )
        if value is None:
            raise ModelError(
                f"{reader} reads {name!r}, which depends on the input", where=self.where, expected="a constant"
            )
        return value

    def shape(self, name: str) -> Sizes:
        """Sizes of a source tensor, in the source's order."""
        if name in self._values:
            return tuple(self._values[name].shape)
        return self.held(name).shape

    def held(self, name: str) -> Held:
        """Where a source tensor is; one that is known becomes a constant of the network."""
        if name not in self._held:
            if name not in self._values:
                raise ModelError(f"tensor {name!r} is read before it is made", where=self.where)
            value = self.known(name, "an operator that computes")
            made = self.add_constant(name, value)
            self._held[name] = Held(made, value.shape, straight(value.ndim), self._constants[made].dtype.name)
        return self._held[name]

    # What the network gets

    def _free(self, hint: str) -> str:
        """A name like this one that no tensor of the network or of the source has."""
        made, count = hint, 1
        while made in self._taken or made in self._reserved:
            count += 1
            made = f"{hint}_{count}"
        return made

    def fresh(self, hint: str) -> str:
        """A name for a tensor between two operators that one of the source's becomes; nobody else has it."""
        made = self._free(hint)
        self._reserved |= {made}
        return made

    def add_constant(self, hint: str, value: Array) -> str:
        """A constant of the network, in the network's layout; floating-point numbers become float32. Returns its name."""
        name = hint if hint in self._values and hint not in self._taken else self._free(hint)
        is_float = value.dtype.kind == "f" or value.dtype.name == "bfloat16"
        self._constants[name] = np.ascontiguousarray(value, np.float32) if is_float else np.ascontiguousarray(value)
        if value.ndim == 0:
            self._constants[name] = self._constants[name].reshape(())
        self._taken.add(name)
        return name

    def helper(self, op: str, hint: str, inputs: Sequence[str], **attributes: Any) -> str:
        """A node whose tensor no source tensor corresponds to; inputs are the network's tensors. Returns its output."""
        output = self._free(hint)
        self._append(Node(op, output, tuple(inputs), (output,), attributes))
        return output

    def emit(self, op: str, name: str, inputs: Sequence[str], held: Held, **attributes: Any) -> None:
        """A node that makes the source tensor `name`; inputs are the network's tensors, `held.name` is ignored."""
        self._append(Node(op, name, tuple(inputs), (name,), attributes))
        self._held[name] = replace(held, name=name)

    def emit_several(
        self, op: str, names: Sequence[str], inputs: Sequence[str], held: Sequence[Held], **attributes: Any
    ) -> None:
        """A node that makes several source tensors."""
        self._append(Node(op, names[0], tuple(inputs), tuple(names), attributes))
        for name, each in zip(names, held, strict=True):
            self._held[name] = replace(each, name=name)

    def _append(self, node: Node) -> None:
        self._taken.update(node.outputs)
        self._nodes.append(node)

    # Orders of axes

    def picture(self, name: str, *, channels_last: bool = True) -> str:
        """The network's NCHW tensor of a source tensor that is NHWC, or NCHW if not `channels_last`."""
        if len(self.shape(name)) != 4:
            raise ModelError(f"tensor {name!r} of shape {shown(self.shape(name))}", where=self.where, expected="4 axes")
        return self.arranged(name, TURNED if channels_last else straight(4))

    def plain(self, name: str) -> str:
        """The network's tensor with the axes in the source's order."""
        return self.arranged(name, straight(len(self.shape(name))))

    def in_order(self, name: str) -> str:
        """A tensor of the network whose values follow each other as in the source, whatever axes of one element it has."""
        held = self.held(name)
        return held.name if _moves_nothing(held, straight(len(held.shape))) else self.plain(name)

    def arranged(self, name: str, axes: Axes) -> str:
        """The network's tensor of a source tensor, its axes in this order."""
        held = self.held(name)
        if held.axes == axes:
            return held.name
        if held.name in self._constants:
            return self.add_constant(f"{name}/turned", self._values[name].transpose(axes))
        key = held.name, axes
        if key not in self._arranged:
            suffix = "nchw" if axes == TURNED else "plain" if axes == straight(len(axes)) else "turned"
            self._arranged[key] = self._turn(held, axes, f"{held.name}/{suffix}")
        return self._arranged[key]

    def _turn(self, held: Held, axes: Axes, hint: str) -> str:
        wanted = tuple(held.shape[axis] for axis in axes)
        target = reshape_target(held.sizes, wanted) if _moves_nothing(held, axes) else None
        if target is not None:
            return self.helper("Reshape", hint, (held.name, self.add_constant(f"{hint}/shape", target)))
        return self.helper("Transpose", hint, (held.name,), perm=tuple(held.axes.index(axis) for axis in axes))

    def beside(self, name: str, rank: int, axes: Axes) -> str:
        """A source tensor that numpy would broadcast over one of `rank` axes, ready to do so over the network's `axes`."""
        value = self._values.get(name)
        missing = rank - len(self.shape(name))
        if value is not None:
            full = self.known(name, "an operator").reshape((1,) * missing + value.shape)
            turned = full.transpose(axes)
            while turned.ndim > value.ndim and turned.shape[0] == 1:
                turned = turned[0]
            is_same = value.size == 1 or axes == straight(rank)
            return self.held(name).name if is_same else self.add_constant(f"{name}/beside", turned)
        held = self.held(name)
        if missing:
            spread = self.helper("Unsqueeze", f"{held.name}/axes", (held.name, self._whole(range(missing), name)))
            held = Held(spread, (1,) * missing + held.shape, (*range(missing), *(a + missing for a in held.axes)))
        if held.axes == axes:
            return held.name
        return self._turn(held, axes, f"{held.name}/beside")

    def _whole(self, numbers: Iterable[int], hint: str) -> str:
        return self.add_constant(f"{hint}/axes", np.asarray(list(numbers), np.int64))

    # The end

    def layouts(self) -> dict[str, Axes]:
        """Source tensor -> the order of its axes in the network's tensor of the same name, where there is one such."""
        return {
            name: held.axes for name, held in self._held.items() if held.name == name and name not in self._constants
        }

    def finish(self, outputs: Sequence[str]) -> Network:
        """The network that gives these source tensors: pictures NCHW, everything else in the source's order. Unused nodes go."""
        for name in outputs:
            self._give(name)
        return without_unread(Network(tuple(self._ports), tuple(outputs), tuple(self._nodes), self._constants))

    def _give(self, name: str) -> None:
        if name in self._values:
            raise ModelError(f"output {name!r} does not depend on the input", where=self.where)
        held = self.held(name)
        rank = len(held.shape)
        axes = held.axes if rank == 4 and held.axes == TURNED else straight(rank)
        if held.name == name and held.axes == axes:
            if any(port.name == name for port in self._ports):
                raise ModelError(f"{name!r} is an input and an output", where=self.where)
            return
        if held.name == name:
            self._rename(name, self._free(f"{name}/turned"))
        last = self.arranged(name, axes)
        self._append(Node("Identity", name, (last,), (name,)))
        self._held[name] = Held(name, held.shape, axes, held.dtype)

    def _rename(self, old: str, new: str) -> None:
        def other(names: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(new if name == old else name for name in names)

        self._nodes = [
            replace(node, name=other((node.name,))[0], inputs=other(node.inputs), outputs=other(node.outputs))
            for node in self._nodes
        ]
        self._held = {key: replace(held, name=new) if held.name == old else held for key, held in self._held.items()}
        self._arranged = {(new if key[0] == old else key[0], key[1]): made for key, made in self._arranged.items()}
        self._taken.add(new)


def _moves_nothing(held: Held, axes: Axes) -> bool:
    """Whether the values follow each other in the same order, so that only axes of one element would move."""
    return [axis for axis in held.axes if held.shape[axis] != 1] == [axis for axis in axes if held.shape[axis] != 1]
