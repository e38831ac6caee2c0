"""PyTorch's files of tensors, read without PyTorch: the zip of 1.6 and later, and the row of pickles before it.

Both are as torch/serialization.py writes them. Tensors come as numpy arrays; views of one storage are bounds-checked and copied.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from convert.importers.safe_pickle.constructors import TORCH, Storage, Tensor, item_bytes, storage, view
from convert.importers.safe_pickle.machine import Machine
from convert.importers.safe_pickle.npy import Resolver, read_bytes
from convert.network import Array
from edge.errors import ModelError

MAGIC = 0x1950A86A20F9469CFC6C
"""The first pickle of the older format."""
_PROTOCOL = 1001
_ZIP_FAULTS = (
    zipfile.BadZipFile, zlib.error, struct.error, ValueError, RuntimeError, NotImplementedError, OSError, EOFError, IndexError,
)  # fmt: skip
_MOST_ENTRIES = 50_000
_MOST_PICKLE_BYTES = 64 << 20
_DAMAGED = "The file is cut off or damaged: copy it again."
_HINT = (
    "A whole pickled model, or objects of a program's own classes, are code. In the program that made the file, save the numbers "
    'alone: torch.save(model.state_dict(), "weights.pt"); or the network without code: torch.export.save or torch.jit.save.'
)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint or state dict: dicts, lists, numbers, text and numpy arrays as nested in the file. Nothing in it is executed.

    float16 stays, bfloat16 becomes float32. ModelError where it is cut off, names code, or is no dict.
    """
    where = str(path)
    found = read_tensors(read_bytes(path), where)
    if not isinstance(found, dict):
        raise ModelError(f"holds a {type(found).__name__}", where=where, expected="a dict of tensors (a state dict)")
    return found


def read_tensors(raw: bytes, where: str) -> Any:
    """Whatever torch.save wrote, from the bytes of its file."""
    return _read_zip(raw, where) if is_zip(raw) else _read_legacy(raw, where)


def is_zip(raw: bytes) -> bool:
    """Whether the bytes begin as a zip archive does."""
    return raw[:4] == b"PK\x03\x04"


class _Tensors(Resolver):
    """Replaces tensors by arrays, once their storages' bytes are known."""

    def __init__(self, machine: Machine, raw: Callable[[Storage], memoryview], *, big_endian: bool) -> None:
        super().__init__(machine.where)
        self._machine = machine
        self._raw = raw
        self._big_endian = big_endian

    def _leaf(self, value: Any, depth: int) -> Any:
        if isinstance(value, Tensor):
            return self._array(value)
        return super()._leaf(value, depth)

    def _array(self, tensor: Tensor) -> Array:
        self._machine.charge(tensor.count * max(tensor.item_bytes, 4))
        return view(tensor, self._raw(tensor.storage), big_endian=self._big_endian)


def open_archive(raw: bytes, where: str, *, most_inflated: int = 0) -> zipfile.ZipFile:
    """A zip with no entry twice or outside, and at most `most_inflated` bytes in compressed ones; ModelError for any other."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(raw))
    except _ZIP_FAULTS as error:
        raise ModelError(f"not a sound zip archive ({error})", where=where, hint=_DAMAGED) from error
    problem = _problem(archive.infolist(), len(raw), most_inflated)
    if problem:
        raise ModelError(f"a zip archive with {problem}: refused", where=where)
    return archive


def _problem(entries: list[zipfile.ZipInfo], size: int, most_inflated: int) -> str:
    """What is wrong with a directory of entries, "" for nothing."""
    names = [entry.filename for entry in entries]
    inflated = sum(entry.file_size for entry in entries if entry.compress_type)
    checks = {
        f"{len(names)} entries": len(names) > _MOST_ENTRIES,
        "two entries of one name": len(set(names)) != len(names),
        "an entry outside the archive": any(_is_outside(name) for name in names),
        "an encrypted entry": any(entry.flag_bits & 1 for entry in entries),
        "compressed entries, which PyTorch never writes here": inflated > 0 and not most_inflated,
        f"{inflated} bytes in compressed entries": inflated > most_inflated,
        "entries larger than the archive": sum(entry.file_size for entry in entries) - inflated > size,
        "an unknown compression": any(
            entry.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED} for entry in entries
        ),
    }
    return next((problem for problem, is_so in checks.items() if is_so), "")


def _is_outside(name: str) -> bool:
    return name.startswith("/") or "\\" in name or ".." in name.split("/") or "\0" in name


def entry_bytes(archive: zipfile.ZipFile, name: str, where: str) -> bytes:
    """Contents of an entry, its checksum verified. ModelError where it is missing or damaged."""
    try:
        return archive.read(name)
    except KeyError as error:
        raise ModelError(f"no {name} in the archive", where=where, hint=_DAMAGED) from error
    except _ZIP_FAULTS as error:
        raise ModelError(f"{name} in the archive is damaged ({error})", where=where, hint=_DAMAGED) from error


def _read_zip(raw: bytes, where: str) -> Any:
    archive = open_archive(raw, where)
    pickles = [name for name in archive.namelist() if name.count("/") <= 1 and name.rpartition("/")[2] == "data.pkl"]
    if len(pickles) != 1:
        raise ModelError(
            f"{len(pickles)} data.pkl in the archive", where=where, expected="one, as torch.save writes it"
        )
    root = pickles[0].removesuffix("data.pkl")
    code = entry_bytes(archive, pickles[0], where)
    if len(code) > _MOST_PICKLE_BYTES:
        raise ModelError(f"a pickle of {len(code)} bytes beside the tensors: refused", where=where)
    machine = Machine(io.BytesIO(code), TORCH, where, len(raw), persistent=storage, hint=_HINT)
    made = machine.run()
    cache: dict[str, memoryview] = {}

    def bytes_of(wanted: Storage) -> memoryview:
        if wanted.key not in cache:
            cache[wanted.key] = memoryview(entry_bytes(archive, f"{root}data/{wanted.key}", where))
        check_size(wanted, len(cache[wanted.key]), where)
        return cache[wanted.key]

    return _Tensors(machine, bytes_of, big_endian=_is_big_endian(archive, root, where)).resolve(made)


def _is_big_endian(archive: zipfile.ZipFile, root: str, where: str) -> bool:
    """As the entry `byteorder` says; files before PyTorch 2.1 have none and are little-endian in practice."""
    name = f"{root}byteorder"
    if name not in archive.namelist():
        return False
    order = entry_bytes(archive, name, where).strip()
    if order not in {b"little", b"big"}:
        raise ModelError(f"byte order {order[:20]!r}", where=where, expected="little or big")
    return order == b"big"


def check_size(wanted: Storage, count: int, where: str) -> None:
    """ModelError where `count` bytes are fewer than a storage's tensors need."""
    needed = (wanted.offset + wanted.count) * item_bytes(wanted.dtype)
    if needed > count:
        raise ModelError(
            f"storage {wanted.key} has {count} bytes, and its tensors need {needed}", where=where, hint=_DAMAGED
        )


def _read_legacy(raw: bytes, where: str) -> Any:
    stream = io.BytesIO(raw)
    _refuse_others(raw, where)
    seen: dict[str, Storage] = {}

    def remember(reference: Any) -> Storage:
        made = storage(reference)
        seen.setdefault(made.key, made)
        return made

    machines = [Machine(stream, TORCH, where, len(raw), persistent=remember, hint=_HINT) for _ in range(5)]
    magic, protocol, system = (machine.run() for machine in machines[:3])
    if magic != MAGIC or protocol != _PROTOCOL or not isinstance(system, dict):
        raise ModelError(
            "a pickle that torch.save did not write", where=where, expected="a PyTorch checkpoint", hint=_HINT
        )
    if system.get("little_endian") is not True:
        raise ModelError("numbers of a big-endian machine", where=where, expected="little-endian")
    made, keys = machines[3].run(), machines[4].run()
    if not isinstance(keys, list) or any(not isinstance(key, str) for key in keys):
        raise ModelError("no list of storages", where=where, hint=_DAMAGED)
    parts = _storages(memoryview(raw)[stream.tell() :], keys, seen, where)

    def bytes_of(wanted: Storage) -> memoryview:
        part = parts.get(wanted.key, memoryview(b""))
        check_size(wanted, len(part), where)
        return part

    return _Tensors(machines[3], bytes_of, big_endian=False).resolve(made)


def _storages(data: memoryview, keys: list[str], seen: Mapping[str, Storage], where: str) -> dict[str, memoryview]:
    """Bytes of each storage: a count of eight bytes, then that many numbers, in the order of `keys`."""
    parts: dict[str, memoryview] = {}
    for key in keys:
        if key not in seen:
            raise ModelError(f"storage {key[:40]!r} belongs to no tensor", where=where, hint=_DAMAGED)
        count = int.from_bytes(data[:8], "little", signed=True)
        end = 8 + count * item_bytes(seen[key].dtype)
        if len(data) < 8 or count < 0 or end > len(data):
            raise ModelError(f"cut off in storage {key[:40]!r}", where=where, hint=_DAMAGED)
        parts[key], data = data[8:end], data[end:]
    return parts


def _refuse_others(raw: bytes, where: str) -> None:
    if raw[:1] == b"\x80":
        return
    problem = "neither a zip archive nor a pickle"
    if raw[257:262] == b"ustar":
        problem = "a tar archive, as PyTorch wrote it before 0.1.10"
    hint = "Load it with PyTorch and save it again: torch.save(torch.load(FILE, weights_only=True), NEW)."
    raise ModelError(problem, where=where, expected="a file of torch.save", hint=hint)
