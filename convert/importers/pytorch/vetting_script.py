"""What a TorchScript archive may hold: its pickles are walked by our own machine, its code is looked through."""

from __future__ import annotations

import io
import pickletools
import re
import warnings
from collections.abc import Mapping
from typing import Any

from convert.importers.pytorch.archives import HINT, entries_of
from convert.importers.safe_pickle.archive import check_size
from convert.importers.safe_pickle.constructors import TORCH, Storage, Tensor, storage
from convert.importers.safe_pickle.machine import Constructor, Machine
from edge.errors import ModelError

_OWN = re.compile(r"__torch__\.[\w.]+")
"""Classes of the archive's own code."""
_HELPER = re.compile(r"torch\.jit\._pickle\.(build_\w+|restore_type_tag)")
_QUANTISED = re.compile(r".*\.(Q\w+Storage|_rebuild_qtensor)|__torch__\.torch\.classes\.quantized\..*")
_REACHES_OUTSIDE = re.compile(
    r"\b(save|from_file|rpc_async|rpc_sync|rpc_remote|py_udf|dist_rpc|c10d\w*|fork|awaitable)\b"
)
"""Operators of TorchScript that write or read files, start tasks or talk to other machines."""
_OTHER_LIBRARY = re.compile(r"\bops\s*\.\s*(?!aten\b|prim\b)(\w+)")
_FOLDERS = {"data.pkl": "data", "constants.pkl": "constants"}
"""A pickle that PyTorch reads, and where its storages lie."""


class _Object:
    """Stands for an object of the archive's own classes; its state is looked at while it is made."""

    def build(self, machine: Machine, state: Any) -> None:
        """Nothing to keep."""


def vetted_torchscript(raw: bytes, where: str) -> dict[str, bytes]:
    """Entries of a TorchScript archive. ModelError where pickles name other code, storages are short, or code reaches outside.

    Debug pickles (where each line came from) are left out: nothing needs them.
    """
    entries = {name: data for name, data in entries_of(raw, where).items() if not name.endswith(".debug_pkl")}
    for name, data in entries.items():
        if name.endswith(".pkl"):
            _check_pickle(name, entries, where)
        elif name.startswith("code/"):
            _check_code(data, f"{where}: {name}")
    return entries


def _check_pickle(name: str, entries: Mapping[str, bytes], where: str) -> None:
    """PyTorch's own reader never imports Python, but believes what the pickle says of its storages."""
    place, seen = f"{where}: {name}", list[Storage]()

    def remember(reference: Any) -> Storage:
        seen.append(storage(reference))
        return seen[-1]

    known = TORCH | _known(entries[name], place)
    size = sum(len(data) for data in entries.values())
    Machine(io.BytesIO(entries[name]), known, place, size, persistent=remember, hint=HINT).run()
    if name in _FOLDERS:
        for one in seen:
            check_size(one, len(entries.get(f"{_FOLDERS[name]}/{one.key}", b"")), where)


def _known(data: bytes, where: str) -> dict[str, Constructor]:
    """Stand-ins for the archive's own classes and TorchScript's helpers, as far as this pickle names them."""
    try:
        with warnings.catch_warnings():
            # pickletools warns of odd escapes in text while it reads.
            warnings.simplefilter("ignore", DeprecationWarning)
            said = [argument for code, argument, _ in pickletools.genops(data) if code.name == "GLOBAL"]
    except (ValueError, IndexError, OverflowError, MemoryError) as error:
        raise ModelError(f"not a sound pickle ({str(error)[:120]})", where=where) from error
    names = {".".join(str(name).split(" ", 1)) for name in said}
    quantised = sorted(name for name in names if _QUANTISED.fullmatch(name))
    if quantised:
        hint = "Export the network in float32; quantise it with --target tflite-uint8 or another integer target."
        raise ModelError(f"quantised tensors ({quantised[0][:100]})", where=where, hint=hint)
    own = {name: Constructor(name, lambda *_: _Object()) for name in names if _OWN.fullmatch(name)}
    helpers = {name: Constructor(name, lambda _, value, *__: value) for name in names if _HELPER.fullmatch(name)}
    return own | helpers


def _check_code(data: bytes, where: str) -> None:
    text = data.decode("utf-8", "replace")
    found = _REACHES_OUTSIDE.search(text) or _OTHER_LIBRARY.search(text)
    if found:
        hint = "A network needs no files, tasks or other libraries. Export it again without them."
        raise ModelError(f"TorchScript with {found[0]!r}: refused, never executed", where=where, hint=hint)


def traced_shapes(entries: Mapping[str, bytes], where: str) -> tuple[tuple[int, ...], ...]:
    """Shapes of the tensors with which `forward` was traced; none where the archive does not tell them."""
    data = entries.get("traced_inputs.pkl")
    if data is None:
        return ()
    known = TORCH | _known(data, where)
    found = Machine(io.BytesIO(data), known, where, len(data), persistent=storage).run()
    tensors = found.get("forward", ()) if isinstance(found, dict) else ()
    return tuple(value.shape for value in tensors if isinstance(value, Tensor))
