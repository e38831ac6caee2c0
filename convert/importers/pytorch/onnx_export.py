"""The way from PyTorch to a Network: its own ONNX exporter, then the ONNX importer."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from convert.importers.base import Imported, Request
from convert.importers.onnx import import_onnx
from convert.importers.pytorch.archives import PyTorchFile
from convert.network import Network, Port
from convert.runners.base import Runner
from convert.runners.onnx_runtime import OnnxRuntimeRunner
from convert.runners.torch import TorchRunner
from edge.errors import MissingDependencyError, ModelError, OstiaryError

FAULTS = (
    RuntimeError, ValueError, TypeError, KeyError, IndexError, AttributeError, AssertionError, OverflowError, MemoryError, SyntaxError,
    EOFError, OSError, RecursionError,
)  # fmt: skip
"""What PyTorch raises over files that it cannot load or export; it has no class of its own for them."""


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """PyTorch's warnings, log lines and progress are about its own future, not about the user's file."""
    disabled = logging.root.manager.disable
    try:
        logging.disable(logging.ERROR)
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


@contextlib.contextmanager
def refusing(file: PyTorchFile, doing: str) -> Iterator[None]:
    """Turns what PyTorch raises into a ModelError."""
    try:
        with quiet():
            yield
    except ImportError as error:
        raise MissingDependencyError(
            error.name or "onnxscript", extra="torch", purpose=f"{doing} a PyTorch file"
        ) from error
    except FAULTS as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        hint = "Export it with a newer PyTorch, or to ONNX in the program that trained it."
        raise ModelError(f"{doing} it failed in PyTorch ({lines[0][:300]})", where=file.where, hint=hint) from error


@dataclass(frozen=True, slots=True)
class Loaded:
    """What PyTorch has loaded."""

    module: Callable[..., Any]
    ports: tuple[Port, ...]
    """Inputs in the order of the module's arguments."""
    what: str
    """`TorchScript`, for the reference's label."""
    export: Callable[[Path], None]
    """Writes an ONNX file."""
    notes: tuple[str, ...] = ()


def import_loaded(file: PyTorchFile, loaded: Loaded, request: Request) -> Imported:
    """What `loaded.export` writes, read as ONNX; the reference is what was loaded, where it gives the outputs asked for."""
    with tempfile.TemporaryDirectory(prefix="ostiary-") as folder:
        path = Path(folder) / f"{file.path.stem}.onnx"
        with refusing(file, "exporting"):
            loaded.export(path)
        names = OnnxRuntimeRunner(path.read_bytes()).outputs
        try:
            made = import_onnx(replace(request, files=(path,), architecture=""))
        except OstiaryError as error:
            error.where = error.where.replace(str(path), file.where)
            raise
    reference, more = _reference(loaded, made.network, names)
    return Imported("pytorch", made.network, reference, (file.path,), (*loaded.notes, *made.notes, *more))


def _reference(loaded: Loaded, network: Network, names: tuple[str, ...]) -> tuple[Runner, list[str]]:
    """The module itself; where inner tensors were asked for, which it does not give, the exported network."""
    inputs = {port.name: port for port in network.inputs}
    if set(network.outputs) <= set(names) and len(inputs) == len(loaded.ports):
        ports = tuple(inputs.get(port.name, port) for port in loaded.ports)
        return TorchRunner(loaded.module, ports, names, what=loaded.what, outputs=network.outputs), []
    note = "PyTorch does not give the tensors asked for: the reference is the exported network in ONNX Runtime."
    return OnnxRuntimeRunner(network), [note]
