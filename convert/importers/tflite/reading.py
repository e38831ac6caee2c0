"""TFLite file -> Graph.

The generated classes trust the file: an offset may lead anywhere, a vector may say that it is billions long. Python's own
bounds checks turn the former into exceptions, which become one ModelError here; every length is compared with a limit before
anything is read in a loop.
"""

from __future__ import annotations

import itertools
import mmap
import struct
from pathlib import Path
from typing import Any

from convert.importers.tflite.graph import Graph, Operator, Tensor
from convert.importers.tflite.options import OPTIONS, VECTORS
from convert.importers.tflite.schema import names_of, schema
from edge.errors import ModelError

_IDENTIFIER = b"TFL3"
_MOST_OPERATORS = 20_000
_MOST_EDGES = 200_000
"""Inputs and outputs of all operators together."""
_MOST_AXES = 8
_LONGEST_NAME = 65_536
_HINT = "The file may be damaged: copy it again, or convert it again."
_FAULTS = (struct.error, ValueError, TypeError, IndexError, KeyError, AttributeError, OverflowError, MemoryError)
"""What the generated classes, NumPy and struct raise when an offset leads out of the file."""

DTYPES = {
    "FLOAT32": "float32", "FLOAT16": "float16", "FLOAT64": "float64", "BFLOAT16": "bfloat16", "BOOL": "bool",
    "INT8": "int8", "UINT8": "uint8", "INT16": "int16", "UINT16": "uint16", "INT32": "int32", "UINT32": "uint32",
    "INT64": "int64",
}  # fmt: skip


def read_graph(path: Path) -> Graph:
    """Read and check. ModelError where it is no TFLite file, or a damaged one."""
    data = _mapped(path)
    try:
        return _Reading(data, str(path)).graph()
    except _FAULTS as error:
        raise ModelError(
            f"not a sound TFLite file ({type(error).__name__}: {' '.join(str(error).split())[:120]})",
            where=str(path),
            hint=_HINT,
        ) from error


def _mapped(path: Path) -> Any:
    try:
        with path.open("rb") as handle:
            head = handle.read(8)
            if head[4:8] != _IDENTIFIER:
                raise ModelError("not a TFLite model", where=str(path), expected="the identifier TFL3", hint=_HINT)
            return mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise ModelError(f"cannot be read ({error.strerror})", where=str(path), expected="a TFLite model") from error


class _Reading:
    """One file while it is read."""

    def __init__(self, data: Any, where: str) -> None:
        self.data = data
        self.where = where
        self.model = schema().Model.GetRootAs(data, 0)
        self.tensors: dict[int, Tensor] = {}
        self.names: set[str] = set()
        self.edges = 0

    def graph(self) -> Graph:
        if not 1 <= self.model.SubgraphsLength() <= _MOST_OPERATORS:
            raise self.broken(f"{self.model.SubgraphsLength()} subgraphs")
        main = self.model.Subgraphs(0)
        count = main.OperatorsLength()
        if not 1 <= count <= _MOST_OPERATORS:
            raise self.broken(f"{count} operators")
        inputs = self.numbers(main, "Inputs")
        outputs = self.numbers(main, "Outputs")
        operators = tuple(self.operator(main.Operators(index)) for index in range(count))
        for index in itertools.chain(
            inputs, *(each.outputs for each in operators), *(each.inputs for each in operators)
        ):
            self.keep(main, index)
        for index in outputs:
            self.keep(main, index)
        if not outputs or -1 in outputs or -1 in inputs:
            raise self.broken("no outputs, or ends that are no tensors")
        return Graph(self.where, self.tensors, operators, inputs, outputs, len(self.data))

    def broken(self, problem: str) -> ModelError:
        return ModelError(f"not a sound TFLite file ({problem})", where=self.where, hint=_HINT)

    def numbers(self, table: Any, field: str, most: int = _MOST_EDGES) -> tuple[int, ...]:
        """A vector of whole numbers, not longer than it may be."""
        if getattr(table, f"{field}IsNone")():
            return ()
        length = getattr(table, f"{field}Length")()
        self.edges += length
        if length > most or self.edges > 4 * _MOST_EDGES:
            raise self.broken(f"{field} has {length} numbers")
        return tuple(int(each) for each in getattr(table, f"{field}AsNumpy")()) if length else ()

    def text(self, raw: bytes | None) -> str:
        if raw is not None and len(raw) > _LONGEST_NAME:
            raise self.broken(f"a name of {len(raw)} bytes")
        return (raw or b"").decode("utf-8", "replace")

    def operator(self, raw: Any) -> Operator:
        code = self.model.OperatorCodes(raw.OpcodeIndex())
        # Numbers up to 127 were first kept in a byte, which old readers still read.
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        op = names_of("BuiltinOperator").get(number, f"operator number {number}")
        custom = b""
        if op == "CUSTOM":
            op = self.text(code.CustomCode()) or op
            if raw.CustomOptionsLength() > len(self.data):
                raise self.broken("options longer than the file")
            custom = bytes(raw.CustomOptionsAsNumpy()) if raw.CustomOptionsLength() else b""
        inputs, outputs = self.numbers(raw, "Inputs"), self.numbers(raw, "Outputs")
        if not outputs or -1 in outputs:
            raise self.broken(f"{op} makes nothing")
        return Operator(op, inputs, outputs, self.options(op, raw), custom)

    def options(self, op: str, raw: Any) -> dict[str, Any]:
        """Options by their names in the schema; all at their defaults where the file leaves them out."""
        if op not in OPTIONS:
            return {}
        kind, fields = OPTIONS[op]
        table = getattr(schema(), kind)()
        written = raw.BuiltinOptions()
        if written is None or raw.BuiltinOptionsType() == 0:
            return {}
        if raw.BuiltinOptionsType() != getattr(schema().BuiltinOptions, kind):
            raise self.broken(f"{op} has the options of another operator")
        table.Init(written.Bytes, written.Pos)
        return {
            field: self.numbers(table, field, _MOST_AXES) if field in VECTORS else getattr(table, field)()
            for field in fields
        }

    def keep(self, main: Any, index: int) -> None:
        """Read a tensor, once."""
        if index == -1 or index in self.tensors:
            return
        if not 0 <= index < main.TensorsLength():
            raise self.broken(f"tensor {index} of {main.TensorsLength()}")
        raw = main.Tensors(index)
        given = self.text(raw.Name()) or "tensor"
        name = f"{given}#{index}" if given in self.names else given
        self.names.add(name)
        kind = names_of("TensorType").get(raw.Type(), f"type {raw.Type()}")
        if kind not in DTYPES or raw.Sparsity() is not None or raw.IsVariable():
            raise ModelError(
                f"tensor {name!r} is {kind}, sparse or a variable",
                where=self.where,
                expected=f"dense, one of {', '.join(DTYPES)}",
            )
        shape = self.numbers(raw, "Shape", _MOST_AXES)
        signature = self.numbers(raw, "ShapeSignature", _MOST_AXES)
        if any(size < 0 for size in shape) or len(signature) not in {0, len(shape)}:
            raise self.broken(f"tensor {name!r} of shape {list(shape)}")
        scales, zeros, axis = self.scales(raw)
        self.tensors[index] = Tensor(name, shape, signature, DTYPES[kind], self.bytes_of(raw), scales, zeros, axis)

    def bytes_of(self, raw: Any) -> Any:
        """The bytes of a constant; None of what is computed."""
        number = raw.Buffer()
        if not number:
            return None
        if number >= self.model.BuffersLength():
            raise self.broken(f"buffer {number} of {self.model.BuffersLength()}")
        buffer = self.model.Buffers(number)
        return buffer.DataAsNumpy() if buffer.DataLength() else None

    def scales(self, raw: Any) -> tuple[Any, Any, int]:
        quantisation = raw.Quantization()
        if quantisation is None or not quantisation.ScaleLength():
            return None, None, 0
        if quantisation.ZeroPointLength() not in {0, quantisation.ScaleLength()}:
            raise self.broken("scales and zero points of different number")
        zeros = quantisation.ZeroPointAsNumpy() if quantisation.ZeroPointLength() else None
        return quantisation.ScaleAsNumpy(), zeros, quantisation.QuantizedDimension()
