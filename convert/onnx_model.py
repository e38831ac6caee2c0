"""Network -> onnx.ModelProto, as it stands: what writes a file, infers shapes and runs a network all begin here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from convert.network import OPSET, Array, Network, Node, Port
from edge.errors import MissingDependencyError, ModelError

IR_VERSION = 8
"""Of 2021: what OpenCV 4.8 and ONNX Runtime 1.10 know."""
PRODUCER = "ostiary"
PREFIX = "ostiary."
"""Of the metadata that say what the input expects."""
LARGEST_FILE = 2**31 - 1
"""A protocol buffer cannot hold more."""


def import_onnx_package(purpose: str) -> Any:
    """The onnx module. MissingDependencyError where it is not installed."""
    try:
        import onnx
    except ImportError as error:
        raise MissingDependencyError("onnx", extra="convert", purpose=purpose) from error
    return onnx


def model_of(network: Network, *, without_weights: int | None = None) -> Any:
    """A ModelProto with the network's own shapes, opset 13; neither checked nor with shapes of inner tensors.

    `without_weights`: constants with more elements become inputs, which is enough, and quick, to infer shapes.
    """
    onnx = import_onnx_package("writing an ONNX model")
    helper = onnx.helper
    left_out = {
        name
        for name, value in network.constants.items()
        if without_weights is not None and np.size(value) > without_weights
    }
    inputs = [_value_info(onnx, port) for port in network.inputs]
    inputs += [_value_info(onnx, _port_of(name, network.constants[name])) for name in sorted(left_out)]
    tensors = [_tensor(onnx, name, value) for name, value in sorted(network.constants.items()) if name not in left_out]
    outputs = [onnx.ValueInfoProto(name=name) for name in network.outputs]
    graph = helper.make_graph([_node(onnx, node) for node in network.nodes], PRODUCER, inputs, outputs, tensors)
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name=PRODUCER
    )


def _port_of(name: str, value: Array) -> Port:
    plain = as_dialect(value)
    return Port(name, plain.shape, str(plain.dtype))


def as_dialect(value: Array) -> Array:
    """A constant as networks hold it: every floating-point number is float32."""
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise ModelError(f"a constant of {array.dtype}", expected="numbers or truth values")
    return np.ascontiguousarray(array, np.float32).reshape(array.shape) if array.dtype.kind == "f" else array


def _tensor(onnx: Any, name: str, value: Array) -> Any:
    return onnx.numpy_helper.from_array(as_dialect(value), name)


def _value_info(onnx: Any, port: Port) -> Any:
    sizes = [f"{port.name}_{axis}" if size is None else size for axis, size in enumerate(port.shape)]
    if port.shape and port.shape[0] is None:
        sizes[0] = "batch"
    return onnx.helper.make_tensor_value_info(port.name, element_type(onnx, port.dtype), sizes)


def element_type(onnx: Any, dtype: str) -> int:
    """The number that ONNX has for a NumPy dtype."""
    try:
        return int(onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"dtype {dtype!r}", expected="float32 or another one that ONNX has") from error


def _node(onnx: Any, node: Node) -> Any:
    made = onnx.helper.make_node(node.op, list(node.inputs), list(node.outputs), name=node.name)
    made.attribute.extend(_attributes(onnx, node))
    return made


def _attributes(onnx: Any, node: Node) -> list[Any]:
    made = []
    for name, value in sorted(_plain(node.attributes).items()):
        try:
            made.append(onnx.helper.make_attribute(name, value, attr_type=_type_of(onnx, value)))
        except (TypeError, ValueError) as error:
            raise ModelError(
                f"attribute {name} = {value!r}", where=str(node), expected="numbers or a string"
            ) from error
    return made


def _plain(attributes: Mapping[str, Any]) -> dict[str, Any]:
    plain = {}
    for name, value in attributes.items():
        if isinstance(value, np.ndarray | np.generic):
            plain[name] = value.tolist()
        elif isinstance(value, tuple | list):
            plain[name] = [each.item() if isinstance(each, np.generic) else each for each in value]
        elif value is not None:
            plain[name] = int(value) if isinstance(value, bool) else value
    return plain


def _type_of(onnx: Any, value: Any) -> Any:
    # An empty list does not tell its type; those of the dialect are axes and paddings.
    return onnx.AttributeProto.INTS if value == [] else None
