"""What is alike in a TFLite file is written once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="TensorFlow is not installed")

from convert.targets.tflite.flatbuffer import added_constant, packed, schema, unpacked


def _model(zero_points: list[list[int]], constants: list[np.ndarray[Any, Any]]) -> Any:
    """Constants, each with the zero points of its channels."""
    generated = schema()
    model, graph = generated.ModelT(), generated.SubGraphT()
    model.version, model.buffers, model.operatorCodes, model.subgraphs = 3, [generated.BufferT()], [], [graph]
    graph.tensors, graph.operators, graph.inputs, graph.outputs = [], [], [], []
    for number, (points, values) in enumerate(zip(zero_points, constants, strict=True)):
        index = added_constant(model, f"constant {number}", values)
        parameters = generated.QuantizationParametersT()
        parameters.scale, parameters.zeroPoint = [0.5] * len(points), points
        graph.tensors[index].quantization = parameters
    return model


def test_zero_points_that_are_alike_are_written_once() -> None:
    constants = [np.arange(2000, dtype=np.int32) + number for number in range(2)]
    alike = packed(_model([[0] * 500, [0] * 500], constants))
    apart = packed(_model([[0] * 500, [*[0] * 499, 1]], constants))
    assert len(apart) - len(alike) == pytest.approx(8 * 500, abs=16)


def test_constants_that_are_alike_are_written_once() -> None:
    values = np.arange(3000, dtype=np.int32)
    alike = packed(_model([[0], [0]], [values, values]))
    apart = packed(_model([[0], [0]], [values, values + 1]))
    assert len(apart) - len(alike) == pytest.approx(4 * 3000, abs=32)


def test_nothing_of_it_is_lost() -> None:
    points, constants = [[0, 0], [3, -4], [0, 0]], [np.arange(5, dtype=np.int32)] * 2 + [np.ones(5, np.int32)]
    read = unpacked(packed(_model(points, constants)))
    tensors = read.subgraphs[0].tensors
    assert [list(tensor.quantization.zeroPoint) for tensor in tensors] == points
    for tensor, values in zip(tensors, constants, strict=True):
        assert np.array_equal(np.frombuffer(bytes(read.buffers[tensor.buffer].data), np.int32), values)
