"""Shape and dtype of every tensor of a network, without running it."""

from __future__ import annotations

from typing import Any

from convert.network import Network, Port, Shape
from convert.onnx_model import as_dialect, import_onnx_package, model_of
from edge.errors import ModelError

_SHAPE_LIKE = 4096
"""Constants up to this size may be shapes, axes or paddings, whose values matter; larger ones are weights."""


def infer_shapes(network: Network) -> dict[str, Shape]:
    """Shape of every input, constant and computed tensor; None for an open size.

    A tensor of which not even the number of axes is known is left out. ModelError where two nodes contradict each other.
    """
    return {name: port.shape for name, port in infer_ports(network).items()}


def infer_ports(network: Network) -> dict[str, Port]:
    """As infer_shapes, with the dtype of each."""
    onnx = import_onnx_package("inferring shapes")
    ports = {port.name: port for port in network.inputs}
    for name, value in network.constants.items():
        plain = as_dialect(value)
        ports[name] = Port(name, plain.shape, str(plain.dtype))
    graph = inferred(model_of(network, without_weights=_SHAPE_LIKE)).graph
    known = (port_of(onnx, value) for value in [*graph.value_info, *graph.output])
    ports.update({port.name: port for port in known if port is not None and port.name not in ports})
    return ports


def inferred(model: Any, where: str = "") -> Any:
    """A copy of a ModelProto with the shapes that ONNX can infer. ModelError where nodes contradict each other."""
    onnx = import_onnx_package("inferring shapes")
    # To propagate the values of a Range, ONNX writes them all out, however many they are.
    propagates = all(node.op_type != "Range" for node in model.graph.node)
    try:
        return onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=propagates)
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError, MemoryError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ModelError(f"shapes that do not fit each other ({reason})", where=where) from error


def port_of(onnx: Any, value: Any) -> Port | None:
    """Name, shape and dtype of a ValueInfoProto; None where it is no tensor or its rank is unknown."""
    kind = value.type.tensor_type
    if not value.type.HasField("tensor_type") or not kind.HasField("shape") or not kind.elem_type:
        return None
    shape = tuple(size.dim_value if size.HasField("dim_value") else None for size in kind.shape.dim)
    return Port(value.name, shape, dtype_name(onnx, kind.elem_type, value.name))


def dtype_name(onnx: Any, code: int, where: str) -> str:
    """NumPy's name for an element type of ONNX; ModelError where there is none of that number."""
    try:
        return str(onnx.helper.tensor_dtype_to_np_dtype(code))
    except KeyError as error:
        raise ModelError(f"values of kind {code}", where=where, expected="an element type of ONNX") from error
