"""Pickled objects in .npy files: dicts of arrays, as `numpy.save` wrote them for years."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from convert.importers.safe_pickle.constructors import NUMPY, DType, PendingArray
from convert.importers.safe_pickle.machine import MOST_DEPTH, MOST_OBJECTS, Constructor, Machine
from edge.errors import ModelError

MOST_BYTES = 2 << 30
_HINT = "Only numpy arrays in dicts, lists and tuples are read. Save the arrays alone, for instance with numpy.savez."


def read_npy_object(path: Path) -> Any:
    """The one object of a .npy file: dicts, lists, tuples, numbers, text and numpy arrays. Nothing in it is executed.

    Text of Python 2 comes as str. ModelError where it is cut off, names code, or is no pickled object.
    """
    raw = read_bytes(path)
    stream = io.BytesIO(raw)
    shape, dtype = _header(stream, path)
    if dtype != np.dtype(object) or shape != ():
        raise ModelError(f"an array of {dtype}, shape {list(shape)}", where=str(path), expected="one pickled object")
    return plain(Machine(stream, NUMPY, str(path), len(raw), hint=_HINT).run(), str(path))


def read_bytes(path: Path) -> bytes:
    """A file's bytes. ModelError where it cannot be read or is larger than any face network."""
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise ModelError(f"{size} bytes", where=str(path), expected=f"at most {MOST_BYTES}")
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot be read ({error.strerror})", where=str(path), expected="a model file") from error


def _header(stream: io.BytesIO, path: Path) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and dtype, as numpy.lib.format describes them."""
    try:
        with warnings.catch_warnings():
            # It warns of headers that Python 2 wrote, and reads them.
            warnings.simplefilter("ignore", UserWarning)
            version = np.lib.format.read_magic(stream)  # type: ignore[no-untyped-call, unused-ignore]
            read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
            shape, _, dtype = read(stream)  # type: ignore[no-untyped-call, unused-ignore]
    except (ValueError, KeyError, TypeError, SyntaxError, RecursionError, MemoryError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(f"not a sound .npy file ({reason[:120]})", where=str(path)) from error
    return shape, dtype


def plain(value: Any, where: str) -> Any:
    """The same with our own records replaced by numpy's arrays and dtypes."""
    return Resolver(where).resolve(value)


class Resolver:
    """Walks what a pickle made; bounded in depth and in steps, for a pickle can nest without end in a few bytes."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._steps = 0

    def resolve(self, value: Any, depth: int = 0) -> Any:
        """`value` without records of this package. ModelError where it is nested too deeply, or in itself."""
        self._steps += 1
        if depth > MOST_DEPTH or self._steps > MOST_OBJECTS:
            raise ModelError("objects nested without end: refused", where=self._where)
        if isinstance(value, dict):
            return {key: self.resolve(item, depth + 1) for key, item in value.items()}
        if isinstance(value, list):
            return [self.resolve(item, depth + 1) for item in value]
        if isinstance(value, tuple):
            return tuple(self.resolve(item, depth + 1) for item in value)
        return self._leaf(value, depth)

    def _leaf(self, value: Any, depth: int) -> Any:
        if isinstance(value, PendingArray):
            return self.resolve(value.value, depth + 1)
        if isinstance(value, DType):
            return value.plain
        return value.name if isinstance(value, Constructor) else value
