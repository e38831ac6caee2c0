"""A TensorFlow GraphDef -> Network; a frozen graph (.pb) is one in a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from convert.importers.base import Imported, Request
from convert.importers.nhwc.builder import NhwcBuilder
from convert.importers.tensorflow.control_flow import ControlFlow
from convert.importers.tensorflow.functions import Library
from convert.importers.tensorflow.graph import Op, load_graph_def, node_of, operators_of
from convert.importers.tensorflow.operators import finished, read_operators
from convert.importers.tensorflow.ports import (
    bindings,
    chosen_tensors,
    input_candidates,
    input_shape,
    output_candidates,
)
from convert.importers.tensorflow.reading import Reading
from convert.network import Network
from convert.runners.base import Runner
from convert.runners.tensorflow import Graph, TensorFlowRunner
from convert.tensorflow import import_tensorflow
from edge.errors import ModelError, UsageError


def import_frozen_graph(request: Request) -> Imported:
    """Read a frozen GraphDef. UsageError or ModelError where that is not possible."""
    if len(request.files) != 1:
        raise UsageError(f"{len(request.files)} files", expected="one frozen graph (.pb)")
    return import_graph_def(load_graph_def(request.files[0]), request, format="frozen-graph")


def import_graph_def(
    graph_def: Any,
    request: Request,
    *,
    format: str,  # noqa: A002  as the field of Imported that it becomes
    notes: Sequence[str] = (),
) -> Imported:
    """Read a GraphDef whose variables are constants.

    Inputs are its placeholders and outputs what nobody reads, or any tensors that the request names: what lies outside of them
    is left out. A placeholder that tells training from use is bound to the latter. UsageError or ModelError otherwise.
    """
    where = str(request.files[0]) if request.files else format
    told = list(notes)
    try:
        task = _task(graph_def, request, where, told)
        reading, network = _network(task, told)
        reference = _reference(task, reading, network)
    except RecursionError as error:
        raise ModelError("branches within branches, too many to follow", where=where) from error
    except (IndexError, KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        # Attributes and inputs of a damaged graph may be missing anywhere.
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(f"a damaged graph ({reason})", where=where, hint="Freeze the graph again.") from error
    notes = tuple(dict.fromkeys(told))
    return Imported(format, network, reference, request.files, notes, ranges=reading.ranges)


@dataclass(frozen=True, slots=True, eq=False)
class _Task:
    """What is to be read."""

    graph_def: Any
    request: Request
    where: str
    flow: ControlFlow
    ops: list[Op]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    bound: dict[str, bool | float]


def _task(graph_def: Any, request: Request, where: str, notes: list[str]) -> _Task:
    nodes, library = operators_of(graph_def.node, where), Library(graph_def, where)
    bound = bindings(nodes, request, notes)
    outputs = chosen_tensors("output", output_candidates(nodes), request.outputs, nodes, where)
    inputs = request.inputs
    if not inputs:
        # What the chosen outputs do not depend on need not be chosen.
        reached = ControlFlow(nodes, library, where, bound=bound).operators(outputs)
        inputs = chosen_tensors("input", input_candidates(reached, bound), (), nodes, where)
    inputs = chosen_tensors("input", input_candidates(nodes.values(), bound), inputs, nodes, where)
    flow = ControlFlow(nodes, library, where, bound=bound, cuts=inputs)
    ops = flow.operators(outputs)
    _refuse_more_inputs(ops, inputs, bound, where)
    if flow.has_dead_branches:
        notes.append("Branches that are not taken, such as those for training, were removed.")
    return _Task(graph_def, request, where, flow, ops, inputs, outputs, bound)


def _refuse_more_inputs(ops: list[Op], inputs: tuple[str, ...], bound: dict[str, bool | float], where: str) -> None:
    given = {node_of(name) for name in inputs}
    more = [
        op.name for op in ops if op.name in input_candidates([op], bound) and op.name not in given
        and op.kind != "PlaceholderWithDefault"
    ]  # fmt: skip
    if more:
        raise ModelError(
            f"the outputs also depend on {', '.join(more)}",
            where=where,
            hint="Name them as inputs too, bind them to values, or choose inputs behind them.",
        )


def _network(task: _Task, notes: list[str]) -> tuple[Reading, Network]:
    names = {op.name for op in task.ops} | set(task.inputs) | set(task.outputs)
    builder = NhwcBuilder(task.where, names)
    for tensor in task.inputs:
        _add_input(task, builder, tensor, notes)
    reading = read_operators(builder, task.ops, task.bound, notes)
    for output in task.outputs:
        source = task.flow.source(output)
        if source != output and not reading.is_unread(source):
            builder.alias(output, source)
    network = finished(reading, task.outputs)
    read = {name for node in network.nodes for name in node.inputs}
    idle = [port.name for port in network.inputs if port.name not in read]
    if idle:
        raise ModelError(f"no output depends on input {', '.join(idle)}", where=task.where, hint="Leave it out.")
    return reading, network


def _add_input(task: _Task, builder: NhwcBuilder, tensor: str, notes: list[str]) -> None:
    op = task.flow.maker(tensor)
    shape = input_shape(task.graph_def, op, tensor, task.request, task.where)
    dtype = str(op.attribute("dtype", "float32")) if op.kind.startswith("Placeholder") else "float32"
    if dtype in {"float64", "float16", "bfloat16"}:
        dtype = "float32"
    if dtype != "float32" and _is_cast(task.ops, tensor):
        notes.append(f"Input {tensor!r} holds {dtype} in the file; it takes the same values as float32 here.")
        dtype = "float32"
    is_picture = len(shape) == 4 and _is_channels_last(task.ops, tensor)
    builder.add_input(tensor, shape, is_picture=is_picture, dtype=dtype)


def _is_cast(ops: list[Op], tensor: str) -> bool:
    """Whether all that read it make floating-point numbers of it first."""
    readers = [op for op in ops if tensor in op.inputs]
    return bool(readers) and all(op.kind == "Cast" and op.attribute("DstT") == "float32" for op in readers)


def _is_channels_last(ops: list[Op], tensor: str) -> bool:
    """What the first layer that the input reaches says, whatever computes with single values on the way."""
    reached = {tensor}
    for op in ops:
        if op.kind == "Transpose" or not reached.intersection(op.inputs):
            continue
        if op.has("data_format"):
            return bool(op.attribute("data_format") != "NCHW")
        reached.add(op.name)
    return True


def _reference(task: _Task, reading: Reading, network: Network) -> Runner:
    layouts = reading.builder.layouts()
    inside = {op.name for op in task.ops}
    made = {name for node in network.nodes for name in node.outputs}
    axes = {port.name: layouts[port.name] for port in network.inputs}
    axes |= {
        name: layouts[name] for name in layouts if name in made and (node_of(name) in inside or name in network.outputs)
    }
    graph_def: Any = task.graph_def
    tensors: dict[str, str] = {}
    if task.flow.crossed:
        graph_def, tensors = _cut_out(task)
    graph = Graph(graph_def, network.inputs, network.outputs, axes, tensors, task.bound, task.where)
    return TensorFlowRunner(graph)


def _cut_out(task: _Task) -> tuple[Any, dict[str, str]]:
    """The operators alone, without the branches, loops and calls around them, and what the inputs and outputs are called there."""
    tf = import_tensorflow("reading a TensorFlow graph")
    made = tf.compat.v1.GraphDef()
    names = {tensor: f"input/{index}" for index, tensor in enumerate(task.inputs)}
    for name in names.values():
        made.node.add(name=name, op="Placeholder").attr["dtype"].type = tf.float32.as_datatype_enum
    for op in task.ops:
        node = made.node.add()
        node.CopyFrom(op.raw)
        node.name = op.name
        node.op = op.kind
        del node.input[:]
        node.input.extend(names.get(each, each) for each in op.inputs)
    made.versions.CopyFrom(task.graph_def.versions)
    return made, {**names, **{output: task.flow.source(output) for output in task.outputs}}
