"""ONNX file, opset 7 or later -> Network.

Everything is brought to the dialect of convert.network: sizes that follow from the inputs' shapes are computed, functions
inlined, attributes of old opsets and inputs of new ones made alike, and operators that the dialect has not are written in
those that it has.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from convert.importers.base import Imported, Request
from convert.importers.onnx.decompose import DECOMPOSED
from convert.importers.onnx.layers import LAYERS
from convert.importers.onnx.load import load, read_bytes
from convert.importers.onnx.ports import bind, cut, settle_shapes
from convert.importers.onnx.static import Static
from convert.importers.onnx.translate import Adapter, translate
from convert.importers.onnx.versions import SHAPES
from convert.network import Network, Port
from convert.onnx_model import PREFIX
from convert.passes.tidy import tidy, without_unread
from convert.runners.onnx_runtime import OnnxRuntimeRunner
from convert.shapes import infer_ports
from edge.errors import ModelError, UsageError

ADAPTERS: dict[str, Adapter] = {**SHAPES, **LAYERS, **DECOMPOSED}
"""Operators that are not here mean the same in all opsets."""
_LICENCE_KEYS = frozenset({"licence", "license", "licenses", "license_name", "license name", "spdx"})


def import_onnx(request: Request) -> Imported:
    """Read an ONNX file. Inputs and outputs asked for may be inner tensors; the graph is cut there.

    ModelError for a file that is damaged, quantised, or has operators that cannot be converted: all are named.
    """
    source = _read(request)
    return Imported(
        format="onnx",
        network=source.network,
        reference=OnnxRuntimeRunner(source.reference),
        files=request.files,
        notes=source.notes,
        licence=source.licence,
    )


def read_onnx(path: Path) -> Network:
    """The network of an ONNX file that needs no choices, tidied: one input, a picture, and one output."""
    network = tidy(_read(Request(files=(path,))).network)
    _ = network.input_shape, network.output_name
    return network


@dataclass(frozen=True, slots=True)
class _Source:
    """What one file gives, before ONNX Runtime is needed."""

    network: Network
    reference: bytes
    notes: tuple[str, ...]
    licence: str


def _read(request: Request) -> _Source:
    if len(request.files) != 1:
        raise UsageError(f"{len(request.files)} files", expected="one ONNX file")
    path = request.files[0]
    where = str(path)
    data = read_bytes(path)
    model = load(data, path)
    bind(model, request.constants, where)
    is_cut = cut(model, request, where)
    reference = model.SerializeToString() if is_cut or request.constants or _is_elsewhere(model, data) else data
    notes = settle_shapes(model, request.shapes, where)
    network, more = _network(model, where)
    return _Source(network, reference, (*notes, *more), _licence(model))


def _is_elsewhere(model: Any, data: bytes) -> bool:
    """Whether weights were read from other files: what the file itself holds is less."""
    return bool(sum(len(tensor.raw_data) for tensor in model.graph.initializer) > len(data))


def _network(model: Any, where: str) -> tuple[Network, list[str]]:
    nodes_before = len(model.graph.node)
    outputs = tuple(each.name for each in model.graph.output)
    static = Static(model, where)
    static.resolve()
    ports = tuple(_dialect_port(static.ports[each.name]) for each in static.model.graph.input)
    notes = []
    if len(static.model.graph.node) < nodes_before:
        notes.append(
            f"{nodes_before - len(static.model.graph.node)} nodes that only compute shapes and constants resolved"
        )
    if any(value.dtype in ("float16", "float64") for value in static.values.values()):
        notes.append("float16 and float64 weights are computed in float32")
    nodes, constants = translate(static, ADAPTERS)
    network = without_unread(Network(ports, outputs, nodes, constants))
    _check_outputs(network, where)
    infer_ports(network)
    return _with_normalisation(network, model), notes


def _dialect_port(port: Port) -> Port:
    return replace(port, dtype="float32") if port.dtype.startswith(("float", "bfloat")) else port


def _check_outputs(network: Network, where: str) -> None:
    given = {port.name for port in network.inputs}
    passed = [name for name in network.outputs if name in given]
    if passed:
        raise ModelError(f"output {', '.join(passed)} is an input", where=where, expected="something computed")


def _properties(model: Any) -> dict[str, str]:
    return {each.key.casefold(): each.value.strip()[:500] for each in model.metadata_props}


def _licence(model: Any) -> str:
    return next((value for key, value in _properties(model).items() if key in _LICENCE_KEYS), "")


def _with_normalisation(network: Network, model: Any) -> Network:
    """What a file written by convert.targets.onnx says its input expects."""
    known = _properties(model)
    try:
        mean, std = float(known[f"{PREFIX}mean"]), float(known[f"{PREFIX}std"])
    except (KeyError, ValueError):
        return network
    return replace(network, mean=mean, std=std) if math.isfinite(mean) and math.isfinite(std) and std > 0 else network
