"""What a file says of itself, and files that lie."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("tensorflow", reason="TensorFlow is not installed (pip install 'ostiary[convert]')")

from convert.targets.tflite.describe import describe_tflite
from convert.targets.tflite.flatbuffer import added_constant, added_custom_operator, packed, schema, unpacked
from convert.targets.tflite.ports import name_ports
from edge.errors import ModelError
from tests.convert.targets.tflite.files import passing, quantised


def model() -> bytes:
    made = passing({"x": (1, 2), "y": (1, 3)}, "uint8", (0.5, 0.25))
    tensors = made.subgraphs[0].tensors
    tensors[1].shapeSignature = [-1, 3]
    index = added_constant(made, "weights", np.arange(6, dtype=np.float32).reshape(2, 3))
    tensors[index].quantization = quantised(0.1)
    tensors[index].quantization.scale, tensors[index].quantization.zeroPoint = [0.5, 2.0], [0, 0]
    tensors[index].quantization.quantizedDimension = 1
    added_custom_operator(made, "Something", [0], [1], b"\0")
    name_ports(made, ("first", "second"), ("x out", "y out"))
    return packed(made)


def test_names_shapes_and_quantisation() -> None:
    view = describe_tflite(model())
    assert [(tensor.name, tensor.dtype, tensor.shape) for tensor in view.inputs] == [
        ("first", "uint8", (1, 2)),
        ("second", "uint8", (None, 3)),
    ]
    assert (view.inputs[0].scales, view.inputs[0].zero_points) == ((0.5,), (128,))
    weights = view.tensors[2]
    assert (weights.scales, weights.zero_points, weights.axis) == ((0.5, 2.0), (0, 0), 1)
    assert view.operators == {("Something", 1): 1}
    assert view.counts == {"Something": 1}
    assert view.dtypes == {"uint8": 2, "float32": 1}
    assert view.description == "by hand"
    assert view.signature == (("first", "second"), ("x out", "y out"))


def test_constants_lie_where_a_mapped_file_can_be_read() -> None:
    data = model()
    values = np.arange(6, dtype=np.float32).tobytes()
    assert data.index(values) % 16 == 0
    assert packed(unpacked(data)) == data


@pytest.mark.parametrize("length", [0, 4, 8, 12, 40, 200])
def test_a_truncated_file_is_refused(length: int) -> None:
    with pytest.raises(ModelError):
        describe_tflite(model()[:length])


@settings(max_examples=300, deadline=None)
@given(place=st.integers(8, 10_000), value=st.binary(min_size=1, max_size=4))
def test_a_damaged_file_is_read_or_refused(place: int, value: bytes) -> None:
    data = bytearray(model())
    start = place % len(data)
    data[start : start + len(value)] = value
    data[4:8] = b"TFL3"
    # Any other exception fails the test.
    with contextlib.suppress(ModelError):
        describe_tflite(bytes(data))


def test_a_tensor_of_many_axes_is_refused() -> None:
    made = passing({"x": (1,) * 9})
    with pytest.raises(ModelError, match="9 items where at most 8"):
        describe_tflite(packed(made))


def test_a_file_without_graph_is_refused() -> None:
    made = passing({"x": (1,)})
    made.subgraphs = []
    with pytest.raises(ModelError, match="no graph"):
        describe_tflite(packed(made))


def test_an_operator_that_nobody_knows_is_named_by_its_number() -> None:
    made = passing({"x": (1,)})
    added_custom_operator(made, "x", [0], [0], b"\0")
    made.operatorCodes[0].builtinCode = 5000
    made.operatorCodes[0].customCode = None
    assert schema().BuiltinOperator.CUSTOM != 5000
    assert describe_tflite(packed(made)).operators == {("operator 5000", 1): 1}
