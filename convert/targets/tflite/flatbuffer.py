"""A TFLite file as objects that can be changed, and back to bytes.

The classes are those that TensorFlow generates from `schema.fbs` (https://github.com/tensorflow/tensorflow/blob/v2.19.0/
tensorflow/compiler/mlir/lite/schema/schema.fbs); bytes are written with TensorFlow's own, so that they do not depend on what else
is installed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from convert.tensorflow import import_tensorflow

IDENTIFIER = b"TFL3"
Model = Any
"""`ModelT` of the generated schema."""

_ALIGNMENT = 16
"""Of constants, in bytes (schema.fbs: force_align). TensorFlow's Python packer leaves it out; runtimes map the file into memory."""


def schema() -> Any:
    """The generated schema module of TensorFlow."""
    import_tensorflow()
    from tensorflow.lite.python import schema_py_generated

    return schema_py_generated


def unpacked(data: bytes) -> Model:
    """The model in bytes that a converter has just written; not for files of others, which nothing here checks."""
    generated = schema()
    return generated.ModelT.InitFromObj(generated.Model.GetRootAs(data, 0))


def packed(model: Model) -> bytes:
    """A TFLite file. The same model gives the same bytes; what is alike in it is written once."""
    builder = _sharing_builder()
    aligned = _aligned_buffer(schema())
    model.buffers = [aligned(buffer) for buffer in model.buffers]
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            if tensor.quantization is not None and tensor.quantization.zeroPoint is not None:
                # Packed as arrays they go through the builder's method below: a network has thousands of zeros, 8 bytes each.
                tensor.quantization.zeroPoint = np.asarray(tensor.quantization.zeroPoint, np.int64)
    builder.Finish(model.Pack(builder), file_identifier=IDENTIFIER)
    return bytes(builder.Output())


def _sharing_builder() -> Any:
    import flatbuffers

    class SharingBuilder(flatbuffers.Builder):  # type: ignore[misc, unused-ignore]
        def __init__(self) -> None:
            super().__init__(1024)
            self.places: dict[tuple[str, bytes], int] = {}

        def CreateNumpyVector(self, x: Any) -> int:  # noqa: N802  the library's name
            def write() -> int:
                return int(super(SharingBuilder, self).CreateNumpyVector(x))

            # Zero points alone: shapes are arrays in a file that was read and lists in one that is made.
            return self.shared("int64", x.tobytes(), write) if x.dtype == np.int64 else write()

        def shared(self, kind: str, content: bytes, write: Callable[[], int]) -> int:
            """Where a vector is; written if none like it is there."""
            if (kind, content) not in self.places:
                self.places[kind, content] = write()
            return self.places[kind, content]

    return SharingBuilder()


def _aligned_buffer(generated: Any) -> Any:
    class AlignedBuffer(generated.BufferT):  # type: ignore[misc, unused-ignore]
        def __init__(self, plain: Any) -> None:
            super().__init__()
            self.data, self.offset, self.size = plain.data, plain.offset, plain.size

        def Pack(self, builder: Any) -> Any:  # noqa: N802  the generated name
            if self.data is None or not len(self.data):
                return super().Pack(builder)
            content = np.asarray(self.data, np.uint8).tobytes()
            place = builder.shared("constant", content, lambda: self._written(builder, content))
            generated.BufferStart(builder)
            generated.BufferAddData(builder, place)
            return generated.BufferEnd(builder)

        def _written(self, builder: Any, content: bytes) -> int:
            # A flatbuffer grows from its end: what is asked for here holds once the content is written.
            builder.Prep(_ALIGNMENT, len(content))
            return int(builder.CreateByteVector(content))

    return AlignedBuffer


def added_constant(model: Model, name: str, values: Any) -> int:
    """Index of a new constant tensor of the main graph; `values` is a NumPy array of float32, int32 or uint8."""
    generated = schema()
    buffer = generated.BufferT()
    buffer.data = np.frombuffer(values.tobytes(), np.uint8)
    model.buffers.append(buffer)
    return added_tensor(model, name, values.shape, str(values.dtype), buffer=len(model.buffers) - 1)


def added_tensor(model: Model, name: str, shape: tuple[int, ...], dtype: str, *, buffer: int = 0) -> int:
    """Index of a new tensor of the main graph; buffer 0 is the empty one of all that is computed."""
    generated = schema()
    tensor = generated.TensorT()
    tensor.name, tensor.shape, tensor.buffer = name.encode(), list(shape), buffer
    tensor.type = getattr(generated.TensorType, dtype.upper())
    model.subgraphs[0].tensors.append(tensor)
    return len(model.subgraphs[0].tensors) - 1


def added_operator(model: Model, code: int, inputs: list[int], outputs: list[int], *, version: int = 1) -> Any:
    """A new operator at the end of the main graph; its options are for the caller to set."""
    generated = schema()
    operator = generated.OperatorT()
    operator.opcodeIndex = code_index(model, code, version)
    operator.inputs, operator.outputs = inputs, outputs
    model.subgraphs[0].operators.append(operator)
    return operator


def code_index(model: Model, code: int, version: int, custom: bytes = b"") -> int:
    """Index of this operator at this version in the model's list, where it is added if it is missing."""
    generated = schema()
    for index, known in enumerate(model.operatorCodes):
        if (known.builtinCode, known.version, known.customCode or b"") == (code, version, custom):
            return index
    made = generated.OperatorCodeT()
    # The old field holds one signed byte; readers take the greater of both.
    made.builtinCode, made.deprecatedBuiltinCode, made.version = code, min(code, 127), version
    if custom:
        made.customCode = custom
    model.operatorCodes.append(made)
    return len(model.operatorCodes) - 1


def added_custom_operator(model: Model, name: str, inputs: list[int], outputs: list[int], options: bytes) -> None:
    """A new custom operator at the end of the main graph; `options` is a flexbuffer."""
    generated = schema()
    operator = generated.OperatorT()
    operator.opcodeIndex = code_index(model, generated.BuiltinOperator.CUSTOM, 1, name.encode())
    operator.inputs, operator.outputs = inputs, outputs
    operator.customOptions = bytearray(options)
    operator.customOptionsFormat = generated.CustomOptionsFormat.FLEXBUFFERS
    model.subgraphs[0].operators.append(operator)
