"""Inputs and outputs of a TensorFlow graph: found, chosen, and bound to constants."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from convert.importers.base import Request, chosen
from convert.importers.tensorflow.graph import Op, index_of, node_of, shape_of, tensor_name
from convert.importers.tensorflow.reading import IDENTITIES
from convert.network import Shape
from edge.errors import ModelError, UsageError

QUEUES = frozenset({"QueueDequeueV2", "QueueDequeueManyV2", "QueueDequeueUpToV2", "IteratorGetNext"})
"""What gives pictures without being fed."""
_LONGEST_CHAIN = 50
_SILENT = frozenset({
    "Const", "NoOp", "Assert", "Placeholder", "PlaceholderWithDefault", "Assign", "AssignAdd", "AssignSub", "SaveV2",
    "RestoreV2", "Save", "MergeV2Checkpoints", "ShardedFilename", "ScalarSummary", "HistogramSummary", "ImageSummary",
    "MergeSummary", "VariableV2", "VarHandleOp", "AssignVariableOp", "VarIsInitializedOp", "QueueEnqueueV2",
    "QueueEnqueueManyV2", "QueueCloseV2", "QueueSizeV2", "LoopCond", "NextIteration", "Switch", "StringJoin", "Print",
})  # fmt: skip
"""What nobody reads and is no result."""
_SWITCHES = frozenset({
    "phase_train", "train_phase", "phase", "is_training", "is_train", "training", "istrain", "learning_phase",
    "keras_learning_phase",
})  # fmt: skip
_KEEP = frozenset({"keep_prob", "keep_probability", "dropout_keep_prob"})
_DROP = frozenset({"drop_prob", "dropout_rate", "drop_rate"})


def bindings(ops: Mapping[str, Op], request: Request, notes: list[str]) -> dict[str, bool | float]:
    """Placeholder -> value: those given, and those whose name says that they tell training from use."""
    bound: dict[str, bool | float] = {}
    for name, value in request.constants.items():
        if node_of(name) not in ops:
            raise UsageError(f"no placeholder {name}", expected=", ".join(input_candidates(ops.values(), {})) or "none")
        bound[node_of(name)] = value
    given = {node_of(name) for name in request.inputs}
    for op in ops.values():
        usual = _by_name(op) if op.kind.startswith("Placeholder") else None
        if usual is not None and op.name not in bound and op.name not in given:
            bound[op.name] = usual
            notes.append(f"Placeholder {op.name!r} was bound to {usual}.")
    return bound


def _by_name(op: Op) -> bool | float | None:
    last, dtype = op.name.rpartition("/")[2].lower(), op.attribute("dtype")
    if last in _SWITCHES and dtype == "bool":
        return False
    if dtype == "float32":
        return 1.0 if last in _KEEP else 0.0 if last in _DROP else None
    return None


def input_candidates(ops: Iterable[Op], bound: Mapping[str, object]) -> list[str]:
    """Placeholders without a value, and what a queue of pictures gives. A default that is one number is taken as it is."""
    return [
        op.name
        for op in ops
        if op.name not in bound
        and (
            op.kind in {"Placeholder", "PlaceholderV2"}
            or op.kind in QUEUES
            or (op.kind == "PlaceholderWithDefault" and op.shape() != ())
        )
    ]


def output_candidates(ops: Mapping[str, Op]) -> list[str]:
    """Nodes that nobody reads and that compute something."""
    read = {node_of(name) for op in ops.values() for name in op.inputs}
    ends = [op for op in ops.values() if op.name not in read and op.kind not in _SILENT and op.inputs]
    return [op.name for op in ends if _computes(ops, op)]


def _computes(ops: Mapping[str, Op], op: Op) -> bool:
    """Whether it is more than an input, or what decides on a branch, under another name."""
    seen = set()
    while op.kind in IDENTITIES and op.inputs:
        if op.name in seen:
            return True
        seen.add(op.name)
        before = ops.get(node_of(op.inputs[0]))
        if before is None:
            return True
        op = before
    return bool(op.inputs) and op.kind != "Switch"


def chosen_tensors(
    kind: str, candidates: list[str], wanted: tuple[str, ...], ops: Mapping[str, Op], where: str
) -> tuple[str, ...]:
    """The inputs or outputs: any tensor of the graph when it is asked for, else the only candidate."""
    names = tuple(tensor_name(name) for name in wanted)
    inner = [name for name in names if node_of(name) in ops and name not in candidates]
    return chosen(kind, [*candidates, *inner], names, where)


def input_shape(graph_def: Any, op: Op, tensor: str, request: Request, where: str) -> Shape:
    """Sizes of an input in the source's layout: as asked for, or as the graph says. ModelError where nobody does."""
    found = declared_shape(graph_def, op, tensor)
    given = request.shapes.get(tensor, request.shapes.get(f"{tensor}:0"))
    if given is None and len(request.inputs) <= 1:
        given = request.shapes.get("")
    if given is None and found is None:
        raise ModelError(
            f"input {tensor!r} of unknown shape", where=where, hint="Give its shape, for instance 1,160,160,3."
        )
    if given is None or found is None:
        return given if found is None else found  # type: ignore[return-value]
    fits = len(given) == len(found) and all(
        size is None or known is None or size == known for size, known in zip(given, found, strict=True)
    )
    if not fits:
        raise UsageError(f"shape {list(given)} for input {tensor!r}", where=where, expected=f"{list(found)}")
    return tuple(known if size is None else size for size, known in zip(given, found, strict=True))


def declared_shape(graph_def: Any, op: Op, tensor: str) -> Shape | None:
    """What the graph says of a tensor's shape; None where even the number of axes is open."""
    if op.kind.startswith("Placeholder") and op.shape() is not None:
        return op.shape()
    listed = op.attribute("_output_shapes")
    if listed and tensor == op.name and listed[0] is not None:
        shape: Shape = listed[0]
        return shape
    if op.kind.startswith("Placeholder"):
        return None
    return _queued({node.name: node for node in graph_def.node}, tensor) or _inferred(graph_def, tensor)


def _queued(nodes: Mapping[str, Any], tensor: str) -> Shape | None:
    """What a queue or an iterator says of the pictures that it gives; None for anything else."""
    for _ in range(_LONGEST_CHAIN):
        node = nodes.get(node_of(tensor))
        if node is None or not node.input or node.op not in {"Identity", *QUEUES}:
            return None
        tensor, place = tensor_name(node.input[0]), index_of(tensor)
        if node.op == "Identity":
            continue
        source = node if node.op == "IteratorGetNext" else nodes.get(node_of(tensor))
        listed = (
            [] if source is None else source.attr["shapes" if "shapes" in source.attr else "output_shapes"].list.shape
        )
        shape = shape_of(listed[place]) if place < len(listed) else None
        has_batch = node.op in {"QueueDequeueManyV2", "QueueDequeueUpToV2"}
        return (None, *shape) if shape is not None and has_batch else shape
    return None


def _inferred(graph_def: Any, tensor: str) -> Shape | None:
    """What TensorFlow makes of an inner tensor's shape; None where it cannot say."""
    from convert.runners.tensorflow import repaired
    from convert.tensorflow import import_tensorflow

    tf = import_tensorflow("reading a TensorFlow graph")
    graph = tf.Graph()
    try:
        part = tf.compat.v1.graph_util.extract_sub_graph(repaired(graph_def), [node_of(tensor)])
        with graph.as_default():
            tf.compat.v1.import_graph_def(part, name="")
        shape = graph.get_tensor_by_name(tensor if tensor != node_of(tensor) else f"{tensor}:0").shape
    except (ValueError, TypeError, KeyError, AssertionError, tf.errors.OpError):
        return None
    return tuple(shape.as_list()) if shape.rank is not None else None
