"""MXNet `.params` file -> arrays.

The format is that of `NDArray::Save` (apache/mxnet, src/ndarray/ndarray.cc), little-endian throughout:
a list begins with uint64 0x112, uint64 0 and a uint64 count of arrays; a uint64 count of names follows, each a uint64
length and its bytes. An array is one of

    V2, V3  uint32 magic, int32 storage type (0 is dense), int32 axes, int64 sizes, context, dtype, data
    V1      uint32 magic, uint32 axes, int64 sizes, context, dtype, data
    legacy  uint32 axes, uint32 sizes, context, dtype, data

with context two int32 (device type and number) and dtype an int32. V3 means NumPy's shapes: 0 axes are a scalar there, and
nothing at all in the others. Every length is checked against what is left of the file before it is used.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from convert.network import Array
from edge.errors import ModelError

LIST_MAGIC = 0x112
V1, V2, V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
DTYPES = {0: "<f4", 1: "<f8", 2: "<f2", 3: "u1", 4: "<i4", 5: "i1", 6: "<i8", 7: "?"}
"""mshadow/base.h, TypeFlag. 12, bfloat16, NumPy does not have."""
_BFLOAT16 = 12
_MOST_ARRAYS = 100_000
_MOST_AXES = 32
_LONGEST_NAME = 4096
_HINT = "Copy the file again, or save it again with mx.model.save_checkpoint."


def read_params(path: Path) -> dict[str, Array]:
    """Arrays by name, `arg:` and `aux:` taken off; floating-point ones become float32. ModelError for any other file."""
    reader = _Reader(path, _mapped(path))
    magic, reserved = reader.numbers("<QQ", "the head of the list")
    if magic != LIST_MAGIC or reserved:
        raise reader.broken(f"a list of arrays begins with {LIST_MAGIC:#x}, this one with {magic:#x}")
    arrays = [_array(reader) for _ in range(reader.count("arrays"))]
    names = [_name(reader) for _ in range(reader.count("names"))]
    if len(names) != len(arrays):
        raise reader.broken(f"{len(arrays)} arrays and {len(names)} names")
    plain = [name.split(":", 1)[1] if name.startswith(("arg:", "aux:")) else name for name in names]
    twice = sorted({name for name in plain if plain.count(name) > 1}) if len(set(plain)) < len(plain) else []
    if twice:
        raise reader.broken(f"names given twice: {', '.join(twice[:10])}")
    return dict(zip(plain, arrays, strict=True))


@dataclass(slots=True)
class _Reader:
    """Bytes of a file, and how far they are read."""

    path: Path
    data: memoryview
    at: int = 0

    def take(self, size: int, what: str) -> memoryview:
        left = len(self.data) - self.at
        if size > left:
            raise self.broken(f"{what} takes {size} bytes, and {left} are left")
        self.at += size
        return self.data[self.at - size : self.at]

    def numbers(self, form: str, what: str) -> tuple[int, ...]:
        return struct.unpack(form, self.take(struct.calcsize(form), what))

    def count(self, what: str) -> int:
        (count,) = self.numbers("<Q", f"the number of {what}")
        if count > _MOST_ARRAYS:
            raise self.broken(f"{count} {what}")
        return count

    def broken(self, problem: str) -> ModelError:
        return ModelError(
            f"not a sound MXNet parameter file at byte {self.at} ({problem})", where=str(self.path), hint=_HINT
        )


def _mapped(path: Path) -> memoryview:
    try:
        if not path.stat().st_size:
            return memoryview(b"")
        return np.memmap(path, np.uint8, "r").data
    except OSError as error:
        raise ModelError(
            f"cannot be read ({error.strerror})", where=str(path), expected="MXNet parameters", hint=_HINT
        ) from error


def _array(reader: _Reader) -> Array:
    shape = _shape(reader)
    if shape is None:
        return np.zeros(0, np.float32)
    reader.numbers("<ii", "a context")
    (flag,) = reader.numbers("<i", "a dtype")
    if flag not in DTYPES and flag != _BFLOAT16:
        raise reader.broken(f"dtype {flag}")
    dtype = np.dtype(DTYPES.get(flag, "<u2"))
    raw = reader.take(math.prod(shape) * dtype.itemsize, f"an array of shape {list(shape)}")
    values: Array = np.frombuffer(raw, dtype).reshape(shape)
    if flag == _BFLOAT16:
        # The upper half of a float32.
        return (values.astype(np.uint32) << 16).view(np.float32)
    return values.astype(np.float32) if dtype.kind == "f" else values.copy()


def _shape(reader: _Reader) -> tuple[int, ...] | None:
    """Sizes of the next array; None for one that holds nothing."""
    (magic,) = reader.numbers("<I", "an array")
    if magic in {V2, V3}:
        (storage,) = reader.numbers("<i", "a storage type")
        if storage:
            raise reader.broken(f"an array of storage type {storage}; only dense ones are read")
        (axes,) = reader.numbers("<i", "the number of axes")
        is_empty = axes == (-1 if magic == V3 else 0)
        form = "q"
    else:
        axes = reader.numbers("<I", "the number of axes")[0] if magic == V1 else magic
        is_empty = axes == 0
        form = "q" if magic == V1 else "I"
    if is_empty:
        return None
    if not 0 <= axes <= _MOST_AXES:
        raise reader.broken(f"an array of {axes} axes")
    shape = reader.numbers(f"<{axes}{form}", "a shape")
    if any(size < 0 for size in shape):
        raise reader.broken(f"an array of shape {list(shape)}")
    return shape


def _name(reader: _Reader) -> str:
    (length,) = reader.numbers("<Q", "a name's length")
    if length > _LONGEST_NAME:
        raise reader.broken(f"a name of {length} bytes")
    raw: Any = reader.take(length, "a name")
    try:
        return bytes(raw).decode()
    except UnicodeDecodeError as error:
        raise reader.broken("a name that is not UTF-8") from error
