"""TorchScript archives (torch.jit.save): loaded by PyTorch once they are vetted, exported to ONNX."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

from convert.importers.base import Imported, Request, chosen
from convert.importers.pytorch.archives import PyTorchFile, rewritten
from convert.importers.pytorch.onnx_export import Loaded, import_loaded, refusing
from convert.importers.pytorch.vetting_script import traced_shapes, vetted_torchscript
from convert.network import OPSET, Port, Shape
from convert.runners.torch import TorchRunner, import_torch
from edge.errors import ModelError, UsageError


def import_torchscript(file: PyTorchFile, request: Request) -> Imported:
    """A scripted or traced module, in inference mode. A traced one may say its input's shape; else the request must."""
    entries = vetted_torchscript(file.raw, file.where)
    torch = import_torch("reading TorchScript")
    with refusing(file, "loading"):
        module = torch.jit.load(rewritten(entries), map_location="cpu").eval()
    ports, notes = _ports(module, request, traced_shapes(entries, file.where), file.where)
    examples = tuple(torch.zeros([size or 1 for size in port.shape]) for port in ports)
    with refusing(file, "running"):
        results = TorchRunner(module, ports, (), what="TorchScript").results(*examples)
    outputs = tuple(f"output_{index}" for index in range(len(results))) if len(results) != 1 else ("output",)

    def export(path: Path) -> None:
        held = io.BytesIO()
        torch.onnx.export(
            module, examples, held, dynamo=False, opset_version=OPSET, dynamic_axes=_open_sizes(ports),
            input_names=[port.name for port in ports], output_names=list(outputs),
        )  # fmt: skip
        path.write_bytes(held.getvalue())

    loaded = Loaded(module, ports, "TorchScript", export, notes)
    return import_loaded(file, loaded, replace(request, shapes={}))


def _ports(
    module: Any, request: Request, traced: tuple[Shape, ...], where: str
) -> tuple[tuple[Port, ...], tuple[str, ...]]:
    """Inputs by the names of forward's arguments. UsageError says how to give a shape that is not known."""
    names = [argument.name for argument in module.forward.schema.arguments[1:]]
    _refuse_unknown_names(names, request, where)
    ports, notes = [], []
    for index, name in enumerate(names):
        given = request.shapes.get(name, request.shapes.get("") if len(names) == 1 else None)
        if given is None and index < len(traced):
            given = traced[index]
            notes.append(f"Input {name!r} has the shape that was traced, {list(given)}.")
        if given is None:
            hint = f"Give it: --shape {name}=1,3,112,112 (batch, channels, height, width)."
            raise UsageError(f"TorchScript does not say the shape of its input {name!r}", where=where, hint=hint)
        ports.append(Port(name, given))
    return tuple(ports), tuple(notes)


def _refuse_unknown_names(names: list[str], request: Request, where: str) -> None:
    if not names:
        raise ModelError("forward takes no input", where=where, expected="a network of one picture or more")
    asked = (*request.inputs, *(name for name in request.shapes if name))
    if asked:
        chosen("input", names, asked, where)


def _open_sizes(ports: tuple[Port, ...]) -> dict[str, dict[int, str]]:
    return {
        port.name: {axis: f"{port.name}_{axis}" for axis, size in enumerate(port.shape) if size is None}
        for port in ports
        if None in port.shape
    }
