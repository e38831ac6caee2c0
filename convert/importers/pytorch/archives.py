"""What PyTorch may be given to load, and in which form.

PyTorch itself says of both its formats that loading them can run what is in them: torch.export resolves operators by dotted path,
reads sizes with `sympify`, compiles guards, and falls back to full unpickling; TorchScript may write files, and reads memory that is
not its own where a storage is too short. So nothing reaches it
but entries that were looked at, written anew into a plain archive in memory (no second directory, no doubled name).
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from convert.importers.safe_pickle import is_zip
from convert.importers.safe_pickle.archive import entry_bytes, open_archive
from convert.importers.safe_pickle.npy import read_bytes
from edge.errors import ModelError

_MOST_CODE_BYTES = 64 << 20
HINT = "Export the network again, alone, from a program you trust: torch.export.save(torch.export.export(model, inputs), 'x.pt2')."


@dataclass(frozen=True, slots=True)
class PyTorchFile:
    """A file and its bytes."""

    path: Path
    raw: bytes

    @property
    def where(self) -> str:
        """For errors."""
        return str(self.path)


def read_file(path: Path) -> bytes:
    """A file's bytes, if there are not too many."""
    return read_bytes(path)


def kind_of(raw: bytes, where: str) -> str:
    """`torchscript`, `exported` or `checkpoint`, by what the archive holds. ModelError where it is damaged or hostile."""
    if not is_zip(raw):
        return "checkpoint"
    names = {
        name.partition("/")[2] or name for name in open_archive(raw, where, most_inflated=_MOST_CODE_BYTES).namelist()
    }
    if "archive_format" in names:
        return "exported"
    if "serialized_exported_program.json" in names:
        raise ModelError("torch.export's format before PyTorch 2.8", where=where, expected="a newer one", hint=HINT)
    return "torchscript" if "constants.pkl" in names else "checkpoint"


def entries_of(raw: bytes, where: str) -> dict[str, bytes]:
    """Contents of all entries by their names inside the archive's one folder, unpacked."""
    archive = open_archive(raw, where, most_inflated=_MOST_CODE_BYTES)
    names = [name for name in archive.namelist() if not name.endswith("/")]
    folders = {name.partition("/")[0] for name in names}
    if len(folders) != 1 or any("/" not in name for name in names):
        raise ModelError("an archive of several folders", where=where, expected="one, as PyTorch writes it", hint=HINT)
    return {name.partition("/")[2]: entry_bytes(archive, name, where) for name in names}


def rewritten(entries: Mapping[str, bytes]) -> io.BytesIO:
    """A plain archive of these entries for PyTorch to load."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as archive:
        for name, data in entries.items():
            archive.writestr(f"model/{name}", data)
    made.seek(0)
    return made
