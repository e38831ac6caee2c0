"""The part of a training graph that computes the outputs, cut where the pictures come in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from convert.importers.base import Request
from convert.importers.tensorflow.control_flow import ControlFlow
from convert.importers.tensorflow.functions import Library
from convert.importers.tensorflow.graph import Op, index_of, node_of, operators_of, tensor_name
from convert.importers.tensorflow.ports import (
    QUEUES,
    bindings,
    chosen_tensors,
    declared_shape,
    input_candidates,
    output_candidates,
)
from convert.network import Shape
from convert.tensorflow import import_tensorflow
from edge.errors import ModelError

_TRAINING_SCOPES = frozenset({"gradients", "save", "train", "train_op", "summaries", "report_uninitialized_variables"})
_TRAINING_KINDS = ("Apply", "ResourceApply", "SparseApply", "ResourceSparseApply", "Scatter", "ResourceScatter")
_USUAL_OUTPUTS = frozenset({"embeddings", "embedding"})


@dataclass(frozen=True, slots=True)
class Cut:
    """A tensor that becomes an input."""

    tensor: str
    name: str
    """What it is called as an input."""
    dtype: int
    """A DataType's number."""
    shape: Shape | None
    """In the source's layout."""


@dataclass(frozen=True, slots=True, eq=False)
class Ends:
    """Inputs and outputs of a graph, found or chosen, as tensors."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    live: frozenset[str]
    """Nodes that are computed."""


def find_ends(graph_def: Any, request: Request, where: str, notes: list[str]) -> Ends:
    """Those that the request names, or the only candidates. ModelError where there are several: it lists them."""
    ops, library = operators_of(graph_def.node, where), Library(graph_def, where)
    bound = bindings(ops, request, notes)
    queues = [tensor for op in ops.values() if op.kind in QUEUES for tensor in _outputs(op)]

    def reached(outputs: Sequence[str], cuts: Sequence[str]) -> list[Op]:
        return ControlFlow(ops, library, where, bound=bound, cuts=cuts).operators(outputs)

    outputs = chosen_tensors("output", _results(ops, request, bound, queues), request.outputs, ops, where)
    if request.inputs:
        inputs = chosen_tensors("input", input_candidates(ops.values(), bound), request.inputs, ops, where)
    else:
        live = reached(outputs, queues)
        inputs = chosen_tensors("input", _sources(live, bound, queues, notes), (), ops, where)
    live = reached(outputs, inputs)
    return Ends(inputs, outputs, frozenset(op.name for op in live))


def _outputs(op: Op) -> list[str]:
    count = len(op.attribute("component_types") or op.attribute("output_types") or (0,))
    return [op.name, *(f"{op.name}:{index}" for index in range(1, count))]


def _results(ops: Mapping[str, Op], request: Request, bound: Mapping[str, object], queues: Sequence[str]) -> list[str]:
    """What the network computes for its user: ends of the graph without the part that trains it, that pictures reach."""
    if request.outputs:
        return output_candidates(ops)
    kept = {name: op for name, op in ops.items() if not _is_training(op)}
    usual = [name for name in kept if name.rpartition("/")[2] in _USUAL_OUTPUTS and kept[name].inputs]
    ends = dict.fromkeys([*usual, *output_candidates(kept)])
    fed = _reached_from([*(node_of(each) for each in queues), *input_candidates(ops.values(), bound)], kept)
    found = [name for name in ends if name in fed and not _hands_on(kept, name, queues)]
    # A loss or an accuracy is one number.
    return [name for name in found if _declared_axes(kept[name]) != 0] or found


def _is_training(op: Op) -> bool:
    return op.kind.startswith(_TRAINING_KINDS) or not _TRAINING_SCOPES.isdisjoint(op.name.split("/")[:-1])


def _reached_from(sources: Iterable[str], ops: Mapping[str, Op]) -> set[str]:
    readers: dict[str, list[str]] = {}
    for op in ops.values():
        for tensor in op.inputs:
            readers.setdefault(node_of(tensor), []).append(op.name)
    seen, waiting = set(), list(sources)
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting.extend(readers.get(name, ()))
    return seen


def _hands_on(ops: Mapping[str, Op], name: str, queues: Sequence[str]) -> bool:
    """Whether it is what a queue gives, such as labels, under another name."""
    tensor = name
    for _ in range(50):
        op = ops.get(node_of(tensor))
        if tensor in queues:
            return True
        if op is None or op.kind != "Identity" or not op.inputs:
            return False
        tensor = op.inputs[0]
    return False


def _declared_axes(op: Op) -> int | None:
    listed = op.attribute("_output_shapes")
    return len(listed[0]) if listed and listed[0] is not None else None


def _sources(live: Sequence[Op], bound: Mapping[str, object], queues: Sequence[str], notes: list[str]) -> list[str]:
    """Placeholders, and what queues give: by its last name where it only is handed on at first."""
    read = dict.fromkeys(tensor for op in live for tensor in op.inputs)
    found = input_candidates(live, bound)
    for tensor in queues:
        if tensor not in read:
            continue
        name, readers = tensor, [op for op in live if tensor in op.inputs]
        while len(readers) == 1 and readers[0].kind == "Identity":
            name = readers[0].name
            readers = [op for op in live if name in op.inputs]
        if name != tensor:
            notes.append(f"Input {name!r} is what the queue {node_of(tensor)!r} gives.")
        found.append(name)
    return found


def cut_of(graph_def: Any, ops: Mapping[str, Op], tensor: str, name: str = "") -> Cut:
    """A tensor of the graph as an input."""
    op = ops[node_of(tensor)]
    return Cut(tensor, name or tensor, _dtype(op.raw, index_of(tensor)), declared_shape(graph_def, op, tensor))


def inference_graph(graph_def: Any, cuts: Sequence[Cut], outputs: Mapping[str, str], where: str) -> Any:
    """A GraphDef of what computes `outputs` (their names -> tensors), with a placeholder for each cut, on any device.

    A node that has the name of an input or output, and is none, gets another.
    """
    tf = import_tensorflow("reading a TensorFlow graph")
    nodes = {node.name: node for node in graph_def.node}
    taken = {cut.tensor: cut.name for cut in cuts}
    needed = _needed(nodes, taken, [tensor_name(tensor) for tensor in outputs.values()], where)
    own = {tensor for name, tensor in outputs.items() if tensor_name(tensor) == name}
    reserved = ({*taken.values(), *outputs}) - own
    names = {name: f"{name}/inner" if name in reserved else name for name in needed}

    made = tf.compat.v1.GraphDef()
    for cut in cuts:
        _add_placeholder(made, cut)
    for node in graph_def.node:
        if node.name in needed:
            _add_copy(made, node, names, taken)
    for name, tensor in outputs.items():
        if name not in taken.values() and tensor_name(tensor) != name:
            added = made.node.add(name=name, op="Identity", input=[_read(tensor, names, taken)])
            source = nodes[node_of(tensor_name(tensor))]
            added.attr["T"].type = _dtype(source, index_of(tensor_name(tensor)))
    made.versions.CopyFrom(graph_def.versions)
    made.library.CopyFrom(graph_def.library)
    for function in made.library.function:
        for node in function.node_def:
            node.device = ""
    return made


def _dtype(node: Any, place: int) -> int:
    """The DataType of one of a node's outputs, without the mark of a reference; float32 where nobody says."""
    from tensorflow.python.framework import op_def_registry

    definition = op_def_registry.get(node.op)
    types: list[int] = []
    for argument in definition.output_arg if definition is not None else ():
        if argument.type_list_attr:
            types.extend(node.attr[argument.type_list_attr].list.type)
            continue
        kind = argument.type or (node.attr[argument.type_attr].type if argument.type_attr else 1)
        types.extend([kind] * (int(node.attr[argument.number_attr].i) if argument.number_attr else 1))
    return int(types[place]) % 100 if place < len(types) and types[place] else 1


def _needed(nodes: Mapping[str, Any], taken: Mapping[str, str], outputs: Sequence[str], where: str) -> set[str]:
    needed: set[str] = set()
    waiting = list(outputs)
    while waiting:
        tensor = waiting.pop()
        name = node_of(tensor)
        if tensor in taken or name in needed:
            continue
        if name not in nodes:
            raise ModelError(f"tensor {tensor!r} is read, but no node makes it", where=where)
        needed.add(name)
        waiting.extend(_reads(nodes[name], taken))
    return needed


def _reads(node: Any, taken: Mapping[str, str]) -> Iterator[str]:
    """Tensors, and the nodes that must have run before: a cut does not wait for what was before it."""
    for each in node.input:
        tensor = tensor_name(each.removeprefix("^"))
        if not (each.startswith("^") and tensor in taken):
            yield tensor


def _add_placeholder(made: Any, cut: Cut) -> None:
    node = made.node.add(name=cut.name, op="Placeholder")
    node.attr["dtype"].type = cut.dtype
    shape = node.attr["shape"].shape
    if cut.shape is None:
        shape.unknown_rank = True
        return
    for size in cut.shape:
        shape.dim.add(size=-1 if size is None else size)


def _add_copy(made: Any, node: Any, names: Mapping[str, str], taken: Mapping[str, str]) -> None:
    copy = made.node.add()
    copy.CopyFrom(node)
    copy.name, copy.device = names[node.name], ""
    copy.attr.pop("_class", None)
    del copy.input[:]
    for each in node.input:
        tensor = tensor_name(each.removeprefix("^"))
        if not each.startswith("^"):
            copy.input.append(_read(tensor, names, taken))
        elif tensor not in taken:
            copy.input.append(f"^{names[node_of(tensor)]}")


def _read(tensor: str, names: Mapping[str, str], taken: Mapping[str, str]) -> str:
    tensor = tensor_name(tensor)
    if tensor in taken:
        return taken[tensor]
    place = index_of(tensor)
    return f"{names[node_of(tensor)]}:{place}" if place else names[node_of(tensor)]
