"""A GraphDef as plain operators, checked where it is read: the file may be truncated or hostile."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from convert.network import Array, Shape
from convert.tensorflow import import_tensorflow
from edge.errors import ModelError, UsageError

LARGEST_FILE_BYTES = 2**31 - 1
"""What protobuf can parse."""
LARGEST_VALUE = 1 << 28
"""Elements of one constant; a few bytes in a file can name a larger one."""
MOST_NODES = 200_000
"""In one file; a network for training has some ten thousand."""


@dataclass(frozen=True, slots=True, eq=False)
class Op:
    """One node. Its outputs are the tensors `name`, `name:1`, ..."""

    kind: str
    name: str
    inputs: tuple[str, ...]
    """Tensors; the first output of a node has the node's name."""
    controls: tuple[str, ...] = ()
    """Names of the nodes that must have run before."""
    raw: Any = None
    """The NodeDef."""
    given: Mapping[str, Any] = field(default_factory=dict)
    """Attributes that a rewrite has put in place of the node's own."""

    def __str__(self) -> str:
        return f"{self.kind} {self.name!r}"

    def has(self, name: str) -> bool:
        """Whether the attribute is there."""
        return name in self.given or (self.raw is not None and name in self.raw.attr)

    def attribute(self, name: str, default: Any = None) -> Any:
        """An attribute as plain Python: a number, text, dtype's name, shape or tuple of such; `default` where it is not there."""
        if name in self.given:
            return self.given[name]
        if not self.has(name):
            return default
        return _plain(self.raw.attr[name])

    def integers(self, name: str, default: tuple[int, ...] = ()) -> tuple[int, ...]:
        """An attribute that is a list of whole numbers."""
        return tuple(int(value) for value in self.attribute(name, default) or default)

    def shape(self) -> Shape | None:
        """The attribute `shape`: None as a whole where even the number of axes is open."""
        found: Shape | None = self.attribute("shape")
        return found

    def value(self) -> Array:
        """What a Const holds. ModelError where it is none, or larger than it may be."""
        return tensor_value(self.raw.attr["value"].tensor, self.name)


def _plain(attribute: Any) -> Any:
    kind = attribute.WhichOneof("value")
    if kind == "list":
        return _list(attribute.list)
    return _single(kind, getattr(attribute, kind)) if kind else None


def _list(values: Any) -> tuple[Any, ...]:
    for kind in ("i", "f", "b", "s", "type", "shape", "func"):
        found = getattr(values, kind)
        if len(found):
            return tuple(_single(kind, value) for value in found)
    return ()


def _single(kind: str, value: Any) -> Any:
    if kind == "s":
        return value.decode("utf-8", "replace")
    if kind == "type":
        return dtype_name(value)
    if kind == "shape":
        return shape_of(value)
    if kind == "func":
        return value.name
    return value


def shape_of(proto: Any) -> Shape | None:
    """Of a TensorShapeProto; None where the number of axes is open."""
    if proto.unknown_rank:
        return None
    return tuple(None if axis.size < 0 else int(axis.size) for axis in proto.dim)


_TYPES = {
    1: "float32", 2: "float64", 3: "int32", 4: "uint8", 5: "int16", 6: "int8", 7: "string", 9: "int64", 10: "bool",
    14: "bfloat16", 17: "uint16", 19: "float16", 20: "resource", 22: "uint32", 23: "uint64",
}  # fmt: skip
"""https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/framework/types.proto."""


def dtype_name(number: int) -> str:
    """A DataType by NumPy's name; a reference to a variable is what it refers to."""
    return _TYPES.get(number % 100, f"type {number}")


def tensor_value(proto: Any, name: str) -> Array:
    """A TensorProto as an array; its declared size is checked before anything is allocated."""
    sizes = shape_of(proto.tensor_shape)
    if sizes is None or None in sizes or math.prod(size or 0 for size in sizes) > LARGEST_VALUE:
        raise ModelError(f"constant {name!r} of shape {sizes}", expected=f"at most {LARGEST_VALUE} values")
    tf = import_tensorflow("reading a TensorFlow graph")
    try:
        made: Array = tf.make_ndarray(proto)
    except (TypeError, ValueError) as error:
        raise ModelError(f"constant {name!r} is damaged ({str(error).splitlines()[0]})") from error
    if made.dtype.fields is not None:
        # quint8 and qint8 are records of one number.
        return np.asarray(made[next(iter(made.dtype.fields))])
    if made.dtype.name in {"bfloat16", "float16", "float64"}:
        return made.astype(np.float32)
    return made


def load_graph_def(path: Path) -> Any:
    """The GraphDef in a file. ModelError where there is none; UsageError where there is no such file."""
    tf = import_tensorflow("reading a TensorFlow graph")
    from google.protobuf.message import DecodeError

    graph = tf.compat.v1.GraphDef()
    hint = "Copy the file again, or freeze the graph again; a SavedModel is given as its folder."
    try:
        if path.stat().st_size > LARGEST_FILE_BYTES:
            raise ModelError(f"{path.stat().st_size} bytes", where=str(path), expected="less than 2 GiB")
        graph.ParseFromString(path.read_bytes())
    except FileNotFoundError as error:
        raise UsageError("no such file", where=str(path), expected="a frozen graph (.pb)") from error
    except OSError as error:
        raise ModelError(f"cannot be read ({error.strerror})", where=str(path), expected="a frozen graph") from error
    except DecodeError as error:
        raise ModelError("not a sound GraphDef", where=str(path), hint=hint) from error
    if not graph.node:
        raise ModelError("a GraphDef without nodes", where=str(path), hint=hint)
    return graph


def operators_of(nodes: Iterable[Any], where: str) -> dict[str, Op]:
    """The nodes by name; ModelError where two have the same, or there are too many."""
    made: dict[str, Op] = {}
    for node in nodes:
        if node.name in made or not node.name:
            raise ModelError(f"two nodes are called {node.name!r}", where=where)
        made[node.name] = operator_of(node)
        if len(made) > MOST_NODES:
            raise ModelError(
                f"more than {MOST_NODES} nodes", where=where, hint="Cut the network out of it and freeze that."
            )
    return made


def operator_of(node: Any) -> Op:
    """One NodeDef."""
    inputs = tuple(tensor_name(name) for name in node.input if not name.startswith("^"))
    controls = tuple(name[1:] for name in node.input if name.startswith("^"))
    # A variable of TensorFlow 1 that was frozen in place of its reference.
    kind = {"RefSwitch": "Switch", "RefMerge": "Merge", "RefEnter": "Enter", "RefIdentity": "Identity"}.get(node.op)
    return Op(kind or node.op, node.name, inputs, controls, node)


def tensor_name(name: str) -> str:
    """The tensor as it is called here: `node` and `node:0` are the same."""
    return name.removesuffix(":0")


def node_of(tensor: str) -> str:
    """The node that makes a tensor."""
    head, _, tail = tensor.rpartition(":")
    return head if head and tail.isdigit() else tensor


def index_of(tensor: str) -> int:
    """Which of its node's outputs a tensor is."""
    head, _, tail = tensor.rpartition(":")
    return int(tail) if head and tail.isdigit() else 0
