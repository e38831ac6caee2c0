"""TFLite files of one operator, put together without TensorFlow's converter, for what it does not write any more."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from convert.importers.tflite.schema import schema
from convert.network import Array

_TYPES = {
    "float32": "FLOAT32",
    "float16": "FLOAT16",
    "int32": "INT32",
    "int8": "INT8",
    "uint8": "UINT8",
    "int64": "INT64",
}


@dataclass
class Handmade:
    """Tensors and operators, added one after the other; everything is named by its index."""

    model: Any = field(default_factory=lambda: schema().ModelT())

    def __post_init__(self) -> None:
        generated = schema()
        graph = generated.SubGraphT()
        graph.tensors, graph.operators, graph.inputs, graph.outputs = [], [], [], []
        self.model.version, self.model.subgraphs, self.model.operatorCodes = 3, [graph], []
        self.model.buffers = [generated.BufferT()]

    @property
    def graph(self) -> Any:
        return self.model.subgraphs[0]

    def tensor(self, shape: tuple[int, ...], dtype: str = "float32", *, name: str = "") -> int:
        """A tensor that is fed or computed."""
        generated = schema()
        made = generated.TensorT()
        made.name, made.shape, made.type = name or f"t{len(self.graph.tensors)}", list(shape), _type(dtype)
        self.graph.tensors.append(made)
        return len(self.graph.tensors) - 1

    def input(self, shape: tuple[int, ...], dtype: str = "float32") -> int:
        """An input of the file."""
        index = self.tensor(shape, dtype)
        self.graph.inputs.append(index)
        return index

    def constant(self, value: Array) -> int:
        """A tensor with its bytes."""
        buffer = schema().BufferT()
        buffer.data = list(value.tobytes())
        self.model.buffers.append(buffer)
        index = self.tensor(value.shape, value.dtype.name)
        self.graph.tensors[index].buffer = len(self.model.buffers) - 1
        return index

    def scaled(self, index: int, scales: list[float], zeros: list[int], axis: int = 0) -> int:
        """Give a tensor scales and zero points."""
        made = schema().QuantizationParametersT()
        made.scale, made.zeroPoint, made.quantizedDimension = scales, zeros, axis
        self.graph.tensors[index].quantization = made
        return index

    def call(self, op: str, inputs: list[int], output: int, kind: str = "", **options: Any) -> int:
        """An operator; `kind` and `options` are its table in the schema."""
        generated = schema()
        code, made = generated.OperatorCodeT(), generated.OperatorT()
        number = getattr(generated.BuiltinOperator, op, None)
        code.builtinCode = generated.BuiltinOperator.CUSTOM if number is None else number
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        code.customCode, code.version = (op if number is None else None), 1
        self.model.operatorCodes.append(code)
        made.opcodeIndex, made.inputs, made.outputs = len(self.model.operatorCodes) - 1, inputs, [output]
        if kind:
            made.builtinOptionsType = getattr(generated.BuiltinOptions, kind)
            made.builtinOptions = getattr(generated, f"{kind}T")()
            for name, value in options.items():
                setattr(made.builtinOptions, name, value)
        self.graph.operators.append(made)
        return output

    def save(self, path: Path, *outputs: int) -> Path:
        """Write, with these outputs."""
        import flatbuffers

        self.graph.outputs = list(outputs)
        builder = flatbuffers.Builder(1024)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        path.write_bytes(bytes(builder.Output()))
        return path


def _type(dtype: str) -> int:
    return int(getattr(schema().TensorType, _TYPES[np.dtype(dtype).name]))
