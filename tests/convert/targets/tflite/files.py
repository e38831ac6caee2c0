"""Tiny TFLite files written by hand."""

from __future__ import annotations

from typing import Any

from convert.targets.tflite.flatbuffer import added_tensor, packed, schema

Ports = dict[str, tuple[int, ...]]


def empty_model() -> Any:
    """A model with a graph and nothing in it."""
    generated = schema()
    model, graph = generated.ModelT(), generated.SubGraphT()
    model.version, model.description = 3, b"by hand"
    model.operatorCodes, model.subgraphs, model.buffers = [], [graph], [generated.BufferT()]
    graph.tensors, graph.operators, graph.inputs, graph.outputs = [], [], [], []
    return model


def passing(ports: Ports, dtype: str = "float32", scales: tuple[float, ...] = ()) -> Any:
    """A model that returns its inputs."""
    model = empty_model()
    graph = model.subgraphs[0]
    graph.inputs = [added_tensor(model, name, shape, dtype) for name, shape in ports.items()]
    graph.outputs = list(graph.inputs)
    for index, scale in enumerate(scales):
        graph.tensors[index].quantization = quantised(scale)
    return model


def quantised(scale: float, zero_point: int = 128) -> Any:
    """One scale for a whole tensor."""
    made = schema().QuantizationParametersT()
    made.scale, made.zeroPoint = [scale], [zero_point]
    return made


def one_code(number: int, version: int) -> bytes:
    """A file that lists an operator without using it: a runtime refuses what it does not know as soon as it loads."""
    generated = schema()
    model = passing({"x": (1,)})
    code = generated.OperatorCodeT()
    code.builtinCode, code.deprecatedBuiltinCode, code.version = number, min(number, 127), version
    model.operatorCodes = [code]
    return packed(model)
