"""torch.export archives (.pt2): loaded by PyTorch once every word of them is vetted, exported to ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from convert.importers.base import Imported, Request, chosen
from convert.importers.pytorch.archives import PyTorchFile, rewritten
from convert.importers.pytorch.onnx_export import Loaded, import_loaded, refusing
from convert.importers.pytorch.vetting import vetted_exported
from convert.network import Port
from convert.runners.torch import import_torch
from edge.errors import UsageError

_OPSET = 18
"""The lowest that PyTorch's newer exporter writes without converting."""


def import_exported_program(file: PyTorchFile, request: Request) -> Imported:
    """A torch.export program; shapes are those it was exported with."""
    entries = vetted_exported(file.raw, file.where)
    torch = import_torch("reading a torch.export archive")
    with refusing(file, "loading"):
        program = torch.export.load(rewritten(entries))
        module = program.module()
    ports = _ports(program)
    _check_shapes(ports, request, file.where)

    def export(path: Path) -> None:
        made = torch.onnx.export(program, dynamo=True, opset_version=_OPSET, verbose=False)
        path.write_bytes(made.model_proto.SerializeToString())

    return import_loaded(file, Loaded(module, ports, "torch.export", export), request)


def _ports(program: Any) -> tuple[Port, ...]:
    """Inputs of the user, parameters left out; None for a size that may differ."""
    names = set(program.graph_signature.user_inputs)
    nodes = [node for node in program.graph.nodes if node.op == "placeholder" and node.name in names]
    return tuple(Port(node.name, _shape(node), _dtype(node)) for node in nodes)


def _shape(node: Any) -> tuple[int | None, ...]:
    return tuple(size if isinstance(size, int) else None for size in node.meta["val"].shape)


def _dtype(node: Any) -> str:
    return str(node.meta["val"].dtype).removeprefix("torch.")


def _check_shapes(ports: tuple[Port, ...], request: Request, where: str) -> None:
    names = [port.name for port in ports]
    asked = (*request.inputs, *(name for name in request.shapes if name))
    if asked:
        chosen("input", names, asked, where)
    for port in ports:
        given = request.shapes.get(port.name, request.shapes.get("") if len(ports) == 1 else None)
        if given is None:
            continue
        fits = len(given) == len(port.shape) and all(
            None in {own, size} or own == size for own, size in zip(port.shape, given, strict=True)
        )
        if not fits:
            hint = "Export the network again with the shape you need; torch.export writes it into the graph."
            raise UsageError(f"input shape {list(given)}", where=where, expected=f"{list(port.shape)}", hint=hint)
