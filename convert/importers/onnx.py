"""ONNX file -> Network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from convert.network import Array, Network, Node, single
from edge.errors import MissingDependencyError, ModelError

OPERATORS = frozenset({
    "Conv", "BatchNormalization", "Relu", "PRelu", "Add", "Sub", "Mul", "Div", "Flatten", "Reshape", "Gemm", "MatMul",
    "Identity", "GlobalAveragePool",
})  # fmt: skip
"""What a target can write. `Constant` and `Dropout` are resolved here."""


def read_onnx(path: Path) -> Network:
    """Read a network with one input (1xCxHxW) and one output. ModelError names every operator that is not known."""
    model = _load(path)
    graph = model.graph
    constants = _constants(graph)
    inputs = [value for value in graph.input if value.name not in constants]
    if len(inputs) != 1 or len(graph.output) != 1:
        raise ModelError(
            f"{len(inputs)} input(s) and {len(graph.output)} output(s)", where=str(path), expected="one of each"
        )
    nodes = tuple(_node(raw) for raw in graph.node if raw.op_type != "Constant")
    _refuse_unknown(nodes, path)
    network = single(inputs[0].name, _input_shape(inputs[0], path), graph.output[0].name, nodes, constants)
    return _without_identities(network)


def _load(path: Path) -> Any:
    try:
        import onnx
        from google.protobuf.message import DecodeError  # type: ignore[import-untyped, unused-ignore]
    except ImportError as error:
        raise MissingDependencyError("onnx", extra="convert", purpose="reading an ONNX file") from error
    hint = "Copy the file again, or export it again."
    try:
        model = onnx.load(str(path))
        onnx.checker.check_model(model)
    except OSError as error:
        raise ModelError(
            f"cannot be read ({error.strerror})", where=str(path), expected="an ONNX file", hint=hint
        ) from error
    except (DecodeError, onnx.checker.ValidationError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelError(f"not a sound ONNX file ({reason})", where=str(path), hint=hint) from error
    return model


def _constants(graph: Any) -> dict[str, Array]:
    from onnx import helper, numpy_helper

    made = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    as_array: dict[str, Callable[[Any], Array]] = {
        "value": numpy_helper.to_array,
        "value_float": lambda value: np.array(value, np.float32),
        "value_floats": lambda value: np.asarray(value, np.float32),
        "value_int": lambda value: np.array(value, np.int64),
        "value_ints": lambda value: np.asarray(value, np.int64),
    }
    for node in graph.node:
        if node.op_type != "Constant":
            continue
        attribute = node.attribute[0]
        if attribute.name not in as_array:
            raise ModelError(f"Constant {node.name!r} holds {attribute.name}", expected="a dense tensor or numbers")
        made[node.output[0]] = as_array[attribute.name](helper.get_attribute_value(attribute))
    return made


def _node(raw: Any) -> Node:
    from onnx import helper

    attributes = {item.name: _plain(helper.get_attribute_value(item)) for item in raw.attribute}
    # Dropout does nothing when a network is used.
    is_dropout = raw.op_type == "Dropout"
    inputs = tuple(raw.input)[:1] if is_dropout else tuple(raw.input)
    return Node("Identity" if is_dropout else raw.op_type, raw.name, inputs, tuple(raw.output), attributes)


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode()
    return tuple(value) if isinstance(value, list) else value


def _refuse_unknown(nodes: tuple[Node, ...], path: Path) -> None:
    unknown = [str(node) for node in nodes if node.op not in OPERATORS]
    if unknown:
        raise ModelError(
            f"{len(unknown)} operator(s) that cannot be converted: {', '.join(unknown)}",
            where=str(path),
            expected=", ".join(sorted(OPERATORS)),
            hint="Export the network without them, or with constant shapes.",
        )


def _input_shape(value: Any, path: Path) -> tuple[int, int, int, int]:
    sizes = [size.dim_value for size in value.type.tensor_type.shape.dim]
    if len(sizes) != 4 or min(sizes[1:]) < 1:
        raise ModelError(f"input {value.name!r} of shape {sizes}", where=str(path), expected="[1, C, H, W], all fixed")
    return 1, sizes[1], sizes[2], sizes[3]


def _without_identities(network: Network) -> Network:
    """Readers of an Identity read its source instead; one that gives the output stays."""
    source: dict[str, str] = {}
    nodes: list[Node] = []
    for node in network.nodes:
        inputs = tuple(source.get(name, name) for name in node.inputs)
        if node.op == "Identity" and not network.is_output(node.output):
            source[node.output] = inputs[0]
        else:
            nodes.append(replace(node, inputs=inputs))
    return replace(network, nodes=tuple(nodes))
