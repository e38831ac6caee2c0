"""Operators that the oldest runtime does not know with integers, computed in float32 between two conversions."""

from __future__ import annotations

import copy

from convert.targets.tflite.flatbuffer import Model, code_index, schema
from convert.targets.tflite.versions import NEWEST_VERSIONS

_UNARY = ("LOG", "SQRT", "RSQRT", "COS", "SIN")
"""One tensor in, one out; their first version computes float32. With integers they are newer than the oldest runtime, or may be."""


def lower_new_versions(model: Model) -> None:
    """DEQUANTIZE, version 1, QUANTIZE in the place of each unary operator on integers that the oldest runtime does not know."""
    generated = schema()
    codes = {getattr(generated.BuiltinOperator, name): NEWEST_VERSIONS[name] for name in _UNARY}
    graph = model.subgraphs[0]
    operators = []
    for operator in graph.operators:
        code = model.operatorCodes[operator.opcodeIndex]
        integers = (
            graph.tensors[operator.inputs[0]].type != generated.TensorType.FLOAT32 if len(operator.inputs) else False
        )
        is_new = code.version > codes.get(code.builtinCode, code.version)
        operators += _in_float(model, operator, code.builtinCode) if is_new and integers else [operator]
    graph.operators = operators
    _forget_unused_codes(model)


def _in_float(model: Model, operator: Model, code: int) -> list[Model]:
    builtin = schema().BuiltinOperator
    source, target = int(operator.inputs[0]), int(operator.outputs[0])
    real_source, real_target = (_real_copy(model, index) for index in (source, target))
    # DEQUANTIZE of int8 is version 2.
    return [
        _step(model, (builtin.DEQUANTIZE, 2), source, real_source),
        _step(model, (code, 1), real_source, real_target),
        _step(model, (builtin.QUANTIZE, 1), real_target, target),
    ]


def _real_copy(model: Model, index: int) -> int:
    tensors = model.subgraphs[0].tensors
    made = copy.copy(tensors[index])
    made.name, made.type = made.name + b"/real", schema().TensorType.FLOAT32
    made.quantization, made.buffer = None, 0
    tensors.append(made)
    return len(tensors) - 1


def _step(model: Model, what: tuple[int, int], source: int, target: int) -> Model:
    made = schema().OperatorT()
    made.opcodeIndex = code_index(model, *what)
    made.inputs, made.outputs = [source], [target]
    return made


def _forget_unused_codes(model: Model) -> None:
    """A runtime refuses an operator code that it does not know even where nothing uses it."""
    used = sorted({operator.opcodeIndex for graph in model.subgraphs for operator in graph.operators})
    places = {old: new for new, old in enumerate(used)}
    for graph in model.subgraphs:
        for operator in graph.operators:
            operator.opcodeIndex = places[operator.opcodeIndex]
    model.operatorCodes = [model.operatorCodes[index] for index in used]
