"""Which of PyTorch's formats a file has, and its importer."""

from __future__ import annotations

from pathlib import Path

from convert.importers.base import Imported, Request
from convert.importers.pytorch.archives import PyTorchFile, kind_of, read_file
from convert.importers.pytorch.exported import import_exported_program
from convert.importers.pytorch.state_dict import import_state_dict
from convert.importers.pytorch.torchscript import import_torchscript
from edge.errors import UsageError

_IMPORTERS = {
    "torchscript": import_torchscript,
    "exported": import_exported_program,
    "checkpoint": import_state_dict,
}


def import_pytorch(request: Request) -> Imported:
    """Read TorchScript, a torch.export archive (both need PyTorch) or a state dict of a known architecture (does not).

    No Python of the file is executed: see `archives` for what is refused. ModelError or UsageError says why a file cannot be read.
    """
    if len(request.files) != 1:
        raise UsageError(f"{len(request.files)} files", expected="one PyTorch file", hint="Convert them one by one.")
    path: Path = request.files[0]
    raw = read_file(path)
    kind = kind_of(raw, str(path))
    return _IMPORTERS[kind](PyTorchFile(path, raw), request)
