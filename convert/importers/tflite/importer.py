"""TFLite file -> Imported."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from convert.importers.base import Imported, Request, chosen, refuse_unknown
from convert.importers.nhwc.builder import NhwcBuilder
from convert.importers.tflite.folding import FOLDED_ONLY, folded
from convert.importers.tflite.graph import Graph, Operator, Tensor
from convert.importers.tflite.operators import OPERATORS
from convert.importers.tflite.operators.call import Call
from convert.importers.tflite.post_process import cut_post_process
from convert.importers.tflite.reading import read_graph
from convert.importers.tflite.rewrite import join_dilations
from convert.importers.tflite.runner import TfliteReference
from convert.importers.tflite.values import Constants
from convert.network import Shape
from edge.errors import ModelError, UsageError

_FAULTS = (ValueError, TypeError, IndexError, KeyError, ZeroDivisionError, OverflowError, MemoryError)


def import_tflite(request: Request) -> Imported:
    """Read a TFLite file of any precision; the runtime itself is the reference.

    A file of integers becomes the float network of its dequantised weights. `request.shapes` are NHWC.
    """
    if len(request.files) != 1:
        raise UsageError(f"{len(request.files)} files", expected="one .tflite")
    path = request.files[0]
    graph = _chosen_outputs(cut_post_process(read_graph(path)), request)
    graph = join_dilations(_needed(graph))
    known = OPERATORS.keys() | FOLDED_ONLY
    refuse_unknown([graph.shown(each) for each in graph.operators if each.op not in known], where=str(path))
    builder = NhwcBuilder(str(path), [tensor.name for tensor in graph.tensors.values()])
    _add_inputs(builder, graph, request)
    _write(builder, graph)
    try:
        network = builder.finish([graph.name(index) for index in graph.outputs])
    except _FAULTS as error:
        raise ModelError(f"cannot be converted ({error})", where=str(path)) from error
    reference = TfliteReference(path, network, builder.layouts())
    return Imported("tflite", network, reference, (path,), (*graph.notes, *_notes(graph)))


def _chosen_outputs(graph: Graph, request: Request) -> Graph:
    if not request.outputs:
        return graph
    made = {graph.name(index): index for each in graph.operators for index in each.outputs}
    names = chosen("output", list(made), request.outputs, graph.where)
    return replace(graph, outputs=tuple(made[name] for name in names))


def _needed(graph: Graph) -> Graph:
    """Only the operators that the outputs depend on, which come after what they read."""
    wanted, kept = set(graph.outputs), []
    for operator in reversed(graph.operators):
        if wanted.intersection(operator.outputs):
            kept.append(operator)
            wanted.update(operator.inputs)
    return replace(graph, operators=tuple(reversed(kept)))


def _add_inputs(builder: NhwcBuilder, graph: Graph, request: Request) -> None:
    by_name = {graph.name(index): graph.tensors[index] for index in graph.inputs}
    bound = {name: value for name, value in request.constants.items() if name in by_name}
    for name, value in bound.items():
        builder.add_value(name, np.asarray(value, np.float32))
    free = [name for name in by_name if name not in bound]
    names = chosen("input", free, request.inputs, graph.where) if request.inputs else tuple(free)
    if not names:
        raise ModelError("no inputs", where=graph.where)
    shapes = dict(request.shapes)
    if "" in shapes and len(names) == 1:
        shapes[names[0]] = shapes.pop("")
    _check_names(shapes, names, graph.where)
    for name in names:
        tensor = by_name[name]
        dtype = "float32" if tensor.is_scaled or tensor.dtype.endswith(("float16", "64")) else tensor.dtype
        builder.add_input(name, shapes.get(name) or _shape(tensor, graph.where), dtype=dtype)


def _check_names(names: Iterable[str], inputs: tuple[str, ...], where: str) -> None:
    unknown = [name for name in names if name not in inputs]
    if unknown:
        raise UsageError(f"a shape for {', '.join(unknown)}", where=where, expected=f"inputs: {', '.join(inputs)}")


def _shape(tensor: Tensor, where: str) -> Shape:
    """The file's own sizes. One that it leaves open is written as 1, which only a batch can mean."""
    if any(size < 0 for size in tensor.signature[1:]):
        raise ModelError(
            f"input {tensor.name!r} of shape {list(tensor.signature)}",
            where=where,
            expected="fixed sizes, all but the first",
            hint=f"Give the shape of {tensor.name}, as NHWC.",
        )
    if 0 in tensor.shape:
        raise ModelError(f"input {tensor.name!r} of shape {list(tensor.shape)}", where=where, expected="sizes above 0")
    return tensor.shape


def _write(builder: NhwcBuilder, graph: Graph) -> None:
    constants = Constants(graph)
    for operator in graph.operators:
        try:
            _read_constants(builder, graph, operator, constants)
            if not _fold(builder, graph, operator):
                _write_one(builder, graph, operator)
        except _FAULTS as error:
            raise ModelError(
                f"{graph.shown(operator)} cannot be converted ({' '.join(str(error).split())[:200]})", where=graph.where
            ) from error


def _read_constants(builder: NhwcBuilder, graph: Graph, operator: Operator, constants: Constants) -> None:
    for index in operator.inputs:
        if index == -1 or builder.has(graph.name(index)):
            continue
        value = constants.value(graph.tensors[index])
        if value is not None:
            builder.add_value(graph.name(index), value)


def _fold(builder: NhwcBuilder, graph: Graph, operator: Operator) -> bool:
    values = [builder.value(graph.name(index)) for index in operator.inputs if index != -1]
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return False
    made = folded(graph, operator, known)
    if made is not None:
        builder.add_value(graph.name(operator.outputs[0]), made)
    return made is not None


def _write_one(builder: NhwcBuilder, graph: Graph, operator: Operator) -> None:
    if operator.op in FOLDED_ONLY:
        refuse_unknown([graph.shown(operator)], where=graph.where)
    if any(builder.has(graph.name(index)) for index in operator.outputs):
        raise ModelError(f"{graph.shown(operator)} makes what is there already", where=graph.where)
    OPERATORS[operator.op](Call(builder, graph, operator))


def _notes(graph: Graph) -> Iterable[str]:
    scaled = {
        graph.tensors[index].dtype
        for each in graph.operators
        for index in each.outputs
        if graph.tensors[index].is_scaled
    }
    if scaled:
        yield (
            f"The file computes with {', '.join(sorted(scaled))}. The network computes with real numbers, by the dequantised "
            "weights: how the file rounds and saturates activations is not reproduced, so it differs by some of their steps."
        )
    elif any(tensor.is_scaled for tensor in graph.tensors.values()):
        yield "The file keeps weights as integers with a scale; they are dequantised."
