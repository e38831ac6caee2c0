"""MXNet symbol and parameter files, written without MXNet."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from convert.network import Array, Network, Node

V1, V2, V3, LEGACY = 0xF993FAC8, 0xF993FAC9, 0xF993FACA, 0
_FLAGS = {"float32": 0, "float64": 1, "float16": 2, "uint8": 3, "int32": 4, "int8": 5, "int64": 6, "bool": 7}
AUXILIARY = ("moving_mean", "moving_var")


def array_bytes(value: Array, version: int = V2) -> bytes:
    """One array as MXNet of that version wrote it."""
    sizes, axes = value.shape, value.ndim
    context = struct.pack("<iii", 1, 0, _FLAGS[value.dtype.name])
    if version == LEGACY:
        head = struct.pack(f"<I{axes}I", axes, *sizes)
    elif version == V1:
        head = struct.pack(f"<II{axes}q", version, axes, *sizes)
    else:
        head = struct.pack(f"<Iii{axes}q", version, 0, axes, *sizes)
    return head + context + value.tobytes()


def params_bytes(values: Mapping[str, Array], version: int = V2) -> bytes:
    """A list of named arrays."""
    names = [name.encode() for name in values]
    arrays = b"".join(array_bytes(value, version) for value in values.values())
    listed = b"".join(struct.pack("<Q", len(name)) + name for name in names)
    return struct.pack("<QQQ", 0x112, 0, len(values)) + arrays + struct.pack("<Q", len(names)) + listed


@dataclass
class SymbolWriter:
    """Nodes of a symbol; each method returns the index of what it added."""

    nodes: list[dict[str, Any]] = field(default_factory=list)
    parameters: dict[str, Array] = field(default_factory=dict)
    key: str = "attrs"
    """Where attributes are kept: `param` up to 0.9, `attr`, `attrs` since 1.0."""

    def variable(self, name: str, value: Array | None = None) -> int:
        """An input, or a parameter where it has a value."""
        self.nodes.append({"op": "null", "name": name, "inputs": []})
        if value is not None:
            kind = "aux" if name.endswith(AUXILIARY) else "arg"
            self.parameters[f"{kind}:{name}"] = np.asarray(value)
        return len(self.nodes) - 1

    def call(self, op: str, name: str, inputs: list[int | tuple[int, int]], **attributes: Any) -> int:
        """An operator; parameters are numbered like other inputs."""
        edges = [[each, 0, 0] if isinstance(each, int) else [*each, 0] for each in inputs]
        values = {key: str(value) for key, value in attributes.items()}
        self.nodes.append({"op": op, "name": name, self.key: values, "inputs": edges})
        return len(self.nodes) - 1

    def text(self, heads: list[tuple[int, int]] | None = None) -> str:
        """The JSON; the last node is the head where none is named."""
        ends = heads or [(len(self.nodes) - 1, 0)]
        variables = [index for index, node in enumerate(self.nodes) if node["op"] == "null"]
        return json.dumps({"nodes": self.nodes, "arg_nodes": variables, "heads": [[*end, 0] for end in ends]})

    def save(
        self, folder: Path, heads: list[tuple[int, int]] | None = None, *, version: int = V2, name: str = "tiny"
    ) -> tuple[Path, Path]:
        """Write both files."""
        symbol, params = folder / f"{name}-symbol.json", folder / f"{name}-0000.params"
        symbol.write_text(self.text(heads))
        params.write_bytes(params_bytes(self.parameters, version))
        return symbol, params


def save_network(network: Network, folder: Path, *, name: str = "tiny") -> tuple[Path, Path]:
    """Write a Network of common operators; its output gets the name MXNet would give it: `<node>_output`."""
    writer = SymbolWriter()
    made = {port.name: writer.variable(port.name) for port in network.inputs}
    for node in network.nodes:
        inputs = [
            made[each] if each in made else writer.variable(each, _parameter(node, network.constants[each]))
            for each in node.inputs
            if each and not (node.op in _WITH_SCALAR and _is_number(network, each))
        ]
        op, attributes = _written(network, node)
        made[node.output] = writer.call(op, node.name, inputs, **attributes)
    return writer.save(folder, [(made[each], 0) for each in network.outputs], name=name)


_WITH_SCALAR = {"Add": "plus", "Sub": "minus", "Mul": "mul", "Div": "div"}
_PLAIN = {
    "Flatten": ("Flatten", {}),
    "Relu": ("Activation", {"act_type": "relu"}),
    "Sigmoid": ("Activation", {"act_type": "sigmoid"}),
    "Tanh": ("Activation", {"act_type": "tanh"}),
    "Softplus": ("Activation", {"act_type": "softrelu"}),
    "PRelu": ("LeakyReLU", {"act_type": "prelu"}),
    "Identity": ("_copy", {}),
    "Add": ("broadcast_add", {}),
    "Sub": ("broadcast_sub", {}),
    "Mul": ("broadcast_mul", {}),
    "Div": ("broadcast_div", {}),
    "GlobalAveragePool": ("Pooling", {"global_pool": True, "pool_type": "avg", "kernel": (1, 1)}),
    "GlobalMaxPool": ("Pooling", {"global_pool": True, "pool_type": "max", "kernel": (1, 1)}),
}


def _parameter(node: Node, value: Array) -> Array:
    """Slopes have one axis, and what is broadcast has as many as a picture."""
    if node.op == "PRelu":
        return value.reshape(-1)
    return value.reshape((1,) * (4 - value.ndim) + value.shape) if node.op in _WITH_SCALAR else value


def _is_number(network: Network, name: str) -> bool:
    return name in network.constants and network.constants[name].size == 1


def _written(network: Network, node: Node) -> tuple[str, dict[str, Any]]:
    numbers = [name for name in node.inputs if _is_number(network, name)]
    if node.op in _WITH_SCALAR and numbers:
        reverse = "r" if node.inputs[0] in numbers else ""
        return f"_{reverse}{_WITH_SCALAR[node.op]}_scalar", {"scalar": float(network.constants[numbers[0]])}
    if node.op in _PLAIN:
        return _PLAIN[node.op]
    return {"Conv": _conv, "BatchNormalization": _norm, "Gemm": _dense, "MaxPool": _pool, "AveragePool": _pool}[
        node.op
    ](network, node)


def _window(node: Node) -> dict[str, Any]:
    pads = tuple(node.attributes.get("pads", (0, 0, 0, 0)))
    if pads[:2] != pads[2:]:
        raise ValueError(f"{node} pads {pads}; MXNet has the same on both sides")
    return {"stride": tuple(node.attributes.get("strides", (1, 1))), "pad": pads[:2]}


def _conv(network: Network, node: Node) -> tuple[str, dict[str, Any]]:
    weights = network.constants[node.inputs[1]]
    more = {"dilate": tuple(node.attributes.get("dilations", (1, 1))), "num_group": node.attributes.get("group", 1)}
    sizes = {"kernel": weights.shape[2:], "num_filter": len(weights), "no_bias": len(node.inputs) < 3}
    return "Convolution", {**sizes, **_window(node), **more}


def _norm(network: Network, node: Node) -> tuple[str, dict[str, Any]]:
    return "BatchNorm", {"eps": node.attributes.get("epsilon", 1e-5), "fix_gamma": False}


def _dense(network: Network, node: Node) -> tuple[str, dict[str, Any]]:
    if not node.attributes.get("transB", 0):
        raise ValueError(f"{node} has weights as (in, out); MXNet has (out, in)")
    return "FullyConnected", {"num_hidden": len(network.constants[node.inputs[1]]), "no_bias": len(node.inputs) < 3}


def _pool(network: Network, node: Node) -> tuple[str, dict[str, Any]]:
    kind = "max" if node.op == "MaxPool" else "avg"
    counted = bool(node.attributes.get("count_include_pad", 0))
    kernel = tuple(node.attributes["kernel_shape"])
    return "Pooling", {"kernel": kernel, "pool_type": kind, "count_include_pad": counted, **_window(node)}
