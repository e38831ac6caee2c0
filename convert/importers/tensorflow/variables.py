"""Variables of a checkpoint: which are there, which belongs to which node, and their values as constants of the graph.

Nothing that a file says is run for it: the tensors are read by name, and the operators by which the file's own saver would
restore them are only looked at, for those names.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from convert.importers.tensorflow.functions import Library
from convert.importers.tensorflow.graph import LARGEST_VALUE, Op, index_of, node_of, operators_of
from convert.network import Array
from convert.tensorflow import import_tensorflow
from edge.errors import ModelError, UsageError

VARIABLES = frozenset({"Variable", "VariableV2", "VarHandleOp"})
_ASSIGNMENTS = frozenset({"Assign", "AssignVariableOp"})
_RESTORES = frozenset({"RestoreV2", "Restore", "RestoreSlice"})
_MOST_OPERATORS = 200_000
_AGAIN = "Copy all files of the checkpoint again."
_PIECE = re.compile(r"(-|\d+,\d+)(:(-|\d+,\d+))*")


@dataclass(frozen=True, slots=True)
class Key:
    """Where the value of a variable is: a tensor of the checkpoint, or a part of it (TensorFlow's shape_and_slice)."""

    name: str
    part: str = ""


class Checkpoint:
    """The tensors in `prefix`.index and `prefix`.data-*, checked before any is read."""

    def __init__(self, prefix: Path) -> None:
        """UsageError where a file is missing, ModelError where it is damaged."""
        self.prefix = prefix
        self.files = _files(prefix)
        self._tf = import_tensorflow("reading a checkpoint")
        self._reader = self._guarded(lambda: self._tf.train.load_checkpoint(str(prefix)))
        shapes = self._guarded(self._reader.get_variable_to_shape_map)
        dtypes = self._guarded(self._reader.get_variable_to_dtype_map)
        self.shapes = {name: tuple(int(size) for size in shapes[name]) for name in sorted(shapes)}
        self.dtypes = {name: str(dtypes[name].name) for name in self.shapes}
        self._check()

    def _check(self) -> None:
        stored = sum(path.stat().st_size for path in self.files if ".data-" in path.name)
        for name, shape in self.shapes.items():
            size = self._tf.as_dtype(self.dtypes[name]).size or 0
            if math.prod(shape) * size > stored or math.prod(shape) > LARGEST_VALUE:
                problem = f"variable {name!r} of shape {list(shape)} in {stored} bytes"
                raise ModelError(problem, where=str(self.prefix), hint=_AGAIN)

    def value(self, key: Key) -> Array:
        """The tensor, or the part of it. ModelError where it is damaged."""
        whole = np.asarray(self._guarded(lambda: self._reader.get_tensor(key.name)))
        return whole[_slices(key.part, str(self.prefix))] if key.part.strip() else whole

    def _guarded(self, act: Any) -> Any:
        errors = (self._tf.errors.OpError, RuntimeError, ValueError, TypeError, LookupError, SystemError, MemoryError)
        try:
            return act()
        except errors as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
            raise ModelError(f"a damaged checkpoint ({reason})", where=str(self.prefix), hint=_AGAIN) from error


def _files(prefix: Path) -> tuple[Path, ...]:
    """Index and all parts of the data; told which one is missing."""
    index = Path(f"{prefix}.index")
    if not index.is_file():
        raise UsageError(
            f"no {index.name}", where=str(prefix.parent), expected="NAME.meta, NAME.index and NAME.data-00000-of-00001",
            hint="A checkpoint is several files: copy them all into one folder.",
        )  # fmt: skip
    parts = sorted(path for path in prefix.parent.iterdir() if path.name.startswith(f"{prefix.name}.data-"))
    found = [re.fullmatch(r"(\d{5})-of-(\d{5})", path.name.removeprefix(f"{prefix.name}.data-")) for path in parts]
    count = max((int(match[2]) for match in found if match), default=1)
    there = {int(match[1]) for match in found if match and int(match[2]) == count}
    missing = [
        f"{prefix.name}.data-{number:05}-of-{count:05}" for number in range(min(count, 1000)) if number not in there
    ]
    if missing:
        raise UsageError(
            f"no {', '.join(missing[:5])}", where=str(prefix.parent), expected="the values beside the index",
            hint="A checkpoint is several files: copy them all into one folder.",
        )  # fmt: skip
    return (index, *parts)


def _slices(part: str, where: str) -> tuple[slice, ...]:
    """`20 8 0,10:-`, the whole shape and then begin and length of each axis: the first ten rows."""
    piece = part.rsplit(maxsplit=1)[-1]
    if not _PIECE.fullmatch(piece):
        raise ModelError(f"part {part!r} of a variable", where=where, expected="such as `20 8 0,10:-`")
    made = []
    for axis in piece.split(":"):
        begin, _, length = axis.partition(",")
        made.append(slice(None) if axis == "-" else slice(int(begin), int(begin) + int(length)))
    return tuple(made)


def keys_of(graph_def: Any, restore_op: str, where: str) -> dict[str, Key]:
    """Variable's node -> its key, as the operators behind `restore_op` would restore it."""
    ops, library = operators_of(graph_def.node, where), Library(graph_def, where)
    made: dict[str, Key] = {}
    waiting, seen = [node_of(restore_op.removeprefix("^"))], set()
    while waiting:
        name = waiting.pop()
        op = ops.get(name)
        if op is None or name in seen:
            continue
        seen.add(name)
        if len(seen) > _MOST_OPERATORS:
            raise ModelError(f"a saver of more than {_MOST_OPERATORS} operators", where=where)
        if op.kind in _ASSIGNMENTS and len(op.inputs) > 1:
            _add(made, ops, op)
        called = library.called_by(op)
        if called in library:
            inner, returned = library.written_out(called, op.name, op.inputs)
            ops.update(inner)
            waiting.extend([*inner, *(node_of(each) for each in returned)])
        waiting.extend([*op.controls, *(node_of(each) for each in op.inputs)])
    return made


def _add(made: dict[str, Key], ops: Mapping[str, Op], assignment: Op) -> None:
    variable, value = (_behind(ops, tensor) for tensor in assignment.inputs[:2])
    owner, restore = ops.get(node_of(variable)), ops.get(node_of(value))
    if owner is None or restore is None or owner.kind not in VARIABLES or restore.kind not in _RESTORES:
        return
    texts = [_texts(ops, tensor) for tensor in restore.inputs[1:3]]
    place = index_of(value)
    if texts and place < len(texts[0]):
        parts = texts[1] if len(texts) > 1 else ()
        made[owner.name] = Key(texts[0][place], parts[place] if place < len(parts) else "")


def _behind(ops: Mapping[str, Op], tensor: str) -> str:
    for _ in range(50):
        op = ops.get(node_of(tensor))
        if op is None or op.kind not in {"Identity", "RefIdentity"} or not op.inputs:
            break
        tensor = op.inputs[0]
    return tensor


def _texts(ops: Mapping[str, Op], tensor: str) -> tuple[str, ...]:
    op = ops.get(node_of(_behind(ops, tensor)))
    if op is None or op.kind != "Const":
        return ()
    return tuple(
        each.decode("utf-8", "replace") if isinstance(each, bytes) else str(each) for each in op.value().reshape(-1)
    )


def with_names_as_keys(keys: Mapping[str, Key], ops: Mapping[str, Op], checkpoint: Checkpoint) -> dict[str, Key]:
    """The keys that are in the checkpoint; a variable that no saver mentions may be there under its own name."""
    made = {name: key for name, key in keys.items() if key.name in checkpoint.shapes}
    for op in ops.values():
        if op.kind in VARIABLES and op.name not in made:
            own = next((name for name in (op.name, op.attribute("shared_name")) if name in checkpoint.shapes), None)
            if own is not None:
                made[op.name] = Key(own)
    return made


def frozen(graph_def: Any, values: Mapping[str, Array]) -> Any:
    """A copy with variables as constants, and what works on a variable working on its value."""
    from convert.runners.tensorflow import repaired

    tf = import_tensorflow("reading a checkpoint")
    made = repaired(graph_def)
    for node in made.node:
        if node.name in values and node.op in VARIABLES:
            value, node.op = values[node.name], "Const"
            node.attr.clear()
            del node.input[:]
            node.attr["dtype"].type = tf.as_dtype(value.dtype).as_datatype_enum
            node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value))
        else:
            _read(node)
    for function in made.library.function:
        for node in function.node_def:
            _read(node)
    return made


def _read(node: Any) -> None:
    """What reads a variable hands on its value."""
    if node.op == "ReadVariableOp":
        kind = node.attr["dtype"].type
        node.op = "Identity"
        node.attr.clear()
        node.attr["T"].type = kind


def restoring(prefix: Path, keys: Mapping[str, Key]) -> Any:
    """What gives the variables of a session their values, by TensorFlow's own restore."""
    tf = import_tensorflow("reading a checkpoint")

    def prepare(session: Any) -> None:
        graph = session.graph
        there = {operation.name: operation for operation in graph.get_operations() if operation.type in VARIABLES}
        names = [name for name in keys if name in there]
        if not names:
            return
        with graph.as_default():
            dtypes = [tf.as_dtype(there[name].get_attr("dtype")) for name in names]
            read = tf.raw_ops.RestoreV2(
                prefix=str(prefix), tensor_names=[keys[name].name for name in names],
                shape_and_slices=[keys[name].part for name in names], dtypes=dtypes,
            )  # fmt: skip
            given = [_assigned(tf, there[name], value) for name, value in zip(names, read, strict=True)]
        session.run(given)

    return prepare


def _assigned(tf: Any, variable: Any, value: Any) -> Any:
    held = variable.outputs[0]
    if variable.type == "VarHandleOp":
        return tf.raw_ops.AssignVariableOp(resource=held, value=value)
    return tf.raw_ops.Assign(ref=held, value=value, validate_shape=False).op
