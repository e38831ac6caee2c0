"""What is in a TFLite file, read without running it: for reports and tests.

Sizes are capped before anything is read: a flatbuffer may point to one table a million times.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from edge.errors import MissingDependencyError, ModelError

_IDENTIFIER = b"TFL3"
_MOST_ITEMS = 100_000
"""Tensors, operators or operator codes of a file; the largest published networks have some thousands."""
_MOST_SIZES = 8
"""Axes of a tensor; TFLite's kernels take no more."""
_MOST_SCALES = 65_536


@dataclass(frozen=True, slots=True)
class TensorView:
    """A tensor of the main graph. Of one scale for each channel, all are here, along `axis`."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]
    """None is a size that may differ from run to run."""
    scales: tuple[float, ...] = ()
    zero_points: tuple[int, ...] = ()
    axis: int = 0


@dataclass(frozen=True, slots=True)
class TfliteView:
    """The main graph of a file."""

    description: str
    inputs: tuple[TensorView, ...]
    outputs: tuple[TensorView, ...]
    tensors: tuple[TensorView, ...]
    operators: Mapping[tuple[str, int], int]
    """(name, version) -> how many. Custom operators have their own names."""
    signature: tuple[tuple[str, ...], tuple[str, ...]] | None = None
    """Names of inputs and outputs in the first signature; None where the file has none."""

    @property
    def counts(self) -> dict[str, int]:
        """Operator -> how many, whatever the version."""
        made: Counter[str] = Counter()
        for (name, _), count in self.operators.items():
            made[name] += count
        return dict(made)

    @property
    def dtypes(self) -> dict[str, int]:
        """Dtype -> how many tensors have it."""
        return dict(Counter(tensor.dtype for tensor in self.tensors))


def describe_tflite(data: bytes, where: str = "") -> TfliteView:
    """The main graph of a TFLite file; ModelError where it is none, or damaged."""
    if data[4:8] != _IDENTIFIER:
        raise ModelError("not a TFLite model", where=where, expected="the identifier TFL3")
    try:
        return _view(data, _schema())
    except (struct.error, IndexError, TypeError, ValueError, OverflowError, AttributeError) as error:
        hint = "The file may be truncated: copy it again."
        raise ModelError(f"a damaged TFLite model ({error})", where=where, hint=hint) from error


def _schema() -> ModuleType:
    """The generated schema of whichever package is here; the lighter one first."""
    try:
        from ai_edge_litert import schema_py_generated
    except ImportError:
        pass
    else:
        return schema_py_generated  # type: ignore[no-any-return, unused-ignore]
    try:
        from tensorflow.lite.python import schema_py_generated as of_tensorflow
    except ImportError as error:
        raise MissingDependencyError("tensorflow", extra="convert", purpose="reading a TFLite file") from error
    return of_tensorflow  # type: ignore[no-any-return, unused-ignore]


def _view(data: bytes, schema: Any) -> TfliteView:
    model = schema.Model.GetRootAs(data, 0)
    if not model.SubgraphsLength():
        raise ValueError("no graph")
    graph = model.Subgraphs(0)
    dtypes, operators = _names(schema.TensorType), _names(schema.BuiltinOperator)
    tensors = tuple(_tensor(graph.Tensors(index), dtypes) for index in _places(graph.TensorsLength()))
    codes = [_code(model.OperatorCodes(index), operators) for index in _places(model.OperatorCodesLength())]
    used = Counter(codes[_index(graph.Operators(n).OpcodeIndex(), codes)] for n in _places(graph.OperatorsLength()))
    inputs = [_index(graph.Inputs(place), tensors) for place in _places(graph.InputsLength())]
    outputs = [_index(graph.Outputs(place), tensors) for place in _places(graph.OutputsLength())]
    return TfliteView(
        description=_text(model.Description()),
        inputs=tuple(tensors[index] for index in inputs),
        outputs=tuple(tensors[index] for index in outputs),
        tensors=tensors,
        operators=dict(used),
        signature=_signature(model),
    )


def _signature(model: Any) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    if not model.SignatureDefsLength():
        return None
    found = model.SignatureDefs(0)
    return (
        tuple(_text(found.Inputs(place).Name()) for place in _places(found.InputsLength())),
        tuple(_text(found.Outputs(place).Name()) for place in _places(found.OutputsLength())),
    )


def _names(enumeration: Any) -> dict[int, str]:
    return {number: name for name, number in vars(enumeration).items() if isinstance(number, int)}


def _places(length: int, most: int = _MOST_ITEMS) -> range:
    if not 0 <= length <= most:
        raise ValueError(f"{length} items where at most {most} make sense")
    return range(length)


def _index(index: int, items: Any) -> int:
    if not 0 <= index < len(items):
        raise ValueError(f"item {index} of {len(items)}")
    return int(index)


def _text(raw: bytes | None) -> str:
    return (raw or b"")[:4096].decode("utf-8", "replace")


def _code(code: Any, operators: Mapping[int, str]) -> tuple[str, int]:
    # Files from before 2020 have the number in the old field alone, newer ones in both.
    number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
    name = operators.get(number, f"operator {number}")
    return (_text(code.CustomCode()) if name == "CUSTOM" else name), int(code.Version())


def _tensor(tensor: Any, dtypes: Mapping[int, str]) -> TensorView:
    dtype = dtypes.get(tensor.Type(), f"dtype {tensor.Type()}").lower()
    shape: tuple[int | None, ...] = tuple(tensor.Shape(axis) for axis in _places(tensor.ShapeLength(), _MOST_SIZES))
    if tensor.ShapeSignatureLength() == len(shape):
        signature = [tensor.ShapeSignature(axis) for axis in range(len(shape))]
        shape = tuple(None if size == -1 else size for size in signature)
    name, found = _text(tensor.Name()), tensor.Quantization()
    if found is None or not found.ScaleLength():
        return TensorView(name, dtype, shape)
    scales = tuple(found.Scale(place) for place in _places(found.ScaleLength(), _MOST_SCALES))
    points = tuple(found.ZeroPoint(place) for place in _places(found.ZeroPointLength(), _MOST_SCALES))
    return TensorView(name, dtype, shape, scales, points, found.QuantizedDimension())
