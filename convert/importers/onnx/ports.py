"""Inputs and outputs: those of the file or those asked for, with their sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from convert.importers.base import Request
from convert.importers.onnx.order import needed
from convert.network import Port, Shape
from convert.onnx_model import element_type, import_onnx_package
from convert.shapes import inferred, port_of
from edge.errors import ModelError, UsageError


def bind(model: Any, constants: Mapping[str, bool | float], where: str) -> None:
    """Make constants of the inputs that have a given value: {"phase_train": False}."""
    onnx = import_onnx_package("reading an ONNX file")
    inputs = {each.name: each for each in model.graph.input}
    for name, value in constants.items():
        if name not in inputs:
            raise UsageError(f"no input {name!r}", where=where, expected=f"some of: {', '.join(inputs)}")
        port = port_of(onnx, inputs[name])
        dtype = port.dtype if port else "float32"
        shape = tuple(size or 1 for size in port.shape) if port else ()
        if port is not None and int(np.prod(shape, dtype=object)) > 1:
            raise UsageError(f"input {name!r} of shape {list(port.shape)}", where=where, expected="one number")
        model.graph.input.remove(inputs[name])
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.full(shape, value, np.dtype(dtype)), name))


def cut(model: Any, request: Request, where: str) -> bool:
    """Keep what lies between the inputs and outputs asked for; whether anything was cut off."""
    graph = model.graph
    weights = {each.name for each in graph.initializer}
    own_inputs = [each.name for each in graph.input if each.name not in weights]
    own_outputs = [each.name for each in graph.output]
    known = [*own_inputs, *(name for node in graph.node for name in node.output if name)]
    inputs = _named("input", request.inputs, own_inputs, known, where)
    outputs = _named("output", request.outputs, own_outputs, known, where)
    nodes, read = needed(graph.node, outputs, inputs)
    made = {name for node in nodes for name in node.output}
    missing = sorted(set(own_inputs) & read - set(inputs) - made)
    if missing:
        raise UsageError(
            f"the outputs depend on the input {', '.join(missing)} too", where=where, hint="Name it as an --input too."
        )
    is_cut = bool(request.inputs or request.outputs) and (
        set(inputs) != set(own_inputs) or outputs != tuple(own_outputs)
    )
    if is_cut:
        _replace(model, (nodes, inputs, outputs), weights & read, where)
    return is_cut


def _named(kind: str, wanted: tuple[str, ...], own: list[str], known: list[str], where: str) -> tuple[str, ...]:
    missing = [name for name in wanted if name not in known]
    if missing:
        listed = ", ".join(own)
        raise UsageError(
            f"no {kind} {', '.join(missing)}", where=where, expected=f"some of: {listed}, or an inner tensor"
        )
    return tuple(dict.fromkeys(wanted)) or tuple(own)


def _replace(
    model: Any, kept: tuple[list[Any], tuple[str, ...], tuple[str, ...]], weights: set[str], where: str
) -> None:
    onnx, graph = import_onnx_package("reading an ONNX file"), model.graph
    nodes, inputs, outputs = kept
    made = inferred(model, where).graph
    about = {each.name: each for each in (*made.value_info, *made.output, *made.input)}
    ends = {name: about.get(name) or onnx.ValueInfoProto(name=name) for name in (*inputs, *outputs)}
    unknown = [name for name in inputs if not ends[name].HasField("type")]
    if unknown:
        raise ModelError(f"tensor {', '.join(unknown)} of unknown shape", where=where, expected="an input with a shape")
    tensors = [each for each in graph.initializer if each.name in weights]
    trimmed = onnx.helper.make_graph(
        nodes, graph.name or "cut", [ends[name] for name in inputs], [ends[name] for name in outputs], tensors
    )
    model.graph.CopyFrom(trimmed)


def settle_shapes(model: Any, shapes: Mapping[str, Shape], where: str) -> list[str]:
    """Fix the sizes that the file leaves open: those given, and a batch of 1; notes of what was fixed."""
    onnx = import_onnx_package("reading an ONNX file")
    weights = {each.name for each in model.graph.initializer}
    inputs = [each for each in model.graph.input if each.name not in weights]
    given = _by_name(shapes, [each.name for each in inputs], where)
    notes = []
    for each in inputs:
        port = _as_open(port_of(onnx, each))
        if port is None and each.name not in given:
            raise ModelError(f"input {each.name!r} has no shape", where=where, hint=hint_of(each.name))
        shape = _settled(port, given.get(each.name), where) if port else given[each.name]
        if port is not None and shape != port.shape:
            notes.append(f"input {each.name!r}: open sizes {list(port.shape)} fixed as {list(shape)}")
        kind = element_type(onnx, port.dtype) if port else each.type.tensor_type.elem_type or onnx.TensorProto.FLOAT
        sizes = [f"{each.name}_{axis}" if size is None else size for axis, size in enumerate(shape)]
        each.CopyFrom(onnx.helper.make_tensor_value_info(each.name, kind, sizes))
    return notes


def hint_of(name: str) -> str:
    """The next step where the size of an input is not known."""
    return f"Give its size, for instance --shape {name}=1,3,320,320."


def _as_open(port: Port | None) -> Port | None:
    # Some exporters write 0 or -1 for a size that is open.
    return port and replace(port, shape=tuple(size if size and size > 0 else None for size in port.shape))


def _by_name(shapes: Mapping[str, Shape], names: list[str], where: str) -> dict[str, Shape]:
    given = dict(shapes)
    if "" in given:
        if len(names) != 1:
            raise UsageError("a shape without a name", where=where, expected=f"one of: {', '.join(names)}")
        given[names[0]] = given.pop("")
    unknown = [name for name in given if name not in names]
    if unknown:
        raise UsageError(f"no input {', '.join(unknown)}", where=where, expected=f"some of: {', '.join(names)}")
    return given


def _settled(port: Port, given: Shape | None, where: str) -> Shape:
    if given is not None:
        fits = len(given) == len(port.shape) and all(
            old is None or new is None or old == new for old, new in zip(port.shape, given, strict=True)
        )
        if not fits or any(size is not None and size < 1 for size in given):
            raise UsageError(
                f"shape {list(given)} for input {port.name!r}", where=where, expected=str(list(port.shape))
            )
    shape = [old if new is None else new for old, new in zip(port.shape, given or port.shape, strict=True)]
    if len(shape) >= 2 and shape[0] is None:
        # A target writes any other batch.
        shape[0] = 1
    if any(size is not None and size < 1 for size in shape):
        raise ModelError(f"input {port.name!r} of shape {shape}", where=where, expected="sizes of 1 or more")
    return tuple(shape)
