"""What a pickle of arrays or tensors may name, and the safe function or record that stands for each."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from convert.importers.safe_pickle.machine import Constructor, Machine, dict_of
from convert.network import Array

_DTYPE = re.compile(r"[<>|=]?(b1|i[1248]|u[1248]|f[248]|c8|c16|O8?|\?)")
"""Codes of numpy's plain numbers; O is a Python object, of which only those of this package can be."""

TORCH_DTYPES: dict[str, str] = {
    "float64": "f8", "float32": "f4", "float16": "f2", "bfloat16": "bfloat16", "int64": "i8", "int32": "i4", "int16": "i2",
    "int8": "i1", "uint8": "u1", "uint16": "u2", "uint32": "u4", "uint64": "u8", "bool": "?", "complex64": "c8",
    "complex128": "c16",
}  # fmt: skip
"""torch's name of a dtype -> numpy's; bfloat16, which numpy has not, becomes float32."""
_STORAGES = {
    "DoubleStorage": "float64", "FloatStorage": "float32", "HalfStorage": "float16", "BFloat16Storage": "bfloat16",
    "LongStorage": "int64", "IntStorage": "int32", "ShortStorage": "int16", "CharStorage": "int8", "ByteStorage": "uint8",
    "BoolStorage": "bool", "ComplexFloatStorage": "complex64", "ComplexDoubleStorage": "complex128",
    "UntypedStorage": "uint8",
}  # fmt: skip


@dataclass(slots=True)
class DType:
    """A numpy.dtype on its way: the code, and the byte order that BUILD adds."""

    code: str
    order: str = "="

    def build(self, _: Machine, state: Any) -> None:
        """State (version, order, subdtype, names, fields, ...); records within records are refused."""
        if any(part is not None for part in state[2:5]):
            raise ValueError("an array of records")
        if state[1] not in {"<", ">", "|", "="}:
            raise ValueError("a byte order")
        self.order = state[1]

    @property
    def plain(self) -> np.dtype[Any]:
        """What numpy calls it."""
        return np.dtype(self.code).newbyteorder("=" if self.order == "|" else self.order)  # type: ignore[arg-type]


@dataclass(slots=True)
class PendingArray:
    """A numpy array: `_reconstruct` makes it empty, BUILD fills it."""

    value: Any = None

    def build(self, machine: Machine, state: Any) -> None:
        """State (version, shape, dtype, is_fortran, bytes or list of objects)."""
        _, shape, dtype, is_fortran, data = state
        self.value = _array(machine, data, dtype, shape, "F" if is_fortran else "C")


@dataclass(frozen=True, slots=True)
class Storage:
    """Numbers of a tensor, which lie elsewhere in the file."""

    key: str
    dtype: str
    count: int
    offset: int = 0
    """Numbers before it, where it is a part of the storage `key`."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """A view of a storage: shape and strides count numbers, not bytes."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: str

    def __post_init__(self) -> None:
        """ValueError where it reaches outside its storage."""
        numbers = (self.offset, *self.shape, *self.strides)
        if len(self.shape) != len(self.strides) or len(self.shape) > 32:
            raise ValueError(f"a tensor of {len(self.shape)} sizes and {len(self.strides)} strides")
        if any(type(number) is not int or not 0 <= number < 1 << 48 for number in numbers):
            raise ValueError("a size or stride of a tensor is not a count")
        reach = sum((size - 1) * step for size, step in zip(self.shape, self.strides, strict=True))
        if self.count and self.offset + reach >= self.storage_count:
            raise ValueError(f"a tensor reaches number {self.offset + reach} of a storage of {self.storage_count}")

    @property
    def count(self) -> int:
        """How many numbers it shows."""
        return math.prod(self.shape)

    @property
    def item_bytes(self) -> int:
        """Bytes of one number in the file."""
        return item_bytes(self.dtype)

    @property
    def storage_count(self) -> int:
        """How many numbers of the tensor's dtype its storage has; an untyped storage counts bytes."""
        return self.storage.count * item_bytes(self.storage.dtype) // self.item_bytes


def item_bytes(dtype: str) -> int:
    """Bytes of one number in the file."""
    return 2 if dtype == "bfloat16" else np.dtype(TORCH_DTYPES[dtype]).itemsize


def _as_bytes(machine: Machine, data: Any) -> bytes:
    """Bytes, or what Python 2 called a string: one byte a character."""
    if isinstance(data, str):
        machine.charge(len(data))
        return data.encode("latin-1")
    if isinstance(data, (bytes, bytearray)):
        return bytes(data)
    raise TypeError("an array without bytes")


def _array(machine: Machine, data: Any, dtype: Any, shape: Any, order: str) -> Any:
    if not isinstance(dtype, DType) or not isinstance(shape, tuple) or order not in {"C", "F"}:
        raise TypeError("an array without dtype or shape")
    if any(type(size) is not int or size < 0 for size in shape) or len(shape) > 32:
        raise ValueError(f"an array of shape {str(shape)[:60]}")
    if dtype.code.startswith("O"):
        return _objects(data, shape)
    raw = _as_bytes(machine, data)
    expected = math.prod(shape) * dtype.plain.itemsize
    if len(raw) != expected:
        raise ValueError(f"an array of shape {shape} has {len(raw)} bytes, not {expected}")
    machine.charge(expected)
    values = np.frombuffer(raw, dtype.plain).reshape(shape, order="F" if order == "F" else "C")
    return np.array(values, dtype.plain.newbyteorder("="), order="C")


def _objects(data: Any, shape: tuple[int, ...]) -> Any:
    """What numpy.save wraps around one object: an array without axes. Longer ones become lists."""
    if not isinstance(data, list) or len(data) != math.prod(shape) or len(shape) > 1:
        raise ValueError("an array of objects that is not one list")
    return data if shape else data[0]


def _dtype(machine: Machine, code: Any, *_: Any) -> DType:
    code = _as_bytes(machine, code).decode("ascii")
    if not _DTYPE.fullmatch(code):
        raise machine.refused(f"an array of dtype {code[:40]!r}")
    order = code[0] if code[0] in "<>" else "="
    return DType(code.lstrip("<>|="), order)


def _scalar(machine: Machine, dtype: Any, data: Any = b"") -> Any:
    return _array(machine, data, dtype, (), "C")[()]


def _from_buffer(machine: Machine, data: Any, dtype: Any, shape: Any, order: Any = "C") -> PendingArray:
    return PendingArray(_array(machine, data, dtype, shape, order))


def _encode(machine: Machine, text: Any, encoding: Any = "latin1") -> bytes:
    """`_codecs.encode`, by which Python 3 writes bytes in protocol 2."""
    if not isinstance(text, str) or encoding not in {"latin1", "latin-1"}:
        raise TypeError("bytes in another encoding than latin1")
    return _as_bytes(machine, text)


def _no_bytes(_: Machine) -> bytes:
    """`bytes()`, by which Python 3 writes empty ones in protocol 2."""
    return b""


def _ordered(_: Machine, items: Any = ()) -> dict[Any, Any]:
    """OrderedDict, empty or of key and value pairs; a dict keeps its order."""
    flat = [part for key, value in items for part in (key, value)]
    return dict_of(flat)


def _tensor(_: Machine, storage: Any, offset: Any, shape: Any, strides: Any, *_more: Any) -> Tensor:
    """`_rebuild_tensor` and `_rebuild_tensor_v2`; what follows the strides matters to training alone."""
    if not isinstance(storage, Storage):
        raise TypeError("a tensor without storage")
    return Tensor(storage, offset, tuple(shape), tuple(strides), storage.dtype)


def _tensor_v3(machine: Machine, *arguments: Any) -> Tensor:
    """The same over an untyped storage."""
    storage, offset, shape, strides, _, _, dtype, *_ = arguments
    name = dtype.name.removeprefix("torch.") if isinstance(dtype, Constructor) else ""
    if name not in TORCH_DTYPES:
        raise machine.refused("a tensor of unknown dtype")
    return Tensor(storage, offset, tuple(shape), tuple(strides), name)


def _parameter(_: Machine, tensor: Any, *_more: Any) -> Tensor:
    if not isinstance(tensor, Tensor):
        raise TypeError("a parameter without tensor")
    return tensor


def _size(_: Machine, sizes: Any = ()) -> tuple[int, ...]:
    if not isinstance(sizes, (tuple, list)):
        raise TypeError("a torch.Size of what is no tuple")
    return tuple(sizes)


def _device(_: Machine, *parts: Any) -> str:
    return ":".join(str(part) for part in parts if isinstance(part, (str, int)))


def _table(named: dict[str, Any]) -> dict[str, Constructor]:
    return {name: Constructor(name, make) for name, make in named.items()}


_NUMPY = {
    "numpy.ndarray": None,
    "numpy.dtype": _dtype,
    "_codecs.encode": _encode,
    "__builtin__.bytes": _no_bytes,
    "builtins.bytes": _no_bytes,
    **{f"{core}.multiarray._reconstruct": lambda _, *__: PendingArray() for core in ("numpy.core", "numpy._core")},
    **{f"{core}.multiarray.scalar": _scalar for core in ("numpy.core", "numpy._core")},
    **{f"{core}.numeric._frombuffer": _from_buffer for core in ("numpy.core", "numpy._core")},
}
NUMPY = _table(_NUMPY)
"""What a pickled numpy array names."""
TORCH = NUMPY | _table(
    {
        "collections.OrderedDict": _ordered,
        "torch._utils._rebuild_tensor": _tensor,
        "torch._utils._rebuild_tensor_v2": _tensor,
        "torch._utils._rebuild_tensor_v3": _tensor_v3,
        "torch._utils._rebuild_parameter": _parameter,
        "torch._utils._rebuild_parameter_with_state": _parameter,
        "torch.Tensor": None,
        "torch.nn.parameter.Parameter": None,
        "torch.Size": _size,
        "torch.device": _device,
        **{f"torch.{name}": None for name in (*_STORAGES, *TORCH_DTYPES)},
        "torch.storage.UntypedStorage": None,
    }
)
"""What a state dict names besides."""


def storage(reference: Any) -> Storage:
    """A persistent id ("storage", class, key, device, count[, view]) as torch.save writes it."""
    kind, cls, key, _, count, *view = reference
    name = cls.name.rpartition(".")[2] if isinstance(cls, Constructor) else ""
    if kind != "storage" or name not in _STORAGES or not isinstance(key, str) or type(count) is not int or count < 0:
        raise ValueError("a reference that is no storage")
    if not view or view[0] is None:
        return Storage(key, _STORAGES[name], count)
    _, offset, size = view[0]
    if any(type(number) is not int or number < 0 for number in (offset, size)) or offset + size > count:
        raise ValueError("a part of a storage that reaches outside it")
    return Storage(key, _STORAGES[name], size, offset)


def view(tensor: Tensor, raw: memoryview, *, big_endian: bool) -> Array:
    """The tensor's numbers as an array of its own, out of the bytes of its storage; bfloat16 widened to float32."""
    is_bfloat = tensor.dtype == "bfloat16"
    dtype = np.dtype("u2" if is_bfloat else TORCH_DTYPES[tensor.dtype]).newbyteorder(">" if big_endian else "<")
    start = tensor.storage.offset * item_bytes(tensor.storage.dtype) + tensor.offset * dtype.itemsize
    if not tensor.count:
        return np.empty(tensor.shape, np.float32 if is_bfloat else dtype.newbyteorder("="))
    strides = [step * dtype.itemsize for step in tensor.strides]
    seen = np.ndarray(tensor.shape, dtype, raw, start, strides)
    if is_bfloat:
        return np.asarray(seen.astype(np.uint32) << 16, np.uint32).view(np.float32)
    return np.array(seen, dtype.newbyteorder("="), order="C")
